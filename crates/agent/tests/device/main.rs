//! A whole agent with real workers, and the parties around it.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

#[path = "../../src/testing/component.rs"]
mod component;
mod install;
mod release;
mod support;
mod worker;

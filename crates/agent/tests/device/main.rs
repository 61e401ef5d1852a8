//! A whole agent with real workers, and the parties around it.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]
#![expect(clippy::print_stdout, reason = "says which test is skipped")]
#![expect(clippy::wildcard_enum_match_arm, reason = "any other answer is a failure")]

#[path = "../../../teep/tests/protocol/authority.rs"]
mod authority;
mod cases;
mod certified;
#[path = "../../src/testing/component.rs"]
mod component;
mod confidential;
mod encrypted;
mod form;
mod hardware;
mod install;
mod native;
mod quotes;
mod release;
mod support;
mod tams;
mod worker;

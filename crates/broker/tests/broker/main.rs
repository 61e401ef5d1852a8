//! The Broker between a scripted Agent and scripted HTTP servers, all on this machine.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod http_client;
mod install;
mod lifecycle;
mod loads;
mod program;
mod rights;
mod sessions;
mod support;
mod tls;
mod wakes;

//! The real programs, all parties on one machine.
//!
//! Who runs these has built the programs before: `TAMARACK_PROGRAMS` names their directory and
//! `TAMARACK_TA` the sample's component. `cargo xtask test` does both.
#![expect(clippy::unwrap_used, reason = "lets a test fail")]
#![expect(clippy::print_stdout, reason = "says which test is skipped")]

mod bad_input;
mod canary;
mod channel;
mod crash;
mod dialects;
mod escapes;
mod families;
mod flows;
mod forgery;
mod instances;
mod kills;
mod launches;
mod live;
mod machines;
mod main_job;
mod ownership;
mod refusals;
mod suites;
mod tams;
mod troupe;

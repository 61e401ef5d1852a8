//! The crate as its users see it: the documents' bytes, whole sessions, and a hostile Broker.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "lets a test fail, or tell that it did nothing"
)]

mod agent;
mod pair;
mod support;
mod tam;
mod vectors;
mod whole;

//! The crate as its users see it: the documents' bytes, whole sessions, and a hostile Broker.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "lets a test fail, or tell that it did nothing"
)]

mod agent;
mod authority;
mod cddl;
mod certificates;
mod confidential;
mod hostile;
mod message;
mod pair;
mod properties;
mod support;
mod tam;
mod vectors;
mod whole;

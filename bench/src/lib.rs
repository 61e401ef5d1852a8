//! How Tamarack measures: CPU time of one thread, medians of batches run in turns, and one row
//! format for every figure.
//!
//! What is measured stands in `benches/`; this crate does not know it.

mod clock;
mod row;

pub use clock::{Work, seconds, thread_seconds};
pub use row::Row;

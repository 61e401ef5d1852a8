//! `tamarack suit`: the real program over descriptions, stores and the drafts' vectors.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "lets a test fail or be skipped")]

mod describe;
mod documents;
mod hash_based;
mod refuse;
mod run;
mod support;
#[cfg(feature = "pkcs11")]
mod token;
mod vectors;

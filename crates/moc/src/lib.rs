//! The Network M/OC: TAM, Verifier and placement behind one HTTP interface.
//!
//! Pure parts decide ([`deployment`], [`placement`], and the crates `teep`, `suit`, `rats`,
//! `verifier`); [`app`] and [`tam`] read, decide and commit; [`store`] keeps; [`http`] maps. The
//! operator of this program is trusted for availability only: it never holds Personalization
//! Data, nor a private key of an Agent or a Trusted Application.

pub mod app;
pub mod clock;
pub mod collateral;
pub mod config;
pub mod deployment;
pub mod http;
pub mod hub;
mod metrics;
pub mod placement;
mod rate;
pub mod store;
pub mod tam;
pub mod verification;

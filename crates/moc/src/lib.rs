//! The Network M/OC.
pub mod clock;
pub mod deployment;
pub mod hub;
pub mod placement;
pub mod store;

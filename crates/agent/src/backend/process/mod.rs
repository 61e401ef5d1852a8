//! Trusted Applications as processes: the agent's own program, started again and locked down.

pub mod lockdown;
pub mod sandbox;

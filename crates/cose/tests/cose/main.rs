//! COSE as its documents show it, as others made it, and as an attacker would.

mod encryption;
mod fixture;
mod headers;
mod hss;
mod keys;
mod macs;
mod negative;
mod properties;
mod signatures;
mod vectors;

//! A Trusted Application that plans private routes for a vehicle.
//!
//! The road map is public and part of the component, so its digest covers the map. The driver's
//! places and habits are Personalization Data: they arrive after the Network User has checked the
//! attestation result, live in this component's memory, and never leave it but as sealed answers.
//!
//! It deliberately knows nothing about attestation, sealing or TEEP: the TEE that hosts it opens
//! what comes in and seals what goes out.
#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

pub mod habits;
pub mod planner;
pub mod road_map;

#[cfg(target_arch = "wasm32")]
mod component;

#[cfg(test)]
mod tests;

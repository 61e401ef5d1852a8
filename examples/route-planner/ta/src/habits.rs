//! Personalization Data: the places a driver goes to, and the driver's habits.
//!
//! ```json
//! { "driver": "…", "places": { "home": [lon, lat] },
//!   "habits": { "avoid": ["Harbour Tunnel"],
//!               "stops": [{ "at": "bakery", "on_the_way_to": "work" }] } }
//! ```

use alloc::{collections::BTreeMap, string::String, vec::Vec};

use serde::Deserialize;

/// What the Network User releases to this Trusted Application.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonalizationData {
    /// Who the data is about.
    pub driver: String,
    /// Names that mean something to this driver only, with `[longitude, latitude]`.
    pub places: BTreeMap<String, [f64; 2]>,
    /// How this driver likes to go.
    pub habits: Habits,
}

/// How a driver likes to go.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Habits {
    /// Names of roads that the driver does not take.
    pub avoid: Vec<String>,
    /// Where the driver stops on the way.
    pub stops: Vec<Stop>,
}

/// A stop that belongs to a way.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// The place to stop at.
    pub at: String,
    /// The destination on whose way the stop lies.
    pub on_the_way_to: String,
}

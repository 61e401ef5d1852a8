//! The road map: GeoJSON (RFC 7946) LineString features, one for each stretch of road.
//!
//! Two stretches meet where their end positions are equal. Each feature's properties say
//! `name`, `class`, `speed_kmh` and `length_m`.

use alloc::{collections::BTreeMap, string::String, vec::Vec};

use serde::Deserialize;

/// Longitude and latitude in millionths of a degree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Longitude, millionths of a degree.
    pub lon: i64,
    /// Latitude, millionths of a degree.
    pub lat: i64,
}

impl Position {
    /// From GeoJSON's `[longitude, latitude]` in degrees.
    #[must_use]
    pub fn from_degrees([lon, lat]: [f64; 2]) -> Self {
        Self { lon: millionths(lon), lat: millionths(lat) }
    }

    /// As GeoJSON writes it.
    #[must_use]
    pub fn degrees(self) -> [f64; 2] {
        [self.lon as f64 / 1e6, self.lat as f64 / 1e6]
    }

    fn distance_squared(self, other: Self) -> i64 {
        let (lon, lat) = (self.lon - other.lon, self.lat - other.lat);
        lon * lon + lat * lat
    }
}

/// One direction of a stretch of road.
#[derive(Debug)]
pub struct Road {
    /// Index of the junction where it ends.
    pub to: usize,
    /// Index into [`RoadMap::names`].
    pub name: usize,
    /// Driving time in milliseconds.
    pub time_ms: u64,
    /// Length in metres.
    pub length_m: u64,
}

/// Junctions and the roads that leave them.
#[derive(Debug)]
pub struct RoadMap {
    /// Where the junctions are.
    pub junctions: Vec<Position>,
    /// Roads by the junction where they begin.
    pub roads: Vec<Vec<Road>>,
    /// Road names, each once.
    pub names: Vec<String>,
}

impl RoadMap {
    /// The map that is built into this component.
    ///
    /// # Errors
    /// The text says that the map does not parse.
    pub fn built_in() -> Result<Self, &'static str> {
        Self::from_geojson(include_bytes!("../../map/tamarack-bay.geojson"))
    }

    /// Reads a GeoJSON FeatureCollection of LineStrings.
    ///
    /// # Errors
    /// The text says that the map does not parse.
    pub fn from_geojson(text: &[u8]) -> Result<Self, &'static str> {
        let collection: Collection =
            serde_json::from_slice(text).map_err(|_| "the road map is not the expected GeoJSON")?;
        let mut map = Self { junctions: Vec::new(), roads: Vec::new(), names: Vec::new() };
        let (mut at, mut named) = (BTreeMap::new(), BTreeMap::new());
        for feature in collection.features {
            let (Some(first), Some(last)) =
                (feature.geometry.coordinates.first(), feature.geometry.coordinates.last())
            else {
                return Err("a road of the map has no positions");
            };
            let [from, to] = [first, last].map(|degrees| {
                let position = Position::from_degrees(*degrees);
                *at.entry(position).or_insert_with(|| {
                    map.junctions.push(position);
                    map.roads.push(Vec::new());
                    map.junctions.len() - 1
                })
            });
            let stretch = feature.properties;
            let name = *named.entry(stretch.name.clone()).or_insert_with(|| {
                map.names.push(stretch.name.clone());
                map.names.len() - 1
            });
            let time_ms = stretch.length_m * 3_600 / stretch.speed_kmh.max(1);
            let length_m = stretch.length_m;
            map.roads[from].push(Road { to, name, time_ms, length_m });
            map.roads[to].push(Road { to: from, name, time_ms, length_m });
        }
        Ok(map)
    }

    /// The junction nearest to a position.
    #[must_use]
    pub fn nearest(&self, position: Position) -> Option<usize> {
        (0..self.junctions.len()).min_by_key(|&j| self.junctions[j].distance_squared(position))
    }
}

#[derive(Deserialize)]
struct Collection {
    features: Vec<Feature>,
}

#[derive(Deserialize)]
struct Feature {
    geometry: LineString,
    properties: Stretch,
}

#[derive(Deserialize)]
struct LineString {
    coordinates: Vec<[f64; 2]>,
}

#[derive(Deserialize)]
struct Stretch {
    name: String,
    speed_kmh: u64,
    length_m: u64,
}

fn millionths(degrees: f64) -> i64 {
    let scaled = degrees * 1e6;
    (if scaled < 0.0 { scaled - 0.5 } else { scaled + 0.5 }) as i64
}

//! Makes the sample application's road map: a made-up harbour town, always the same.
//!
//! A grid of junctions, moved a little off the grid, on both sides of a harbour that three roads
//! cross: a fast tunnel and two slow bridges.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

/// Writes the GeoJSON map to `path`.
pub(crate) fn write(path: &Path) -> Result<()> {
    let collection = json!({
        "type": "FeatureCollection",
        "name": "Tamarack Bay, a made-up town",
        "features": roads(),
    });
    let mut text = String::from("{\n");
    for (key, value) in collection.as_object().into_iter().flatten() {
        if let Some(features) = value.as_array() {
            let lines: Vec<_> = features.iter().map(Value::to_string).collect();
            text += &format!("\"{key}\": [\n{}\n]\n", lines.join(",\n"));
        } else {
            text += &format!("\"{key}\": {value},\n");
        }
    }
    text += "}\n";
    fs::write(path, text).with_context(|| format!("writing the road map to {}", path.display()))
}

fn roads() -> Vec<Value> {
    let mut roads = Vec::new();
    for row in 0..ROWS {
        for (column, avenue) in AVENUES.into_iter().enumerate() {
            if column + 1 < COLUMNS
                && let Some(stretch) = eastward(row, column)
            {
                roads.push(feature((row, column), (row, column + 1), &stretch));
            }
            if row + 1 < ROWS {
                let speed_kmh = if column == 0 || column + 1 == COLUMNS { 70 } else { 30 };
                let stretch = Stretch { name: avenue, class: class(speed_kmh), speed_kmh };
                roads.push(feature((row, column), (row + 1, column), &stretch));
            }
        }
    }
    roads
}

struct Stretch {
    name: &'static str,
    class: &'static str,
    speed_kmh: u32,
}

/// The road from a junction to its eastern neighbour; the harbour lies behind `SHORE`.
fn eastward(row: usize, column: usize) -> Option<Stretch> {
    if column == SHORE {
        return match row {
            2 => Some(Stretch { name: "North Bridge", class: "bridge", speed_kmh: 30 }),
            8 => Some(Stretch { name: "Harbour Tunnel", class: "tunnel", speed_kmh: 80 }),
            13 => Some(Stretch { name: "Old Bridge", class: "bridge", speed_kmh: 30 }),
            _ => None,
        };
    }
    let speed_kmh = match row {
        0 | 8 | 15 => 60,
        row if row % 4 == 2 => 50,
        _ => 30,
    };
    Some(Stretch { name: STREETS[row], class: class(speed_kmh), speed_kmh })
}

fn class(speed_kmh: u32) -> &'static str {
    match speed_kmh {
        ..=30 => "residential",
        31..=50 => "secondary",
        _ => "primary",
    }
}

fn feature(from: (usize, usize), to: (usize, usize), stretch: &Stretch) -> Value {
    let (a, b) = (position(from), position(to));
    let north_m = (b[1] - a[1]) * 111_320.0;
    let east_m = (b[0] - a[0]) * 111_320.0 * LATITUDE.to_radians().cos();
    json!({
        "type": "Feature",
        "properties": {
            "name": stretch.name,
            "class": stretch.class,
            "speed_kmh": stretch.speed_kmh,
            "length_m": north_m.hypot(east_m).round() as u64,
        },
        "geometry": { "type": "LineString", "coordinates": [a, b] },
    })
}

/// Longitude and latitude of a junction, five decimals (about a metre).
fn position((row, column): (usize, usize)) -> [f64; 2] {
    let harbour = if column > SHORE { 0.008 } else { 0.0 };
    let lon = LONGITUDE + column as f64 * 0.0032 + harbour + jitter(row, column, 1);
    let lat = LATITUDE - row as f64 * 0.0021 + jitter(row, column, 2);
    [lon, lat].map(|degrees| (degrees * 1e5).round() / 1e5)
}

/// Up to 0.0005 degrees, always the same for the same junction.
fn jitter(row: usize, column: usize, salt: u64) -> f64 {
    let mut x = (row as u64 * 31 + column as u64 * 17 + salt).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x ^= x >> 29;
    x = x.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    ((x >> 40) as f64 / f64::from(1_u32 << 24) - 0.5) * 0.001
}

const ROWS: usize = 16;
const COLUMNS: usize = 20;
const SHORE: usize = 9;
const LONGITUDE: f64 = -67.350;
const LATITUDE: f64 = 44.650;

const AVENUES: [&str; COLUMNS] = [
    "Western Ring",
    "Mill Lane",
    "Foundry Road",
    "Station Road",
    "Cooper Street",
    "Market Street",
    "Chapel Street",
    "Granary Row",
    "Customs Walk",
    "West Quay",
    "East Quay",
    "Ropewalk",
    "Signal Street",
    "College Avenue",
    "Observatory Road",
    "Garden Street",
    "Hospital Road",
    "Science Park Drive",
    "Airfield Road",
    "Eastern Ring",
];
const STREETS: [&str; ROWS] = [
    "Northern Ring",
    "Alder Street",
    "Aspen Street",
    "Beech Street",
    "Birch Street",
    "Cedar Street",
    "Elm Street",
    "Fir Street",
    "Harbour Road",
    "Hazel Street",
    "Larch Street",
    "Maple Street",
    "Oak Street",
    "Pine Street",
    "Spruce Street",
    "Southern Ring",
];

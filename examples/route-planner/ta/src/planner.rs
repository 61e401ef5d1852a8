//! Plans a route with the driver's places and habits.

use alloc::{collections::BinaryHeap, format, string::String, vec, vec::Vec};
use core::cmp::Reverse;

use serde::{Deserialize, Serialize};

use crate::{
    habits::PersonalizationData,
    road_map::{Position, Road, RoadMap},
};

/// Why a request was not answered. The text never quotes Personalization Data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The map that is built in does not parse.
    Map(&'static str),
    /// The Personalization Data does not have the form of [`PersonalizationData`].
    Pd,
    /// The request is not JSON `{"from": place, "to": place}`.
    Request,
    /// The driver has no place of that name.
    UnknownPlace,
    /// No way leads there without the avoided roads.
    NoRoute,
}

impl Refused {
    /// One sentence for the caller.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Map(text) => text,
            Self::Pd => "the Personalization Data is not what this route planner takes",
            Self::Request => "the request is not {\"from\": place, \"to\": place}",
            Self::UnknownPlace => "the driver has no place of that name",
            Self::NoRoute => "no road leads there without the roads that the driver avoids",
        }
    }
}

/// A request of the vehicle: names of the driver's own places.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Where the drive begins.
    pub from: String,
    /// Where it ends.
    pub to: String,
}

/// A planned route.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
pub struct Route {
    /// Driving time, minutes.
    pub minutes: f64,
    /// Length, metres.
    pub length_m: u64,
    /// Streets in driving order.
    pub streets: Vec<String>,
    /// How the driver's habits shaped it.
    pub habits: Vec<String>,
    /// Positions `[longitude, latitude]` from junction to junction.
    pub path: Vec<[f64; 2]>,
}

/// The planner with a driver's data.
pub struct Planner {
    map: RoadMap,
    pd: PersonalizationData,
}

impl Planner {
    /// Takes Personalization Data (JSON).
    ///
    /// # Errors
    /// [`Refused::Pd`] when it does not have the expected form.
    pub fn new(pd: &[u8]) -> Result<Self, Refused> {
        let pd = serde_json::from_slice(pd).map_err(|_| Refused::Pd)?;
        Ok(Self { map: RoadMap::built_in().map_err(Refused::Map)?, pd })
    }

    /// Answers one JSON request with a JSON [`Route`].
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn serve(&self, request: &[u8]) -> Result<Vec<u8>, Refused> {
        let request: Request = serde_json::from_slice(request).map_err(|_| Refused::Request)?;
        let route = self.plan(&request)?;
        serde_json::to_vec(&route).map_err(|_| Refused::Request)
    }

    /// Plans the route that this driver would like.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn plan(&self, request: &Request) -> Result<Route, Refused> {
        let mut way = vec![request.from.as_str()];
        let mut habits = Vec::new();
        for stop in self.pd.habits.stops.iter().filter(|s| s.on_the_way_to == request.to) {
            habits.push(format!("stops at {}", stop.at));
            way.push(&stop.at);
        }
        way.push(&request.to);
        let points = way.iter().map(|name| self.junction(name)).collect::<Result<Vec<_>, _>>()?;
        let liked = self.legs(&points, true)?;
        if let Ok(fastest) = self.legs(&points, false) {
            self.note_avoided(&fastest, &liked, &mut habits);
        }
        Ok(self.route(points[0], &liked, habits))
    }

    fn junction(&self, place: &str) -> Result<usize, Refused> {
        let degrees = self.pd.places.get(place).ok_or(Refused::UnknownPlace)?;
        self.map.nearest(Position::from_degrees(*degrees)).ok_or(Refused::UnknownPlace)
    }

    fn avoided(&self, road: &Road) -> bool {
        self.pd.habits.avoid.contains(&self.map.names[road.name])
    }

    fn legs(&self, points: &[usize], personal: bool) -> Result<Vec<&Road>, Refused> {
        let mut roads = Vec::new();
        for leg in points.windows(2) {
            roads.extend(self.shortest(leg[0], leg[1], personal).ok_or(Refused::NoRoute)?);
        }
        Ok(roads)
    }

    /// Dijkstra over driving times.
    fn shortest(&self, from: usize, to: usize, personal: bool) -> Option<Vec<&Road>> {
        let mut best = vec![u64::MAX; self.map.junctions.len()];
        let mut came: Vec<Option<(usize, &Road)>> = vec![None; self.map.junctions.len()];
        let mut open = BinaryHeap::from([Reverse((0, from))]);
        best[from] = 0;
        while let Some(Reverse((time_ms, here))) = open.pop() {
            if here == to {
                break;
            }
            if time_ms > best[here] {
                continue;
            }
            for road in self.map.roads[here].iter().filter(|r| !(personal && self.avoided(r))) {
                let arrival = time_ms + road.time_ms;
                if arrival < best[road.to] {
                    best[road.to] = arrival;
                    came[road.to] = Some((here, road));
                    open.push(Reverse((arrival, road.to)));
                }
            }
        }
        let (mut roads, mut here) = (Vec::new(), to);
        while here != from {
            let (before, road) = came[here]?;
            roads.push(road);
            here = before;
        }
        roads.reverse();
        Some(roads)
    }

    fn note_avoided(&self, fastest: &[&Road], liked: &[&Road], habits: &mut Vec<String>) {
        let longer_ms = time_ms(liked).saturating_sub(time_ms(fastest));
        let mut seen = Vec::new();
        for road in fastest.iter().filter(|r| self.avoided(r)) {
            if !seen.contains(&road.name) {
                seen.push(road.name);
                let name = &self.map.names[road.name];
                habits.push(format!("avoids {name} (+{:.1} min)", longer_ms as f64 / 60_000.0));
            }
        }
    }

    fn route(&self, from: usize, roads: &[&Road], habits: Vec<String>) -> Route {
        let mut streets: Vec<String> = Vec::new();
        for road in roads {
            let name = &self.map.names[road.name];
            if streets.last() != Some(name) {
                streets.push(name.clone());
            }
        }
        let path = core::iter::once(from).chain(roads.iter().map(|r| r.to));
        Route {
            minutes: (time_ms(roads) / 6_000) as f64 / 10.0,
            length_m: roads.iter().map(|r| r.length_m).sum(),
            streets,
            habits,
            path: path.map(|j| self.map.junctions[j].degrees()).collect(),
        }
    }
}

fn time_ms(roads: &[&Road]) -> u64 {
    roads.iter().map(|r| r.time_ms).sum()
}

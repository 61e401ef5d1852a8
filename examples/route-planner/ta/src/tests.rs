use alloc::{string::ToString, vec::Vec};

use crate::planner::{Planner, Refused, Request, Route};

#[test]
fn the_route_follows_the_drivers_habits() {
    let planner = Planner::new(PD).unwrap();

    let route = planner.plan(&request("home", "work")).unwrap();

    assert_eq!(route.habits[0], "stops at bakery");
    assert!(route.habits[1].starts_with("avoids Harbour Tunnel (+"), "{:?}", route.habits);
    assert!(!route.streets.contains(&"Harbour Tunnel".to_string()));
    assert!(route.length_m > 1_000);
}

#[test]
fn another_driver_gets_another_route() {
    let careless = String::from_utf8_lossy(PD).replace("\"Harbour Tunnel\"", "");
    let planner = Planner::new(careless.as_bytes()).unwrap();

    let route = planner.plan(&request("home", "work")).unwrap();

    assert!(route.streets.contains(&"Harbour Tunnel".to_string()), "{:?}", route.streets);
    assert_eq!(route.habits, ["stops at bakery"]);
}

#[test]
fn an_answer_is_json_that_reads_back() {
    let planner = Planner::new(PD).unwrap();

    let answer = planner.serve(br#"{"from":"home","to":"work"}"#).unwrap();

    let route: Route = serde_json::from_slice(&answer).unwrap();
    assert_eq!(route, planner.plan(&request("home", "work")).unwrap());
}

#[test]
fn what_is_not_a_request_is_refused_without_quoting_the_data() {
    let planner = Planner::new(PD).unwrap();

    assert_eq!(planner.serve(b"{").err(), Some(Refused::Request));
    assert_eq!(planner.plan(&request("home", "moon")).err(), Some(Refused::UnknownPlace));
    assert_eq!(Planner::new(b"{}").err(), Some(Refused::Pd));
}

#[test]
fn every_junction_reaches_every_other() {
    let planner = Planner::new(PD).unwrap();
    let map = crate::road_map::RoadMap::built_in().unwrap();
    let mut reached = Vec::from([0]);
    let mut seen = vec![false; map.junctions.len()];
    while let Some(here) = reached.pop() {
        if !core::mem::replace(&mut seen[here], true) {
            reached.extend(map.roads[here].iter().map(|r| r.to));
        }
    }

    assert!(seen.iter().all(|s| *s) && seen.len() >= 300, "{} junctions", seen.len());
    drop(planner);
}

fn request(from: &str, to: &str) -> Request {
    Request { from: from.into(), to: to.into() }
}

const PD: &[u8] = include_bytes!("../../pd.json");

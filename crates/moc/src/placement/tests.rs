use api::Constraints;
use proptest::{
    collection::vec,
    option,
    prelude::{
        Just, ProptestConfig, Strategy as _, any, prop, prop_assert, prop_assert_eq, prop_oneof,
        proptest,
    },
    sample::select,
};

use super::*;

const NOW_MS: u64 = 10_000_000;

#[test]
fn the_wish_decides_then_real_hardware_then_the_load_then_the_name() {
    let tdx = Place { hardware: Hardware::Tdx, ..place("a") };
    let emulated = Place { emulated: true, ..place("b") };
    let loaded = Place { deployments: 3, ..place("c") };
    let places = [tdx, emulated, loaded, place("e"), place("d")];
    let wish = request(&[Hardware::Sgx, Hardware::Tdx]);

    assert_eq!(order_of(&wish, &places), ["d", "e", "c", "b", "a"]);
    assert_eq!(order_of(&packed(&wish), &places), ["c", "d", "e", "b", "a"]);
}

#[test]
fn every_device_that_is_left_out_is_named_with_its_constraint() {
    let places = [
        Place { hardware: Hardware::Tdx, ..place("a") },
        Place { instances: vec![InstanceType::Process], ..place("b") },
        Place { zone: "south".into(), ..place("c") },
        Place { jurisdiction: String::new(), ..place("d") },
        Place { latency_ms: Some(21), ..place("e") },
        Place { state: DeviceState::Quarantined, ..place("f") },
        Place { state: DeviceState::Enrolled, ..place("g") },
        Place { emulated: true, ..place("h") },
        Place { tcb: None, ..place("i") },
        Place { attested_at_ms: Some(NOW_MS - 60_001), ..place("j") },
        Place { apart: true, ..place("k") },
        Place { deployments: 4, ..place("l") },
        Place { used: Resources { memory_mib: 513, cpu_milli: 0 }, ..place("m") },
        Place { capacity: Capacity::default(), ..place("n") },
        Place { used: Resources { memory_mib: 0, cpu_milli: 3001 }, ..place("o") },
    ];
    let constraints = Constraints {
        latency_ms_max: Some(20),
        tcb_min: Some(TcbLevel::HardeningNeeded),
        attested_within_s: Some(60),
        apart: Some("map".into()),
        jurisdictions: vec!["JP".into(), "KR".into()],
        resources: Resources { memory_mib: 512, cpu_milli: 1000 },
        strategy: Strategy::Spread,
    };
    let request = PostRequest {
        zone: Some("north".into()),
        emulated: false,
        constraints,
        ..request(&[Hardware::Sgx])
    };

    let refused = choose(&request, &places, NOW_MS).unwrap_err();

    let found: Vec<(&str, &str, &str)> = refused
        .candidates
        .iter()
        .map(|out| (out.constraint.as_str(), out.expected.as_str(), out.seen.as_str()))
        .collect();
    assert_eq!(
        found,
        [
            ("hardware", "SGX", "TDX"),
            ("instance", "container", "process"),
            ("zone", "north", "south"),
            ("jurisdiction", "JP, KR", "unknown"),
            ("latency", "at most 20 ms", "21 ms"),
            ("state", "attested", "quarantined"),
            ("state", "attested", "enrolled, not yet appraised"),
            ("emulated", "real hardware", "emulated"),
            ("tcb", "hardening-needed or better", "unknown"),
            ("attestation-age", "attested within 60 s", "61 s ago"),
            ("apart", "no other `map` of the tenant", "it carries one"),
            ("slots", "a free slot", "all of 4 are taken"),
            ("memory", "512 MiB", "511 MiB"),
            ("memory", "512 MiB", "unknown"),
            ("cpu", "1000 thousandths", "999 thousandths of a processor"),
        ]
    );
    assert_eq!(refused.excluded["state"], 2);
    assert_eq!(choose(&request, &[place("p")], NOW_MS).unwrap().device, "p");
}

#[test]
fn a_pin_excludes_every_other_device() {
    let request = PostRequest { device: Some("b".into()), ..request(&[]) };

    let chosen = choose(&request, &[place("a"), place("b")], NOW_MS).unwrap();

    assert_eq!(chosen.device, "b");
    assert_eq!(
        chosen.reasons,
        [
            "b: chosen: real SGX, any hardware was asked for, 0 deployments, spread",
            "a: device: expected b, seen a",
        ]
    );
}

#[test]
fn no_devices_is_no_place() {
    let none = choose(&request(&[]), &[], NOW_MS).unwrap_err();

    assert_eq!(none, NoPlace { candidates: Vec::new(), excluded: BTreeMap::new() });
    assert_eq!(none.summary(), "there are no devices");
}

#[test]
fn of_many_devices_a_hundred_are_explained_and_the_others_counted() {
    let mut places: Vec<Place> = (0..300).map(|number| place(&format!("{number:03}"))).collect();
    for place in &mut places[150..] {
        place.zone = "south".into();
    }
    let request = PostRequest { zone: Some("north".into()), ..request(&[]) };

    let chosen = choose(&request, &places, NOW_MS).unwrap();
    let none = choose(&request, &places[150..], NOW_MS).unwrap_err();

    assert_eq!(chosen.reasons.len(), 102);
    assert_eq!(chosen.reasons[101], "199 more: rank 49, zone 150");
    assert_eq!((none.candidates.len(), none.excluded["zone"]), (100, 150));
    assert_eq!(none.summary(), "left out by zone 150");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_answer_is_the_same_in_whatever_order_the_devices_come(
        (request, places, shuffled) in (a_request(), some_places()).prop_flat_map(|(r, p)| {
            (Just(r), Just(p.clone()), Just(p).prop_shuffle())
        })
    ) {
        prop_assert_eq!(choose(&request, &places, NOW_MS), choose(&request, &shuffled, NOW_MS));
    }

    #[test]
    fn nothing_is_placed_where_a_constraint_is_not_met_and_every_exclusion_is_true(
        request in a_request(), places in some_places()
    ) {
        let of = |name: &str| places.iter().find(|place| place.device == name).unwrap();
        match choose(&request, &places, NOW_MS) {
            Ok(chosen) => {
                let broken = broken(&request, of(&chosen.device));
                prop_assert!(broken.is_empty(), "{broken:?}");
            }
            Err(none) => {
                prop_assert_eq!(none.candidates.len(), places.len());
                for out in &none.candidates {
                    let broken = broken(&request, of(&out.device));
                    prop_assert!(broken.contains(&out.constraint.as_str()), "{out:?} {broken:?}");
                }
            }
        }
    }

    #[test]
    fn a_device_that_fits_is_never_passed_over_for_none(
        request in a_request(), places in some_places()
    ) {
        let any = places.iter().any(|place| broken(&request, place).is_empty());
        prop_assert_eq!(choose(&request, &places, NOW_MS).is_ok(), any);
    }

    #[test]
    fn more_load_never_makes_spread_choose_a_device_nor_pack_leave_it(
        request in a_request(), places in some_places(), at in any::<prop::sample::Index>()
    ) {
        let Ok(chosen) = choose(&request, &places, NOW_MS) else { return Ok(()) };
        let mut loaded = places.clone();
        let one = at.index(loaded.len());
        loaded[one].deployments += 1;
        let again = choose(&request, &loaded, NOW_MS);
        let full = |place: &Place| broken(&request, place).contains(&"slots");

        match request.constraints.strategy {
            Strategy::Spread if chosen.device != loaded[one].device => {
                prop_assert_eq!(again.unwrap().device, chosen.device);
            }
            Strategy::Pack if chosen.device == loaded[one].device && !full(&loaded[one]) => {
                prop_assert_eq!(again.unwrap().device, chosen.device);
            }
            Strategy::Spread | Strategy::Pack => {}
        }
    }

    #[test]
    fn a_constraint_less_never_loses_a_place(request in a_request(), places in some_places()) {
        let relaxed = PostRequest { constraints: Constraints::default(), ..request.clone() };
        if choose(&request, &places, NOW_MS).is_ok() {
            prop_assert!(choose(&relaxed, &untangled(&places), NOW_MS).is_ok());
        }
    }
}

/// Every constraint that a device does not meet, said in another way than the choice says it.
fn broken(request: &PostRequest, place: &Place) -> Vec<&'static str> {
    let asked = &request.constraints;
    let left = |has: Option<u64>, used: u64| has.map(|has| has.saturating_sub(used));
    let short = |left: Option<u64>, wanted: u64| wanted > 0 && left.is_none_or(|l| l < wanted);
    let within = |max: u64| place.attested_at_ms.is_some_and(|at| at + max * 1000 >= NOW_MS);
    let checks = [
        ("device", request.device.as_ref().is_some_and(|pin| *pin != place.device)),
        ("hardware", !(request.hardware.is_empty() || request.hardware.contains(&place.hardware))),
        (
            "instance",
            !(place.instances.contains(&request.instance)
                && place.hardware.hosts(request.instance)),
        ),
        ("zone", request.zone.as_ref().is_some_and(|zone| *zone != place.zone)),
        (
            "jurisdiction",
            !(asked.jurisdictions.is_empty() || asked.jurisdictions.contains(&place.jurisdiction)),
        ),
        (
            "latency",
            asked
                .latency_ms_max
                .is_some_and(|max| place.latency_ms.unwrap_or(u64::MAX) > max.into()),
        ),
        ("state", place.state != DeviceState::Attested),
        ("emulated", !request.emulated && place.emulated),
        ("tcb", asked.tcb_min.is_some_and(|min| place.tcb < Some(min))),
        ("attestation-age", asked.attested_within_s.is_some_and(|max| !within(max))),
        ("apart", place.apart),
        ("slots", place.capacity.slots.is_some_and(|slots| slots <= place.deployments)),
        (
            "memory",
            short(
                left(place.capacity.memory_mib, place.used.memory_mib),
                asked.resources.memory_mib,
            ),
        ),
        (
            "cpu",
            short(left(place.capacity.cpu_milli, place.used.cpu_milli), asked.resources.cpu_milli),
        ),
    ];
    checks.into_iter().filter(|(_, is_broken)| *is_broken).map(|(name, _)| name).collect()
}

/// Without what belongs to the tenant's other deployments.
fn untangled(places: &[Place]) -> Vec<Place> {
    places.iter().map(|place| Place { apart: false, ..place.clone() }).collect()
}

fn order_of(request: &PostRequest, places: &[Place]) -> Vec<String> {
    let (mut order, mut left) = (Vec::new(), places.to_vec());
    while let Ok(chosen) = choose(request, &left, NOW_MS) {
        left.retain(|place| place.device != chosen.device);
        order.push(chosen.device);
    }
    order
}

fn packed(request: &PostRequest) -> PostRequest {
    let constraints = Constraints { strategy: Strategy::Pack, ..Constraints::default() };
    PostRequest { constraints, ..request.clone() }
}

fn place(device: &str) -> Place {
    Place {
        device: device.into(),
        state: DeviceState::Attested,
        hardware: Hardware::Sgx,
        instances: vec![InstanceType::Process, InstanceType::Container],
        zone: "north".into(),
        jurisdiction: "JP".into(),
        latency_ms: Some(5),
        emulated: false,
        tcb: Some(TcbLevel::UpToDate),
        attested_at_ms: Some(NOW_MS - 1_000),
        capacity: Capacity { slots: Some(4), memory_mib: Some(1024), cpu_milli: Some(4000) },
        deployments: 0,
        used: Resources::default(),
        apart: false,
    }
}

fn request(hardware: &[Hardware]) -> PostRequest {
    PostRequest {
        case: 3,
        lease_s: None,
        instance: InstanceType::Container,
        hardware: hardware.to_vec(),
        with_ua: true,
        device: None,
        zone: None,
        emulated: true,
        constraints: Constraints::default(),
    }
}

fn a_request() -> impl proptest::strategy::Strategy<Value = PostRequest> {
    let constraints = (
        option::of(0..30_u32),
        option::of(select(&TcbLevel::ALL[..])),
        option::of(0..100_u64),
        option::of(Just("map".to_owned())),
        vec(select(vec!["JP".to_owned(), "KR".to_owned()]), 0..2),
        (0..3_u64, 0..3_u64),
        select(vec![Strategy::Spread, Strategy::Pack]),
    );
    let constraints =
        constraints.prop_map(|(latency, tcb, age, apart, law, amount, strategy)| Constraints {
            latency_ms_max: latency,
            tcb_min: tcb,
            attested_within_s: age,
            apart,
            jurisdictions: law,
            resources: Resources { memory_mib: amount.0, cpu_milli: amount.1 },
            strategy,
        });
    let asked = (
        vec(select(&Hardware::ALL[..]), 0..4),
        select(vec![InstanceType::Process, InstanceType::Container, InstanceType::Vm]),
        option::of(select(vec!["north".to_owned(), "south".to_owned()])),
        option::weighted(0.1, (0..8_usize).prop_map(|number| format!("d{number}"))),
        any::<bool>(),
        prop_oneof![Just(Constraints::default()), constraints],
    );
    asked.prop_map(|(hardware, instance, zone, device, emulated, constraints)| PostRequest {
        instance,
        zone,
        device,
        emulated,
        constraints,
        ..request(&hardware)
    })
}

fn some_places() -> impl proptest::strategy::Strategy<Value = Vec<Place>> {
    let standing = (
        prop_oneof![
            4 => Just(DeviceState::Attested),
            2 => select(&DeviceState::ALL[..]),
        ],
        select(&Hardware::ALL[..]),
        any::<bool>(),
        option::of(select(&TcbLevel::ALL[..])),
        option::of((NOW_MS - 100_000)..NOW_MS),
    );
    let room = (
        (option::of(0..4_u64), option::of(0..4_u64), option::of(0..4_u64)),
        0..5_u64,
        (0..3_u64, 0..3_u64),
        prop::bool::weighted(0.2),
    );
    let site = (
        select(vec!["north".to_owned(), "south".to_owned(), String::new()]),
        select(vec!["JP".to_owned(), "KR".to_owned(), String::new()]),
        option::of(0..40_u64),
    );
    let one = (standing, room, site).prop_map(|(standing, room, site)| {
        let (state, hardware, emulated, tcb, attested_at_ms) = standing;
        let ((slots, memory_mib, cpu_milli), deployments, used, apart) = room;
        Place {
            state,
            hardware,
            instances: vec![InstanceType::Container, InstanceType::Process, InstanceType::Vm],
            zone: site.0,
            jurisdiction: site.1,
            latency_ms: site.2,
            emulated,
            tcb,
            attested_at_ms,
            capacity: Capacity { slots, memory_mib, cpu_milli },
            deployments,
            used: Resources { memory_mib: used.0, cpu_milli: used.1 },
            apart,
            ..place("")
        }
    });
    vec(one, 1..8).prop_map(|places| {
        let named = places.into_iter().enumerate();
        named.map(|(number, place)| Place { device: format!("d{number}"), ..place }).collect()
    })
}

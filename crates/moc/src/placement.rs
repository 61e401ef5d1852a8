//! Which device gets a deployment, and why: a pure choice.
//!
//! A device is left out by the first constraint that it does not meet, and the answer names that
//! constraint for every device that was left out. Among the rest the order of the wish decides,
//! then real before emulated hardware, then the fewest open deployments, then the name; so the
//! same question over the same devices has the same answer.

use api::{Candidate, DeviceState, Hardware, InstanceType, PostRequest};

/// What placement knows of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The device.
    pub device: String,
    /// Where it stands with the M/OC.
    pub state: DeviceState,
    /// Its hardware family.
    pub hardware: Hardware,
    /// The instance types that it can start.
    pub instances: Vec<InstanceType>,
    /// Where it stands, or empty.
    pub zone: String,
    /// Whether its evidence rests on an emulator's trust anchor; unknown counts as emulated.
    pub emulated: bool,
    /// Deployments that it carries and that have not ended.
    pub open_deployments: u64,
}

/// The choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The device.
    pub device: String,
    /// Its hardware family.
    pub hardware: Hardware,
    /// Whether it is emulated.
    pub emulated: bool,
    /// Why this one, then why none of the others.
    pub reasons: Vec<String>,
}

/// Every device is excluded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no device meets every constraint")]
pub struct NoPlace {
    /// Each device with the first constraint that excludes it.
    pub candidates: Vec<Candidate>,
}

/// Chooses a device for `request`.
pub fn choose(request: &PostRequest, places: &[Place]) -> Result<Chosen, NoPlace> {
    let mut excluded = Vec::new();
    let mut fitting = Vec::new();
    for place in places {
        match exclusion(request, place) {
            Some(candidate) => excluded.push(candidate),
            None => fitting.push(place),
        }
    }
    fitting.sort_by_key(|place| {
        (rank(request, place), place.emulated, place.open_deployments, place.device.clone())
    });
    let Some((best, others)) = fitting.split_first() else {
        return Err(NoPlace { candidates: excluded });
    };

    let reasons = std::iter::once(praise(request, best))
        .chain(others.iter().map(|other| format!("{}: fits, but ranks behind", other.device)))
        .chain(excluded.iter().map(|out| {
            format!(
                "{}: {}: expected {}, seen {}",
                out.device, out.constraint, out.expected, out.seen
            )
        }))
        .collect();
    let Place { device, hardware, emulated, .. } = (*best).clone();
    Ok(Chosen { device, hardware, emulated, reasons })
}

fn rank(request: &PostRequest, place: &Place) -> usize {
    let wish = request.hardware.iter().position(|wanted| *wanted == place.hardware);
    wish.unwrap_or(request.hardware.len())
}

fn praise(request: &PostRequest, place: &Place) -> String {
    let kind = if place.emulated { "emulated" } else { "real" };
    let wish = match request.hardware.is_empty() {
        true => "any hardware was asked for".to_owned(),
        false => format!("choice {} of the request", rank(request, place) + 1),
    };
    format!(
        "{}: chosen: {kind} {}, {wish}, {} open deployments",
        place.device, place.hardware, place.open_deployments
    )
}

fn exclusion(request: &PostRequest, place: &Place) -> Option<Candidate> {
    let out = |constraint: &str, expected: String, seen: String| Candidate {
        device: place.device.clone(),
        constraint: constraint.to_owned(),
        expected,
        seen,
    };
    if let Some(pin) = request.device.as_ref().filter(|pin| **pin != place.device) {
        return Some(out("device", pin.clone(), place.device.clone()));
    }
    if !request.hardware.is_empty() && !request.hardware.contains(&place.hardware) {
        return Some(out("hardware", list(&request.hardware), place.hardware.to_string()));
    }
    let instance = request.instance;
    if !place.instances.contains(&instance) || !place.hardware.hosts(instance) {
        return Some(out("instance", instance.to_string(), list(&place.instances)));
    }
    if let Some(zone) = request.zone.as_ref().filter(|zone| **zone != place.zone) {
        return Some(out("zone", zone.clone(), known(&place.zone)));
    }
    match place.state {
        DeviceState::Attested => {}
        DeviceState::Enrolled => {
            return Some(out("state", "attested".into(), "enrolled, not yet appraised".into()));
        }
        DeviceState::Quarantined => {
            return Some(out("state", "attested".into(), "quarantined".into()));
        }
    }
    if place.emulated && !request.emulated {
        return Some(out("emulated", "real hardware".into(), "emulated".into()));
    }
    None
}

fn known(text: &str) -> String {
    if text.is_empty() { "unknown".to_owned() } else { text.to_owned() }
}

fn list<T: ToString>(items: &[T]) -> String {
    match items.is_empty() {
        true => "none".to_owned(),
        false => items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wish_decides_then_real_hardware_then_the_load_then_the_name() {
        let tdx = Place { hardware: Hardware::Tdx, ..place("a") };
        let emulated = Place { emulated: true, ..place("b") };
        let loaded = Place { open_deployments: 3, ..place("c") };

        let places = [tdx, emulated, loaded, place("e"), place("d")];
        let mut order = Vec::new();
        let mut left = places.to_vec();
        while let Ok(chosen) = choose(&request(&[Hardware::Sgx, Hardware::Tdx]), &left) {
            left.retain(|place| place.device != chosen.device);
            order.push(chosen.device);
        }

        assert_eq!(order, ["d", "e", "c", "b", "a"]);
    }

    #[test]
    fn every_device_that_is_left_out_is_named_with_its_constraint() {
        let places = [
            Place { hardware: Hardware::Tdx, ..place("hardware") },
            Place { instances: vec![InstanceType::Process], ..place("instance") },
            Place { zone: "south".into(), ..place("zone") },
            Place { state: DeviceState::Quarantined, ..place("state") },
            Place { state: DeviceState::Enrolled, ..place("new") },
            Place { emulated: true, ..place("emulated") },
        ];
        let request = PostRequest {
            zone: Some("north".into()),
            emulated: false,
            ..request(&[Hardware::Sgx])
        };

        let refused = choose(&request, &places).unwrap_err();

        let constraints: Vec<(&str, &str)> = refused
            .candidates
            .iter()
            .map(|out| (out.constraint.as_str(), out.seen.as_str()))
            .collect();
        assert_eq!(
            constraints,
            [
                ("hardware", "TDX"),
                ("instance", "process"),
                ("zone", "south"),
                ("state", "quarantined"),
                ("state", "enrolled, not yet appraised"),
                ("emulated", "emulated"),
            ]
        );
    }

    #[test]
    fn a_pin_excludes_every_other_device() {
        let request = PostRequest { device: Some("b".into()), ..request(&[]) };

        let chosen = choose(&request, &[place("a"), place("b")]).unwrap();

        assert_eq!(chosen.device, "b");
        assert_eq!(
            chosen.reasons,
            [
                "b: chosen: real SGX, any hardware was asked for, 0 open deployments",
                "a: device: expected b, seen a",
            ]
        );
    }

    #[test]
    fn no_devices_is_no_place() {
        assert_eq!(choose(&request(&[]), &[]), Err(NoPlace { candidates: Vec::new() }));
    }

    fn place(device: &str) -> Place {
        Place {
            device: device.into(),
            state: DeviceState::Attested,
            hardware: Hardware::Sgx,
            instances: vec![InstanceType::Process, InstanceType::Container],
            zone: "north".into(),
            emulated: false,
            open_deployments: 0,
        }
    }

    fn request(hardware: &[Hardware]) -> PostRequest {
        PostRequest {
            case: 3,
            instance: InstanceType::Container,
            hardware: hardware.to_vec(),
            with_ua: true,
            device: None,
            zone: None,
            emulated: true,
        }
    }
}

//! Which device gets a deployment, and why: a pure choice.
//!
//! A device is left out by the first constraint that it does not meet, and the answer names that
//! constraint. Among the rest the order of the wish decides, then real before emulated hardware,
//! then the strategy (the fewest deployments, or the most), then the name; so the same question
//! over the same devices has the same answer, in whatever order they come. What is not known of a
//! device never speaks for it.

use std::collections::BTreeMap;

use api::{
    Candidate, Capacity, DeviceState, Hardware, InstanceType, PostRequest, Resources, Strategy,
    TcbLevel,
};

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
    /// Whose law it is subject to, or empty.
    pub jurisdiction: String,
    /// How long the way from the access network to it is.
    pub latency_ms: Option<u64>,
    /// Whether its evidence rests on an emulator's trust anchor; unknown counts as emulated.
    pub emulated: bool,
    /// How its TCB stands.
    pub tcb: Option<TcbLevel>,
    /// When its last appraisal was positive, in milliseconds since 1970.
    pub attested_at_ms: Option<u64>,
    /// What it has.
    pub capacity: Capacity,
    /// Deployments that hold a place on it.
    pub deployments: u64,
    /// What they take of it.
    pub used: Resources,
    /// Whether it carries a deployment that the new one has to stand apart from.
    pub apart: bool,
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
    /// Why this one, then why none of the others: of [`EXPLAINED_MAX`] each, of more the number.
    pub reasons: Vec<String>,
}

/// Every device is excluded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no device meets every constraint")]
pub struct NoPlace {
    /// Each device with the first constraint that excludes it, by name; at most
    /// [`EXPLAINED_MAX`].
    pub candidates: Vec<Candidate>,
    /// How many devices each constraint excludes.
    pub excluded: BTreeMap<String, u64>,
}

impl NoPlace {
    /// The numbers in words.
    pub fn summary(&self) -> String {
        match self.excluded.is_empty() {
            true => "there are no devices".to_owned(),
            false => format!("left out by {}", counted(&self.excluded)),
        }
    }
}

/// Chooses a device for `request` at a time, in milliseconds since 1970.
pub fn choose(request: &PostRequest, places: &[Place], now_ms: u64) -> Result<Chosen, NoPlace> {
    let mut excluded = Vec::new();
    let mut fitting = Vec::new();
    for place in places {
        match exclusion(request, place, now_ms) {
            Some(candidate) => excluded.push(candidate),
            None => fitting.push(place),
        }
    }
    fitting.sort_by_cached_key(|place| order(request, place));
    excluded.sort_by(|one, other| one.device.cmp(&other.device));
    let Some((best, others)) = fitting.split_first() else {
        let numbers = numbers(&excluded);
        excluded.truncate(EXPLAINED_MAX);
        return Err(NoPlace { candidates: excluded, excluded: numbers });
    };

    let Place { device, hardware, emulated, .. } = (*best).clone();
    Ok(Chosen { device, hardware, emulated, reasons: reasons(request, best, others, &excluded) })
}

/// What of two fitting devices comes first.
fn order(request: &PostRequest, place: &Place) -> (usize, bool, u64, String) {
    let load = match request.constraints.strategy {
        Strategy::Spread => place.deployments,
        Strategy::Pack => u64::MAX - place.deployments,
    };
    (rank(request, place), place.emulated, load, place.device.clone())
}

fn rank(request: &PostRequest, place: &Place) -> usize {
    let wish = request.hardware.iter().position(|wanted| *wanted == place.hardware);
    wish.unwrap_or(request.hardware.len())
}

fn reasons(
    request: &PostRequest,
    best: &Place,
    others: &[&Place],
    excluded: &[Candidate],
) -> Vec<String> {
    let behind = others.iter().map(|other| format!("{}: fits, but ranks behind", other.device));
    let out = excluded.iter().map(|out| {
        format!("{}: {}: expected {}, seen {}", out.device, out.constraint, out.expected, out.seen)
    });
    let mut reasons = vec![praise(request, best)];
    reasons.extend(behind.chain(out).take(EXPLAINED_MAX));
    let silent = (others.len() + excluded.len()).saturating_sub(EXPLAINED_MAX);
    if silent > 0 {
        let mut numbers = numbers(&excluded[EXPLAINED_MAX.saturating_sub(others.len())..]);
        let behind = others.len().saturating_sub(EXPLAINED_MAX) as u64;
        if behind > 0 {
            numbers.insert("rank".to_owned(), behind);
        }
        reasons.push(format!("{silent} more: {}", counted(&numbers)));
    }
    reasons
}

fn numbers(excluded: &[Candidate]) -> BTreeMap<String, u64> {
    let mut numbers = BTreeMap::new();
    for out in excluded {
        *numbers.entry(out.constraint.clone()).or_insert(0) += 1;
    }
    numbers
}

fn counted(numbers: &BTreeMap<String, u64>) -> String {
    let each = numbers.iter().map(|(constraint, number)| format!("{constraint} {number}"));
    each.collect::<Vec<_>>().join(", ")
}

fn praise(request: &PostRequest, place: &Place) -> String {
    let kind = if place.emulated { "emulated" } else { "real" };
    let wish = match request.hardware.is_empty() {
        true => "any hardware was asked for".to_owned(),
        false => format!("choice {} of the request", rank(request, place) + 1),
    };
    format!(
        "{}: chosen: {kind} {}, {wish}, {} deployments, {}",
        place.device, place.hardware, place.deployments, request.constraints.strategy
    )
}

/// The first constraint that a device does not meet.
fn exclusion(request: &PostRequest, place: &Place, now_ms: u64) -> Option<Candidate> {
    identity(request, place)
        .or_else(|| location(request, place))
        .or_else(|| trust(request, place, now_ms))
        .or_else(|| room(request, place))
        .map(|Out { constraint, expected, seen }| Candidate {
            device: place.device.clone(),
            constraint: constraint.to_owned(),
            expected,
            seen,
        })
}

/// A constraint that is not met.
struct Out {
    constraint: &'static str,
    expected: String,
    seen: String,
}

fn out(
    constraint: &'static str,
    expected: impl Into<String>,
    seen: impl Into<String>,
) -> Option<Out> {
    Some(Out { constraint, expected: expected.into(), seen: seen.into() })
}

fn identity(request: &PostRequest, place: &Place) -> Option<Out> {
    if let Some(pin) = request.device.as_ref().filter(|pin| **pin != place.device) {
        return out("device", pin, &place.device);
    }
    if !request.hardware.is_empty() && !request.hardware.contains(&place.hardware) {
        return out("hardware", list(&request.hardware), place.hardware.to_string());
    }
    let instance = request.instance;
    if !place.instances.contains(&instance) || !place.hardware.hosts(instance) {
        return out("instance", instance.to_string(), list(&place.instances));
    }
    None
}

fn location(request: &PostRequest, place: &Place) -> Option<Out> {
    if let Some(zone) = request.zone.as_ref().filter(|zone| **zone != place.zone) {
        return out("zone", zone, known(&place.zone));
    }
    let jurisdictions = &request.constraints.jurisdictions;
    if !jurisdictions.is_empty() && !jurisdictions.contains(&place.jurisdiction) {
        return out("jurisdiction", list(jurisdictions), known(&place.jurisdiction));
    }
    if let Some(max) = request.constraints.latency_ms_max
        && place.latency_ms.is_none_or(|latency| latency > u64::from(max))
    {
        return out("latency", format!("at most {max} ms"), amount(place.latency_ms, " ms"));
    }
    None
}

fn trust(request: &PostRequest, place: &Place, now_ms: u64) -> Option<Out> {
    match place.state {
        DeviceState::Attested => {}
        DeviceState::Enrolled => return out("state", "attested", "enrolled, not yet appraised"),
        DeviceState::Pending
        | DeviceState::Draining
        | DeviceState::Quarantined
        | DeviceState::Retired => return out("state", "attested", place.state.as_str()),
    }
    if place.emulated && !request.emulated {
        return out("emulated", "real hardware", "emulated");
    }
    if let Some(min) = request.constraints.tcb_min
        && place.tcb.is_none_or(|level| level < min)
    {
        let seen = place.tcb.map_or_else(|| "unknown".to_owned(), |level| level.to_string());
        return out("tcb", format!("{min} or better"), seen);
    }
    let max_s = request.constraints.attested_within_s;
    let age_ms = place.attested_at_ms.map(|at_ms| now_ms.saturating_sub(at_ms));
    if let Some(max_s) =
        max_s.filter(|max_s| age_ms.is_none_or(|age| age > max_s.saturating_mul(1000)))
    {
        let seen = amount(age_ms.map(|age| age.div_ceil(1000)), " s ago");
        return out("attestation-age", format!("attested within {max_s} s"), seen);
    }
    None
}

fn room(request: &PostRequest, place: &Place) -> Option<Out> {
    let (capacity, wanted) = (&place.capacity, &request.constraints.resources);
    if place.apart {
        let apart = request.constraints.apart.as_deref().unwrap_or_default();
        return out("apart", format!("no other `{apart}` of the tenant"), "it carries one");
    }
    if let Some(slots) = capacity.slots.filter(|slots| place.deployments >= *slots) {
        return out("slots", "a free slot", format!("all of {slots} are taken"));
    }
    let lacks = |has: Option<u64>, used: u64, wanted: u64| match has {
        Some(has) => wanted > has.saturating_sub(used),
        None => wanted > 0,
    };
    let left = |has: Option<u64>, used: u64, unit: &str| {
        amount(has.map(|has| has.saturating_sub(used)), unit)
    };
    if lacks(capacity.memory_mib, place.used.memory_mib, wanted.memory_mib) {
        let seen = left(capacity.memory_mib, place.used.memory_mib, " MiB");
        return out("memory", format!("{} MiB", wanted.memory_mib), seen);
    }
    if lacks(capacity.cpu_milli, place.used.cpu_milli, wanted.cpu_milli) {
        let seen = left(capacity.cpu_milli, place.used.cpu_milli, " thousandths of a processor");
        return out("cpu", format!("{} thousandths", wanted.cpu_milli), seen);
    }
    None
}

fn known(text: &str) -> String {
    if text.is_empty() { "unknown".to_owned() } else { text.to_owned() }
}

fn amount(number: Option<u64>, unit: &str) -> String {
    number.map_or_else(|| "unknown".to_owned(), |number| format!("{number}{unit}"))
}

fn list<T: ToString>(items: &[T]) -> String {
    match items.is_empty() {
        true => "none".to_owned(),
        false => items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

/// Devices that an answer explains one by one.
pub const EXPLAINED_MAX: usize = 100;

#[cfg(test)]
mod tests;

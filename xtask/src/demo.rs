//! The main job, told as a story: one deployment that succeeds, two that are refused.

mod story;
mod telling;

use std::{collections::BTreeMap, path::PathBuf, time::Instant};

use anyhow::Result;
use serde::Serialize;
use stage::{Refusal, VehicleAnswer};

use crate::build::{self, Show};

pub(crate) use story::story;

/// What happened.
#[derive(Serialize)]
pub(crate) struct Story {
    /// The deployment's events in the figure's spelling, in the order of their causes.
    pub(crate) load_sequence: Vec<String>,
    /// The TA's answer, as the vehicle opened it.
    pub(crate) result: VehicleAnswer,
    /// The other packaging cases on the same device, each with the events that its parties told.
    pub(crate) cases: BTreeMap<u8, Vec<String>>,
    /// How long each phase took.
    pub(crate) phases_ms: BTreeMap<String, u64>,
    /// What was refused, and why.
    pub(crate) refusals: Vec<Refused>,
    /// What each party holds of the Personalization Data.
    pub(crate) held: Held,
    /// Hardware family, and whether it is emulated.
    pub(crate) hardware: String,
    /// True: the trust anchor is an emulator's.
    pub(crate) emulated: bool,
    /// What emulation means.
    pub(crate) caveat: &'static str,
    /// The order in which the phases ran.
    #[serde(skip)]
    pub(crate) phase_order: Vec<(String, u64)>,
}

/// A refusal with the experiment that led to it.
#[derive(Serialize)]
pub(crate) struct Refused {
    /// What was done.
    pub(crate) experiment: &'static str,
    /// Who refused.
    pub(crate) by: &'static str,
    /// Why.
    #[serde(flatten)]
    pub(crate) refusal: Refusal,
    /// Whether Personalization Data had moved.
    pub(crate) pd_moved: bool,
}

/// The same data in different hands.
#[derive(Serialize)]
pub(crate) struct Held {
    /// A piece of the data as the Network User has it.
    pub(crate) by_the_user: String,
    /// The same piece in what the M/OC and the Broker hold: the sealed package's bytes.
    pub(crate) by_the_operator: String,
    /// How many bytes of ciphertext the M/OC holds.
    pub(crate) sealed_bytes: usize,
    /// Files and memory that were searched for the data.
    pub(crate) searched: Vec<String>,
    /// Where the data was found; nowhere.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) found: Vec<String>,
}

/// Said by every result of an emulated device.
pub(crate) const CAVEAT: &str = "This TEE is emulated: whoever operates this machine can read the \
     software TEE's memory, and with it the Personalization Data.";

/// Builds, runs the story, and tells it.
pub(crate) fn run(json: bool, keep: Option<PathBuf>) -> Result<()> {
    if !json {
        telling::building();
    }
    let built = Instant::now();
    let programs = build::all(if json { Show::Failures } else { Show::Progress })?;
    let keep = keep.map(|path| std::env::current_dir().map(|here| here.join(path))).transpose()?;
    if json {
        let story = story(&programs, keep.as_deref(), &mut |_| {})?;
        anstream::println!("{}", serde_json::to_string_pretty(&story)?);
    } else {
        telling::opening(built.elapsed());
        let started = Instant::now();
        let story = story(&programs, keep.as_deref(), &mut telling::scene)?;
        telling::tell(&story, started.elapsed(), keep.as_deref());
    }
    Ok(())
}

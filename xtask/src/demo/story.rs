//! What happens on the stage.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use stage::{Deployed, Device, Layout, Misbehaviour, Programs, Refusal, Ride, Spec, Stage, User};

use super::{CAVEAT, Held, Refused, Story};
use crate::run;

/// Runs the story in `keep`, or in a directory that is removed afterwards. `scene` hears what
/// begins.
pub(crate) fn story(
    programs: &Programs,
    keep: Option<&Path>,
    scene: &mut dyn FnMut(&str),
) -> Result<Story> {
    let passing;
    let directory = if let Some(keep) = keep {
        keep.to_path_buf()
    } else {
        passing = Passing::new()?;
        passing.0.clone()
    };
    let layout = Layout::below(&directory)?;
    let mut clock = Clock::default();

    scene("The operator starts a Network M/OC and enrols a device with an emulated SGX.");
    let stage = Stage::set(layout, programs.clone())?;
    let device = stage.device(&Spec::sgx("edge-1"))?;
    clock.lap("operator sets up");

    scene("A Network User asks for confidential computing and deploys a route planner (case 3).");
    let user = stage.user("ines")?;
    let pd = fs::read(run::root().join("examples/route-planner/pd.json"))?;
    let project = user.project(&stage, "route-planner", &pd)?;
    clock.lap("Network User prepares");
    let report = running(user.deploy(&stage, &project, &device.name)?)?;
    clock.phases(&report);

    scene("A vehicle asks the Trusted Application for the way to work.");
    let result = user.ride(&stage, &project, Ride { from: "home", to: "work" })?;
    clock.lap("vehicle asks, TA answers");

    let held = held(&stage, &device, &user, &pd)?;
    clock.lap("search for the data");

    scene("The same device runs the other packaging cases of the draft.");
    let cases = other_cases(&stage, &user, &device)?;
    clock.lap("four other cases");

    let refusals = vec![
        changed_byte(&stage, &user, &device, &pd, scene)?,
        old_tcb(&stage, &user, &pd, scene)?,
    ];
    clock.lap("two refusals");
    let load_sequence = sequence(&report)?;
    Ok(Story {
        load_sequence,
        cases,
        result,
        phases_ms: clock.laps.iter().cloned().collect::<BTreeMap<_, _>>(),
        phase_order: clock.laps,
        refusals,
        held,
        hardware: text(&report, "hardware")?,
        emulated: report["emulated"].as_bool().context("the report does not say `emulated`")?,
        caveat: CAVEAT,
    })
}

/// Figures 2, 3, 5 and 6: each has to load in its figure's order, its TA has to answer with the
/// data, and the operator must hold none of it.
fn other_cases(stage: &Stage, user: &User, device: &Device) -> Result<BTreeMap<u8, Vec<String>>> {
    let here = |flow: &stage::Flow| {
        flow.hardware == "SGX" && flow.instance == stage::Instance::Process && flow.with_ua
    };
    let mut cases = BTreeMap::new();
    for flow in stage::flows().into_iter().filter(here).filter(|flow| flow.case != 3) {
        let ran = flow.run(stage, user, device)?;
        ensure!(ran.ok, "case {}: {}", flow.case, ran.why.unwrap_or_default());
        cases.insert(flow.case, ran.load_sequence);
    }
    Ok(cases)
}

/// The operator changes one byte of the TA in its own store.
fn changed_byte(
    stage: &Stage,
    user: &User,
    device: &Device,
    pd: &[u8],
    scene: &mut dyn FnMut(&str),
) -> Result<Refused> {
    scene("The operator changes one byte of a TA in its store; the same device is to run it.");
    let project = user.project(stage, "route-planner-2", pd)?;
    let module = project.with_file_name("route-planner.wasm");
    // Another TA than before, so that the device has to fetch it.
    let mut bytes = fs::read(&module)?;
    bytes.extend_from_slice(CUSTOM_SECTION);
    fs::write(&module, &bytes)?;
    let tampered = tamper_when_stored(stage.layout.moc(), bytes);
    let deployed = user.deploy(stage, &project, &device.name)?;
    ensure!(tampered.join().unwrap_or(false), "the TA never came to the operator's store");
    refused(deployed, "one byte of the TA changed in the operator's store", "TEEP Agent")
}

/// Another device, which the operator accepts, runs on a platform whose TCB is out of date.
fn old_tcb(stage: &Stage, user: &User, pd: &[u8], scene: &mut dyn FnMut(&str)) -> Result<Refused> {
    scene("Another device has an out-of-date TCB. The operator's policy takes it all the same.");
    let device = stage.device(&Spec::sgx("edge-2").misbehaving(Misbehaviour::TcbOutOfDate))?;
    let project = user.project(stage, "route-planner-3", pd)?;
    let deployed = user.deploy(stage, &project, &device.name)?;
    refused(deployed, "a device whose TCB is out of date", "Network User")
}

fn refused(deployed: Deployed, experiment: &'static str, by: &'static str) -> Result<Refused> {
    let (refusal, report): (Refusal, Value) = match deployed {
        Deployed::Refused { refusal, report } => (refusal, report),
        Deployed::Running { .. } => bail!("{experiment} was not refused"),
    };
    let pd_moved = sequence(&report)?.iter().any(|event| event.contains("PD"));
    ensure!(!pd_moved, "{experiment}: Personalization Data moved before the refusal");
    Ok(Refused { experiment, by, refusal, pd_moved })
}

fn running(deployed: Deployed) -> Result<Value> {
    match deployed {
        Deployed::Running { report } => Ok(report),
        Deployed::Refused { refusal, .. } => bail!(
            "the deployment was refused: {}: expected {}, seen {}; {}",
            refusal.check,
            refusal.expected,
            refusal.seen,
            refusal.remedy
        ),
    }
}

/// Waits for the TA in the operator's store and flips one bit of it there.
fn tamper_when_stored(moc: PathBuf, bytes: Vec<u8>) -> std::thread::JoinHandle<bool> {
    std::thread::spawn(move || {
        let started = Instant::now();
        while started.elapsed().as_secs() < 30 {
            for file in files(&moc.join("data/blobs")).into_iter().filter(|file| is_stored(file)) {
                let same_size = fs::metadata(&file).is_ok_and(|m| m.len() == bytes.len() as u64);
                if same_size && fs::read(&file).is_ok_and(|stored| stored == bytes) {
                    let mut tampered = bytes.clone();
                    tampered[bytes.len() / 2] ^= 1;
                    return fs::write(&file, tampered).is_ok();
                }
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        false
    })
}

/// Whether a file is a whole blob: those are named by their digest in hexadecimal.
fn is_stored(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name.len() == 64)
}

/// Looks for the driver's name and places in everything that the operator holds.
fn held(stage: &Stage, device: &Device, user: &User, pd: &[u8]) -> Result<Held> {
    let canaries = ["Ines Okafor-Lindqvist", "cardiology clinic"];
    let mut found = Vec::new();
    let paths = stage.layout.held_by_operator();
    let processes =
        [("tamarack-moc", stage.moc.party.pid()), ("tamarack-broker", device.broker.pid())];
    for canary in canaries {
        found.extend(stage::search(&paths, canary)?);
        for (_, pid) in processes {
            found.extend(stage::search_memory(pid, canary)?);
        }
    }
    ensure!(found.is_empty(), "the operator holds Personalization Data: {found:?}");
    let sealed = fs::read(user.home().join("route-planner/pd.suit"))?;
    let mut searched: Vec<String> = paths
        .iter()
        .map(|path| format!("files of {}", path.file_name().unwrap_or_default().display()))
        .collect();
    searched.extend(processes.map(|(name, _)| format!("memory of {name}")));
    let middle = sealed.len() / 2;
    Ok(Held {
        by_the_user: excerpt(pd),
        by_the_operator: sealed[middle..middle + 32].iter().map(|b| format!("{b:02x}")).collect(),
        sealed_bytes: sealed.len(),
        searched,
        found: Vec::new(),
    })
}

fn excerpt(pd: &[u8]) -> String {
    let text = String::from_utf8_lossy(pd);
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(64).collect()
}

fn sequence(report: &Value) -> Result<Vec<String>> {
    serde_json::from_value(report["load_sequence"].clone()).context("a report without its sequence")
}

fn text(report: &Value, member: &str) -> Result<String> {
    let text = report[member].as_str();
    Ok(text.with_context(|| format!("the report does not say `{member}`"))?.to_owned())
}

fn files(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .flat_map(|entry| {
            let path = entry.path();
            if path.is_dir() { files(&path) } else { vec![path] }
        })
        .collect()
}

/// Laps of the story, in order.
struct Clock {
    last: Instant,
    laps: Vec<(String, u64)>,
}

impl Default for Clock {
    fn default() -> Self {
        Self { last: Instant::now(), laps: Vec::new() }
    }
}

impl Clock {
    fn lap(&mut self, name: &str) {
        let ms = self.last.elapsed().as_millis() as u64;
        self.laps.push((name.to_owned(), ms));
        self.last = Instant::now();
    }

    /// Takes over the phases that `tamarack deploy` measured itself.
    fn phases(&mut self, report: &Value) {
        for phase in report["phases"].as_array().into_iter().flatten() {
            let name = phase["name"].as_str().unwrap_or("?").to_owned();
            self.laps.push((name, phase["ms"].as_u64().unwrap_or(0)));
        }
        self.last = Instant::now();
    }
}

/// A directory that goes away.
struct Passing(PathBuf);

impl Passing {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("tamarack-{}", std::process::id()));
        // What a run with the same number left behind is of no use.
        let _left = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        // The parties are gone by now; what cannot be removed is the system's to clean.
        let _removed = fs::remove_dir_all(&self.0);
    }
}

/// An empty custom section named "v2": the component does the same with other bytes.
const CUSTOM_SECTION: &[u8] = b"\x00\x03\x02v2";

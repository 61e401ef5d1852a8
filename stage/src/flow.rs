//! One row of the figures, run on the parties of the stage.

use std::{fs, path::PathBuf, time::Instant};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    Device, Hardware, Instance, Refusal, Ride, Stage, User,
    canary::{Sighting, search, search_memory, search_text},
    deploying::Attempt,
    party::free_port,
};

/// A row of figures 2 to 6 of the use-case draft.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Flow {
    /// The packaging case, section 4.
    pub case: u8,
    /// The figure that holds the row.
    pub figure: u8,
    /// What the Trusted Application runs as.
    pub instance: Instance,
    /// Where it runs, as the figure spells it.
    pub hardware: String,
    /// The packages, as the figure writes them.
    pub packages: Vec<String>,
    /// Whether a UA belongs to it.
    pub with_ua: bool,
    /// What happens, in order.
    pub load_sequence: Vec<String>,
    /// Where the secure channel ends.
    pub secure_channel_end: String,
    /// Other hardware than the figure's, for a variant beyond the figures.
    #[serde(skip)]
    pub variant: Option<Hardware>,
}

/// How a flow went.
#[derive(Clone, Debug, Serialize)]
pub struct Ran {
    /// What happened, in the order in which the parties did it, to compare with the figure.
    pub load_sequence: Vec<String>,
    /// Each event as the M/OC tells it: who acted, when, the digest of the actor's statement and
    /// that of its cause. Case 5 has a second attestation here.
    pub events: Value,
    /// Whether it is the figure's row, and the released data is where it should be.
    pub ok: bool,
    /// Why it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// How long each phase took, in order, milliseconds.
    pub phases: Vec<(String, u64)>,
    /// How long all of it took, milliseconds.
    pub ms: u64,
    /// Whether the evidence rests on an emulator's trust anchor.
    pub emulated: Option<bool>,
    /// How the Trusted Application is kept apart, by its Agent's evidence.
    pub isolation: Vec<String>,
    /// Whether the answer of the Trusted Application to a vehicle showed the data; absent where
    /// no UA could carry the request.
    pub answered: Option<bool>,
    /// Where the operator was found to hold the data.
    pub canary: Vec<String>,
}

/// Every row of the figures.
///
/// # Panics
/// Never: the rows are part of the program.
#[must_use]
pub fn flows() -> Vec<Flow> {
    #[derive(Deserialize)]
    struct Matrix {
        flows: Vec<Flow>,
    }
    let matrix: Matrix = serde_json::from_str(MATRIX).expect("the rows are read by a test");
    matrix.flows
}

/// Variants beyond the figures: their VM flows on AMD's hardware, on SEV-ES, which has no SNP.
/// There the launch measurement is the attestation, and the secret is injected before boot goes on.
#[must_use]
pub fn variants() -> Vec<Flow> {
    let amd = |flow: &Flow| flow.hardware.starts_with("SEV") && flow.instance == Instance::Vm;
    let flows = flows().into_iter().filter(amd);
    let on_sev = |flow| Flow { hardware: "SEV".to_owned(), variant: Some(Hardware::Sev), ..flow };
    flows.map(on_sev).collect()
}

impl Flow {
    /// The family that the row is run on: a cell that writes SEV is run on SEV-SNP, the only one
    /// that the draft references.
    ///
    /// # Errors
    /// The stage has no such family.
    pub fn ran_on(&self) -> Result<Hardware> {
        if let Some(variant) = self.variant {
            return Ok(variant);
        }
        let wanted = if self.hardware == "SEV" { "SEV-SNP" } else { self.hardware.as_str() };
        let found = Hardware::ALL.into_iter().find(|family| family.as_str() == wanted);
        found.with_context(|| format!("the stage has no {wanted}"))
    }

    /// A name for projects and lists: `case-4-container-sev-snp-ua`.
    #[must_use]
    pub fn name(&self) -> String {
        let hardware = self.hardware.to_lowercase();
        let ua = if self.with_ua { "-ua" } else { "" };
        let variant = if self.variant.is_some() { "-launched" } else { "" };
        format!("case-{}-{}-{hardware}{variant}{ua}", self.case, self.instance.as_str())
    }

    /// Deploys the sample on a device, asks the Trusted Application as a vehicle does, and
    /// searches what the operator holds for the data.
    ///
    /// # Errors
    /// The stage could not play; a deployment that was refused is no error.
    pub fn run(&self, stage: &Stage, user: &User, device: &Device) -> Result<Ran> {
        let begun = Instant::now();
        let canary = Canary::of(self);
        let project = self.project(stage, user, &canary)?;
        let attempt = user.attempt(stage, &project, &device.name)?;
        let mut ran = self.judge(&attempt);
        if ran.ok && self.with_ua {
            let asked = Instant::now();
            let ride = Ride { from: "home", to: "work" };
            match user.ride(stage, &project, ride) {
                Ok(answer) => {
                    let shown = answer.habits.iter().any(|habit| habit.contains(&canary.stop));
                    ran.fail_unless(shown, || {
                        format!("the TA answered without the data: {answer:?}")
                    });
                    ran.answered = Some(shown);
                }
                Err(error) => ran.fail_unless(false, || format!("no answer: {error:#}")),
            }
            ran.phases.push(("vehicle asks, TA answers".to_owned(), millis(asked)));
        }
        let searched = Instant::now();
        let found = canary.search(stage, device)?;
        ran.fail_unless(found.is_empty(), || format!("the operator holds the data: {found:?}"));
        ran.canary =
            found.iter().map(|seen| format!("{} ({})", seen.place, seen.writing)).collect();
        ran.phases.push(("search for the data".to_owned(), millis(searched)));
        ran.ms = millis(begun);
        Ok(ran)
    }

    /// What the deployment's own report says.
    fn judge(&self, attempt: &Attempt) -> Ran {
        let report = &attempt.report;
        let events: Vec<String> =
            serde_json::from_value(report["load_sequence"].clone()).unwrap_or_default();
        let load_sequence = self.as_in_the_figure(&events);
        let receipt = report["receipt"] == true;
        let ok = attempt.code == Some(0) && receipt && load_sequence == self.load_sequence;
        let phases = report["phases"].as_array().into_iter().flatten();
        let phases = phases
            .filter_map(|phase| Some((phase["name"].as_str()?.to_owned(), phase["ms"].as_u64()?)));
        let isolation = serde_json::from_value(report["isolation"].clone()).unwrap_or_default();
        Ran {
            why: (!ok).then(|| why(attempt, &load_sequence)),
            load_sequence,
            events: report["events"].clone(),
            ok,
            phases: phases.collect(),
            ms: millis_of(attempt),
            emulated: report["emulated"].as_bool(),
            isolation,
            answered: None,
            canary: Vec::new(),
        }
    }

    /// Figure 6 has one attestation, before the TA. What is sealed to the TA needs a second one,
    /// after it, and exactly that one is left out.
    fn as_in_the_figure(&self, events: &[String]) -> Vec<String> {
        let mut events = events.to_vec();
        if self.case == 5 && events.len() > 2 && events[2] == ATTESTATION {
            events.remove(2);
        }
        events
    }

    /// Writes the project of the row.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn project(&self, stage: &Stage, user: &User, canary: &Canary) -> Result<PathBuf> {
        let name = self.name();
        let directory = user.home().join(&name);
        fs::create_dir_all(&directory)?;
        fs::write(directory.join("pd.json"), canary.data())?;
        let project = directory.join("tamarack.toml");
        if project.exists() {
            // The same project again: its UA keeps its address, or it would be another package.
            return Ok(project);
        }
        let hardware = self.ran_on()?;
        let guest = hardware.processor().filter(|_| hardware.image(&stage.programs).is_some());
        let ta = stage.programs.place_ta(&directory, guest)?;
        let listen = format!("127.0.0.1:{}", free_port()?);
        let mut text = format!(
            "name = {name}\ncase = {case}\ninstance = {instance}\nhardware = {hardware}\n\n\
             [ta]\n{ta}\n\n\
             [pd]\nfile = \"pd.json\"\ncallers = {callers}\n",
            name = json!(name),
            case = self.case,
            instance = json!(self.instance.as_str()),
            hardware = json!([hardware.as_str()]),
            callers = json!([user.home().join("vehicle.pub")]),
        );
        if self.with_ua {
            let program = directory.join("route-relay");
            if !program.exists() {
                fs::copy(stage.programs.path("route-relay"), &program)?;
            }
            text += &format!(
                "\n[ua]\nprogram = \"route-relay\"\n\
                 arguments = [\"--listen\", {listen}, \"--ta\", \"{{ta}}\"]\naddress = {listen}\n",
                listen = json!(listen)
            );
        }
        fs::write(&project, text)?;
        Ok(project)
    }
}

impl Ran {
    /// A flow that could not be run.
    #[must_use]
    pub fn not_run(why: String) -> Self {
        Self {
            load_sequence: Vec::new(),
            events: Value::Null,
            ok: false,
            why: Some(why),
            phases: Vec::new(),
            ms: 0,
            emulated: None,
            isolation: Vec::new(),
            answered: None,
            canary: Vec::new(),
        }
    }

    fn fail_unless(&mut self, holds: bool, why: impl FnOnce() -> String) {
        if !holds && self.ok {
            self.ok = false;
            self.why = Some(why());
        }
    }
}

/// Names in the Personalization Data of one flow that stand nowhere else.
#[derive(Clone, Debug)]
pub struct Canary {
    driver: String,
    stop: String,
}

impl Canary {
    /// A canary of a flow and this process.
    #[must_use]
    pub fn of(flow: &Flow) -> Self {
        // Letters alone, so that no identifier or number is one by chance.
        let letters = |text: &str| {
            let sum = text.bytes().fold(14_695_981_039_346_656_037_u64, |sum, byte| {
                (sum ^ u64::from(byte)).wrapping_mul(1_099_511_628_211)
            });
            format!("{sum:016x}")
                .bytes()
                .map(|digit| (b'f' + digit % 20) as char)
                .collect::<String>()
        };
        let here = format!("{} {}", flow.name(), std::process::id());
        let driver = format!("Wilhelmina {}", letters(&format!("driver {here}")));
        let stop = format!("bakery {}", letters(&format!("stop {here}")));
        Self { driver, stop }
    }

    /// The Personalization Data with the canary in it.
    #[must_use]
    pub fn data(&self) -> Vec<u8> {
        let data = json!({
            "driver": self.driver,
            "places": {
                "home": [-67.3437, 44.6311],
                "work": [-67.2912, 44.6352],
                self.stop.as_str(): [-67.3342, 44.6330],
            },
            "habits": {
                "avoid": ["Harbour Tunnel"],
                "stops": [{ "at": self.stop, "on_the_way_to": "work" }],
            },
        });
        data.to_string().into_bytes()
    }

    /// What is searched for.
    #[must_use]
    pub fn words(&self) -> [&str; 2] {
        [&self.driver, &self.stop]
    }

    /// Searches files, database, logs, metrics, recorded traffic and memory of the operator: the
    /// M/OC, the Broker and the UAs.
    ///
    /// # Errors
    /// Something cannot be read.
    pub fn search(&self, stage: &Stage, device: &Device) -> Result<Vec<Sighting>> {
        let mut processes = vec![stage.moc.party.pid(), device.broker.pid()];
        processes.extend(device.broker.children());
        let paths = stage.layout.held_by_operator_of(&device.name);
        let metrics = stage.moc.metrics()?;
        let mut found = Vec::new();
        for word in self.words() {
            found.extend(search(&paths, word)?);
            found.extend(search_text(&metrics, "metrics", word));
            for process in &processes {
                // A UA may have ended meanwhile.
                found.extend(search_memory(*process, word).unwrap_or_default());
            }
        }
        Ok(found)
    }
}

/// Why a deployment did not go as the figure says.
fn why(attempt: &Attempt, seen: &[String]) -> String {
    let refused: Result<Refusal, _> = serde_json::from_value(attempt.report["refused"].clone());
    match (refused, attempt.code) {
        (Ok(refusal), _) => format!(
            "{}: expected {}, seen {}; {}",
            refusal.check, refusal.expected, refusal.seen, refusal.remedy
        ),
        (Err(_), Some(0)) => format!("another order than the figure's: {}", seen.join(", ")),
        (Err(_), code) => {
            let error = attempt.report["error"].as_str().unwrap_or(attempt.said.trim());
            format!("tamarack deploy ended with {code:?}: {error}")
        }
    }
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn millis_of(attempt: &Attempt) -> u64 {
    u64::try_from(attempt.took.as_millis()).unwrap_or(u64::MAX)
}

const ATTESTATION: &str = "att:TEEP-Agent";

/// Figures 2 to 6 of draft-ietf-teep-usecase-for-cc-in-network-06, a row for each cell; cases 3
/// and 4 with and without UA.
const MATRIX: &str = include_str!("matrix.json");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_have_seventy_rows() {
        let flows = flows();

        assert_eq!(flows.len(), 70);
        let process_tees = ["SGX", "TrustZone"];
        let few = flows.iter().filter(|flow| process_tees.contains(&flow.hardware.as_str()));
        assert_eq!(few.count(), 28);
        assert!(flows.iter().all(|flow| flow.ran_on().is_ok()));
        let mut names: Vec<String> = flows.iter().map(Flow::name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 70, "each row has a name of its own");
    }

    #[test]
    fn exactly_the_second_attestation_of_case_5_is_left_out() {
        let flows = flows();
        let of = |case| flows.iter().find(|flow| flow.case == case).unwrap();
        let events = ["att:TEEP-Agent", "TA->ConfidentialProcess", "att:TEEP-Agent", "(UA,PD)->TA"];
        let events: Vec<String> = events.map(str::to_owned).to_vec();

        assert_eq!(of(5).as_in_the_figure(&events), of(5).load_sequence);
        assert_eq!(of(2).as_in_the_figure(&events), events);
    }
}

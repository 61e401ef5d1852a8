//! A stage for one test, and who plays on it.

use std::{
    env, fs,
    io::Write as _,
    ops::{Deref, DerefMut},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use stage::{Attempt, Choices, Device, Layout, Programs, Refusal, Ride, Stage, User};
use tempfile::TempDir;

/// The stage of the test that is named, or nothing where the programs are not built.
macro_rules! open_stage {
    () => {
        $crate::troupe::open_stage!(&stage::Choices::default())
    };
    ($choices:expr) => {{
        fn here() {}
        match $crate::troupe::open(std::any::type_name_of_val(&here), $choices) {
            Some(stage) => stage,
            None => return,
        }
    }};
}
pub(crate) use open_stage;

/// A stage in a directory that goes away, unless the test fails.
pub(crate) struct Theatre {
    stage: Stage,
    directory: TempDir,
}

impl Deref for Theatre {
    type Target = Stage;

    fn deref(&self) -> &Stage {
        &self.stage
    }
}

impl DerefMut for Theatre {
    fn deref_mut(&mut self) -> &mut Stage {
        &mut self.stage
    }
}

impl Drop for Theatre {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.directory.disable_cleanup(true);
            eprintln!("logs and files stay in {}", self.directory.path().display());
        }
    }
}

/// Sets up the stage; `here` is the path of a function within the test.
pub(crate) fn open(here: &str, choices: &Choices) -> Option<Theatre> {
    let test = here.rsplit("::").nth(1).unwrap_or(here);
    let (Some(programs), Some(ta)) = (env::var_os("TAMARACK_PROGRAMS"), env::var_os("TAMARACK_TA"))
    else {
        println!("skipped: {test}: the programs are built by cargo xtask test");
        return None;
    };
    let mut programs = Programs::new(Path::new(&programs), Path::new(&ta));
    if let Some(guests) = env::var_os("TAMARACK_GUESTS") {
        programs = programs.with_guests(Path::new(&guests));
    }
    let directory = tempfile::tempdir().unwrap();
    let layout = Layout::below(directory.path()).unwrap();
    let stage = Stage::set_with(layout, programs, choices).unwrap();
    Some(Theatre { stage, directory })
}

/// Whose data it is. The names mean something to this driver only.
pub(crate) struct Driver {
    pub(crate) name: &'static str,
    pub(crate) from: &'static str,
    pub(crate) stop: &'static str,
    pub(crate) to: &'static str,
}

impl Driver {
    pub(crate) const ODA: Self = Self {
        name: "Oda Quillfeather-Brandt",
        from: "the houseboat of aunt Sunniva",
        stop: "the night pharmacy of Dr Vellinga",
        to: "the rehearsal room in Larch Street",
    };

    /// The Personalization Data.
    pub(crate) fn data(&self) -> Vec<u8> {
        let data = json!({
            "driver": self.name,
            "places": {
                self.from: [-67.3437, 44.6311],
                self.to: [-67.2912, 44.6352],
                self.stop: [-67.3342, 44.6330],
            },
            "habits": {
                "avoid": ["Harbour Tunnel"],
                "stops": [{ "at": self.stop, "on_the_way_to": self.to }],
            },
        });
        data.to_string().into_bytes()
    }

    pub(crate) fn ride(&self) -> Ride<'_> {
        Ride { from: self.from, to: self.to }
    }

    /// What only a TA that holds the data can answer.
    pub(crate) fn habit(&self) -> String {
        format!("stops at {}", self.stop)
    }
}

/// Deploys, which has to succeed.
pub(crate) fn run(stage: &Stage, user: &User, project: &Path, device: &Device) -> Value {
    running(user.attempt(stage, project, &device.name).unwrap())
}

/// A deployment that succeeded.
pub(crate) fn running(attempt: Attempt) -> Value {
    assert_eq!(attempt.code, Some(0), "{:#}\n{}", attempt.report, attempt.said);
    attempt.report
}

/// A deployment that was refused, and no Personalization Data moved, by the M/OC's own events too.
pub(crate) fn refused(stage: &Stage, user: &User, project: &Path, attempt: &Attempt) -> Refusal {
    let refusal = told(project, attempt);
    if let Some(deployment) = attempt.report["deployment"].as_str() {
        let events = events(stage, user, deployment);
        assert!(!events.contains(&"PD->TA".to_owned()), "{events:?}");
    }
    refusal
}

/// A deployment that the command says was refused: exit code 3, and nothing was sealed.
pub(crate) fn told(project: &Path, attempt: &Attempt) -> Refusal {
    assert_eq!(attempt.code, Some(3), "{:#}\n{}", attempt.report, attempt.said);
    assert!(!sequence(&attempt.report).contains(&"PD->TA".to_owned()), "{:#}", attempt.report);
    assert!(!project.with_file_name("pd.suit").exists(), "the data was sealed");
    serde_json::from_value(attempt.report["refused"].clone()).unwrap()
}

/// A refusal that says everything that one has to say.
pub(crate) fn explained(refusal: Refusal) -> Refusal {
    let Refusal { check, expected, seen, owner, remedy } = &refusal;
    for word in [check, expected, seen, owner, remedy] {
        assert!(!word.is_empty() && word != "unknown", "{refusal:#?}");
    }
    refusal
}

/// The vehicle's answer proves that the TA holds the driver's data.
pub(crate) fn assert_ride(stage: &Stage, user: &User, project: &Path, driver: &Driver) {
    let answer = user.ride(stage, project, driver.ride()).unwrap();
    assert!(answer.habits.contains(&driver.habit()), "{answer:?}");
}

pub(crate) fn sequence(report: &Value) -> Vec<String> {
    serde_json::from_value(report["load_sequence"].clone()).unwrap_or_default()
}

/// A deployment as the M/OC tells it to its Network User.
pub(crate) fn deployment(stage: &Stage, user: &User, deployment: &str) -> Value {
    get(stage, user, &format!("/v1/deployments/{deployment}"))
}

pub(crate) fn events(stage: &Stage, user: &User, of: &str) -> Vec<String> {
    let shown = deployment(stage, user, of);
    let events = shown["events"].as_array().unwrap();
    events.iter().map(|event| event["event"].as_str().unwrap().to_owned()).collect()
}

/// Something of the interface, in the user's name.
pub(crate) fn get(stage: &Stage, user: &User, path: &str) -> Value {
    let answer = stage.moc.api(&user.token().unwrap(), "GET", path, &Value::Null).unwrap();
    assert_eq!(answer.status, 200, "{path}: {}", answer.json());
    answer.json()
}

/// What a program has logged.
pub(crate) fn log(stage: &Stage, name: &str) -> String {
    fs::read_to_string(stage.layout.log(name)).unwrap_or_default()
}

/// Starts the M/OC again with other limits.
pub(crate) fn limited(stage: &mut Theatre, limits: &str) {
    let settings = stage.layout.moc().join("moc.toml");
    let mut file = fs::File::options().append(true).open(settings).unwrap();
    write!(file, "\n[limits]\n{limits}\n").unwrap();
    let programs = stage.programs.clone();
    stage.moc.restart(&programs).unwrap();
}

/// Waits for something, at most twenty seconds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "no {what} within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Every file below a directory.
pub(crate) fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .flat_map(|entry| match entry.path() {
            path if path.is_dir() => files(&path),
            path => vec![path],
        })
        .collect()
}

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

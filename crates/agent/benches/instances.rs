//! How long a Trusted Application takes from the request to its service key, for each way to run
//! one on this machine, beside what its back-end takes without us; and what one costs in memory.
//!
//! `cargo bench --package tamarack-agent --bench instances` prints a JSON list of rows;
//! `cargo xtask bench instances` runs it, and docs/benchmarks.md explains it. Values and floors
//! come from runs in turns; each is the median of twenty.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use agent::backend::container::ContainerBackend;
use agent::backend::process::{Limits, ProcessBackend};
use agent::backend::{Backend, Failed, Program};
use anyhow::{Context as _, Result, bail, ensure};
use image::Recipe;
use serde_json::{Value, json};
use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Store};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    if let [role, path] = arguments.as_slice() {
        return bare(role, Path::new(path));
    }
    let Some(sample) = Sample::find()? else {
        writeln!(std::io::stderr(), "skipped: the sample is built by cargo xtask bench")?;
        return say(&json!([]));
    };
    let mut rows = vec![sample.component_as_process()?, sample.module_in_process()?];
    rows.extend(sample.program_as_process()?);
    rows.extend(sample.containers()?);
    rows.extend(sample.containers_of_a_runtime()?);
    say(&Value::Array(rows))
}

/// The sample application in the forms in which it is installed.
struct Sample {
    component: Vec<u8>,
    program: Vec<u8>,
    folder: tempfile::TempDir,
}

impl Sample {
    /// Reads what `cargo xtask` has built and names.
    fn find() -> Result<Option<Self>> {
        let (Some(component), Some(program)) =
            (std::env::var_os("TAMARACK_TA"), std::env::var_os("TAMARACK_TA_PROGRAM"))
        else {
            return Ok(None);
        };
        let component = fs::read(component).context("reading the component")?;
        let program = fs::read(program).context("reading the program")?;
        Ok(Some(Self { component, program, folder: tempfile::tempdir()? }))
    }

    /// A component in a worker of its own, its code compiled before; and a bare Wasmtime.
    fn component_as_process(&self) -> Result<Value> {
        let code = self.file("code", &compiled(&self.component)?)?;
        let backend = ProcessBackend::new(AGENT, LIMITS);
        let start = || timed(|| started(&backend, &self.component));
        let floor = || timed(|| answered(&mut itself("wasmtime", &code)?));
        beyond("process, component: request to ready", start, floor, PROCESS_GOAL_MS)
    }

    /// What of that is the engine's alone, in a process that is there already.
    fn module_in_process(&self) -> Result<Value> {
        let bytes = compiled(&self.component)?;
        let instance = || -> Result<f64> { timed(|| instantiated(&bytes).map_err(foreign)) };
        let value = median((0..RUNS).map(|_| instance()).collect::<Result<_>>()?);
        Ok(row("Wasmtime alone: code to instance", value, None, PROCESS_GOAL_MS))
    }

    /// A static program beside its custodian; and the same program started bare.
    fn program_as_process(&self) -> Result<Vec<Value>> {
        let program = self.file("program", &self.program)?;
        let backend = ProcessBackend::new(AGENT, LIMITS);
        let start = || timed(|| started(&backend, &self.program));
        let floor = || timed(|| answered(&mut itself("program", &program)?));
        let time = beyond("process, program: request to ready", start, floor, PROCESS_GOAL_MS)?;
        let component = ProcessBackend::new(AGENT, LIMITS);
        Ok(vec![
            time,
            memory("process, component: memory", &component, &self.component)?,
            memory("process, program: memory", &backend, &self.program)?,
        ])
    }

    /// The program and the component as containers; and the bare runtime that this machine has.
    fn containers(&self) -> Result<Vec<Value>> {
        let program = self.file("program", &self.program)?;
        let mut rows = Vec::new();
        for (what, name, content) in
            [("program", "ta", &self.program), ("component", "ta.wasm", &self.component)]
        {
            let machine =
                if what == "program" { image::architecture() } else { image::ANY_MACHINE };
            let archive = Recipe::of_program(machine, name, content.clone())?.build();
            let backend = ContainerBackend::new(AGENT, LIMITS);
            if let Err(error) = started(&backend, &archive) {
                writeln!(std::io::stderr(), "skipped: no containers here: {error:#}")?;
                return Ok(rows);
            }
            let start = || timed(|| started(&backend, &archive));
            let floor = || timed(|| answered(&mut bare_container(&program)?));
            let name = format!("container, {what}: request to ready");
            rows.push(beyond(&name, start, floor, CONTAINER_GOAL_MS)?);
            let cold = || timed(|| started(&ContainerBackend::new(AGENT, LIMITS), &archive));
            if what == "program" {
                let name = "container, program: request to ready, image not yet unpacked";
                rows.push(beyond(name, cold, floor, CONTAINER_GOAL_MS)?);
            }
            rows.push(memory(&format!("container, {what}: memory"), &backend, &archive)?);
        }
        Ok(rows)
    }

    /// The program as a container of the machine's OCI runtime; and that runtime without us.
    fn containers_of_a_runtime(&self) -> Result<Vec<Value>> {
        let folders = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"];
        let found = folders.iter().map(|folder| Path::new(folder).join("runc"));
        let Some(runtime) = found.into_iter().find(|path| path.is_file()) else {
            writeln!(std::io::stderr(), "skipped: no runc here")?;
            return Ok(Vec::new());
        };
        let archive =
            Recipe::of_program(image::architecture(), "ta", self.program.clone())?.build();
        let backend = ContainerBackend::new(AGENT, LIMITS).with_runtime(&runtime);
        if let Err(error) = started(&backend, &archive) {
            writeln!(std::io::stderr(), "skipped: runc does not work here: {error:#}")?;
            return Ok(Vec::new());
        }
        let bundle = self.bundle()?;
        let start = || timed(|| started(&backend, &archive));
        let floor = || timed(|| bare_runtime(&runtime, &bundle));
        let name = "container by runc, program: request to ready";
        Ok(vec![
            beyond(name, start, floor, CONTAINER_GOAL_MS)?,
            memory("container by runc, program: memory", &backend, &archive)?,
        ])
    }

    /// The bundle of a container with the namespaces and mounts that ours have.
    fn bundle(&self) -> Result<PathBuf> {
        let root = Path::new("bundle/rootfs");
        for folder in ["dev", "proc", "tmp"] {
            fs::create_dir_all(self.folder.path().join(root).join(folder))?;
        }
        self.file("bundle/rootfs/ta", &self.program)?;
        let only_user = json!([{ "containerID": 0, "hostID": rustix::process::geteuid().as_raw(),
            "size": 1 }]);
        let namespaces = ["cgroup", "ipc", "mount", "network", "pid", "user", "uts"];
        let mount = |at: &str, kind: &str| {
            json!({ "destination": at, "type": kind, "source": kind,
                "options": ["nosuid", "noexec"] })
        };
        let config = json!({
            "ociVersion": "1.0.2",
            "root": { "path": "rootfs", "readonly": true },
            "process": {
                "user": { "uid": 0, "gid": 0 }, "args": ["/ta"], "cwd": "/",
                "noNewPrivileges": true,
            },
            "mounts": [mount("/proc", "proc"), mount("/dev", "tmpfs"), mount("/tmp", "tmpfs")],
            "linux": {
                "uidMappings": only_user, "gidMappings": only_user,
                "namespaces": namespaces.map(|name| json!({ "type": name })),
            },
        });
        self.file("bundle/config.json", config.to_string().as_bytes())?;
        Ok(self.folder.path().join("bundle"))
    }

    fn file(&self, name: &str, content: &[u8]) -> Result<PathBuf> {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.folder.path().join(name);
        if !path.exists() {
            fs::write(&path, content)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        }
        Ok(path)
    }
}

/// What this program does in the place of a back-end without us.
fn bare(role: &str, path: &Path) -> Result<()> {
    ensure!(role == "wasmtime", "no such role");
    instantiated(&fs::read(path)?).map_err(foreign)?;
    let mut out = std::io::stdout().lock();
    out.write_all(b"!")?;
    out.flush()?;
    Ok(())
}

/// A bare Wasmtime: engine, code that it made before, instance.
#[expect(unsafe_code, reason = "compiled code is run as it is")]
fn instantiated(code: &[u8]) -> wasmtime::Result<()> {
    let engine = Engine::default();
    // SAFETY: this program made the code, a moment ago.
    let component = unsafe { Component::deserialize(&engine, code) }?;
    let mut store = Store::new(&engine, ());
    Linker::new(&engine).instantiate(&mut store, &component)?;
    Ok(())
}

/// This program again, or another one, with a pipe to say that it is ready.
fn itself(role: &str, path: &Path) -> Result<Child> {
    let mut command = match role {
        "program" => Command::new(path),
        role => {
            let mut command = Command::new(std::env::current_exe()?);
            command.arg(role).arg(path);
            command
        }
    };
    Ok(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?)
}

/// A program in namespaces of its own and without anything else that a container has.
fn bare_container(program: &Path) -> Result<Child> {
    let namespaces = ["--user", "--map-root-user", "--mount", "--pid", "--net", "--ipc", "--uts"];
    let mut command = Command::new("unshare");
    command.args(namespaces).args(["--cgroup", "--fork"]).arg(program);
    Ok(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?)
}

/// A container of the runtime alone, up to its program's first byte or end.
fn bare_runtime(runtime: &Path, bundle: &Path) -> Result<()> {
    let state = bundle.join("state");
    let command = |arguments: &[&str]| {
        let mut command = Command::new(runtime);
        command.arg("--root").arg(&state).args(arguments).stdin(Stdio::null());
        command.stderr(Stdio::null());
        command
    };
    let mut create = command(&["create", "--bundle"]);
    let mut create = create.arg(bundle).arg("bare").stdout(Stdio::piped()).spawn()?;
    let mut pipe = create.stdout.take().context("no pipe")?;
    ensure!(create.wait()?.success(), "the runtime creates no container");
    ensure!(command(&["start", "bare"]).status()?.success(), "the runtime does not start it");
    let mut first = [0];
    let _ready = pipe.read(&mut first)?;
    READY.with(|ready| ready.set(Some(Instant::now())));
    ensure!(command(&["delete", "--force", "bare"]).status()?.success(), "it is not deleted");
    Ok(())
}

/// Waits for the first byte, or for the end of a program that has nothing to say.
fn answered(child: &mut Child) -> Result<()> {
    let mut first = [0];
    let _ready = child.stdout.take().context("no pipe")?.read(&mut first)?;
    // Its end is not part of the time of a program that answers; a program that only ends has
    // closed its pipe by ending.
    child.wait()?;
    Ok(())
}

fn started(backend: &dyn Backend, module: &[u8]) -> Result<()> {
    match backend.start(described(module)) {
        Ok(instance) => {
            READY.with(|ready| ready.set(Some(Instant::now())));
            drop(instance);
            Ok(())
        }
        Err(Failed::Crashed(crash)) => bail!(crash),
        Err(other) => bail!(other),
    }
}

/// Milliseconds of an act, up to the moment at which it was ready if it said so.
fn timed(act: impl FnOnce() -> Result<()>) -> Result<f64> {
    READY.with(|ready| ready.set(None));
    let began = Instant::now();
    act()?;
    let ended = READY.with(std::cell::Cell::take).unwrap_or_else(Instant::now);
    Ok((ended - began).as_secs_f64() * 1e3)
}

thread_local! {
    /// When the last application was ready; ending it is not part of starting it.
    static READY: std::cell::Cell<Option<Instant>> = const { std::cell::Cell::new(None) };
}

fn beyond(
    name: &str,
    mut value: impl FnMut() -> Result<f64>,
    mut floor: impl FnMut() -> Result<f64>,
    goal_ms: f64,
) -> Result<Value> {
    // The first of each warms caches up.
    value()?;
    floor()?;
    let (mut values, mut floors) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        values.push(value()?);
        floors.push(floor()?);
    }
    Ok(row(name, median(values), Some(median(floors)), goal_ms))
}

/// The memory that only this application's processes have, megabytes.
fn memory(name: &str, backend: &dyn Backend, module: &[u8]) -> Result<Value> {
    let instance = backend.start(described(module)).map_err(anyhow::Error::from)?;
    let pages: u64 = descendants(std::process::id()).into_iter().map(private_kib).sum();
    drop(instance);
    let mib = pages as f64 / 1024.;
    Ok(json!({
        "name": name, "value": mib, "unit": "MiB", "floor": null, "peer": null, "ratio": null,
        "goal": MEMORY_GOAL_MIB, "ok": mib <= MEMORY_GOAL_MIB,
    }))
}

fn descendants(parent: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let children: Vec<u32> = lists
        .flat_map(|list| list.split_whitespace().filter_map(|n| n.parse().ok()).collect::<Vec<_>>())
        .collect();
    children.iter().flat_map(|child| [vec![*child], descendants(*child)].concat()).collect()
}

fn private_kib(process: u32) -> u64 {
    let smaps = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap_or_default();
    let lines = smaps.lines().filter(|line| line.starts_with("Private_"));
    lines.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum()
}

fn compiled(component: &[u8]) -> Result<Vec<u8>> {
    let made = Component::from_binary(&Engine::default(), component);
    made.and_then(|component| component.serialize()).map_err(foreign)
}

fn foreign(error: wasmtime::Error) -> anyhow::Error {
    anyhow::anyhow!("{error:#}")
}

fn described(module: &[u8]) -> Program<'_> {
    Program { manifest_digest: [2; 32], module }
}

fn row(name: &str, value: f64, floor: Option<f64>, goal_ms: f64) -> Value {
    let over = value - floor.unwrap_or(0.);
    let name = match floor {
        Some(_) => format!("{name} (goal: over its floor)"),
        None => name.to_owned(),
    };
    json!({
        "name": name, "value": value, "unit": "ms", "floor": floor, "peer": null,
        "ratio": floor.map(|floor| value / floor), "goal": goal_ms, "ok": over <= goal_ms,
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn say(rows: &Value) -> Result<()> {
    writeln!(std::io::stdout().lock(), "{rows}")?;
    Ok(())
}

const AGENT: &str = env!("CARGO_BIN_EXE_tamarack-agent");
const CONTAINER_GOAL_MS: f64 = 15.;
const LIMITS: Limits =
    Limits { memory_bytes_max: 64 << 20, call_ms_max: 10_000, cpu_s_max: 60, interpret: false };
const MEMORY_GOAL_MIB: f64 = 32.;
const PROCESS_GOAL_MS: f64 = 5.;
const RUNS: usize = 20;

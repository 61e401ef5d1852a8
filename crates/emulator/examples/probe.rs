//! A program to run inside the software TEE: it looks around, asks everything once, writes what it
//! found to its storage, and then waits for connections.
//!
//! With the settings `exit 7` it exits with that status at once.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use anyhow::Context as _;
use device::tee::{Reply, Request};
use device::{AGENT_LISTENER_FD, SETTINGS_FD, TEE_FD, frame};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use serde_json::json;

fn main() -> anyhow::Result<()> {
    let open_at_start = descriptors()?;
    let arguments: Vec<String> = std::env::args().collect();
    let storage = arguments.last().context("no arguments")?.clone();

    let mut settings = String::new();
    File::from(inherited(SETTINGS_FD)?).read_to_string(&mut settings)?;
    if let Some(status) = settings.strip_prefix("exit ") {
        std::process::exit(status.trim().parse()?);
    }

    let mut tee = UnixStream::from(inherited(TEE_FD)?);
    frame::write_frame(&mut tee, b"nonsense")?;
    let to_nonsense: Reply = frame::receive(&mut tee)?.context("no answer to nonsense")?;
    let mut answers = vec![format!("{to_nonsense:?}")];
    for request in [Request::Describe, Request::CounterIncrement, Request::Read { index: 0 }] {
        let reply: Reply = frame::ask(&mut tee, &request)?;
        answers.push(format!("{reply:?}"));
    }
    let Reply::Quote(quote) = frame::ask(&mut tee, &Request::Quote { report_data: [9; 64] })?
    else {
        anyhow::bail!("no quote");
    };
    let Reply::SealingKey(key) =
        frame::ask(&mut tee, &Request::SealingKey { label: "probe".to_owned() })?
    else {
        anyhow::bail!("no sealing key");
    };

    let report = json!({
        "arguments": arguments,
        "environment": std::env::vars().collect::<BTreeMap<_, _>>(),
        "descriptors": open_at_start,
        "program": fs::read_link("/proc/self/exe")?,
        "program_can_be_written": can_be_written("/proc/self/exe"),
        "settings_can_be_written": can_be_written(format!("/proc/self/fd/{SETTINGS_FD}")),
        "settings": settings,
        "answers": answers,
        "quote": hex::encode(quote.evidence),
        "sealing_key": hex::encode(key.expose()),
    });
    fs::write(Path::new(&storage).join("report.json"), report.to_string())?;

    let broker = UnixListener::from(inherited(AGENT_LISTENER_FD)?);
    for connection in broker.incoming() {
        let mut connection = connection?;
        connection.write_all(b"!")?;
        connection.read_to_end(&mut Vec::new())?;
    }
    Ok(())
}

/// A second descriptor for an inherited one.
fn inherited(number: i32) -> anyhow::Result<OwnedFd> {
    let myself = pidfd_open(getpid(), PidfdFlags::empty())?;
    Ok(pidfd_getfd(myself, number, PidfdGetfdFlags::empty())?)
}

fn descriptors() -> anyhow::Result<Vec<String>> {
    // Reading the directory opens one more descriptor, which is gone when it is looked at.
    let mut open = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        open.push(entry?.path());
    }
    open.retain(|path| path.exists() || fs::read_link(path).is_ok());
    let name = |path: &std::path::PathBuf| path.file_name().map(|name| name.to_owned());
    Ok(open.iter().filter_map(name).map(|name| name.to_string_lossy().into_owned()).collect())
}

fn can_be_written(path: impl AsRef<Path>) -> bool {
    let file = OpenOptions::new().write(true).open(path);
    file.is_ok_and(|mut file| file.write_all(b"x").is_ok())
}

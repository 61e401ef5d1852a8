//! `tamarack audit`: reads a Network M/OC's log of decisions, and checks it offline.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anstream::println;
use anyhow::{Context as _, Result};
use api::{ExportedLog, LogProof};
use audit::{Checkpoint, Entry, Refused, receipt};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::{Args, Subcommand};
use cose::Key;
use sdk::Refusal;
use serde_json::{Value, json};

use crate::{connect, home::Home, outcome::Failed};

/// `tamarack audit`.
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Writes the log to a file: all of it for an auditor, or what concerns one own deployment
    Export(Export),
    /// Checks an exported log, or the proofs of a deployment, offline
    Verify(Verify),
}

/// `tamarack audit export`.
#[derive(Debug, Args)]
pub struct Export {
    /// The Network M/OC's address [default: that of the home]
    #[arg(long, value_name = "URL", requires = "token_file")]
    moc: Option<String>,
    /// File with a token
    #[arg(long, value_name = "FILE", requires = "moc")]
    token_file: Option<PathBuf>,
    /// File with trust anchors for TLS besides the platform's (PEM)
    #[arg(long, value_name = "FILE")]
    roots: Option<PathBuf>,
    /// Only the proofs of this deployment
    #[arg(long, value_name = "ID")]
    deployment: Option<String>,
    /// Where it goes
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// `tamarack audit verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// What `tamarack audit export` wrote
    file: PathBuf,
    /// The audit key, as `tamarack-moc init` printed it: a COSE_Key in hexadecimal
    #[arg(long, value_name = "HEX")]
    key: String,
    /// An older export of the same log, which has to be the beginning of this one
    #[arg(long, value_name = "FILE")]
    since: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Audit {
    /// Runs the command.
    ///
    /// # Errors
    /// See [`Failed`].
    pub async fn run(self, home: &dyn Fn() -> Result<Home>) -> Result<(), Failed> {
        match self {
            Self::Export(export) => export.run(home).await,
            Self::Verify(verify) => verify.run(),
        }
    }
}

impl Export {
    async fn run(self, home: &dyn Fn() -> Result<Home>) -> Result<(), Failed> {
        let moc = match (&self.moc, &self.token_file) {
            (Some(moc), Some(token)) => connect::moc(moc, token, self.roots.as_ref())?,
            _ => {
                let account = home()?.account()?;
                connect::moc(&account.moc, &account.token_file, account.roots.as_ref())?
            }
        };
        let (exported, count) = match &self.deployment {
            Some(deployment) => {
                let proofs = moc.proofs(deployment).await?;
                (json!(proofs), proofs.len())
            }
            None => {
                let log = moc.log().await?;
                (json!(log), log.entries.len())
            }
        };
        fs::write(&self.out, exported.to_string())
            .with_context(|| format!("writing {}", self.out.display()))?;
        println!("{count} entries in {}", self.out.display());
        Ok(())
    }
}

impl Verify {
    fn run(self) -> Result<(), Failed> {
        let key = hex::decode(&self.key).context("--key is not hexadecimal")?;
        let key = Key::decode(&key).context("--key is no COSE_Key")?;
        let exported = read(&self.file)?;
        let report = match exported.is_array() {
            true => deployment(parsed(exported, &self.file)?, &key)?,
            false => {
                let log: ExportedLog = parsed(exported, &self.file)?;
                let since = self.since.as_deref().map(|path| parsed(read(path)?, path));
                whole(&log, since.transpose()?.as_ref(), &key)?
            }
        };
        match self.json {
            true => println!("{report:#}"),
            false => tell(&report),
        }
        Ok(())
    }
}

/// The whole log against its checkpoint, and an older checkpoint against the log.
fn whole(log: &ExportedLog, since: Option<&ExportedLog>, key: &Key) -> Result<Value, Failed> {
    let leaves = log.entries.iter().map(|leaf| bytes(leaf)).collect::<Result<Vec<_>>>()?;
    let covered = || leaves.iter().map(Vec::as_slice);
    let checkpoint = Checkpoint::verify(&bytes(&log.checkpoint)?, key).map_err(refused)?;
    checkpoint.covers(covered()).map_err(refused)?;
    let mut entries = Vec::with_capacity(leaves.len());
    for (expected, leaf) in (0..).zip(&leaves) {
        let entry = Entry::decode(leaf).map_err(refused)?;
        if entry.position != expected {
            return Err(refused(Refused::Position { expected, seen: entry.position }));
        }
        entries.push(shown(&entry));
    }
    let mut older = Value::Null;
    if let Some(since) = since {
        let known = Checkpoint::verify(&bytes(&since.checkpoint)?, key).map_err(refused)?;
        if known.log != checkpoint.log || known.size > checkpoint.size {
            let (older, newer) = (known.size, checkpoint.size);
            return Err(refused(Refused::Consistency { older, newer }));
        }
        known.covers(covered()).map_err(|_| {
            refused(Refused::Consistency { older: known.size, newer: checkpoint.size })
        })?;
        older = json!(known.size);
    }
    Ok(json!({
        "log": checkpoint.log,
        "size": checkpoint.size,
        "root": hex::encode(checkpoint.root),
        "at_ms": checkpoint.at_ms,
        "continues": older,
        "entries": entries,
    }))
}

/// Each entry of one deployment against its receipt and its statement.
fn deployment(proofs: Vec<LogProof>, key: &Key) -> Result<Value, Failed> {
    let mut entries = Vec::with_capacity(proofs.len());
    for proof in &proofs {
        let leaf = bytes(&proof.entry)?;
        let entry = Entry::decode(&leaf).map_err(refused)?;
        let included = receipt::verify_inclusion(&bytes(&proof.receipt)?, key, &leaf);
        let included = included.map_err(refused)?;
        if included.index != entry.position {
            let (expected, seen) = (included.index, entry.position);
            return Err(refused(Refused::Position { expected, seen }));
        }
        if let Some(statement) = &proof.statement
            && entry.statement != Some(cose::sha256(&bytes(statement)?))
        {
            return Err(refused(Refused::Malformed("the statement to which the entry commits")));
        }
        entries.push(shown(&entry));
    }
    Ok(json!({ "proven": entries.len(), "entries": entries }))
}

fn shown(entry: &Entry) -> Value {
    json!({
        "position": entry.position,
        "at_ms": entry.at_ms,
        "tenant": entry.tenant,
        "subject": entry.subject,
        "decision": entry.decision,
        "reason": entry.reason,
        "statement": entry.statement.map(hex::encode),
    })
}

fn tell(report: &Value) {
    let text = |value: &Value, member: &str| value[member].as_str().unwrap_or("").to_owned();
    for entry in report["entries"].as_array().into_iter().flatten() {
        println!(
            "{:>6}  {}  {}: {}",
            entry["position"],
            text(entry, "subject"),
            text(entry, "decision"),
            text(entry, "reason"),
        );
    }
    match report["size"].as_u64() {
        Some(size) => println!("{size} entries of {}, complete and unchanged", text(report, "log")),
        None => println!("{} entries, each in the log", report["proven"]),
    }
    if let Some(older) = report["continues"].as_u64() {
        println!("it continues the older export of {older} entries");
    }
}

fn refused(refused: Refused) -> Failed {
    let expected = match &refused {
        Refused::Signature(_) | Refused::Malformed(_) => "what the audit key signed",
        Refused::Consistency { .. } => "the log that the older export shows, continued",
        _ => "every entry that was signed, unchanged and in order",
    };
    let refusal = Refusal {
        check: "audit-log".into(),
        expected: expected.into(),
        seen: refused.to_string(),
        owner: "operator".into(),
        remedy: "keep both files: they show what the operator's key signed; ask the operator"
            .into(),
    };
    Failed::Refused { refusal: Box::new(refusal), report: json!({}) }
}

fn read(path: &Path) -> Result<Value> {
    let text = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is no export", path.display()))
}

fn parsed<T: serde::de::DeserializeOwned>(value: Value, path: &Path) -> Result<T> {
    serde_json::from_value(value).with_context(|| format!("{} is no export", path.display()))
}

fn bytes(text: &str) -> Result<Vec<u8>> {
    STANDARD.decode(text).context("a member is not base64")
}

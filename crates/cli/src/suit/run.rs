//! `tamarack suit run`: a procedure against a directory, as a device would run it.
//!
//! It is a dry run: nothing is started and no network is asked. Components are files of the
//! store, and what URIs name are files of a directory.

use std::{collections::BTreeSet, io::Read, path::PathBuf};

use anstream::println;
use anstyle::{AnsiColor, Style};
use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use cose::encrypt::Opener;
use keys::AgreementKey;
use serde_json::{Value, json};
use suit::{
    ComponentId, Context, DigestAlgorithm, Intake, Outcome, Procedure, Processor, Report, Request,
    Verified,
    encryption::Info,
    process::{Ending, Obstacle},
    report::Reference,
};

use super::{
    device::Identity,
    payloads::{Payloads, Progress},
    read,
    refusal::{self, refused},
    store::Store,
    told::{Told, brief, plain},
    trust::{Trust, Trusted},
    verify::{summary, trusted},
};
use crate::{
    inspect::{Keyring, explain},
    outcome::Failed,
};

/// `tamarack suit run`.
#[derive(Debug, Args)]
pub struct Run {
    /// The envelope
    #[arg(long, value_name = "FILE")]
    envelope: PathBuf,
    /// What to run it for
    #[arg(long, value_enum, default_value_t = Purpose::Update)]
    procedure: Purpose,
    /// The device's store, kept for the next run [default: an empty one, removed at the end]
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// What the device is: vendor=UUID,class=UUID [default: Tamarack's vendor and classes]
    #[arg(long, value_name = "IDENTITY")]
    device: Option<Identity>,
    /// Files that http and https URIs stand for, named by SHA-256 or as the URI ends
    #[arg(long, value_name = "DIR")]
    payloads: Option<PathBuf>,
    /// The private key that opens encrypted payloads (PKCS#8 PEM)
    #[arg(long, value_name = "FILE")]
    receiver: Option<PathBuf>,
    #[command(flatten)]
    trust: Trust,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What a manifest is run for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Purpose {
    /// Installs.
    Update,
    /// Starts.
    Invocation,
    /// Removes.
    Uninstall,
}

impl Purpose {
    fn procedure(self) -> Procedure {
        match self {
            Self::Update => Procedure::Update,
            Self::Invocation => Procedure::Invocation,
            Self::Uninstall => Procedure::Uninstall,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Update => "update",
            Self::Invocation => "invocation",
            Self::Uninstall => "uninstall",
        }
    }
}

impl Run {
    /// Runs the command.
    ///
    /// # Errors
    /// See [`Failed`].
    pub fn run(self) -> Result<(), Failed> {
        let bytes = read(&self.envelope, "the envelope")?;
        let trust = self.trust.read()?;
        let what = self.envelope.display().to_string();
        let verified = trusted(&what, &bytes, &trust)?;
        let receiver = self.receiver.as_ref().map(keys::file::load_agreement).transpose();
        let receiver = receiver.context("reading the receiver's key")?;
        let store = Store::open(self.store.as_deref())?;
        let mut context = Context::new(self.device.clone().unwrap_or_default().device());
        context.installed = store.installed()?;
        context.anchors = trust.anchors.clone();
        context.accept = trust.accept;
        context.authority = trust.authority.clone();
        let mut processor = Processor::new(&verified, context)
            .map_err(|error| self.refuse(&what, &verified, &trust, &error))?;
        let mut shell = Shell {
            store: &store,
            payloads: Payloads(self.payloads.clone()),
            receiver,
            stored: BTreeSet::new(),
        };
        let mut told = Told::new(!self.json);
        let ending = shell.run(&mut processor, self.procedure.procedure(), &mut told)?;
        store.keep(processor.installed())?;
        let mut report = self.report(&verified, &trust, &ending.report);
        report["steps"] = told.steps();
        self.tell(&shell, &ending);
        match &ending.failure {
            Some(failure) => Err(refused(refusal::failure(failure), report)),
            None if self.json => {
                println!("{report:#}");
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn refuse(
        &self,
        what: &str,
        verified: &Verified<'_>,
        trust: &Trusted,
        error: &suit::Error,
    ) -> Failed {
        let uri = verified.manifest().reference_uri.unwrap_or_default().to_owned();
        let reference = Reference { uri, digest: verified.digest() };
        let report = self.report(verified, trust, &Report::refusal(reference, None, error));
        refused(refusal::envelope(what, error), report)
    }

    /// The object that programs read.
    fn report(&self, verified: &Verified<'_>, trust: &Trusted, report: &Report) -> Value {
        let encoded = report.encode();
        let explained = explain(&encoded, &Keyring::default());
        json!({
            "procedure": self.procedure.word(),
            "succeeded": report.succeeded(),
            "envelope": summary(verified, trust),
            "report": explained.map(|part| part.json()),
            "report_cbor": hex::encode(encoded),
        })
    }

    fn tell(&self, shell: &Shell<'_>, ending: &Ending) {
        if self.json {
            return;
        }
        if let Some(directory) = &self.store {
            for component in &shell.stored {
                let file = directory.join(shell.store.file(component));
                println!("{}: {}", brief(component), file.display());
            }
        }
        if let Some(report) = explain(&ending.report.encode(), &Keyring::default()) {
            report.lines(0).iter().for_each(|line| println!("{}", plain(line)));
        }
        if ending.failure.is_none() {
            println!("{GREEN}✓{GREEN:#} {}", self.procedure.word());
        }
    }
}

/// Does what the processor asks for.
struct Shell<'a> {
    store: &'a Store,
    payloads: Payloads,
    receiver: Option<AgreementKey>,
    /// The components that got a content.
    stored: BTreeSet<ComponentId>,
}

/// An outcome, and what happened in words.
type Done = (Outcome, String);

impl Shell<'_> {
    fn run(
        &mut self,
        processor: &mut Processor<'_>,
        procedure: Procedure,
        told: &mut Told,
    ) -> Result<Ending> {
        processor.run(procedure)?;
        loop {
            let request = processor.step_watched(&mut |begun| told.began(begun));
            if let Request::Done(ending) = request {
                return Ok(ending.clone());
            }
            let (outcome, words) = self.serve(&request);
            told.did(&words);
            processor.resume(outcome)?;
        }
    }

    fn serve(&mut self, request: &Request<'_>) -> Done {
        match request {
            Request::Fetch { component, uri, limit, expected, encryption, .. } => {
                let found = self.payloads.find(uri, *expected);
                let fetched = found.and_then(|(path, mut file)| {
                    let told = |error| Obstacle::Other(format!("{}: {error}", path.display()));
                    let total = file.metadata().map_err(|error| told(error.to_string()))?.len();
                    if total > *limit {
                        return Err(Obstacle::TooLarge);
                    }
                    let size = self.place(component, &mut file, (total, *limit), *encryption)?;
                    Ok(format!("fetched {}: {size} bytes", path.display()))
                });
                done(fetched, &format!("fetching {uri}"))
            }
            Request::Write { component, content, encryption } => {
                let mut content = *content;
                let total = content.len() as u64;
                let written = self.place(component, &mut content, (total, total), *encryption);
                done(written.map(|size| format!("wrote {size} bytes")), "writing")
            }
            Request::Copy { component, source, encryption } => {
                let copied = self.copy(component, source, *encryption);
                done(copied, &format!("copying {}", brief(source)))
            }
            Request::Swap { component, source } => {
                let swapped = self.store.swap(component, source);
                done(swapped.map(|()| format!("exchanged with {}", brief(source))), "swapping")
            }
            Request::Digest { component, algorithm } => {
                let outcome = self.store.measure(component, *algorithm);
                let words = match &outcome {
                    Outcome::Measured { digest, size } => format!("has {digest}, {size} bytes"),
                    Outcome::Absent => "has no content".to_owned(),
                    other => format!("measuring failed: {other:?}"),
                };
                (outcome, words)
            }
            Request::CheckContent { component, content } => match self.store.content(component) {
                Ok(own) => {
                    let holds = cose::equal(&own, content);
                    (Outcome::Holds(holds), format!("the contents are equal: {holds}"))
                }
                Err(obstacle) => failed(obstacle, "comparing"),
            },
            Request::Load { component } => match self.store.content(component) {
                Ok(bytes) => {
                    let words = format!("read the envelope, {} bytes", bytes.len());
                    (Outcome::Envelope(bytes), words)
                }
                Err(Obstacle::Absent) => (Outcome::Absent, "has no content".to_owned()),
                Err(obstacle) => failed(obstacle, "reading"),
            },
            Request::Invoke { component, arguments } => {
                let arguments = arguments.map_or_else(String::new, |arguments| {
                    format!(" with {}", String::from_utf8_lossy(arguments).escape_debug())
                });
                let words = format!("would start {}{arguments}", brief(component));
                (Outcome::Done, words)
            }
            Request::Remove { component } => {
                self.stored.remove(*component);
                done(self.store.remove(component).map(|()| "removed".to_owned()), "removing")
            }
            other => assumed(other),
        }
    }

    fn copy(
        &mut self,
        component: &ComponentId,
        source: &ComponentId,
        encryption: Option<&[u8]>,
    ) -> Result<String, Obstacle> {
        let mut file = self.store.reader(source)?;
        let total = file.metadata().map_or(0, |metadata| metadata.len());
        let size = self.place(component, &mut file, (total, total), encryption)?;
        Ok(format!("copied {size} bytes from {}", brief(source)))
    }

    /// Puts a content in place, opened on its way if it is encrypted.
    fn place(
        &mut self,
        component: &ComponentId,
        content: &mut dyn Read,
        (total, limit): (u64, u64),
        encryption: Option<&[u8]>,
    ) -> Result<u64, Obstacle> {
        let mut progress = Progress::new(&brief(component), total);
        let mut seen = |bytes| progress.at(bytes);
        let intake = match encryption {
            None => Intake::plain(DigestAlgorithm::Sha256, limit)?,
            Some(info) => self.opened(limit, info)?,
        };
        let size = self.store.put(component, content, intake, &mut seen)?;
        self.stored.insert(component.clone());
        Ok(size)
    }

    fn opened(&self, limit: u64, info: &[u8]) -> Result<Intake, Obstacle> {
        let receiver = self.receiver.as_ref().ok_or(Obstacle::Unsupported)?;
        let info = Info::decode(info).map_err(|_| Obstacle::Decryption)?;
        Intake::encrypted(&info, &Opener::Agreement(receiver), DigestAlgorithm::Sha256, limit)
    }
}

/// What a device would decide by itself, and a dry run takes for granted.
fn assumed(request: &Request<'_>) -> Done {
    match request {
        Request::Authorize { priority, .. } => {
            (Outcome::Holds(true), format!("priority {priority}: assumed to be allowed"))
        }
        Request::Version { .. } => (Outcome::Absent, "the store knows no versions".to_owned()),
        Request::Wait { .. } => (Outcome::Done, "did not wait".to_owned()),
        Request::Custom { label, .. } => {
            failed(Obstacle::Unsupported, &format!("what the application means by {label}"))
        }
        _ => failed(Obstacle::Unsupported, "the request"),
    }
}

fn done(result: Result<String, Obstacle>, what: &str) -> Done {
    match result {
        Ok(words) => (Outcome::Done, words),
        Err(obstacle) => failed(obstacle, what),
    }
}

fn failed(obstacle: Obstacle, what: &str) -> Done {
    let words = format!("{what}: {obstacle}");
    (Outcome::Failed(obstacle), words)
}

const GREEN: Style = AnsiColor::Green.on_default().bold();

//! The second manifest processor of the device, for components `['REE', owner, name]`.
//!
//! The TEEP Agent has authenticated the manifest before it hands it out; this processor does so
//! again, because it answers for what it starts. It takes manifests of exactly one component.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use cose::Thumbprint;
use suit::{
    Anchors, Context, Device, Digest, Envelope, Error, Limits, Outcome, Procedure, Processor,
    Report, Request, Unsupported, Untrusted, Uuid, Verified,
    build::Name,
    command::{Condition, Directive},
    process::{Ending, Failure, Fault, Obstacle},
};
use tracing::warn;

use super::{
    Grants,
    placed::{self, Placed},
    rights::{Form, Invocation},
    staging::Staging,
};
use crate::{
    contain,
    moc::MocClient,
    refusal::{TamFailed, UaFailed},
};

/// What the REE answers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// SUIT vendor identifier.
    pub vendor: Uuid,
    /// SUIT class identifiers.
    pub classes: Vec<Uuid>,
}

/// Processes a manifest: authenticates it, runs its Update procedure, takes the program's
/// arguments from its Invocation procedure, and makes the program the installed one.
///
/// The answer is the report of the Update procedure.
pub(super) async fn process(
    directory: &Path,
    identity: &Identity,
    grants: &Grants,
    moc: &MocClient,
    envelope: &[u8],
) -> Result<(Placed, Vec<u8>), UaFailed> {
    let anchors = Anchors::none().with_self_certified();
    let verified = Envelope::decode(envelope)
        .and_then(|envelope| envelope.authenticate(&anchors, &suit::SIGNATURES))
        .map_err(refused)?;
    for (place, error) in verified.rejected_blocks() {
        warn!(place, %error, "an authentication block of a UA's manifest is not good");
    }
    let (owner, name) = subject(&verified)?;
    placed::private(directory).map_err(UaFailed::io("making the directory of the UAs"))?;
    let earlier = placed::kept(directory, owner, name.as_str());
    room(directory, &earlier)?;

    let context = context(identity, &verified, earlier.as_ref().map(|(kept, _)| kept));
    let mut processor = Processor::new(&verified, context).map_err(refused)?;
    let installed = earlier.filter(|(_, installed)| *installed);
    let installed = installed.map(|(kept, _)| kept.program(directory));
    let part = placed::part(directory, owner, name.as_str());
    let mut run = Run {
        staging: Staging::new(part, installed),
        moc,
        invoked: None,
        trouble: None,
        measured: None,
    };
    let report = run.procedure(&mut processor, Procedure::Update).await?;
    run.procedure(&mut processor, Procedure::Invocation).await?;

    let invocation = run.invocation()?;
    invocation.check(grants)?;
    if invocation.instance == Form::Container {
        image(run.staging.program().ok_or_else(undigested)?).await?;
    }
    let placed = Placed {
        owner,
        name,
        sequence_number: verified.manifest().sequence_number,
        digest: run.digest().await?,
        invocation,
    };
    placed.commit(directory, run.staging.staged())?;
    Ok((placed, report.encode()))
}

/// Owner and name of the one component that the manifest is about.
fn subject(verified: &Verified<'_>) -> Result<(Thumbprint, Name), UaFailed> {
    let common = &verified.manifest().common;
    let [component] = common.components.as_slice() else {
        let seen = format!("{} components", common.components.len());
        return Err(UaFailed::check("components", "one", seen));
    };
    if !common.dependencies.is_empty() {
        let seen = format!("{} dependencies", common.dependencies.len());
        return Err(UaFailed::check("dependencies", "none", seen));
    }
    let name = component.name().and_then(|name| Name::new(name).ok());
    let (true, 3, Some(owner), Some(name)) =
        (component.is_in_ree(), component.parts().len(), component.owner(), name)
    else {
        return Err(UaFailed::check("component", "['REE', owner, name]", component.to_string()));
    };
    let own = verified.manifest().component_id.as_ref();
    if own.is_none() || own != component.manifest().ok().as_ref() {
        let seen = own.map_or_else(|| "none".to_owned(), ToString::to_string);
        let expected = "the component's with `.suit` behind its name";
        return Err(UaFailed::check("component of the manifest", expected, seen));
    }
    Ok((owner, name))
}

/// Refuses a UA too many.
fn room(directory: &Path, earlier: &Option<(Placed, bool)>) -> Result<(), UaFailed> {
    let others = placed::placed(directory)?.len();
    if !matches!(earlier, Some((_, true))) && others >= UAS_MAX {
        let seen = format!("{others} and one more");
        return Err(UaFailed::check("UAs of this device", format!("at most {UAS_MAX}"), seen));
    }
    Ok(())
}

fn context(identity: &Identity, verified: &Verified<'_>, earlier: Option<&Placed>) -> Context {
    let class = identity.classes.first().copied().unwrap_or(identity.vendor);
    let mut device = Device::new(identity.vendor, class).without_commands([
        Condition::DependencyIntegrity.label(),
        Condition::IsDependency.label(),
        Directive::ProcessDependency.label(),
        Directive::Swap.label(),
        Directive::Wait.label(),
    ]);
    device.classes = identity.classes.iter().copied().collect::<BTreeSet<_>>();
    // On loopback; the HTTP client refuses it elsewhere.
    device.schemes.insert("http".to_owned());
    let mut context = Context::new(device);
    context.limits = Limits { components: 1, payload_bytes: PROGRAM_BYTES_MAX, ..Limits::DEFAULT };
    context.anchors = Arc::new(Anchors::none().with_self_certified());
    if let Some(earlier) = earlier {
        let numbers = &mut context.installed.sequence_numbers;
        numbers.insert(verified.manifest().identity().clone(), earlier.sequence_number);
    }
    context
}

/// What the procedures of one manifest work on.
struct Run<'a> {
    staging: Staging,
    moc: &'a MocClient,
    /// The arguments of the invocation, once there was one.
    invoked: Option<Option<Vec<u8>>>,
    /// Why the last thing that was asked for was not done, in full.
    trouble: Option<UaFailed>,
    /// Whether the manifest has looked at the digest of the program since it last changed.
    measured: Option<Digest>,
}

impl Run<'_> {
    async fn procedure(
        &mut self,
        processor: &mut Processor<'_>,
        procedure: Procedure,
    ) -> Result<Report, UaFailed> {
        processor.run(procedure).expect("the procedure before this one has ended");
        loop {
            let wanted = processor.step();
            if let Request::Done(ending) = wanted {
                return self.ended(ending.clone());
            }
            let answer = self.answer(wanted).await;
            processor.resume(answer).expect("each request has the answers that are given");
        }
    }

    async fn answer(&mut self, wanted: Request<'_>) -> Outcome {
        let done = match wanted {
            Request::Fetch { uri, limit, expected, encryption: None, .. } => {
                self.measured = None;
                match expected {
                    Some(_) => self.staging.fetch(self.moc, uri, limit).await,
                    None => Err(undigested()),
                }
                .map(|()| Outcome::Done)
            }
            Request::Write { content, encryption: None, .. } => {
                self.measured = None;
                self.staging.write(content).await.map(|()| Outcome::Done)
            }
            Request::Digest { algorithm, .. } => {
                let measured = self.staging.measure(algorithm).await;
                measured.map(|measured| match measured {
                    Some((digest, size)) => {
                        self.measured = Some(digest);
                        Outcome::Measured { digest, size }
                    }
                    None => Outcome::Absent,
                })
            }
            Request::CheckContent { content, .. } => {
                self.staging.equals(content).await.map(Outcome::Holds)
            }
            Request::Invoke { arguments, .. } => {
                self.invoked = Some(arguments.map(<[u8]>::to_vec));
                Ok(Outcome::Done)
            }
            Request::Authorize { .. } => Ok(Outcome::Holds(true)),
            Request::Version { .. } => Ok(Outcome::Absent),
            // Encrypted programs, other components and custom commands.
            Request::Fetch { .. }
            | Request::Write { .. }
            | Request::Copy { .. }
            | Request::Swap { .. }
            | Request::Load { .. }
            | Request::Delegate { .. }
            | Request::Remove { .. }
            | Request::Wait { .. }
            | Request::Custom { .. }
            | Request::Done(_) => return Outcome::Failed(Obstacle::Unsupported),
        };
        done.unwrap_or_else(|failed| {
            let obstacle = obstacle(&failed);
            self.trouble = Some(failed);
            Outcome::Failed(obstacle)
        })
    }

    fn ended(&mut self, ending: Ending) -> Result<Report, UaFailed> {
        match (ending.failure, self.trouble.take()) {
            (None, _) => Ok(ending.report),
            (Some(Failure { fault: Fault::Operation(_), .. }), Some(trouble)) => Err(trouble),
            (Some(failure), _) => Err(explained(failure)),
        }
    }

    /// SHA-256 of the program, which the manifest has compared with what it expects.
    async fn digest(&self) -> Result<[u8; 32], UaFailed> {
        let measured = self.staging.measure(suit::DigestAlgorithm::Sha256).await?;
        let (Some(_), Some((digest, _))) = (self.measured, measured) else {
            return Err(undigested());
        };
        Ok(digest.bytes().try_into().expect("SHA-256 has 32 bytes"))
    }

    fn invocation(&self) -> Result<Invocation, UaFailed> {
        let given = match &self.invoked {
            Some(given) => given.as_deref().unwrap_or(b"[]"),
            None => return Err(UaFailed::check("invoke", "a command that starts the UA", "none")),
        };
        if given.len() > ARGUMENTS_BYTES_MAX {
            let expected = format!("at most {ARGUMENTS_BYTES_MAX} bytes");
            let seen = format!("{} bytes", given.len());
            return Err(UaFailed::check("invoke-args", expected, seen));
        }
        Invocation::read(given)
    }
}

/// Refuses what is no image of this machine, before anything is placed.
async fn image(content: &Path) -> Result<(), UaFailed> {
    let archive = tokio::fs::read(content).await.map_err(UaFailed::io("reading an image"))?;
    let opened = tokio::task::spawn_blocking(move || contain::open(&archive).map(drop)).await;
    let opened = opened.map_err(|error| UaFailed::io("opening an image")(error.into()))?;
    opened.map_err(|refused| UaFailed::check("image", "an OCI image", refused.to_string()))
}

/// What a refusal of the manifest means, with the values where there are any.
fn refused(error: Error) -> UaFailed {
    match error {
        Error::Untrusted(Untrusted::Rollback { offered, stored }) => {
            UaFailed::check("sequence number", format!("at least {stored}"), offered.to_string())
        }
        Error::Untrusted(Untrusted::Component(component)) => {
            let expected = "components that the manifest's signer owns";
            UaFailed::check("owner", expected, component.to_string())
        }
        Error::Unsupported(Unsupported::Component(component)) => {
            UaFailed::check("component", "one of the REE", component.to_string())
        }
        Error::Untrusted(untrusted) => {
            let expected = "one of the key that the component names";
            UaFailed::check("signature", expected, untrusted.to_string())
        }
        malformed @ Error::Malformed(_) => UaFailed::Manifest(malformed),
        unsupported @ Error::Unsupported(_) => UaFailed::Manifest(unsupported),
    }
}

/// What a command that failed means.
fn explained(failure: Failure) -> UaFailed {
    let check = match (failure.command, failure.section) {
        (Some(command), Some(section)) => format!("{command} in {section}"),
        (Some(command), None) => command.to_string(),
        (None, _) => "the manifest".to_owned(),
    };
    if let Fault::Mismatch { expected, seen } = &failure.fault {
        return UaFailed::check(check, expected.to_string(), seen.to_string());
    }
    if let Fault::Refused(error) = failure.fault {
        return refused(error);
    }
    UaFailed::check(check, "success", failure.fault.to_string())
}

fn undigested() -> UaFailed {
    UaFailed::check("image digest", "one that the program is compared with", "none")
}

fn obstacle(failed: &UaFailed) -> Obstacle {
    match failed {
        UaFailed::Fetch { source: TamFailed::Unreachable(_) | TamFailed::TimedOut, .. } => {
            Obstacle::Unreachable
        }
        UaFailed::Fetch { .. } => Obstacle::Refused,
        UaFailed::Io { .. } => Obstacle::Storage,
        UaFailed::Manifest(_) => Obstacle::Unsupported,
        UaFailed::Check { .. } => Obstacle::Other(failed.to_string()),
    }
}

/// The longest program.
const PROGRAM_BYTES_MAX: u64 = 64 * 1024 * 1024;
const ARGUMENTS_BYTES_MAX: usize = 64 * 1024;

/// UAs that one device hosts.
const UAS_MAX: usize = 64;

//! A deployment from the Network User's side, in each of the draft's five cases (section 4).
//!
//! The user's own script says what is handed over when; the M/OC says only when it is ready for
//! it. Personalization Data moves after the user's own appraisal, whatever the M/OC asks for.

mod material;
mod script;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use api::{Deployment, Event, Need, PackageName, PostRequest, RequestPlaced, State};
use cose::{Entropy, Key, Signer};
use rats::{Timestamp, eat};
use serde::Serialize;

use crate::{
    CallFailed, MocClient, Project, Refusal,
    appraisal::{self, Accepted, Application, Examined, Expected},
    live::{Giving, NotSent},
    package::{NotPackaged, Package, manifest_digest},
    project::Unusable,
    release::{self, NotReleased},
    trust::Trust,
};

pub use material::Material;
pub use script::{Act, End, script};

/// What a deployment works with.
pub struct Deploy<'a> {
    /// The M/OC, in the name of the user's tenant.
    pub moc: &'a MocClient,
    /// The owner's signing key.
    pub owner: &'a dyn Signer,
    /// What is deployed.
    pub project: &'a Project,
    /// The user's own policy and pins.
    pub trust: &'a Trust,
    /// A device that is wanted by name.
    pub device: Option<String>,
}

/// How long a phase took.
#[derive(Clone, Debug, Serialize)]
pub struct Phase {
    /// What was done.
    pub name: &'static str,
    /// Milliseconds.
    pub ms: u64,
}

/// What has been done so far, for a report in any case.
#[derive(Debug, Default)]
pub struct Progress {
    /// Where the M/OC placed the request.
    pub placed: Option<RequestPlaced>,
    /// The deployment's events so far, each told by the party that acted.
    pub events: Vec<Event>,
    /// The phases so far.
    pub phases: Vec<Phase>,
    /// The user's own appraisal, the last one.
    pub examined: Option<Examined>,
    /// The M/OC's result, a signed CMW.
    pub result: Option<Vec<u8>>,
    /// The sealed package of Personalization Data.
    pub sealed: Option<Vec<u8>>,
    /// The Agent's receipt, a COSE_Sign1.
    pub receipt: Option<Vec<u8>>,
    /// The key to which callers seal, and the digest of the TA's manifest.
    pub service: Option<(Key, [u8; 32])>,
}

/// Why a deployment did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeployFailed {
    /// The project cannot be used.
    #[error(transparent)]
    Project(#[from] Unusable),
    /// A package cannot be made.
    #[error(transparent)]
    Package(#[from] NotPackaged),
    /// A call of the M/OC failed.
    #[error(transparent)]
    Call(#[from] CallFailed),
    /// Personalization Data was not sealed.
    #[error(transparent)]
    Release(#[from] NotReleased),
    /// Somebody refused; the reason is explained.
    #[error("refused: {}", .0.check)]
    Refused(Box<Refusal>),
}

/// What a run draws on beside its [`Deploy`].
pub struct Means<'a> {
    /// Randomness.
    pub entropy: &'a mut (dyn Entropy + Send),
    /// The user's own clock.
    pub clock: &'a (dyn Fn() -> Timestamp + Sync),
    /// Hears what begins.
    pub say: &'a mut (dyn FnMut(&str) + Send),
}

impl Deploy<'_> {
    /// Runs the deployment. What was reached is in `progress`, whatever the outcome.
    ///
    /// # Errors
    /// See [`DeployFailed`]. Nothing was released unless `progress` holds a sealed package.
    pub async fn run(
        &self,
        progress: &mut Progress,
        mut means: Means<'_>,
    ) -> Result<(), DeployFailed> {
        let mut lap = Lap(Instant::now());
        // Everything of the project is read first: an unusable one asks the M/OC for nothing.
        let material = Material::of(self.project, self.owner, &|sha256| self.moc.blob_uri(sha256))?;
        (means.say)("asking for confidential computing");
        let placed = self.moc.request(&self.request()).await?;
        let deployment = placed.deployment.clone();
        progress.placed = Some(placed);
        lap.end("request", progress);

        let mut accepted = None;
        for act in script(self.project.case, self.project.ua.is_some()) {
            match act {
                Act::Hand(name) => {
                    (means.say)(says(name));
                    self.until(&deployment, progress, |now| takes(now, name)).await?;
                    self.put(&deployment, name, material.package(name)?).await?;
                    let done = |now: &Deployment| !now.needs.contains(&need(name));
                    self.until(&deployment, progress, done).await?;
                    lap.end(hands(name), progress);
                }
                Act::Attest(end) => {
                    (means.say)("asking for an attestation with an own nonce");
                    let ready = |now: &Deployment| now.needs.contains(&Need::Nonce);
                    self.until(&deployment, progress, ready).await?;
                    lap.end("the device deploys", progress);
                    let ta = (end == End::Ta).then_some(&material.ta);
                    let found = self.attest(&deployment, ta, progress, &mut means).await?;
                    accepted = Some(found);
                    lap.end("attestation and own appraisal", progress);
                }
                Act::Release(name) => {
                    let accepted: Accepted = accepted.take().ok_or_else(out_of_order)?;
                    (means.say)("releasing the Personalization Data to the attested key");
                    self.release(&deployment, name, &material, &accepted, progress, &mut means)
                        .await?;
                    lap.end("release, installation and receipt", progress);
                }
            }
        }
        Ok(())
    }

    fn request(&self) -> PostRequest {
        PostRequest {
            case: self.project.case,
            instance: self.project.instance,
            hardware: self.project.hardware.clone(),
            with_ua: self.project.ua.is_some(),
            device: self.device.clone(),
            zone: self.project.zone.clone(),
            emulated: self.trust.policy.emulated_allowed,
            constraints: self.project.place.clone(),
            lease_s: self.project.lease_s,
        }
    }

    async fn put(
        &self,
        deployment: &str,
        name: PackageName,
        package: &Package,
    ) -> Result<(), DeployFailed> {
        for blob in &package.blobs {
            self.moc.put_blob(&blob.sha256, blob.bytes.clone()).await?;
        }
        self.moc.put_package(deployment, name, package.built.envelope.clone()).await?;
        Ok(())
    }

    /// Waits until the deployment is as wanted.
    async fn until(
        &self,
        deployment: &str,
        progress: &mut Progress,
        wanted: impl Fn(&Deployment) -> bool,
    ) -> Result<(), DeployFailed> {
        let mut after = None;
        loop {
            let now = self.moc.deployment(deployment, after).await?;
            progress.events.clone_from(&now.events);
            if let Some(problem) = now.failure {
                return Err(DeployFailed::Refused(Box::new(problem.into())));
            }
            if wanted(&now) {
                return Ok(());
            }
            after = Some(now.seq);
        }
    }

    async fn attest(
        &self,
        deployment: &str,
        ta: Option<&Package>,
        progress: &mut Progress,
        means: &mut Means<'_>,
    ) -> Result<Accepted, DeployFailed> {
        let mut nonce = [0; 32];
        means.entropy.fill(&mut nonce);
        let nonce_made = (means.clock)();
        let attestation = self.moc.attest(deployment, &nonce).await?;
        let mut after = None;
        let result = loop {
            if let Some(result) = self.moc.attestation(deployment, &attestation).await? {
                break result;
            }
            let now = self.moc.deployment(deployment, after).await?;
            if let Some(problem) = now.failure {
                return Err(DeployFailed::Refused(Box::new(problem.into())));
            }
            after = Some(now.seq);
        };
        let now = self.moc.deployment(deployment, None).await?;
        progress.events = now.events;
        let application = ta.map(|ta| Application {
            manifest: ta.built.manifest_component.parts(),
            manifest_digest: manifest_digest(&ta.built.digest),
            instance: instance(self.project.instance),
        });
        let expected = Expected { nonce: &nonce, nonce_made, application };
        let examined = appraisal::examine(&result, &expected, self.trust, (means.clock)());
        let accepted = examined.accepted().cloned();
        progress.result = Some(result);
        progress.examined = Some(examined);
        accepted.map_err(DeployFailed::Refused)
    }

    /// Seals the data to the key that the user's own appraisal accepted, and hands it over.
    async fn release(
        &self,
        deployment: &str,
        name: PackageName,
        material: &Material,
        accepted: &Accepted,
        progress: &mut Progress,
        means: &mut Means<'_>,
    ) -> Result<(), DeployFailed> {
        let ta = manifest_digest(&material.ta.built.digest);
        let to = release::To {
            deployment,
            ta: &material.ta,
            accepted,
            callers: &material.callers,
            sequence: sequence(),
        };
        let live = self.project.live()?;
        if let Some((mut data, relay)) = live.filter(|_| self.project.pushes()) {
            let mut confirmed = |bytes: u64| (means.say)(&format!("{} KiB confirmed", bytes >> 10));
            let entropy = &mut *means.entropy;
            let sent = release::send(self.owner, relay, &to, &mut data, entropy, &mut confirmed);
            let (sealed, receipt) = sent.map_err(not_sent)?;
            let received = release::receipt(&[receipt], &sealed, accepted)?;
            self.moc.put_receipt(deployment, received.receipt.clone()).await?;
            self.until(deployment, progress, |now| now.state == State::Running).await?;
            progress.service = Some((received.service_key, ta));
            progress.receipt = Some(received.receipt);
            return Ok(());
        }
        let uri = |sha256: &str| self.moc.blob_uri(sha256);
        let (project, owner) = (self.project, self.owner);
        let release = match self.project.live()? {
            Some((data, relay)) => {
                let mut spool = Spool::create(project.directory())?;
                let (release, package, sha256) = material.spool(
                    project,
                    owner,
                    &uri,
                    name,
                    &to,
                    data,
                    &mut spool.file,
                    means.entropy,
                )?;
                let giving = Giving::begin(relay, spool.reopened()?, sha256);
                let giving = giving.map_err(|not| DeployFailed::from(NotReleased::from(not)))?;
                self.put(deployment, name, &package).await?;
                let running = self.until(deployment, progress, |now| now.state == State::Running);
                let mut told = |bytes: u64| (means.say)(&format!("{} KiB confirmed", bytes >> 10));
                giving.during(running, &mut told).await?;
                release
            }
            None => {
                let sealed = material.seal(project, owner, &uri, name, &to, means.entropy)?;
                let (release, package) = sealed;
                progress.sealed = Some(release.package.built.envelope.clone());
                self.put(deployment, name, &package).await?;
                self.until(deployment, progress, |now| now.state == State::Running).await?;
                release
            }
        };
        let receipts = self.moc.receipts(deployment).await?;
        let received = release::receipt(&receipts, &release.sealed, accepted)?;
        progress.service = Some((received.service_key, ta));
        progress.receipt = Some(received.receipt);
        Ok(())
    }
}

/// A file beside the project that holds ciphertext while it is given live.
struct Spool {
    file: File,
    path: PathBuf,
}

impl Spool {
    fn create(directory: &Path) -> Result<Self, DeployFailed> {
        let path = directory.join("pd.sealed");
        let file = File::create(&path).map_err(NotReleased::Spool)?;
        Ok(Self { file, path })
    }

    fn reopened(&self) -> Result<File, DeployFailed> {
        Ok(File::open(&self.path).map_err(NotReleased::Spool)?)
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        // What is left is ciphertext to a key that is gone.
        let _left = fs::remove_file(&self.path);
    }
}

/// A sequence number that grows with every release, also with two in one second.
fn sequence() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or_default()
}

/// What the TEE says no to is a refusal as any other.
fn not_sent(not: NotReleased) -> DeployFailed {
    let NotReleased::Live(told @ (NotSent::Refused(_) | NotSent::Lost(_))) = not else {
        return not.into();
    };
    DeployFailed::Refused(Box::new(Refusal {
        check: "release.live".to_owned(),
        expected: "a release that the Trusted Application opens".to_owned(),
        seen: told.to_string(),
        owner: "device".to_owned(),
        remedy: "attest again and release again; the Agent's log has the details".to_owned(),
    }))
}

/// A script that releases before it attests does not exist; if it did, nothing would move.
fn out_of_order() -> DeployFailed {
    DeployFailed::Refused(Box::new(Refusal {
        check: "order".to_owned(),
        expected: "an own appraisal before a release".to_owned(),
        seen: "a release".to_owned(),
        owner: "Network User".to_owned(),
        remedy: "report this as a fault of the tool".to_owned(),
    }))
}

/// Whether the M/OC takes the package now.
fn takes(now: &Deployment, name: PackageName) -> bool {
    now.needs.contains(&need(name))
}

const fn need(name: PackageName) -> Need {
    match name {
        PackageName::Ua => Need::Ua,
        PackageName::Ta => Need::Ta,
        PackageName::Pd => Need::Pd,
        PackageName::UaTa => Need::UaTa,
        PackageName::UaTaPd => Need::UaTaPd,
        PackageName::TaPd => Need::TaPd,
        PackageName::UaPd => Need::UaPd,
    }
}

const fn says(name: PackageName) -> &'static str {
    match name {
        PackageName::Ua => "handing over the UA",
        PackageName::Ta => "handing over the TA",
        _ => "handing over UA and TA",
    }
}

const fn hands(name: PackageName) -> &'static str {
    match name {
        PackageName::Ua => "UA handed over",
        PackageName::Ta => "TA handed over",
        _ => "UA and TA handed over",
    }
}

struct Lap(Instant);

impl Lap {
    fn end(&mut self, name: &'static str, progress: &mut Progress) {
        let ms = u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX);
        progress.phases.push(Phase { name, ms });
        self.0 = Instant::now();
    }
}

fn instance(instance: api::InstanceType) -> eat::InstanceType {
    match instance {
        api::InstanceType::Process => eat::InstanceType::Process,
        api::InstanceType::Container => eat::InstanceType::Container,
        api::InstanceType::Vm => eat::InstanceType::Vm,
    }
}

//! A deployment from the Network User's side, case 3 of the draft (section 4.3).
//!
//! Request, packages, attestation with the user's own nonce, the user's own appraisal, and only
//! then the release of Personalization Data.

use std::time::Instant;

use api::{Deployment, EventName, Need, PackageName, PostRequest, RequestPlaced, State};
use cose::{Entropy, Key, Secret, Signer};
use rats::{Timestamp, eat};
use serde::Serialize;

use crate::{
    CallFailed, MocClient, Project, Refusal,
    appraisal::{self, Accepted, Examined, Expected},
    package::{NotPackaged, Package, Packager, manifest_digest},
    project::Unusable,
    release::{self, NotReleased, Release},
    trust::Trust,
};

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
    /// The deployment's events so far.
    pub events: Vec<EventName>,
    /// The phases so far.
    pub phases: Vec<Phase>,
    /// The user's own appraisal.
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

impl Deploy<'_> {
    /// Runs the deployment. What was reached is in `progress`, whatever the outcome; `say` hears
    /// what begins.
    ///
    /// # Errors
    /// See [`DeployFailed`]. Nothing was released unless `progress` holds a sealed package.
    pub async fn run(
        &self,
        progress: &mut Progress,
        entropy: &mut (dyn Entropy + Send),
        clock: &(dyn Fn() -> Timestamp + Sync),
        say: &mut (dyn FnMut(&str) + Send),
    ) -> Result<(), DeployFailed> {
        let mut lap = Lap(Instant::now());
        // Everything of the project is read first: an unusable one asks the M/OC for nothing.
        let material = self.material()?;
        say("asking for confidential computing");
        let placed = self.moc.request(&self.request()).await?;
        let deployment = placed.deployment.clone();
        progress.placed = Some(placed);
        say("handing over the packages");
        if let Some(ua) = &material.ua {
            self.put(&deployment, PackageName::Ua, ua.clone()).await?;
        }
        let ta = material.ta;
        self.put(&deployment, PackageName::Ta, ta.clone()).await?;
        lap.end("request and packages", progress);

        say("the TAM deploys UA and TA");
        self.until(&deployment, progress, |now| now.needs.contains(&Need::Nonce)).await?;
        lap.end("TAM deploys UA and TA", progress);

        say("asking for an attestation with an own nonce");
        let accepted = self.attest(&deployment, &ta, progress, entropy, clock).await?;
        lap.end("attestation and own appraisal", progress);

        say("releasing the Personalization Data to the attested TA");
        let to = release::To {
            deployment: &deployment,
            accepted: &accepted,
            callers: &material.callers,
            sequence: u64::try_from(clock().0).unwrap_or_default(),
        };
        let release = self.seal(&to, material.pd.expose(), entropy)?;
        progress.sealed = Some(release.package.built.envelope.clone());
        progress.service = Some((accepted.service_key().clone(), *accepted.manifest_digest()));
        self.put(&deployment, PackageName::Pd, release.package.clone()).await?;
        self.until(&deployment, progress, |now| now.state == State::Running).await?;
        let receipts = self.moc.receipts(&deployment).await?;
        progress.receipt = Some(release::receipt(&receipts, &release, &accepted)?);
        lap.end("release, installation and receipt", progress);
        Ok(())
    }

    fn request(&self) -> PostRequest {
        PostRequest {
            case: self.project.case,
            instance: self.project.instance,
            hardware: self.project.hardware.clone(),
            with_ua: self.project.ua.is_some(),
            device: self.device.clone(),
            zone: None,
            emulated: self.trust.policy.emulated_allowed,
        }
    }

    /// Reads the project, and builds and signs the UA's and the TA's package.
    fn material(&self) -> Result<Material, DeployFailed> {
        let uri = |sha256: &str| self.moc.blob_uri(sha256);
        let packager = Packager::new(self.owner, self.project.instance, &uri);
        let name = &self.project.name;
        let ta = packager.ta(name, self.project.ta.sequence, self.project.ta_content()?)?;
        let ua = match &self.project.ua {
            Some(ua) => {
                let own = format!("{}/{name}", self.owner.key().thumbprint());
                let arguments: Vec<String> =
                    ua.arguments.iter().map(|word| word.replace("{ta}", &own)).collect();
                let program = self.project.ua_program(ua)?;
                Some(packager.ua(&format!("{name}-ua"), ua.sequence, program, &arguments)?)
            }
            None => None,
        };
        let callers = release::callers(&self.project.callers()?)?;
        Ok(Material { ta, ua, callers, pd: Secret::new(self.project.pd()?) })
    }

    async fn put(
        &self,
        deployment: &str,
        name: PackageName,
        package: Package,
    ) -> Result<(), DeployFailed> {
        if let Some(blob) = package.blob {
            self.moc.put_blob(&blob.sha256, blob.bytes).await?;
        }
        self.moc.put_package(deployment, name, package.built.envelope).await?;
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
            progress.events = now.events.iter().map(|event| event.event).collect();
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
        ta: &Package,
        progress: &mut Progress,
        entropy: &mut (dyn Entropy + Send),
        clock: &(dyn Fn() -> Timestamp + Sync),
    ) -> Result<Accepted, DeployFailed> {
        let mut nonce = [0; 32];
        entropy.fill(&mut nonce);
        let nonce_made = clock();
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
        progress.events = now.events.iter().map(|event| event.event).collect();
        let expected = Expected {
            nonce: &nonce,
            nonce_made,
            manifest: ta.built.manifest_component.parts(),
            manifest_digest: manifest_digest(&ta.built.digest),
            instance: instance(self.project.instance),
        };
        let examined = appraisal::examine(&result, &expected, self.trust, clock());
        let accepted = examined.accepted().cloned();
        progress.result = Some(result);
        progress.examined = Some(examined);
        accepted.map_err(DeployFailed::Refused)
    }

    fn seal(
        &self,
        to: &release::To<'_>,
        pd: &[u8],
        entropy: &mut dyn Entropy,
    ) -> Result<Release, DeployFailed> {
        let uri = |sha256: &str| self.moc.blob_uri(sha256);
        let packager = Packager::new(self.owner, self.project.instance, &uri);
        let name = format!("{}.pd", self.project.name);
        Ok(release::seal(self.owner, &packager, &name, to, pd, entropy)?)
    }
}

/// What a project consists of, read and signed.
struct Material {
    ta: Package,
    ua: Option<Package>,
    callers: Vec<Key>,
    pd: Secret,
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

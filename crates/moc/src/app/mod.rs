//! What the M/OC does, whoever asks and by whatever way: one method for each use.
//!
//! Handlers call these methods and nothing else. Every method reads a snapshot, decides in pure
//! code, and commits one list of changes; when somebody else was faster it starts again.

mod audit;
mod device;
mod init;
mod joining;
mod lease;
mod once;
mod operator;
mod package;
pub(crate) mod parts;
mod receipt;
mod refusal;
mod token;
mod user;

use std::{collections::BTreeSet, time::Duration};

use api::{Event, Role};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use cose::Entropy as _;
use keys::SystemEntropy;

pub use self::{
    audit::Auditor,
    init::NotInitialised,
    refusal::{Refusal, by_user},
    user::Shown,
};

use crate::{
    clock::Clock,
    config::{Config, Limits},
    deployment::{Failure, Machine, Step, Turn},
    hub::{Hub, Topic, Waiting},
    metrics::{Gauge, Metrics},
    rate::Rates,
    store::{
        Change, DeploymentRow, EventRow, NotCommitted, ResultState, Store, StoreFailed, TokenRow,
    },
    tam::{TamFailed, TamShell},
    verification::{Unusable, Verification},
};

/// The Network M/OC.
#[derive(Debug)]
pub struct Moc {
    store: Store,
    clock: Clock,
    hub: Hub,
    limits: Limits,
    tam: TamShell,
    verification: Verification,
    audit: Auditor,
    rates: Rates,
    metrics: Metrics,
}

/// The M/OC cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotOpened {
    /// The store.
    #[error("the store cannot be opened")]
    Store(#[from] StoreFailed),
    /// The keys.
    #[error("the TAM's keys cannot be used")]
    Tam(#[from] TamFailed),
    /// The Verifier's policy, anchors, endorsements or reference values.
    #[error("the Verifier cannot be set up")]
    Verification(#[from] Unusable),
    /// The audit key.
    #[error("the audit key cannot be used")]
    Audit(#[from] keys::Error),
}

impl Moc {
    /// Opens store, keys and Verifier.
    pub async fn open(config: &Config, clock: Clock) -> Result<Self, NotOpened> {
        let store = Store::open(&config.data_dir).await?;
        let keys = config.data_dir.join("keys");
        let tam = TamShell::open(&keys, config)?;
        let now_ms = clock.now_ms();
        let verification = Verification::open(&keys, &config.appraisal, now_ms)?;
        let audit = Auditor::open(&keys, config.tam_uri())?;
        let hub = Hub::default();
        let limits = config.limits;
        let rates = Rates::new(limits.tenant_per_second_max, limits.tenant_burst_max);
        let metrics = Metrics::default();
        Ok(Self { store, clock, hub, limits, tam, verification, audit, rates, metrics })
    }

    /// The store.
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// The bounds.
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The clock.
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(crate) const fn hub(&self) -> &Hub {
        &self.hub
    }

    /// The TAM's keys and sessions.
    pub const fn tam(&self) -> &TamShell {
        &self.tam
    }

    /// The Verifier.
    pub const fn verification(&self) -> &Verification {
        &self.verification
    }

    /// What is counted.
    pub(crate) const fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// What was counted and what is, in Prometheus' text format.
    pub async fn metrics_text(&self) -> Result<String, Refusal> {
        let devices = self.store.device_counts().await?;
        let open: u64 = self.store.load().await?.iter().map(|(_, open)| open).sum();
        let alone = |value| vec![(Vec::new(), value)];
        let gauges = [
            Gauge {
                name: "tamarack_devices",
                help: "Devices by state and hardware family.",
                values: devices
                    .into_iter()
                    .map(|(state, hardware, count)| {
                        (vec![("state", state), ("hardware", hardware)], count)
                    })
                    .collect(),
            },
            Gauge {
                name: "tamarack_deployments_open",
                help: "Deployments that have not ended.",
                values: alone(open),
            },
            Gauge {
                name: "tamarack_log_entries",
                help: "Entries of the log of decisions.",
                values: alone(self.store.log_size().await?),
            },
            Gauge {
                name: "tamarack_writes_waiting",
                help: "Lists of changes that wait for the store's writer.",
                values: alone(self.store.queued()),
            },
        ];
        Ok(self.metrics.text(&gauges))
    }

    /// How many requests the holders of credentials may make.
    pub(crate) const fn rates(&self) -> &Rates {
        &self.rates
    }

    /// Ends every long poll; for the end of the program.
    pub fn close(&self) {
        self.hub.close();
    }

    /// Fails the deployments whose Network User or device had its turn for too long or whose
    /// device is quarantined, and forgets what has expired.
    pub async fn sweep(&self) -> Result<(), Refusal> {
        let now_ms = self.clock.now_ms();
        self.fail_stranded().await?;
        for row in self.store.lapsed(now_ms).await? {
            let failure = Failure::lapsed(awaited(&row), self.limits.reservation_ms_max);
            self.fail_unless_changed(row, failure).await?;
        }
        for row in self.store.overdue(now_ms).await? {
            let mut failure = Failure::overdue(awaited(&row), self.limits.device_turn_ms_max);
            if let Some(said) = self.said(&row).await? {
                failure.seen = said;
            }
            self.fail_unless_changed(row, failure).await?;
        }
        self.sweep_leases().await?;
        Ok(self.store.commit(vec![Change::Expire { now_ms }]).await?)
    }

    /// Removes blobs that nobody has needed for long.
    pub async fn sweep_blobs(&self) -> Result<(), Refusal> {
        let before_ms = self.clock.now_ms().saturating_sub(self.limits.blob_unused_ms_max);
        let removed = self.store.forget_blobs(before_ms).await?;
        if removed > 0 {
            tracing::info!(removed, "blobs that nobody needs were removed");
        }
        Ok(())
    }

    /// Fails the deployments on devices that may not be used any more.
    async fn fail_stranded(&self) -> Result<(), Refusal> {
        for row in self.store.stranded().await? {
            let standing = self.store.device(&row.device).await?.map(|device| device.standing());
            let failure = Failure::stranded(&row.device, standing);
            self.fail_unless_changed(row, failure).await?;
        }
        Ok(())
    }

    /// Why the device could not answer a pending attestation yet.
    async fn said(&self, row: &DeploymentRow) -> Result<Option<String>, Refusal> {
        let results = self.store.results(&row.deployment).await?;
        let pending = results.into_iter().find(|result| result.state == ResultState::Pending);
        Ok(pending.and_then(|result| result.problem?.detail))
    }

    /// The next sweep sees again what has changed meanwhile.
    async fn fail_unless_changed(
        &self,
        row: DeploymentRow,
        failure: Failure,
    ) -> Result<(), Refusal> {
        match self.fail(row, failure).await {
            Err(Refusal::Conflict(_)) => Ok(()),
            outcome => outcome,
        }
    }

    async fn fail(&self, mut row: DeploymentRow, failure: Failure) -> Result<(), Refusal> {
        let mut changes = self.refuse_pending(&row, &failure).await?;
        tracing::info!(deployment = %row.deployment, check = %failure.check, "deployment failed");
        row.machine.fail(failure);
        changes.push(self.save(&row));
        self.store.commit(changes).await?;
        self.changed(&row);
        Ok(())
    }

    /// The deployment as it is from here on, with the end of the device's turn.
    pub(crate) fn save(&self, row: &DeploymentRow) -> Change {
        let deadline_ms = self.deadline(&row.machine);
        let reserved_until_ms = self.reserved_until(&row.machine);
        Change::SaveDeployment(DeploymentRow { deadline_ms, reserved_until_ms, ..row.clone() })
    }

    fn deadline(&self, machine: &Machine) -> Option<u64> {
        let turn = matches!(machine.turn(), Turn::Device(_));
        turn.then(|| self.clock.now_ms().saturating_add(self.limits.device_turn_ms_max))
    }

    /// When a place is given back, for a deployment that somebody has to go on with.
    pub(crate) fn reserved_until(&self, machine: &Machine) -> Option<u64> {
        let until_ms = self.clock.now_ms().saturating_add(self.limits.reservation_ms_max);
        machine.is_open().then_some(until_ms)
    }

    /// Wakes whoever waits for the deployment or for work on its device.
    pub(crate) fn changed(&self, row: &DeploymentRow) {
        self.hub.changed(&Topic::Deployment(row.deployment.clone()));
        self.hub.changed(&Topic::Device(row.device.clone()));
    }

    /// Waits for a change, at most until `end`; tells whether to look again.
    async fn woken(&self, waiting: &mut Waiting, end: tokio::time::Instant) -> bool {
        if self.hub.is_closed() {
            return false;
        }
        tokio::time::timeout_at(end, waiting.change()).await.is_ok()
    }

    fn poll_end(&self) -> tokio::time::Instant {
        tokio::time::Instant::now() + Duration::from_millis(self.limits.poll_ms_max)
    }
}

/// Repeats `work` while somebody else was faster.
macro_rules! settle {
    ($work:expr) => {{
        let mut left = $crate::app::ATTEMPTS_MAX;
        loop {
            left -= 1;
            match $work {
                Err($crate::app::Refusal::Conflict(failure))
                    if left > 0 && failure.check == "version" => {}
                outcome => break outcome,
            }
        }
    }};
}
pub(crate) use settle;

/// Records a step of a deployment with the actor's own statement; nothing follows from one that
/// does not fit, but that the deployment has ended.
pub(crate) fn happened(
    row: &mut DeploymentRow,
    step: &Step,
    statement: Vec<u8>,
    at_ms: u64,
) -> Option<Change> {
    let digest = hex::encode(cose::sha256(&statement));
    let cause = row.machine.record(step.event, digest.clone()).ok()?;
    let event = Event {
        seq: row.machine.recorded().len() as u64,
        event: step.event,
        actor: step.actor,
        at_ms,
        digest,
        cause,
    };
    tracing::info!(deployment = %row.deployment, event = %event.event, "step done");
    let (deployment, tenant) = (row.deployment.clone(), row.tenant.clone());
    Some(Change::AddEvent(EventRow { deployment, tenant, event, statement }))
}

/// Something opaque and random for outside: 32 bytes, base64url.
pub(crate) fn secret(prefix: &str) -> String {
    let mut bytes = [0; 32];
    SystemEntropy.fill(&mut bytes);
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes))
}

/// An identifier: 16 random bytes, hex.
pub(crate) fn identifier() -> String {
    let mut bytes = [0; 16];
    SystemEntropy.fill(&mut bytes);
    hex::encode(bytes)
}

/// How tokens and tickets are kept: SHA-256, hex.
pub(crate) fn hash(secret: &str) -> String {
    hex::encode(cose::sha256(secret.as_bytes()))
}

/// A new bearer token that does not expire, and its row.
pub(crate) fn new_token(role: Role, tenant: &str, device: &str, now_ms: u64) -> (String, TokenRow) {
    let token = secret(&format!("tamarack-{role}-"));
    let row = TokenRow {
        hash: hash(&token),
        name: String::from("first"),
        role,
        tenant: tenant.to_owned(),
        device: device.to_owned(),
        scopes: BTreeSet::new(),
        created_ms: now_ms,
        expires_ms: None,
    };
    (token, row)
}

pub(crate) const ATTEMPTS_MAX: u32 = 8;

/// Whether the commit failed because somebody else was faster.
pub(crate) const fn is_stale(error: &NotCommitted) -> bool {
    matches!(error, NotCommitted::Stale(_))
}

/// The step that a deployment waits for, and the draft's section that has it.
fn awaited(row: &DeploymentRow) -> String {
    let event = row.machine.next_event().map_or_else(String::new, |event| event.to_string());
    format!("{event} (draft section 4.{})", row.machine.plan().case)
}

//! Leases: trust in a running deployment has an end unless its device attests again.
//!
//! The first renewal brings a quote; those after it are the Agent's word alone, over that quote,
//! which is appraised again each time by the policy and the collateral of the day. One that is
//! refused costs the quote, so that the next has to bring a new one. What the device does when its
//! lease is over, nobody here can say: see [`api::Enforcement`].

use api::{Enforcement, Lease};

use crate::store::{Change, DeviceRow, Errand, LeaseRow, NewDecision, Purpose, Quoted};

use super::{Moc, Refusal, is_stale};

impl Moc {
    /// Begins the leases of deployments that run, ends those that are over, and wakes the devices
    /// of those that are due.
    pub(super) async fn sweep_leases(&self) -> Result<(), Refusal> {
        let now_ms = self.clock.now_ms();
        for row in self.store.leases_to_begin().await? {
            let until_ms = Some(end(&row, now_ms));
            self.settle_lease(LeaseRow { until_ms, ..row }, "lease begun", "it runs").await?;
        }
        for row in self.store.leases_over(now_ms).await? {
            let why = match row.until_ms.is_some_and(|until_ms| until_ms <= now_ms) {
                true => "not renewed in time; not enforceable against the REE",
                false => "the deployment has ended",
            };
            self.settle_lease(LeaseRow { ended: true, ..row }, "lease ended", why).await?;
        }
        for device in self.store.devices_due(now_ms).await? {
            self.hub.changed(&crate::hub::Topic::Device(device));
        }
        Ok(())
    }

    /// The next sweep sees again what has changed meanwhile.
    async fn settle_lease(&self, row: LeaseRow, decision: &str, why: &str) -> Result<(), Refusal> {
        tracing::info!(deployment = %row.deployment, why, "{decision}");
        let topic = crate::hub::Topic::Deployment(row.deployment.clone());
        let told = decided(&row, self.clock.now_ms(), decision, why);
        match self.store.commit(vec![Change::SaveLease(row), told]).await {
            Err(error) if is_stale(&error) => return Ok(()),
            outcome => outcome?,
        }
        self.hub.changed(&topic);
        Ok(())
    }

    /// The renewals that a device owes.
    pub(super) async fn renewals(&self, device: &DeviceRow) -> Result<Vec<Errand>, Refusal> {
        let due = self.store.leases_due(&device.device, self.clock.now_ms()).await?;
        let errand = |row: LeaseRow| Errand {
            // What was asked for an earlier end is not what is asked for this one.
            step: row.version.to_string(),
            tenant: row.tenant,
            device: row.device,
            deployment: row.deployment,
            attestation: String::new(),
            purpose: Purpose::Renew,
        };
        Ok(due.into_iter().map(errand).collect())
    }
}

impl LeaseRow {
    /// The lease that a request asks for.
    pub(super) fn asked(deployment: &str, tenant: &str, device: &str, seconds: u64) -> Self {
        Self {
            deployment: deployment.to_owned(),
            tenant: tenant.to_owned(),
            device: device.to_owned(),
            seconds,
            until_ms: None,
            renewals: 0,
            ended: false,
            version: 0,
            quoted: None,
        }
    }

    /// The quote that a renewal may rest on; one that is old is made anew.
    pub(crate) fn fresh_quote(&self, now_ms: u64) -> Option<&Quoted> {
        let quoted = self.quoted.as_ref();
        quoted.filter(|quoted| now_ms < quoted.at_ms.saturating_add(QUOTE_COUNTS_MS))
    }

    /// The lease after evidence was accepted, with what later renewals rest on.
    pub(crate) fn renewed(self, quoted: Option<Quoted>, now_ms: u64) -> Vec<Change> {
        let (decision, why) = match &quoted {
            Some(_) => ("lease renewed", "by a new quote"),
            None => ("lease renewed", "by the Agent, over the quote of an earlier renewal"),
        };
        let row = Self {
            until_ms: Some(end(&self, now_ms)),
            renewals: self.renewals + 1,
            quoted: quoted.or_else(|| self.quoted.clone()),
            ..self
        };
        let told = decided(&row, now_ms, decision, why);
        vec![Change::SaveLease(row), told]
    }

    /// The lease after evidence was refused: whatever comes next rests on a new quote.
    pub(crate) fn doubted(self) -> Change {
        Change::SaveLease(Self { quoted: None, ..self })
    }

    pub(super) const fn view(&self) -> Lease {
        Lease {
            seconds: self.seconds,
            until_ms: self.until_ms,
            renewals: self.renewals,
            ended: self.ended,
            enforcement: Enforcement::NotEnforceable,
        }
    }
}

const fn end(row: &LeaseRow, now_ms: u64) -> u64 {
    now_ms.saturating_add(row.seconds.saturating_mul(1000))
}

fn decided(row: &LeaseRow, at_ms: u64, decision: &str, reason: &str) -> Change {
    Change::AddDecision(NewDecision {
        tenant: row.tenant.clone(),
        at_ms,
        subject: format!("deployment/{}", row.deployment),
        decision: decision.into(),
        reason: reason.into(),
    })
}

/// Checked where a lease is asked for.
pub(super) const SECONDS: std::ops::RangeInclusive<u64> = 60..=86_400;

/// The same in words.
pub(super) const SECONDS_RULE: &str = "60 to 86400 seconds";

/// How long renewals may rest on one quote.
const QUOTE_COUNTS_MS: u64 = 86_400_000;

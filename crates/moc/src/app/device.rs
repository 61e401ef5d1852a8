//! What a device's Broker gets: a wake-up with a ticket, when there is work.

use api::{DeviceState, PackageName, Wake, WakeReason};

use crate::{
    deployment::{Task, Turn},
    hub::Topic,
    store::{Change, DeploymentRow, DeviceRow, Errand, Purpose, ResultState, TicketRow},
};

use super::{Moc, Refusal, hash, operator::enrolment, secret};

impl Moc {
    /// The next piece of work for a device; waits for one as long as a poll may last.
    pub async fn wake(&self, device: &str) -> Result<Option<Wake>, Refusal> {
        let end = self.poll_end();
        loop {
            let mut waiting = self.hub.wait(Topic::Device(device.to_owned()));
            if let Some(wake) = self.next_wake(device).await? {
                return Ok(Some(wake));
            }
            if !self.woken(&mut waiting, end).await {
                return Ok(None);
            }
        }
    }

    async fn next_wake(&self, device: &str) -> Result<Option<Wake>, Refusal> {
        let now_ms = self.clock.now_ms();
        let row = self.store.device(device).await?.ok_or(Refusal::NotFound("device"))?;
        let tickets = self.store.tickets(device, now_ms).await?;
        for (errand, load) in self.errands(&row).await? {
            if tickets.iter().any(|ticket| is_under_way(ticket, &errand, now_ms)) {
                continue;
            }
            let reason = match errand.purpose {
                Purpose::Enrol => WakeReason::Enrol,
                Purpose::Attest => WakeReason::Attest,
                Purpose::Deploy | Purpose::Unasked => WakeReason::Deploy,
            };
            let ticket = secret("");
            let row = TicketRow {
                ticket: hash(&ticket),
                errand,
                woken_ms: Some(now_ms),
                created_ms: now_ms,
                expires_ms: now_ms.saturating_add(self.limits.exchange_ms_max),
            };
            self.store.commit(vec![Change::AddTicket(row)]).await?;
            tracing::debug!(device, ?reason, "device woken");
            return Ok(Some(Wake { ticket: Some(ticket), reason, load }));
        }
        Ok(None)
    }

    /// Everything that this device has to do, the oldest deployment first.
    async fn errands(
        &self,
        device: &DeviceRow,
    ) -> Result<Vec<(Errand, Option<Vec<String>>)>, Refusal> {
        match device.state {
            DeviceState::Enrolled => {
                return Ok(vec![(enrolment(&device.device, device.version), None)]);
            }
            DeviceState::Quarantined => return Ok(Vec::new()),
            DeviceState::Attested => {}
        }
        let mut errands = Vec::new();
        for row in self.store.open_deployments(&device.device).await? {
            let Turn::Device(task) = row.machine.turn() else { continue };
            match task {
                Task::Install { package, loaded_by_ua } => {
                    let load = match loaded_by_ua {
                        true => self.component(&row, package).await?,
                        false => None,
                    };
                    errands.push((errand(&row, Purpose::Deploy, String::new()), load));
                }
                Task::Attest => {
                    let results = self.store.results(&row.deployment).await?;
                    let pending =
                        results.into_iter().find(|result| result.state == ResultState::Pending);
                    if let Some(result) = pending {
                        errands.push((errand(&row, Purpose::Attest, result.attestation), None));
                    }
                }
            }
        }
        Ok(errands)
    }

    /// The component that a package installs, each element in hex.
    async fn component(
        &self,
        row: &DeploymentRow,
        package: PackageName,
    ) -> Result<Option<Vec<String>>, Refusal> {
        let found = self.store.package(&row.deployment, package).await?;
        Ok(found.and_then(|package| package.components.into_iter().next()))
    }
}

fn errand(row: &DeploymentRow, purpose: Purpose, attestation: String) -> Errand {
    let step = row.machine.next_event().map_or_else(String::new, |event| event.to_string());
    Errand {
        tenant: row.tenant.clone(),
        device: row.device.clone(),
        deployment: row.deployment.clone(),
        attestation,
        purpose,
        step,
    }
}

/// Whether the device was woken for this not long ago.
fn is_under_way(ticket: &TicketRow, errand: &Errand, now_ms: u64) -> bool {
    ticket.errand == *errand
        && ticket.woken_ms.is_some_and(|woken| now_ms < woken.saturating_add(WAKE_AGAIN_MS))
}

/// How long a device has for the work that it was woken for before it is woken again.
pub(crate) const WAKE_AGAIN_MS: u64 = 60_000;

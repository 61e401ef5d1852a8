//! What a device's Broker gets: a wake-up with a ticket, when there is work.

use std::time::Duration;

use api::{DeviceState, Owner, PackageName, PostPlacement, Wake, WakeReason};

use tokio::time::Instant;

use crate::{
    deployment::{Failure, Task, Turn},
    hub::Topic,
    store::{Change, DeploymentRow, DeviceRow, Errand, Purpose, ResultState, TicketRow},
};

use super::{Moc, Refusal, happened, hash, operator::enrolment, secret, settle};

impl Moc {
    /// The next piece of work for a device; waits for one as long as a poll may last.
    pub async fn wake(&self, device: &str) -> Result<Option<Wake>, Refusal> {
        let end = self.poll_end();
        loop {
            let mut waiting = self.hub.wait(Topic::Device(device.to_owned()));
            if let Some(wake) = self.next_wake(device).await? {
                return Ok(Some(wake));
            }
            // Work that a device lost is due again without anything having changed here.
            let again = Instant::now() + Duration::from_millis(self.limits.wake_again_ms);
            if !self.woken(&mut waiting, end.min(again)).await
                && (self.hub.is_closed() || Instant::now() >= end)
            {
                return Ok(None);
            }
        }
    }

    async fn next_wake(&self, device: &str) -> Result<Option<Wake>, Refusal> {
        let now_ms = self.clock.now_ms();
        let row = self.store.device(device).await?.ok_or(Refusal::NotFound("device"))?;
        let tickets = self.store.tickets(device, now_ms).await?;
        for Work { errand, load, place } in self.errands(&row).await? {
            let again_ms = self.limits.wake_again_ms;
            if tickets.iter().any(|ticket| is_under_way(ticket, &errand, now_ms, again_ms)) {
                continue;
            }
            let reason = match errand.purpose {
                Purpose::Enrol => WakeReason::Enrol,
                Purpose::Attest | Purpose::Renew => WakeReason::Attest,
                Purpose::Deploy | Purpose::Place | Purpose::Unasked => WakeReason::Deploy,
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
            return Ok(Some(Wake { ticket: Some(ticket), reason, load, place }));
        }
        Ok(None)
    }

    /// Everything that this device has to do, the oldest deployment first.
    async fn errands(&self, device: &DeviceRow) -> Result<Vec<Work>, Refusal> {
        match (device.standing(), device.state) {
            // Whoever approves a device wants to see what its evidence says.
            (DeviceState::Enrolled, _) | (DeviceState::Pending, DeviceState::Enrolled) => {
                return Ok(vec![Work::of(enrolment(&device.device, device.version))]);
            }
            (DeviceState::Pending | DeviceState::Quarantined | DeviceState::Retired, _) => {
                return Ok(Vec::new());
            }
            (DeviceState::Attested | DeviceState::Draining, _) => {}
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
                    let errand = errand(&row, Purpose::Deploy, String::new());
                    errands.push(Work { load, ..Work::of(errand) });
                }
                Task::Place => {
                    let ua = self.store.package(&row.deployment, PackageName::Ua).await?;
                    let place = ua.map(|package| package.sha256);
                    let errand = errand(&row, Purpose::Place, String::new());
                    errands.push(Work { place, ..Work::of(errand) });
                }
                Task::Attest => {
                    let results = self.store.results(&row.deployment).await?;
                    let pending =
                        results.into_iter().find(|result| result.state == ResultState::Pending);
                    if let Some(result) = pending {
                        let errand = errand(&row, Purpose::Attest, result.attestation);
                        errands.push(Work::of(errand));
                    }
                }
            }
        }
        errands.extend(self.renewals(device).await?.into_iter().map(Work::of));
        Ok(errands)
    }

    /// A Broker tells what became of a UA that a Network User deploys (draft section 4.4, step 3).
    pub async fn placed(&self, device: &str, told: &PostPlacement) -> Result<(), Refusal> {
        let now_ms = self.clock.now_ms();
        let unknown = || Refusal::NotFound("ticket");
        let ticket = self.store.ticket(&hash(&told.ticket), now_ms).await?.ok_or_else(unknown)?;
        let errand = &ticket.errand;
        if errand.device != device || errand.purpose != Purpose::Place {
            return Err(unknown());
        }
        match settle!(self.placed_once(&ticket, told).await) {
            // The same was told twice at the same time.
            Err(Refusal::Conflict(failure)) if failure.check == "single-use" => Err(unknown()),
            outcome => outcome,
        }
    }

    async fn placed_once(&self, ticket: &TicketRow, told: &PostPlacement) -> Result<(), Refusal> {
        let errand = &ticket.errand;
        let found = self.store.deployment(&errand.deployment).await?;
        let mut row = found.ok_or(Refusal::NotFound("deployment"))?;
        let mut changes = vec![Change::ShowTicket { ticket: ticket.ticket.clone() }];
        let next = row.machine.next_step().filter(|step| step.task == Task::Place);
        let Some(step) = next.filter(|step| step.event.to_string() == errand.step) else {
            return Ok(self.store.commit(changes).await?);
        };
        match (&told.report, &told.failure) {
            (Some(report), None) => {
                let statement = hex::decode(report)
                    .map_err(|_| Refusal::malformed("report", "hexadecimal", "something else"))?;
                changes.extend(happened(&mut row, &step, statement, self.clock.now_ms()));
            }
            (_, failure) => row.machine.fail(Failure {
                check: "ua.placement".into(),
                expected: "the UA runs in the REE".into(),
                seen: failure.clone().unwrap_or_else(|| "neither a report nor a reason".into()),
                owner: Owner::NetworkUser,
                remedy: "mend the UA's package, then request a new deployment".into(),
            }),
        }
        changes.push(self.save(&row));
        self.store.commit(changes).await?;
        self.changed(&row);
        Ok(())
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

/// What a device is woken for.
struct Work {
    errand: Errand,
    /// The TA that a UA loads.
    load: Option<Vec<String>>,
    /// The UA that the Broker places.
    place: Option<String>,
}

impl Work {
    const fn of(errand: Errand) -> Self {
        Self { errand, load: None, place: None }
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
fn is_under_way(ticket: &TicketRow, errand: &Errand, now_ms: u64, again_ms: u64) -> bool {
    ticket.errand == *errand
        && ticket.woken_ms.is_some_and(|woken| now_ms < woken.saturating_add(again_ms))
}

//! What the operator does: tenants and devices.

use std::collections::BTreeMap;

use api::{
    Capacity, DeviceAdded, DeviceState, DeviceView, EnrolmentOpened, PostDevice, PostTenant, Role,
    TcbLevel, TenantAdded, TenantView,
};

use crate::{
    hub::Topic,
    store::{Change, DeviceRow, Duty, Errand, NewDecision, Purpose, TicketRow, Usage},
};

use super::{
    Moc, Refusal, hash, identifier,
    joining::check_enrolment,
    new_token, secret, settle,
    user::{AMOUNT_MAX, AMOUNT_RULE},
};

impl Moc {
    /// Adds a tenant; its token is told this once.
    pub async fn add_tenant(&self, asked: &PostTenant) -> Result<TenantAdded, Refusal> {
        check_name(&asked.name)?;
        let now_ms = self.clock.now_ms();
        let tenant = identifier();
        let (token, row) = new_token(Role::TenantAdmin, &tenant, "", now_ms);
        let name = asked.name.clone();
        let decision = NewDecision {
            tenant: tenant.clone(),
            at_ms: now_ms,
            subject: format!("tenant/{tenant}"),
            decision: "added".into(),
            reason: format!("by the operator, as {name}"),
        };

        self.store
            .commit(vec![
                Change::AddTenant { tenant: tenant.clone(), name, at_ms: now_ms },
                Change::AddToken(row),
                Change::AddDecision(decision),
            ])
            .await?;

        tracing::info!(%tenant, name = %asked.name, "tenant added");
        Ok(TenantAdded { tenant, token })
    }

    /// Tenants behind a name, at most `limit`.
    pub async fn tenants(
        &self,
        after: Option<&str>,
        limit: u64,
    ) -> Result<Vec<TenantView>, Refusal> {
        Ok(self.store.tenants(after.unwrap_or_default(), limit).await?)
    }

    /// Adds a device; its token and the ticket of its enrolment are told this once.
    pub async fn add_device(&self, asked: &PostDevice) -> Result<DeviceAdded, Refusal> {
        check_device(asked)?;
        let now_ms = self.clock.now_ms();
        let device = &asked.device;
        let (token, token_row) = new_token(Role::Device, "", device, now_ms);
        let (ticket, ticket_row) = self.enrolment_ticket(device, 0, now_ms);
        let decision = NewDecision {
            tenant: String::new(),
            at_ms: now_ms,
            subject: format!("device/{device}"),
            decision: "added".into(),
            reason: format!("by the operator, as {}", asked.hardware),
        };

        self.store
            .commit(vec![
                Change::AddDevice(new_row(asked, now_ms)),
                Change::AddToken(token_row),
                Change::AddTicket(ticket_row),
                Change::AddDecision(decision),
            ])
            .await?;

        tracing::info!(%device, hardware = %asked.hardware, "device added");
        Ok(DeviceAdded { device: device.clone(), token, enrolment_ticket: ticket })
    }

    /// Asks for a new appraisal of a device that is known, whatever the last one said.
    pub async fn enrol_again(&self, device: &str) -> Result<EnrolmentOpened, Refusal> {
        settle!(self.enrol_again_once(device).await)
    }

    async fn enrol_again_once(&self, device: &str) -> Result<EnrolmentOpened, Refusal> {
        let mut row = self.store.device(device).await?.ok_or(Refusal::NotFound("device"))?;
        check_enrolment(&row)?;
        row.state = DeviceState::Enrolled;
        if row.duty == Duty::Held {
            row.duty = Duty::Serving;
            row.reason = String::new();
        }
        let now_ms = self.clock.now_ms();
        let (ticket, ticket_row) = self.enrolment_ticket(device, row.version + 1, now_ms);
        let decision = NewDecision {
            tenant: String::new(),
            at_ms: now_ms,
            subject: format!("device/{device}"),
            decision: "enrolment opened".into(),
            reason: "by the operator".into(),
        };
        self.store
            .commit(vec![
                Change::SaveDevice(row),
                Change::AddTicket(ticket_row),
                Change::AddDecision(decision),
            ])
            .await?;
        tracing::info!(%device, "enrolment opened");
        self.hub.changed(&Topic::Device(device.to_owned()));
        Ok(EnrolmentOpened { device: device.to_owned(), enrolment_ticket: ticket })
    }

    pub(super) fn enrolment_ticket(
        &self,
        device: &str,
        version: u64,
        now_ms: u64,
    ) -> (String, TicketRow) {
        let ticket = secret("");
        let row = TicketRow {
            ticket: hash(&ticket),
            errand: enrolment(device, version),
            woken_ms: None,
            created_ms: now_ms,
            expires_ms: now_ms.saturating_add(self.limits.exchange_ms_max),
        };
        (ticket, row)
    }

    /// Devices behind a name, at most `limit`.
    pub async fn devices(
        &self,
        after: Option<&str>,
        limit: u64,
    ) -> Result<Vec<DeviceView>, Refusal> {
        let found = self.store.devices_after(after.unwrap_or_default(), limit).await?;
        let names = (found.first(), found.last());
        let (Some(first), Some(last)) = names else { return Ok(Vec::new()) };
        let used: BTreeMap<String, Usage> =
            self.store.usage(&first.device, &last.device).await?.into_iter().collect();
        let view = |row: DeviceRow| {
            let usage = used.get(&row.device).cloned().unwrap_or_default();
            view(row, usage)
        };
        Ok(found.into_iter().map(view).collect())
    }

    /// One device.
    pub async fn device(&self, device: &str) -> Result<DeviceView, Refusal> {
        let row = self.store.device(device).await?.ok_or(Refusal::NotFound("device"))?;
        let used = self.store.usage(device, device).await?.pop();
        Ok(view(row, used.map(|(_, usage)| usage).unwrap_or_default()))
    }
}

/// The errand of a device's appraisal as long as it is of this version.
pub(super) fn enrolment(device: &str, version: u64) -> Errand {
    Errand {
        tenant: String::new(),
        device: device.to_owned(),
        deployment: String::new(),
        attestation: String::new(),
        purpose: Purpose::Enrol,
        step: version.to_string(),
    }
}

pub(super) fn new_row(asked: &PostDevice, now_ms: u64) -> DeviceRow {
    DeviceRow {
        device: asked.device.clone(),
        hardware: asked.hardware,
        instances: asked.instances.clone(),
        zone: asked.zone.clone().unwrap_or_default(),
        jurisdiction: asked.jurisdiction.clone().unwrap_or_default(),
        latency_ms: asked.latency_ms.map(u64::from),
        capacity: asked.capacity,
        state: DeviceState::Enrolled,
        duty: Duty::Serving,
        reason: String::new(),
        hardware_id: asked.hardware_id.clone().unwrap_or_default(),
        seen_hardware_id: String::new(),
        version: 0,
        agent_key: None,
        agent_kid: None,
        report_key: None,
        receipt_key: None,
        suite: None,
        emulated: None,
        tcb_status: None,
        verdict: None,
        attested_ms: None,
        epoch: 0,
        created_ms: now_ms,
    }
}

fn view(row: DeviceRow, usage: Usage) -> DeviceView {
    let left = |has: Option<u64>, used: u64| has.map(|has| has.saturating_sub(used));
    DeviceView {
        state: row.standing(),
        headroom: Capacity {
            slots: left(row.capacity.slots, usage.deployments),
            memory_mib: left(row.capacity.memory_mib, usage.resources.memory_mib),
            cpu_milli: left(row.capacity.cpu_milli, usage.resources.cpu_milli),
        },
        deployments: usage.deployments,
        capacity: row.capacity,
        jurisdiction: (!row.jurisdiction.is_empty()).then_some(row.jurisdiction),
        latency_ms: row.latency_ms.and_then(|latency| u32::try_from(latency).ok()),
        tcb_level: row.tcb_status.as_deref().and_then(TcbLevel::of),
        attested_at_ms: row.attested_ms,
        device: row.device,
        hardware_id: (!row.hardware_id.is_empty()).then_some(row.hardware_id),
        seen_hardware_id: (!row.seen_hardware_id.is_empty()).then_some(row.seen_hardware_id),
        reason: (!row.reason.is_empty()).then_some(row.reason),
        hardware: row.hardware,
        instances: row.instances,
        zone: (!row.zone.is_empty()).then_some(row.zone),
        emulated: row.emulated,
        tcb_status: row.tcb_status,
        agent_key: row.agent_kid,
        verdict: row.verdict,
    }
}

/// Whether a device may be announced or added as it is.
pub(super) fn check_device(asked: &PostDevice) -> Result<(), Refusal> {
    check_name(&asked.device)?;
    check_instances(asked)?;
    asked.jurisdiction.as_deref().map_or(Ok(()), check_jurisdiction)?;
    asked.hardware_id.as_deref().map_or(Ok(()), check_hardware_id)?;
    asked.zone.as_deref().map_or(Ok(()), check_zone)?;
    check_capacity(&asked.capacity)
}

pub(super) fn check_hardware_id(id: &str) -> Result<(), Refusal> {
    let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let good =
        (16..=128).contains(&id.len()) && id.len().is_multiple_of(2) && id.bytes().all(lower);
    match good {
        true => Ok(()),
        false => {
            let seen = format!("{} characters", id.chars().count());
            Err(Refusal::malformed("hardware_id", HARDWARE_ID_RULE, seen))
        }
    }
}

fn check_zone(zone: &str) -> Result<(), Refusal> {
    let good = (1..=NAME_BYTES_MAX).contains(&zone.len()) && !zone.chars().any(char::is_control);
    match good {
        true => Ok(()),
        false => Err(Refusal::malformed("zone", "1 to 64 bytes on one line", "something else")),
    }
}

pub(super) fn check_name(name: &str) -> Result<(), Refusal> {
    let allowed = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let good = (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.as_bytes().first().is_some_and(allowed)
        && name.bytes().all(|byte| allowed(&byte) || b"._-".contains(&byte));
    match good {
        true => Ok(()),
        false => Err(Refusal::malformed("name", NAME_RULE, name)),
    }
}

/// A country as ISO 3166-1 writes it with two letters.
pub(super) fn check_jurisdiction(name: &str) -> Result<(), Refusal> {
    match name.len() == 2 && name.bytes().all(|byte| byte.is_ascii_uppercase()) {
        true => Ok(()),
        false => Err(Refusal::malformed("jurisdiction", "two letters of ISO 3166-1", name)),
    }
}

fn check_capacity(capacity: &Capacity) -> Result<(), Refusal> {
    let amounts = [capacity.slots, capacity.memory_mib, capacity.cpu_milli];
    match amounts.into_iter().flatten().all(|amount| amount <= AMOUNT_MAX) {
        true => Ok(()),
        false => Err(Refusal::malformed("capacity", AMOUNT_RULE, "more")),
    }
}

fn check_instances(asked: &PostDevice) -> Result<(), Refusal> {
    let hardware = asked.hardware;
    if asked.instances.is_empty() {
        return Err(Refusal::malformed("instances", "at least one instance type", "none"));
    }
    match asked.instances.iter().find(|instance| !hardware.hosts(**instance)) {
        None => Ok(()),
        Some(instance) => Err(Refusal::malformed(
            "instances",
            "instance types that exist on the hardware",
            format!("{instance} on {hardware}"),
        )),
    }
}

const NAME_BYTES_MAX: usize = 64;
const HARDWARE_ID_RULE: &str = "8 to 64 bytes in lower-case hexadecimal digits";
const NAME_RULE: &str = "1 to 64 of a-z 0-9 . _ -, first a letter or digit";

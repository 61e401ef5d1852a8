//! How devices join, and what they are ordered to do.

use api::{
    DeviceAdded, DeviceState, DeviceView, JoinTokenAdded, JoinTokenView, JoinTokensAdded, Order,
    Owner, PostDevice, PostJoin, PostJoinTokens, PostOrder, Role,
};

use crate::{
    deployment::Failure,
    hub::Topic,
    store::{Change, DeviceRow, Duty, JoinTokenRow, NewDecision},
};

use super::{
    Moc, Refusal, hash, new_token,
    operator::{check_device, check_hardware_id, new_row},
    secret, settle,
};

impl Moc {
    /// Announces devices, all of them or none; each token is told this once.
    pub async fn add_join_tokens(
        &self,
        asked: &PostJoinTokens,
    ) -> Result<JoinTokensAdded, Refusal> {
        if !(1..=DEVICES_MAX).contains(&asked.devices.len()) {
            let expected = format!("1 to {DEVICES_MAX} devices");
            return Err(Refusal::malformed("devices", &expected, asked.devices.len().to_string()));
        }
        let now_ms = self.clock.now_ms();
        let expires_at_ms = now_ms.saturating_add(lifetime_ms(asked.expires_in_s)?);
        let mut tokens = Vec::with_capacity(asked.devices.len());
        let mut changes = Vec::with_capacity(2 * asked.devices.len());
        for device in &asked.devices {
            check_device(device)?;
            if device.hardware_id.is_none() {
                let seen = format!("none for {}", device.device);
                return Err(Refusal::malformed("hardware_id", "one for each device", seen));
            }
            if self.store.device(&device.device).await?.is_some() {
                return Err(known(&device.device));
            }
            let (token, row) = announced(device, asked.approved, now_ms, expires_at_ms);
            let (id, device) = (row.id().to_owned(), device.device.clone());
            let reason = format!("for hardware {}", row.body.hardware_id.as_deref().unwrap_or(""));
            changes.push(Change::AddJoinToken(row));
            changes.push(decided(now_ms, &device, "announced", reason));
            tokens.push(JoinTokenAdded { id, device, token });
        }
        self.store.commit(changes).await?;
        tracing::info!(devices = tokens.len(), "devices announced");
        Ok(JoinTokensAdded { tokens, expires_at_ms })
    }

    /// The join tokens that count, of devices behind a name, at most `limit`.
    pub async fn join_tokens(
        &self,
        after: Option<&str>,
        limit: u64,
    ) -> Result<Vec<JoinTokenView>, Refusal> {
        let now_ms = self.clock.now_ms();
        let rows = self.store.join_tokens(after.unwrap_or_default(), limit, now_ms).await?;
        Ok(rows.into_iter().map(view).collect())
    }

    /// Takes a join token back.
    pub async fn revoke_join_token(&self, id: &str) -> Result<(), Refusal> {
        let now_ms = self.clock.now_ms();
        let unknown = || Refusal::NotFound("join token");
        let row = self.store.join_token_by_id(id, now_ms).await?.ok_or_else(unknown)?;
        let ended = decided(now_ms, &row.body.device, "taken back", "by the operator".into());
        let changes = vec![Change::EndJoinToken { hash: row.hash }, ended];
        match self.store.commit(changes).await.map_err(Refusal::from) {
            // It was used or taken back at the same time.
            Err(Refusal::Conflict(failure)) if failure.check == "single-use" => Err(unknown()),
            outcome => outcome,
        }
    }

    /// A device joins with its token. What it says of its hardware has to be what was announced;
    /// its evidence has to show the same later.
    pub async fn join(&self, asked: &PostJoin) -> Result<DeviceAdded, Refusal> {
        let now_ms = self.clock.now_ms();
        let found = self.store.join_token(&hash(&asked.token), now_ms).await?;
        let announced = found.ok_or(Refusal::Unauthenticated)?;
        let device = announced.body.device.clone();
        if announced.body.hardware_id.as_ref() != Some(&asked.hardware_id) {
            tracing::warn!(%device, "somebody tried to join with other hardware");
            let refused = decided(now_ms, &device, "not joined", "with other hardware".into());
            self.store.commit(vec![refused]).await?;
            return Err(other_hardware(&announced.body, &asked.hardware_id));
        }
        let mut row = new_row(&announced.body, now_ms);
        row.duty = if announced.approved { Duty::Serving } else { Duty::Pending };
        let (token, token_row) = new_token(Role::Device, "", &device, now_ms);
        let (ticket, ticket_row) = self.enrolment_ticket(&device, 0, now_ms);
        let reason = format!("by token {}", announced.id());
        let changes = vec![
            Change::EndJoinToken { hash: announced.hash.clone() },
            Change::AddDevice(row),
            Change::AddToken(token_row),
            Change::AddTicket(ticket_row),
            decided(now_ms, &device, "joined", reason),
        ];
        match self.store.commit(changes).await.map_err(Refusal::from) {
            // The token was used a moment ago.
            Err(Refusal::Conflict(failure)) if failure.check == "single-use" => {
                Err(Refusal::Unauthenticated)
            }
            Err(refusal) => Err(refusal),
            Ok(()) => {
                tracing::info!(%device, "device joined");
                Ok(DeviceAdded { device, token, enrolment_ticket: ticket })
            }
        }
    }

    /// Carries out an order of the operator.
    pub async fn order(&self, device: &str, asked: &PostOrder) -> Result<DeviceView, Refusal> {
        let reason = asked.reason.as_deref().unwrap_or_default();
        if reason.chars().count() > REASON_MAX || reason.chars().any(char::is_control) {
            let expected = format!("at most {REASON_MAX} characters on one line");
            return Err(Refusal::malformed("reason", &expected, "something else"));
        }
        settle!(self.order_once(device, asked.order, reason).await)?;
        // What is under way there ends now, not with the next sweep.
        self.fail_stranded().await?;
        self.hub.changed(&Topic::Device(device.to_owned()));
        self.device(device).await
    }

    async fn order_once(&self, device: &str, order: Order, reason: &str) -> Result<(), Refusal> {
        let mut row = self.store.device(device).await?.ok_or(Refusal::NotFound("device"))?;
        row.duty = ordered(&row, order)?;
        row.reason = reason.to_owned();
        let now_ms = self.clock.now_ms();
        let told = if reason.is_empty() { "by the operator" } else { reason };
        let mut changes = Vec::new();
        if order == Order::Retire {
            // Its hardware may come again, as another device.
            row.agent_key = None;
            row.agent_kid = None;
            changes.push(Change::RevokeDevice { device: device.to_owned(), at_ms: now_ms });
        }
        changes.push(Change::SaveDevice(row));
        changes.push(decided(now_ms, device, done(order), told.to_owned()));
        self.store.commit(changes).await?;
        tracing::info!(%device, %order, "device ordered");
        Ok(())
    }
}

/// The duty that follows from an order, where it makes sense.
fn ordered(row: &DeviceRow, order: Order) -> Result<Duty, Refusal> {
    let refuse = |expected: &str, remedy: &str| {
        let seen = format!("{} is {}", row.device, row.standing().as_str());
        Err(Refusal::Conflict(Failure {
            check: "device.state".into(),
            expected: expected.to_owned(),
            seen,
            owner: Owner::Operator,
            remedy: remedy.to_owned(),
        }))
    };
    match (order, row.duty) {
        (_, Duty::Retired) => refuse("a device that is not retired", "add it under another name"),
        (Order::Approve, Duty::Pending) => Ok(Duty::Serving),
        (Order::Approve, _) => refuse("a device that waits for its approval", "leave it as it is"),
        (Order::Drain, Duty::Serving) => Ok(Duty::Draining),
        (Order::Drain, _) => refuse("a device that serves", "approve or enrol it first"),
        (Order::Resume, Duty::Draining) => Ok(Duty::Serving),
        (Order::Resume, _) => {
            refuse("a device that drains", "approve one that is pending, enrol one that is held")
        }
        (Order::Quarantine, Duty::Held) => {
            refuse("a device that is not in quarantine by order", "leave it as it is")
        }
        (Order::Quarantine, _) => Ok(Duty::Held),
        (Order::Retire, _) => Ok(Duty::Retired),
    }
}

const fn done(order: Order) -> &'static str {
    match order {
        Order::Approve => "approved",
        Order::Drain => "draining",
        Order::Resume => "resumed",
        Order::Quarantine => "quarantined",
        Order::Retire => "retired",
    }
}

fn announced(
    device: &PostDevice,
    approved: bool,
    now_ms: u64,
    expires_ms: u64,
) -> (String, JoinTokenRow) {
    let token = secret("tamarack-join-");
    let row = JoinTokenRow {
        hash: hash(&token),
        body: device.clone(),
        approved,
        created_ms: now_ms,
        expires_ms,
    };
    (token, row)
}

fn decided(at_ms: u64, device: &str, decision: &str, reason: String) -> Change {
    Change::AddDecision(NewDecision {
        tenant: String::new(),
        at_ms,
        subject: format!("device/{device}"),
        decision: decision.to_owned(),
        reason,
    })
}

fn known(device: &str) -> Refusal {
    Refusal::conflict(
        "unique",
        "a device that is not there yet",
        format!("{device} exists"),
        "choose another name, or leave it out",
    )
}

fn other_hardware(announced: &PostDevice, seen: &str) -> Refusal {
    let shown = match check_hardware_id(seen) {
        Ok(()) => seen.to_owned(),
        Err(_) => "something else".to_owned(),
    };
    Refusal::Untrusted(Failure {
        check: "device.hardware-id".into(),
        expected: format!("the hardware that was announced as {}", announced.device),
        seen: shown,
        owner: Owner::Operator,
        remedy: "announce the device with the identity of its hardware".into(),
    })
}

fn view(row: JoinTokenRow) -> JoinTokenView {
    JoinTokenView {
        id: row.id().to_owned(),
        device: row.body.device,
        hardware: row.body.hardware,
        hardware_id: row.body.hardware_id.unwrap_or_default(),
        approved: row.approved,
        expires_at_ms: row.expires_ms,
    }
}

fn lifetime_ms(asked: Option<u64>) -> Result<u64, Refusal> {
    let seconds = asked.unwrap_or(LIFETIME_S);
    match (1..=LIFETIME_S_MAX).contains(&seconds) {
        true => Ok(seconds * 1000),
        false => {
            let expected = format!("1 to {LIFETIME_S_MAX} seconds");
            Err(Refusal::malformed("expires_in_s", &expected, seconds.to_string()))
        }
    }
}

/// Why a device that waits or has ended is not appraised anew.
pub(super) fn check_enrolment(row: &DeviceRow) -> Result<(), Refusal> {
    let (expected, remedy) = match row.standing() {
        DeviceState::Pending => ("a device that is approved", "approve it"),
        DeviceState::Retired => ("a device that is not retired", "add it under another name"),
        DeviceState::Enrolled
        | DeviceState::Attested
        | DeviceState::Draining
        | DeviceState::Quarantined => return Ok(()),
    };
    Err(Refusal::Conflict(Failure {
        check: "device.state".into(),
        expected: expected.into(),
        seen: format!("{} is {}", row.device, row.standing().as_str()),
        owner: Owner::Operator,
        remedy: remedy.into(),
    }))
}

/// Devices of one manifest.
const DEVICES_MAX: usize = 1000;
/// Characters of a reason.
const REASON_MAX: usize = 200;
/// 7 days.
const LIFETIME_S: u64 = 604_800;
/// A leap year.
const LIFETIME_S_MAX: u64 = 31_622_400;

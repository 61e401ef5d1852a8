//! One round: the effects of one message, in order, until something goes out or nothing is left.

use std::{collections::VecDeque, sync::OnceLock};

use teep::{
    Timestamp,
    appraisal::NotAttested,
    envelope::Outgoing,
    tam::{Appraise, Effect, PayloadKind, Peer, Purpose as Opening, Record, Session, Spent},
};

use super::{Effects, TamFailed, draw};
use crate::{
    app::Moc,
    hub::Topic,
    store::{Change, DeploymentRow, DeviceRow, Errand, ExchangeRow, Purpose},
    verification::Appraised,
};

/// Everything that one round knows and changes. Nothing of it counts before the changes are
/// committed.
pub(super) struct Run<'a> {
    pub(super) moc: &'a Moc,
    pub(super) now_ms: u64,
    pub(super) errand: Errand,
    pub(super) device: Option<DeviceRow>,
    pub(super) deployment: Option<DeploymentRow>,
    pub(super) appraised: Option<Appraised>,
    /// Whether the message uses up what it answers; if not, nobody proved that it is new.
    pub(super) answers: bool,
    changes: Vec<Change>,
    device_changed: bool,
    deployment_changed: bool,
}

impl<'a> Run<'a> {
    pub(super) fn new(moc: &'a Moc, errand: Errand, device: Option<DeviceRow>) -> Self {
        Self {
            moc,
            now_ms: moc.clock().now_ms(),
            errand,
            device,
            deployment: None,
            appraised: None,
            answers: false,
            changes: Vec::new(),
            device_changed: false,
            deployment_changed: false,
        }
    }

    /// A round for somebody who is not known: it changes nothing.
    pub(super) fn stranger(moc: &'a Moc) -> Self {
        Self::new(moc, super::unasked(None), None)
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp(i64::try_from(self.now_ms / 1000).unwrap_or(i64::MAX))
    }

    pub(super) fn change(&mut self, change: Change) {
        self.changes.push(change);
    }

    pub(super) fn device_changed(&mut self) {
        self.device_changed = true;
    }

    pub(super) fn deployment_changed(&mut self) {
        self.deployment_changed = true;
    }

    /// Runs the effects of ProcessConnect.
    pub(super) async fn connect<'b>(
        &mut self,
        effects: Effects<'b>,
    ) -> Result<Option<Outgoing<'b>>, TamFailed> {
        let mut outgoing = None;
        for effect in effects {
            if let Effect::Send(message) = effect {
                outgoing = Some(message);
            } else if let Effect::Persist(record) = effect {
                self.persist(record);
            }
        }
        Ok(outgoing)
    }

    /// Runs the effects of an answer, and those that follow from them.
    ///
    /// `envelope` is where the package stays that goes out.
    pub(super) async fn answer<'b>(
        &mut self,
        session: &mut Session,
        effects: Effects<'b>,
        envelope: &'b OnceLock<Vec<u8>>,
    ) -> Result<Option<Outgoing<'b>>, TamFailed> {
        self.answers = effects.iter().any(|e| matches!(e, Effect::Persist(_) | Effect::Decide(_)));
        let mut outgoing = None;
        let mut waiting = VecDeque::from(effects);
        while let Some(effect) = waiting.pop_front() {
            if let Effect::Send(message) = effect {
                outgoing = Some(message);
                continue;
            }
            for follows in self.effect(session, effect, envelope).await?.into_iter().rev() {
                waiting.push_front(follows);
            }
        }
        Ok(outgoing)
    }

    async fn effect<'b>(
        &mut self,
        session: &mut Session,
        effect: Effect<'b>,
        envelope: &'b OnceLock<Vec<u8>>,
    ) -> Result<Effects<'b>, TamFailed> {
        let tam = &self.moc.tam().tam;
        let now = self.now();
        match effect {
            Effect::Persist(record) => self.persist(record),
            Effect::Appraise(payload) => {
                let outcome = self.appraise(&payload).await?;
                return Ok(session.appraised(tam, outcome)?);
            }
            Effect::Attested { signer, .. } => self.attested(&signer).await?,
            Effect::NotAttested(why) => self.not_attested(why).await?,
            Effect::Decide(inventory) => {
                let decision = self.decide(inventory.as_deref(), envelope).await?;
                return Ok(session.decide(tam, now, draw(), decision)?);
            }
            Effect::Repair(_) => return Ok(session.repair(tam, now, draw(), Vec::new())?),
            Effect::Installed { reports, msg } => {
                let msg = msg.as_ref().map(teep::Msg::as_str).unwrap_or_default();
                self.installed(&reports, msg).await?;
            }
            Effect::Refused { code, msg, reports } => {
                let msg = msg.as_ref().map(teep::Msg::as_str).unwrap_or_default();
                self.refused(code, msg, &reports).await?;
            }
            Effect::Requested { components, unneeded } => {
                let (asked, unneeded) = (components.len(), unneeded.len());
                tracing::debug!(device = %self.errand.device, asked, unneeded, "hint of the REE");
            }
            Effect::Connect(agent) => {
                return self.connect_again(agent);
            }
            Effect::Attest(_) => {
                return Ok(session.attested(tam, now, draw(), None, Vec::new())?);
            }
            Effect::Dropped(why) => {
                tracing::warn!(device = %self.errand.device, why, "an answer was dropped");
            }
            Effect::TimedOut => {}
            Effect::Send(_) => tracing::error!("what goes out is not run"),
        }
        Ok(Vec::new())
    }

    /// Opens another exchange with an Agent that came by itself.
    fn connect_again<'b>(&self, agent: Option<Peer>) -> Result<Effects<'b>, TamFailed> {
        let opening = match (agent, &self.device) {
            (Some(agent), Some(_)) => Opening::Manage { agent },
            _ => super::stranger(),
        };
        Ok(self.moc.tam().tam.process_connect(self.now(), draw(), opening, Vec::new())?)
    }

    async fn appraise(
        &mut self,
        payload: &Appraise<'_>,
    ) -> Result<Result<teep::appraisal::Appraisal, NotAttested>, TamFailed> {
        if payload.kind == PayloadKind::AttestationResult {
            return Ok(Err(NotAttested::Unsupported));
        }
        let Some(challenge) = &payload.challenge else { return Ok(Err(NotAttested::Nonce)) };
        let appraised = self.question(payload, challenge).await?;
        let outcome = appraised.outcome.clone();
        self.appraised = Some(appraised);
        Ok(outcome)
    }

    /// What is spent and what waits from here on.
    //= teep 14.28 (M): a response with a used token is ignored
    fn persist(&mut self, record: Record) {
        match record.spends {
            Some(Spent::Stored(correlation)) => {
                let correlation = correlation.to_bytes();
                self.changes.push(Change::SpendExchange { correlation });
            }
            Some(Spent::SelfDescribing { challenge, until }) => {
                let value = challenge.as_bytes().to_vec();
                let until_ms = u64::try_from(until.0).unwrap_or(0).saturating_add(1) * 1000;
                self.changes.push(Change::Use { value, until_ms });
            }
            None => {}
        }
        if let Some(exchange) = record.opens {
            let expires = u64::try_from(exchange.next_timeout().0).unwrap_or(0);
            self.changes.push(Change::AddExchange(ExchangeRow {
                correlation: exchange.correlation().to_bytes(),
                errand: self.errand.clone(),
                session: exchange.encode(),
                created_ms: self.now_ms,
                expires_ms: expires.saturating_mul(1000),
            }));
        }
    }

    /// The changes in order, and who has to hear of them.
    pub(super) fn into_changes(self) -> (Vec<Change>, Vec<Topic>) {
        let Self { mut changes, device, deployment, .. } = self;
        let mut touched = Vec::new();
        if let Some(row) = device.filter(|_| self.device_changed) {
            touched.push(Topic::Device(row.device.clone()));
            changes.push(Change::SaveDevice(row));
        }
        if let Some(row) = deployment.filter(|_| self.deployment_changed) {
            touched.push(Topic::Deployment(row.deployment.clone()));
            touched.push(Topic::Device(row.device.clone()));
            changes.push(self.moc.save(&row));
        }
        (changes, touched)
    }

    /// Whether the round is about somebody whom nobody enrolled.
    pub(super) fn is_strange(&self) -> bool {
        self.errand.purpose == Purpose::Unasked && self.device.is_none()
    }
}

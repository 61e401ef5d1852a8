//! What an appraisal, a report or a refusal means for the device and its deployment.

use std::borrow::Cow;

use api::{Check, DeviceState, EventName, InstanceType, Outcome, Owner, PackageName, Problem};
use suit::report::Opening;
use teep::{
    Challenge, ErrCode,
    appraisal::{NotAttested, Verdict},
    envelope::Signer,
    tam::Appraise,
};

use super::{TamFailed, report, run::Run};
use crate::{
    app::happened,
    deployment::{Failure, Step, Task, Turn},
    http,
    store::{
        Change, DeploymentRow, LeaseRow, NewDecision, PackageRow, Purpose, ReceiptRow, ResultRow,
        ResultState, StoreFailed,
    },
    verification::{Application, Appraised, Question},
};

impl Run<'_> {
    /// Puts the question to the Verifier, and one more to the store: whose key this is.
    pub(super) async fn question(
        &mut self,
        payload: &Appraise<'_>,
        challenge: &Challenge,
    ) -> Result<Appraised, TamFailed> {
        let (user_nonce, tenant) =
            self.pending().await?.map(|result| (result.user_nonce, result.tenant)).unzip();
        let tam_nonce = payload.tam_nonce.as_ref().unwrap_or(challenge);
        let quoted = self.lease().await?.and_then(|lease| lease.fresh_quote(self.now_ms).cloned());
        let question = Question {
            format: payload.payload.format.as_deref(),
            evidence: &payload.payload.bytes,
            challenge: challenge.as_bytes(),
            tam_nonce: tam_nonce.as_bytes(),
            user_nonce: user_nonce.as_deref(),
            signer: payload.signer.thumbprint,
            tenant: tenant.as_deref(),
            hardware: self.device.as_ref().map(|device| device.hardware),
            application: self.application().await?,
            quoted: quoted.as_ref(),
            now_ms: self.now_ms,
        };
        let mut appraised = self.moc.verification().appraise(&question);
        let kid = payload.signer.thumbprint.to_string();
        let own = self.device.as_ref().and_then(|device| device.agent_kid.as_ref());
        let known = match own == Some(&kid) {
            // No two devices have one Agent's key.
            true => None,
            false => self.moc.store().device_by_agent(&kid).await?,
        };
        let known = known.filter(|holder| holder.device != self.errand.device);
        if let Some(other) = known.filter(|_| !self.is_strange()) {
            refuse(&mut appraised, another_device(&other.device));
        }
        let bound = self.device.as_ref().map(|device| device.hardware_id.as_str());
        if let Some(expected) = bound.filter(|expected| !expected.is_empty())
            && appraised.facts.is_some()
            && appraised.hardware_id.as_deref() != Some(expected)
        {
            let failure = another_hardware(expected, appraised.hardware_id.as_deref());
            refuse(&mut appraised, failure);
        }
        Ok(appraised)
    }

    /// The Attestation Result that this exchange is to decide.
    async fn pending(&self) -> Result<Option<ResultRow>, StoreFailed> {
        if self.errand.purpose != Purpose::Attest {
            return Ok(None);
        }
        let found = self.moc.store().result(&self.errand.attestation).await?;
        Ok(found.filter(|result| result.state == ResultState::Pending))
    }

    /// The Trusted Application that the Evidence for a Network User has to name.
    //= rats 11.34 (R): release to a TA needs the TA's own entry
    async fn application(&self) -> Result<Option<Application>, StoreFailed> {
        if !matches!(self.errand.purpose, Purpose::Attest | Purpose::Renew) {
            return Ok(None);
        }
        let found = self.moc.application(&self.errand.deployment).await?;
        Ok(found.map(|part| Application {
            manifest_component: part.manifest_component.parts().to_vec(),
            manifest_digest: part.manifest_digest,
        }))
    }

    /// The appraisal passed, and so did nonce and key.
    pub(super) async fn attested(&mut self, signer: &Signer) -> Result<(), TamFailed> {
        let Some(appraised) = self.appraised.clone() else { return Ok(()) };
        let Some(facts) = &appraised.facts else { return Ok(()) };
        if self.is_strange() {
            tracing::info!(agent = %signer.thumbprint, "a stranger attested; nobody enrolled it");
            return Ok(());
        }
        if let Some(device) = &mut self.device {
            device.state = DeviceState::Attested;
            device.attested_ms = Some(self.now_ms);
            device.emulated = appraised.emulated;
            device.tcb_status = appraised.tcb_status.clone();
            device.verdict = Some(appraised.verdict.clone());
            device.seen_hardware_id = appraised.hardware_id.clone().unwrap_or_default();
            if self.errand.purpose == Purpose::Enrol {
                device.agent_key = Some(facts.agent_key.encode());
                device.agent_kid = Some(facts.agent_key.thumbprint().to_string());
                device.suite = Some(signer.suite.id());
            }
            device.report_key = Some(facts.report_key.encode());
            device.receipt_key = Some(facts.receipt_key.encode());
            self.device_changed();
        }
        let emulated = if appraised.emulated == Some(true) { "emulated " } else { "" };
        let tcb = appraised.tcb_status.as_deref().unwrap_or("unknown");
        let reason = format!("{emulated}{} with TCB {tcb}", facts.kind.title());
        //= rats 11.32 (M): what is logged of an appraisal is who and why, never the Evidence
        tracing::info!(device = %self.errand.device, %reason, "device attested");
        self.audit("attested", &reason);
        if let Some(lease) = self.lease().await? {
            let changes = lease.renewed(appraised.quoted, self.now_ms);
            changes.into_iter().for_each(|change| self.change(change));
            return Ok(());
        }
        self.result(&appraised).await
    }

    /// The lease that this exchange is to renew, unless it has ended meanwhile.
    async fn lease(&self) -> Result<Option<LeaseRow>, StoreFailed> {
        if self.errand.purpose != Purpose::Renew {
            return Ok(None);
        }
        let found = self.moc.store().lease(&self.errand.deployment).await?;
        Ok(found.filter(|lease| !lease.ended))
    }

    /// Hands the result to the Network User who asked for it.
    async fn result(&mut self, appraised: &Appraised) -> Result<(), TamFailed> {
        let Some(result) = self.pending().await? else { return Ok(()) };
        let Some(cmw) = appraised.cmw.clone() else { return Ok(()) };
        self.load().await?;
        if self.task() != Some(Task::Attest) {
            tracing::warn!(deployment = %self.errand.deployment, "the result comes too late");
            return Ok(());
        }
        self.change(Change::DecideResult(ResultRow {
            state: ResultState::Positive,
            cmw: Some(cmw.clone()),
            verdict: Some(appraised.verdict.clone()),
            decided_ms: Some(self.now_ms),
            ..result
        }));
        self.record(EventName::AttestAgent, cmw);
        Ok(())
    }

    /// The appraisal does not count.
    pub(super) async fn not_attested(&mut self, why: NotAttested) -> Result<(), TamFailed> {
        let appraised = self.appraised.take();
        let failure = appraised.as_ref().and_then(|appraised| appraised.failure.clone());
        let failure = failure.unwrap_or_else(|| not_attested(why));
        let (device, check) = (&self.errand.device, &failure.check);
        tracing::warn!(%device, %why, %check, expected = %failure.expected, seen = %failure.seen,
            "device not attested");
        if self.errand.purpose == Purpose::Unasked {
            return Ok(());
        }
        self.audit("not attested", &format!("{}: {}", failure.check, failure.seen));
        // The Agent's word over an earlier quote decides nothing about the device.
        let renewal = self.errand.purpose == Purpose::Renew
            && appraised.as_ref().is_some_and(|appraised| appraised.is_renewal);
        if let Some(lease) = self.lease().await? {
            self.change(lease.doubted());
        }
        let blames_device = !failure.check.starts_with("ta.") && !renewal;
        if let (Some(device), Some(appraised), true) = (&mut self.device, &appraised, blames_device)
        {
            device.state = DeviceState::Quarantined;
            device.emulated = appraised.emulated.or(device.emulated);
            device.tcb_status = appraised.tcb_status.clone().or(device.tcb_status.take());
            if let Some(seen) = &appraised.hardware_id {
                device.seen_hardware_id.clone_from(seen);
            }
            device.verdict = Some(appraised.verdict.clone());
            self.device_changed();
        }
        if let Some(result) = self.pending().await? {
            self.change(Change::DecideResult(ResultRow {
                state: ResultState::Refused,
                verdict: appraised.map(|appraised| appraised.verdict),
                problem: Some(http::failure(&failure)),
                decided_ms: Some(self.now_ms),
                ..result
            }));
            self.load().await?;
            if self.task() == Some(Task::Attest) {
                self.fail(failure);
            }
        }
        Ok(())
    }

    /// An Update was carried out, says the Agent; its signed report has to say so too.
    pub(super) async fn installed(
        &mut self,
        reports: &[Cow<'_, [u8]>],
        msg: &str,
    ) -> Result<(), TamFailed> {
        tracing::debug!(device = %self.errand.device, msg, reports = reports.len(), "success");
        let Some((package, row)) = self.under_way().await? else { return Ok(()) };
        match self.believe(&row, reports) {
            Ok(Told { receipt, steps }) => {
                if let Some(receipt) = receipt {
                    self.change(Change::AddReceipt(ReceiptRow {
                        deployment: row.deployment.clone(),
                        tenant: row.tenant.clone(),
                        receipt,
                        at_ms: self.now_ms,
                    }));
                }
                self.audit("installed", &format!("{package} {}", row.manifest_digest));
                let task = self.task();
                for (event, statement) in steps {
                    self.record(event, statement);
                }
                if self.task() == task && task.is_some() {
                    self.fail(report::unreported("less than the whole package"));
                }
            }
            Err(failure) => self.fail(failure),
        }
        Ok(())
    }

    /// The steps that a report about a package tells of, in the order in which it does.
    fn believe(&self, row: &PackageRow, reports: &[Cow<'_, [u8]>]) -> Result<Told, Failure> {
        let device = self.device.as_ref();
        let report_key = device.and_then(|device| device.report_key.as_deref());
        let report = report::find(reports, report_key, row, &self.opening())?;
        report.succeeded(None)?;
        let receipt = match row.package.holds_data() {
            true => {
                let receipt_key = device.and_then(|device| device.receipt_key.as_deref());
                Some(report.receipt(receipt_key)?)
            }
            false => None,
        };
        let next = self.deployment.as_ref().and_then(|row| row.machine.next_event());
        let steps = match row.package.is_bundle() {
            true => report.steps(row.package, self.instance(), receipt.as_deref()),
            false => {
                let statement = receipt.clone().unwrap_or(report.bytes);
                next.map(|event| (event, statement)).into_iter().collect()
            }
        };
        Ok(Told { receipt, steps })
    }

    /// What opens reports that are for this TAM alone.
    fn opening(&self) -> Opening<'_> {
        Opening::Receiver(self.moc.tam().keys().opener())
    }

    fn instance(&self) -> InstanceType {
        let row = self.deployment.as_ref();
        row.map_or(InstanceType::Process, |row| row.machine.plan().instance)
    }

    /// The Agent refused a request, or could not carry out an Update.
    pub(super) async fn refused(
        &mut self,
        code: ErrCode,
        msg: &str,
        reports: &[Cow<'_, [u8]>],
    ) -> Result<(), TamFailed> {
        tracing::warn!(device = %self.errand.device, ?code, msg, "the Agent refused");
        if self.is_strange() {
            return Ok(());
        }
        let mut failure = refused(code, msg);
        match self.errand.purpose {
            // A hint; or the device is woken again.
            Purpose::Deploy if !self.answers || code == ErrCode::TemporaryError => {}
            Purpose::Deploy => {
                let Some((_, row)) = self.under_way().await? else { return Ok(()) };
                self.audit("refused by the Agent", &format!("{code:?}: {msg}"));
                let report_key = self.device.as_ref().and_then(|device| device.report_key.clone());
                let report = report::find(reports, report_key.as_deref(), &row, &self.opening());
                let envelope = self.envelope(&row).await;
                let explained =
                    report.ok().and_then(|report| report.succeeded(envelope.as_deref()).err());
                failure = explained.unwrap_or(failure);
                self.fail(failure);
            }
            Purpose::Attest if self.answers && code != ErrCode::TemporaryError => {
                let Some(row) = self.load().await?.cloned() else { return Ok(()) };
                if self.task() == Some(Task::Attest) {
                    self.audit("refused by the Agent", &format!("{code:?}: {msg}"));
                    let refusals = self.moc.refuse_pending(&row, &failure).await?;
                    refusals.into_iter().for_each(|change| self.change(change));
                    self.fail(failure);
                }
            }
            // A hint; or the device is woken again.
            Purpose::Attest => {
                let detail = Some(format!("it said: {}", failure.seen));
                let problem = Problem { detail, ..http::failure(&failure) };
                let attestation = self.errand.attestation.clone();
                self.change(Change::HintResult { attestation, problem });
            }
            Purpose::Enrol | Purpose::Renew | Purpose::Place | Purpose::Unasked => {}
        }
        Ok(())
    }

    /// The envelope of a package, for explaining; an unreadable one explains less.
    async fn envelope(&self, row: &PackageRow) -> Option<Vec<u8>> {
        let digest = row.sha256.parse().ok()?;
        self.moc.store().blobs().get(digest).await.ok().flatten()
    }

    /// The package that this exchange is about, while it is the device's turn to install it.
    async fn under_way(&mut self) -> Result<Option<(PackageName, PackageRow)>, TamFailed> {
        self.load().await?;
        let Some(Task::Install { package, .. }) = self.task() else { return Ok(None) };
        let next = self.deployment.as_ref().and_then(|row| row.machine.next_event());
        if next.map(|event| event.to_string()) != Some(self.errand.step.clone()) {
            tracing::info!(deployment = %self.errand.deployment, step = %self.errand.step,
                "the step was done before");
            return Ok(None);
        }
        let row = self.moc.store().package(&self.errand.deployment, package).await?;
        Ok(row.map(|row| (package, row)))
    }

    /// The deployment of this exchange.
    pub(super) async fn load(&mut self) -> Result<Option<&DeploymentRow>, StoreFailed> {
        if self.deployment.is_none() && !self.errand.deployment.is_empty() {
            self.deployment = self.moc.store().deployment(&self.errand.deployment).await?;
        }
        Ok(self.deployment.as_ref())
    }

    /// What the device has to do for the deployment.
    pub(super) fn task(&self) -> Option<Task> {
        match self.deployment.as_ref()?.machine.turn() {
            Turn::Device(task) => Some(task),
            Turn::User(_) | Turn::Done | Turn::Failed => None,
        }
    }

    /// Records a step of the deployment with the actor's own statement. One that is not next ends
    /// the deployment.
    fn record(&mut self, event: EventName, statement: Vec<u8>) {
        let at_ms = self.now_ms;
        let Some(row) = &mut self.deployment else { return };
        let Some(step) = row.machine.next_step() else { return };
        let told = Step { event, ..step };
        let change = happened(row, &told, statement, at_ms);
        if let Some(change) = change {
            self.change(change);
        }
        self.deployment_changed();
    }

    /// Ends the deployment.
    pub(super) fn fail(&mut self, failure: Failure) {
        let Some(row) = &mut self.deployment else { return };
        tracing::warn!(deployment = %row.deployment, check = %failure.check,
            expected = %failure.expected, seen = %failure.seen, "deployment failed");
        row.machine.fail(failure);
        self.deployment_changed();
    }

    /// Adds to the audit record.
    pub(super) fn audit(&mut self, decision: &str, reason: &str) {
        if self.is_strange() {
            return;
        }
        let subject = match self.errand.deployment.is_empty() {
            true => format!("device/{}", self.errand.device),
            false => format!("deployment/{}", self.errand.deployment),
        };
        self.change(Change::AddDecision(NewDecision {
            tenant: self.errand.tenant.clone(),
            at_ms: self.now_ms,
            subject,
            decision: decision.to_owned(),
            reason: reason.to_owned(),
        }));
    }
}

/// What a report says that was done.
struct Told {
    /// The receipt of the Personalization Data, when there was some.
    receipt: Option<Vec<u8>>,
    /// Each step with the statement that it rests on.
    steps: Vec<(EventName, Vec<u8>)>,
}

/// Two devices never share an Agent.
fn another_device(holder: &str) -> Failure {
    Failure {
        check: "device.agent-key".into(),
        expected: "a key of no other device".into(),
        seen: format!("the key of {holder}"),
        owner: Owner::Operator,
        remedy: "enrol each TEE as one device".into(),
    }
}

/// A device is the hardware that was announced.
fn another_hardware(expected: &str, seen: Option<&str>) -> Failure {
    Failure {
        check: "device.hardware-id".into(),
        expected: expected.to_owned(),
        seen: seen.unwrap_or("evidence that names none").to_owned(),
        owner: Owner::Operator,
        remedy: "find out where the announced hardware is, or add this one as another device"
            .into(),
    }
}

/// Takes back what the Verifier accepted.
fn refuse(appraised: &mut Appraised, failure: Failure) {
    appraised.verdict.accepted = false;
    appraised.verdict.checks.push(Check {
        check: failure.check.clone(),
        outcome: Outcome::Failed,
        expected: failure.expected.clone(),
        seen: failure.seen.clone(),
        owner: Some(failure.owner),
        remedy: Some(failure.remedy.clone()),
    });
    if let Ok(outcome) = &mut appraised.outcome {
        outcome.verdict = Verdict::Failed;
    }
    appraised.failure.get_or_insert(failure);
    appraised.facts = None;
    appraised.cmw = None;
}

fn not_attested(why: NotAttested) -> Failure {
    Failure {
        check: "attestation".into(),
        expected: "fresh Evidence of the enrolled Agent".into(),
        seen: why.to_string(),
        owner: Owner::Device,
        remedy: "see the Agent's log, then ask again".into(),
    }
}

fn refused(code: ErrCode, msg: &str) -> Failure {
    Failure {
        check: "update".into(),
        expected: "Success".into(),
        seen: format!("Error {code:?}: {msg}"),
        owner: Owner::Device,
        remedy: "see the log of the TEEP Agent, then request a new deployment".into(),
    }
}

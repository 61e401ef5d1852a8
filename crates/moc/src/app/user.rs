//! What a Network User does: ask for a place, bring packages, ask for evidence, look.

use api::{
    AttestationAccepted, Deployment, Hardware, Need, PostAttestation, PostRequest, Problem,
    Receipts, RequestPlaced, Reservation, TcbLevel,
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};

use crate::{
    deployment::{Failure, Machine, NoSuchRow, NotNow, Plan},
    http,
    hub::Topic,
    placement::{self, Chosen, Place},
    store::{
        AnswerRow, BlobDigest, BlobRow, Change, DeploymentRow, InventoryRow, LeaseRow, NewDecision,
        NewReservation, Quota, RequestRow, ResultRow, ResultState, StoreFailed,
    },
};

use super::{
    Moc, Refusal, by_user, identifier, lease,
    operator::{check_jurisdiction, check_name},
    settle,
};

/// An attestation as its Network User sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// The signed CMW.
    Result(Vec<u8>),
    /// The device has not answered; where it stands, in words.
    Pending(String),
    /// There will be no result.
    Refused(Problem),
}

impl Moc {
    /// Finds a place and opens a deployment there. The same request under the same key gets the
    /// same answer and opens nothing more.
    pub async fn place(
        &self,
        tenant: &str,
        asked: &PostRequest,
        key: Option<&str>,
    ) -> Result<RequestPlaced, Refusal> {
        check_constraints(asked)?;
        let Some(key) = key else { return settle!(self.place_once(tenant, asked, None).await) };
        if let Some(placed) = self.answered(tenant, asked, key).await? {
            return Ok(placed);
        }
        match settle!(self.place_once(tenant, asked, Some(key)).await) {
            // The same request came twice at the same time.
            Err(Refusal::Conflict(failure)) if failure.check == "unique" => {
                let again = Refusal::Conflict(failure);
                self.answered(tenant, asked, key).await?.ok_or(again)
            }
            outcome => outcome,
        }
    }

    /// What was answered under a key.
    async fn answered(
        &self,
        tenant: &str,
        asked: &PostRequest,
        key: &str,
    ) -> Result<Option<RequestPlaced>, Refusal> {
        let Some(known) = self.store.of(tenant).answer(key).await? else { return Ok(None) };
        if known.digest != digest(asked) {
            return Err(Refusal::conflict(
                "idempotency-key",
                "the request that came first under this key",
                "another request",
                "use a new key for a new request",
            ));
        }
        let placed = serde_json::from_str(&known.body);
        Ok(Some(placed.map_err(|_| StoreFailed::Corrupt("answers.body"))?))
    }

    async fn place_once(
        &self,
        tenant: &str,
        asked: &PostRequest,
        key: Option<&str>,
    ) -> Result<RequestPlaced, Refusal> {
        // What no figure shows is refused with its figure, whatever devices there are.
        let rows = asked.hardware.iter().map(|hardware| plan(asked, *hardware).steps());
        let none: Result<Vec<NoSuchRow>, _> = rows.map(|row| row.map_or_else(Ok, Err)).collect();
        if let Ok([first, ..]) = none.as_deref() {
            return Err(unsupported(first));
        }
        let places = self.places(tenant, asked).await?;
        let chosen = placement::choose(asked, &places, self.clock.now_ms()).map_err(|none| {
            Refusal::NoPlace { summary: none.summary(), candidates: none.candidates }
        })?;
        let machine =
            Machine::new(plan(asked, chosen.hardware)).map_err(|none| unsupported(&none))?;
        let placed = RequestPlaced {
            request: identifier(),
            deployment: identifier(),
            device: chosen.device.clone(),
            hardware: chosen.hardware,
            emulated: chosen.emulated,
            reasons: chosen.reasons.clone(),
        };

        let mut changes = self.opening(tenant, asked, &placed, &chosen, machine);
        if let Some(key) = key {
            changes.push(Change::AddAnswer(AnswerRow {
                holder: tenant.to_owned(),
                name: key.to_owned(),
                digest: digest(asked),
                body: serde_json::to_string(&placed)
                    .map_err(|_| StoreFailed::Corrupt("answers.body"))?,
                until_ms: self.clock.now_ms().saturating_add(ANSWERS_KEPT_MS),
            }));
        }
        self.store.commit(changes).await?;

        let (deployment, device) = (&placed.deployment, &placed.device);
        tracing::info!(%tenant, %deployment, %device, case = asked.case, "deployment opened");
        Ok(placed)
    }

    fn opening(
        &self,
        tenant: &str,
        asked: &PostRequest,
        placed: &RequestPlaced,
        chosen: &Chosen,
        machine: Machine,
    ) -> Vec<Change> {
        let now_ms = self.clock.now_ms();
        let request = RequestRow {
            request: placed.request.clone(),
            tenant: tenant.to_owned(),
            body: asked.clone(),
            device: chosen.device.clone(),
            reasons: chosen.reasons.clone(),
            created_ms: now_ms,
        };
        let deployment = DeploymentRow {
            deployment: placed.deployment.clone(),
            tenant: tenant.to_owned(),
            request: placed.request.clone(),
            device: chosen.device.clone(),
            emulated: chosen.emulated,
            reserved_until_ms: self.reserved_until(&machine),
            machine,
            seq: 0,
            deadline_ms: None,
            fence: 0,
            created_ms: now_ms,
        };
        let place = NewReservation {
            device: chosen.device.clone(),
            deployment: placed.deployment.clone(),
            tenant: tenant.to_owned(),
            apart: asked.constraints.apart.clone(),
            resources: asked.constraints.resources,
        };
        let decision = NewDecision {
            tenant: tenant.to_owned(),
            at_ms: now_ms,
            subject: format!("deployment/{}", placed.deployment),
            decision: "placed".into(),
            reason: chosen.reasons.first().cloned().unwrap_or_default(),
        };
        let max = self.limits.tenant_deployments_max;
        let lease = asked.lease_s.map(|seconds| {
            let row = LeaseRow::asked(&placed.deployment, tenant, &chosen.device, seconds);
            Change::AddLease(row)
        });
        let opened = [
            Change::AddRequest(request),
            Change::AddDeployment(deployment),
            Change::Reserve(place),
            Change::Within(Quota::Deployments { tenant: tenant.to_owned(), max }),
            Change::AddDecision(decision),
        ];
        opened.into_iter().chain(lease).collect()
    }

    async fn places(&self, tenant: &str, asked: &PostRequest) -> Result<Vec<Place>, Refusal> {
        let apart = match &asked.constraints.apart {
            None => Vec::new(),
            Some(apart) => self.store.of(tenant).devices_apart(apart).await?,
        };
        let devices = self.store.inventory().await?;
        Ok(devices.into_iter().map(|row| as_place(row, &apart)).collect())
    }

    /// Deployments of a tenant behind one, at most `limit`.
    pub async fn deployments(
        &self,
        tenant: &str,
        after: Option<&str>,
        limit: u64,
    ) -> Result<Vec<Deployment>, Refusal> {
        let mut shown = Vec::new();
        for row in self.store.of(tenant).deployments(after, limit).await? {
            shown.push(self.view(row).await?);
        }
        Ok(shown)
    }

    /// A deployment; with `wait`, after something has changed behind that sequence number.
    pub async fn deployment(
        &self,
        tenant: &str,
        deployment: &str,
        wait: Option<u64>,
    ) -> Result<Deployment, Refusal> {
        let end = self.poll_end();
        loop {
            let mut waiting = self.hub.wait(Topic::Deployment(deployment.to_owned()));
            let row = self.own(tenant, deployment).await?;
            let unchanged = wait.is_some_and(|seen| row.seq <= seen);
            if !unchanged || !self.woken(&mut waiting, end).await {
                return self.view(row).await;
            }
        }
    }

    async fn view(&self, row: DeploymentRow) -> Result<Deployment, Refusal> {
        let events = self.store.of(&row.tenant).events(&row.deployment).await?;
        let place = self.store.of(&row.tenant).reservation(&row.deployment).await?;
        let lease = self.store.of(&row.tenant).lease(&row.deployment).await?;
        let plan = row.machine.plan();
        Ok(Deployment {
            state: row.machine.state(),
            case: plan.case,
            instance: plan.instance,
            with_ua: plan.with_ua,
            hardware: plan.hardware,
            emulated: row.emulated,
            seq: row.seq,
            needs: row.machine.needs(),
            events: events.into_iter().map(|event| event.event).collect(),
            reservation: place.map(|place| Reservation {
                slot: place.slot,
                fence: place.fence,
                until_ms: row.reserved_until_ms,
            }),
            lease: lease.as_ref().map(LeaseRow::view),
            failure: row.machine.failure().map(http::failure),
            deployment: row.deployment,
            device: row.device,
        })
    }

    /// Asks the device for evidence that is fresh for the Network User's nonce.
    pub async fn attest(
        &self,
        tenant: &str,
        deployment: &str,
        asked: &PostAttestation,
    ) -> Result<AttestationAccepted, Refusal> {
        let nonce = nonce(&asked.nonce)?;
        settle!(self.attest_once(tenant, deployment, &nonce).await)
    }

    async fn attest_once(
        &self,
        tenant: &str,
        deployment: &str,
        nonce: &[u8; 32],
    ) -> Result<AttestationAccepted, Refusal> {
        let mut row = self.own(tenant, deployment).await?;
        row.machine.bring(Need::Nonce).map_err(|not_now| conflict("nonce", &not_now))?;
        let attestation = identifier();
        let result = ResultRow {
            attestation: attestation.clone(),
            tenant: tenant.to_owned(),
            deployment: deployment.to_owned(),
            device: row.device.clone(),
            user_nonce: nonce.to_vec(),
            state: ResultState::Pending,
            cmw: None,
            verdict: None,
            problem: None,
            created_ms: self.clock.now_ms(),
            decided_ms: None,
        };
        self.store.commit(vec![Change::AddResult(result), self.save(&row)]).await?;
        self.changed(&row);
        Ok(AttestationAccepted { attestation })
    }

    /// An attestation.
    pub async fn attestation(
        &self,
        tenant: &str,
        deployment: &str,
        attestation: &str,
    ) -> Result<Shown, Refusal> {
        let row = self.own(tenant, deployment).await?;
        let found = self.store.of(tenant).result(&row.deployment, attestation).await?;
        let result = found.ok_or(Refusal::NotFound("attestation"))?;
        Ok(match (result.state, result.cmw, result.problem) {
            (ResultState::Positive, Some(cmw), _) => Shown::Result(cmw),
            (ResultState::Pending, _, said) => {
                let said = said.and_then(|problem| problem.detail);
                let said = said.map(|said| format!("; {said}")).unwrap_or_default();
                Shown::Pending(format!("waiting for {}{said}", result.device))
            }
            (_, _, Some(problem)) => Shown::Refused(problem),
            (ResultState::Positive | ResultState::Refused, ..) => {
                return Err(StoreFailed::Corrupt("results.state").into());
            }
        })
    }

    /// How many bytes a blob of this name may have before the tenant has too much; what it has
    /// already takes no more room.
    pub(crate) async fn blob_room(&self, tenant: &str, digest: BlobDigest) -> Result<u64, Refusal> {
        let own = self.store.of(tenant);
        if own.blob(digest).await?.is_some() {
            return Ok(u64::MAX);
        }
        Ok(self.limits.tenant_blob_bytes_max.saturating_sub(own.blob_bytes().await?))
    }

    /// Remembers that a tenant has sent all of a blob; `false` when it had before.
    pub(crate) async fn keep_blob(
        &self,
        tenant: &str,
        digest: BlobDigest,
        bytes: u64,
    ) -> Result<bool, Refusal> {
        let is_new = self.store.of(tenant).blob(digest).await?.is_none();
        let created_ms = self.clock.now_ms();
        let blob = BlobRow { tenant: tenant.to_owned(), digest, bytes, created_ms };
        let within = is_new.then(|| self.within_blobs(tenant));
        self.store.commit([Change::AddBlob(blob)].into_iter().chain(within).collect()).await?;
        Ok(is_new)
    }

    /// Refuses what makes a tenant's blobs too many bytes.
    pub(crate) fn within_blobs(&self, tenant: &str) -> Change {
        let (tenant, max) = (tenant.to_owned(), self.limits.tenant_blob_bytes_max);
        Change::Within(Quota::BlobBytes { tenant, max })
    }

    /// The receipts of a deployment.
    pub async fn receipts(&self, tenant: &str, deployment: &str) -> Result<Receipts, Refusal> {
        self.own(tenant, deployment).await?;
        let receipts = self.store.of(tenant).receipts(deployment).await?;
        Ok(receipts.iter().map(|row| STANDARD.encode(&row.receipt)).collect())
    }

    /// A deployment of this tenant. That of another one looks like none.
    pub(super) async fn own(
        &self,
        tenant: &str,
        deployment: &str,
    ) -> Result<DeploymentRow, Refusal> {
        let found = self.store.of(tenant).deployment(deployment).await?;
        found.ok_or(Refusal::NotFound("deployment"))
    }

    /// Decides every attestation of a deployment that ends while one is under way.
    pub(crate) async fn refuse_pending(
        &self,
        row: &DeploymentRow,
        failure: &Failure,
    ) -> Result<Vec<Change>, StoreFailed> {
        let pending = self.store.results(&row.deployment).await?;
        let refused = pending.into_iter().filter(|result| result.state == ResultState::Pending);
        Ok(refused
            .map(|result| {
                Change::DecideResult(ResultRow {
                    state: ResultState::Refused,
                    problem: Some(http::failure(failure)),
                    decided_ms: Some(self.clock.now_ms()),
                    ..result
                })
            })
            .collect())
    }
}

const fn plan(asked: &PostRequest, hardware: Hardware) -> Plan {
    Plan { case: asked.case, instance: asked.instance, hardware, with_ua: asked.with_ua }
}

/// What tells one request from another.
fn digest(asked: &PostRequest) -> String {
    hex::encode(cose::sha256(&serde_json::to_vec(asked).unwrap_or_default()))
}

fn as_place(row: InventoryRow, apart: &[String]) -> Place {
    Place {
        apart: apart.binary_search(&row.device).is_ok(),
        tcb: row.tcb_status.as_deref().and_then(TcbLevel::of),
        device: row.device,
        state: row.state,
        hardware: row.hardware,
        instances: row.instances,
        zone: row.zone,
        jurisdiction: row.jurisdiction,
        latency_ms: row.latency_ms,
        emulated: row.emulated.unwrap_or(true),
        attested_at_ms: row.attested_ms,
        capacity: row.capacity,
        deployments: row.usage.deployments,
        used: row.usage.resources,
    }
}

fn check_constraints(asked: &PostRequest) -> Result<(), Refusal> {
    if let Some(seconds) = asked.lease_s.filter(|seconds| !lease::SECONDS.contains(seconds)) {
        return Err(Refusal::malformed("lease_s", lease::SECONDS_RULE, seconds.to_string()));
    }
    let asked = &asked.constraints;
    asked.apart.as_deref().map_or(Ok(()), check_name)?;
    asked.jurisdictions.iter().try_for_each(|one| check_jurisdiction(one))?;
    let resources = &asked.resources;
    match resources.memory_mib.max(resources.cpu_milli) <= AMOUNT_MAX {
        true => Ok(()),
        false => Err(Refusal::malformed("resources", AMOUNT_RULE, "more")),
    }
}

fn nonce(text: &str) -> Result<[u8; 32], Refusal> {
    let wrong = || {
        let seen = format!("{} characters", text.len());
        Refusal::malformed("nonce", "base64url without padding of 32 bytes", seen)
    };
    URL_SAFE_NO_PAD.decode(text).map_err(|_| wrong())?.try_into().map_err(|_| wrong())
}

fn unsupported(none: &NoSuchRow) -> Refusal {
    Refusal::Unsupported(by_user(
        "case",
        "a row of the figures that is served",
        none.to_string(),
        "ask for a cell of figures 2 to 6: a case with its packages, on hardware that has the \
         instance type",
    ))
}

/// Why something cannot be brought now.
pub(super) fn conflict(what: &str, not_now: &NotNow) -> Refusal {
    let (check, expected, remedy) = match not_now {
        NotNow::NotInPlan => (
            "plan",
            "only what belongs to the deployment".to_owned(),
            "leave it out, or request a deployment that has it",
        ),
        NotNow::Before(event) => (
            "order",
            format!("{event} first"),
            "look at the deployment's needs, bring those, and wait for the event",
        ),
        NotNow::AlreadyThere => (
            "once",
            format!("{what} once"),
            "go on with the next step, or request a new deployment",
        ),
        NotNow::Ended => {
            ("open", "a deployment that has not ended".to_owned(), "request a new deployment")
        }
    };
    Refusal::conflict(check, &expected, what, remedy)
}

/// The largest amount of anything that is counted.
pub(super) const AMOUNT_MAX: u64 = 1 << 40;
pub(super) const AMOUNT_RULE: &str = "amounts of at most 2 to the power of 40";
/// How long an answer is kept for its idempotency key: a day.
pub(super) const ANSWERS_KEPT_MS: u64 = 86_400_000;

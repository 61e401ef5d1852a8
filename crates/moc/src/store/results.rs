//! Table `results`.

use api::{Problem, Verdict};

use super::{
    NotCommitted, Store, StoreFailed, bytes,
    change::{inserted, updated},
    int, maybe_bytes, maybe_json, maybe_uint,
    sql::{self, Connection, Row},
    text, to_json, uint,
};

/// How far an Attestation Result is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ResultState {
    /// The device has not answered.
    Pending,
    /// The operator's policy accepts the evidence.
    Positive,
    /// It does not, or there is no evidence.
    Refused,
}

/// An Attestation Result that a Network User asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultRow {
    /// Identifier.
    pub attestation: String,
    /// Whose.
    pub tenant: String,
    /// For which deployment.
    pub deployment: String,
    /// Of which device.
    pub device: String,
    /// The Network User's nonce.
    pub user_nonce: Vec<u8>,
    /// How far it is.
    pub state: ResultState,
    /// The signed CMW.
    pub cmw: Option<Vec<u8>>,
    /// What the Verifier found.
    pub verdict: Option<Verdict>,
    /// Why it was refused.
    pub problem: Option<Problem>,
    /// When it was asked for.
    pub created_ms: u64,
    /// When it was decided.
    pub decided_ms: Option<u64>,
}

impl Store {
    /// One Attestation Result.
    pub async fn result(&self, attestation: &str) -> Result<Option<ResultRow>, StoreFailed> {
        sql::query("SELECT * FROM results WHERE attestation = $1")
            .bind(attestation)
            .fetch_optional(&self.reads)
            .await?
            .as_ref()
            .map(read)
            .transpose()
    }

    /// The results of a deployment, oldest first.
    pub async fn results(&self, deployment: &str) -> Result<Vec<ResultRow>, StoreFailed> {
        sql::query("SELECT * FROM results WHERE deployment = $1 ORDER BY created_ms, attestation")
            .bind(deployment)
            .fetch_all(&self.reads)
            .await?
            .iter()
            .map(read)
            .collect()
    }
}

pub(super) async fn add(on: &mut Connection, result: &ResultRow) -> Result<(), NotCommitted> {
    let outcome = sql::query(
        "INSERT INTO results (attestation, tenant, deployment, device, user_nonce, state, \
         created_ms) VALUES ($1, $2, $3, $4, $5, 'pending', $6)",
    )
    .bind(&result.attestation)
    .bind(&result.tenant)
    .bind(&result.deployment)
    .bind(&result.device)
    .bind(result.user_nonce.clone())
    .bind(int(result.created_ms))
    .execute(on)
    .await;
    inserted(outcome, "attestation")
}

pub(super) async fn decide(on: &mut Connection, result: &ResultRow) -> Result<(), NotCommitted> {
    let verdict =
        result.verdict.as_ref().map(|verdict| to_json(verdict, "results.verdict")).transpose()?;
    let problem =
        result.problem.as_ref().map(|problem| to_json(problem, "results.problem")).transpose()?;
    let outcome = sql::query(
        "UPDATE results SET state = $1, cmw = $2, verdict = $3, problem = $4, decided_ms = $5 \
         WHERE attestation = $6 AND state = 'pending'",
    )
    .bind(state_text(result.state))
    .bind(result.cmw.clone())
    .bind(verdict)
    .bind(problem)
    .bind(result.decided_ms.map(int))
    .bind(&result.attestation)
    .execute(on)
    .await?;
    updated(outcome, "attestation")
}

pub(super) async fn hint(
    on: &mut Connection,
    attestation: &str,
    problem: &Problem,
) -> Result<(), NotCommitted> {
    sql::query("UPDATE results SET problem = $1 WHERE attestation = $2 AND state = 'pending'")
        .bind(to_json(problem, "results.problem")?)
        .bind(attestation)
        .execute(on)
        .await?;
    Ok(())
}

pub(super) fn read(row: &Row) -> Result<ResultRow, StoreFailed> {
    Ok(ResultRow {
        attestation: text(row, "attestation")?,
        tenant: text(row, "tenant")?,
        deployment: text(row, "deployment")?,
        device: text(row, "device")?,
        user_nonce: bytes(row, "user_nonce")?,
        state: state(&text(row, "state")?)?,
        cmw: maybe_bytes(row, "cmw")?,
        verdict: maybe_json(row, "verdict")?,
        problem: maybe_json(row, "problem")?,
        created_ms: uint(row, "created_ms")?,
        decided_ms: maybe_uint(row, "decided_ms")?,
    })
}

const fn state_text(state: ResultState) -> &'static str {
    match state {
        ResultState::Pending => "pending",
        ResultState::Positive => "positive",
        ResultState::Refused => "refused",
    }
}

fn state(text: &str) -> Result<ResultState, StoreFailed> {
    match text {
        "pending" => Ok(ResultState::Pending),
        "positive" => Ok(ResultState::Positive),
        "refused" => Ok(ResultState::Refused),
        _ => Err(StoreFailed::Corrupt("results.state")),
    }
}

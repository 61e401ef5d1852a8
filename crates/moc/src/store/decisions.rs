//! Table `decisions`: the audit record, append only, chained by digests.

use sqlx::{AnyConnection, any::AnyRow};

use super::{NotCommitted, Store, StoreFailed, change::inserted, int, text, uint};

/// A decision about trust, to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDecision {
    /// Whose matter, or empty.
    pub tenant: String,
    /// When.
    pub at_ms: u64,
    /// About what: `device/…`, `deployment/…`, `token/…`.
    pub subject: String,
    /// What was decided, one word or two.
    pub decision: String,
    /// Why, without secrets and without Evidence.
    pub reason: String,
}

/// A decision as it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Position in the record, from 1.
    pub seq: u64,
    /// What was decided.
    pub decision: NewDecision,
    /// Digest of the decision before, hex.
    pub previous: String,
    /// Digest of this one, hex.
    pub digest: String,
}

/// The record was changed after it was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("decision {seq} does not follow from the one before it")]
pub struct ChainBroken {
    /// The first decision that does not fit.
    pub seq: u64,
}

impl Decision {
    /// Checks a whole record from its first decision on.
    pub fn check_chain(decisions: &[Self]) -> Result<(), ChainBroken> {
        let mut previous = GENESIS.to_owned();
        for (position, decision) in (1_u64..).zip(decisions) {
            let digest = digest(position, &decision.decision, &previous);
            if decision.seq != position
                || decision.previous != previous
                || decision.digest != digest
            {
                return Err(ChainBroken { seq: position });
            }
            previous = digest;
        }
        Ok(())
    }
}

impl Store {
    /// The whole record, oldest first.
    pub async fn decisions(&self) -> Result<Vec<Decision>, StoreFailed> {
        sqlx::query("SELECT * FROM decisions ORDER BY seq")
            .fetch_all(&self.reads)
            .await?
            .iter()
            .map(read)
            .collect()
    }
}

pub(super) async fn add(
    on: &mut AnyConnection,
    decision: &NewDecision,
) -> Result<(), NotCommitted> {
    let last = sqlx::query("SELECT seq, digest FROM decisions ORDER BY seq DESC LIMIT 1")
        .fetch_optional(&mut *on)
        .await?;
    let (seq, previous) = match last {
        Some(row) => (uint(&row, "seq")? + 1, text(&row, "digest")?),
        None => (1, GENESIS.to_owned()),
    };
    let outcome = sqlx::query(
        "INSERT INTO decisions (seq, tenant, at_ms, subject, decision, reason, previous, digest) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(int(seq))
    .bind(&decision.tenant)
    .bind(int(decision.at_ms))
    .bind(&decision.subject)
    .bind(&decision.decision)
    .bind(&decision.reason)
    .bind(previous.clone())
    .bind(digest(seq, decision, &previous))
    .execute(on)
    .await;
    inserted(outcome, "decision")
}

/// SHA-256 over the members, each behind its length, so that none can run into the next.
fn digest(seq: u64, decision: &NewDecision, previous: &str) -> String {
    let mut hash = cose::Sha256::new();
    hash.update(&seq.to_be_bytes());
    hash.update(&decision.at_ms.to_be_bytes());
    let texts =
        [previous, &decision.tenant, &decision.subject, &decision.decision, &decision.reason];
    for member in texts {
        hash.update(&(member.len() as u64).to_be_bytes());
        hash.update(member.as_bytes());
    }
    hex::encode(hash.finish())
}

fn read(row: &AnyRow) -> Result<Decision, StoreFailed> {
    Ok(Decision {
        seq: uint(row, "seq")?,
        decision: NewDecision {
            tenant: text(row, "tenant")?,
            at_ms: uint(row, "at_ms")?,
            subject: text(row, "subject")?,
            decision: text(row, "decision")?,
            reason: text(row, "reason")?,
        },
        previous: text(row, "previous")?,
        digest: text(row, "digest")?,
    })
}

const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

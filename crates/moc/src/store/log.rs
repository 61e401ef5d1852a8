//! Tables `log` and `log_nodes`: the record of decisions, append only, as a Merkle tree.
//!
//! An entry is added in the transaction of the decision. Nodes with a complete subtree never
//! change, so proofs are read without a lock: a size that was seen once stays provable.

use std::collections::BTreeMap;

use audit::{
    Entry, Hash, SALT_BYTES,
    tree::{self, Node, Range},
};
use cose::Entropy as _;
use keys::SystemEntropy;

use super::{
    NotCommitted, Store, StoreFailed, bytes,
    change::inserted,
    int,
    sql::{self, Connection, Row},
    text, uint,
};

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

/// An entry of the log with the bytes that its hash is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// What it says.
    pub entry: Entry,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Store {
    /// How many entries the log has.
    pub async fn log_size(&self) -> Result<u64, StoreFailed> {
        let row = sql::query(SIZE).fetch_one(&self.reads).await?;
        uint(&row, "size")
    }

    /// Entries of the log from `position` on, at most `limit`.
    pub async fn log(&self, position: u64, limit: u64) -> Result<Vec<Leaf>, StoreFailed> {
        sql::query("SELECT leaf FROM log WHERE position >= $1 ORDER BY position LIMIT $2")
            .bind(int(position))
            .bind(int(limit))
            .fetch_many(&self.reads)
            .await?
            .iter()
            .map(read)
            .collect()
    }

    /// The whole log, oldest first.
    pub async fn decisions(&self) -> Result<Vec<Leaf>, StoreFailed> {
        self.log(0, u64::MAX).await
    }

    /// The hash over each of these ranges of entries.
    pub async fn log_hashes(&self, ranges: &[Range]) -> Result<Vec<Hash>, StoreFailed> {
        let mut known: BTreeMap<Node, Hash> = BTreeMap::new();
        let mut hashes = Vec::with_capacity(ranges.len());
        for range in ranges {
            let mut parts = Vec::new();
            for node in range.nodes() {
                let hash = match known.get(&node) {
                    Some(hash) => *hash,
                    None => {
                        let row = sql::query(NODE)
                            .bind(i64::from(node.level))
                            .bind(int(node.index))
                            .fetch_optional(&self.reads)
                            .await?;
                        hash(&row.ok_or(StoreFailed::Corrupt("log_nodes"))?)?
                    }
                };
                known.insert(node, hash);
                parts.push(hash);
            }
            hashes.push(tree::fold(&parts));
        }
        Ok(hashes)
    }
}

/// Adds an entry; `statement` is the digest of what it rests on.
pub(super) async fn add(
    on: &mut Connection,
    decision: &NewDecision,
    statement: Option<Hash>,
) -> Result<(), NotCommitted> {
    let row = sql::query(SIZE).fetch_one(&mut *on).await?;
    let mut salt = [0; SALT_BYTES];
    SystemEntropy.fill(&mut salt);
    let entry = Entry {
        position: uint(&row, "size")?,
        at_ms: decision.at_ms,
        tenant: decision.tenant.clone(),
        subject: decision.subject.clone(),
        decision: decision.decision.clone(),
        reason: decision.reason.clone(),
        statement,
        salt,
    };
    let leaf = entry.encode();
    let hash = tree::leaf(&leaf);
    let outcome = sql::query(
        "INSERT INTO log (position, tenant, at_ms, subject, decision, reason, leaf) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(int(entry.position))
    .bind(&entry.tenant)
    .bind(int(entry.at_ms))
    .bind(&entry.subject)
    .bind(&entry.decision)
    .bind(&entry.reason)
    .bind(leaf)
    .execute(&mut *on)
    .await;
    inserted(outcome, "entry of the log")?;
    add_nodes(on, Node { level: 0, index: entry.position }, hash).await
}

/// Adds a node and every node above it that is complete with it.
async fn add_nodes(
    on: &mut Connection,
    mut node: Node,
    mut value: Hash,
) -> Result<(), NotCommitted> {
    loop {
        let outcome = sql::query("INSERT INTO log_nodes (level, idx, hash) VALUES ($1, $2, $3)")
            .bind(i64::from(node.level))
            .bind(int(node.index))
            .bind(value.to_vec())
            .execute(&mut *on)
            .await;
        inserted(outcome, "node of the log")?;
        let Some((above, beside)) = node.completes() else { return Ok(()) };
        let row = sql::query(NODE)
            .bind(i64::from(beside.level))
            .bind(int(beside.index))
            .fetch_one(&mut *on)
            .await?;
        value = tree::inner(&hash(&row)?, &value);
        node = above;
    }
}

/// Moves what an older version kept in `decisions`.
pub(super) async fn import(on: &mut Connection) -> Result<(), StoreFailed> {
    let rows = sql::query("SELECT * FROM decisions ORDER BY seq").fetch_all(&mut *on).await?;
    for row in &rows {
        let decision = NewDecision {
            tenant: text(row, "tenant")?,
            at_ms: uint(row, "at_ms")?,
            subject: text(row, "subject")?,
            decision: text(row, "decision")?,
            reason: text(row, "reason")?,
        };
        add(on, &decision, None).await.map_err(|error| match error {
            NotCommitted::Failed(failed) => failed,
            _ => StoreFailed::Corrupt("decisions.seq"),
        })?;
    }
    Ok(on.run("DROP TABLE decisions")?)
}

pub(super) fn read(row: &Row) -> Result<Leaf, StoreFailed> {
    let bytes = bytes(row, "leaf")?;
    let entry = Entry::decode(&bytes).map_err(|_| StoreFailed::Corrupt("log.leaf"))?;
    Ok(Leaf { entry, bytes })
}

fn hash(row: &Row) -> Result<Hash, StoreFailed> {
    bytes(row, "hash")?.try_into().map_err(|_| StoreFailed::Corrupt("log_nodes.hash"))
}

const SIZE: &str = "SELECT COALESCE(MAX(position) + 1, 0) AS size FROM log";
const NODE: &str = "SELECT hash FROM log_nodes WHERE level = $1 AND idx = $2";

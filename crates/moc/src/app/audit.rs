//! The log of decisions, for those who check it.

use std::path::Path;

use api::{LogConsistency, LogPage, LogProof, SignedCheckpoint};
use audit::{
    Checkpoint, Hash,
    receipt::{self, Included},
    tree::{self, Range},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use cose::{Algorithm, Key, Signer as _};
use keys::SigningKey;

use crate::store::{Leaf, StoreFailed};

use super::{Moc, Refusal};

/// Signs what is told of the log of decisions, and nothing else.
#[derive(Debug)]
pub struct Auditor {
    key: SigningKey,
    log: String,
}

impl Auditor {
    /// Loads or makes the audit key. `log` is what checkpoints call the log.
    pub fn open(keys: &Path, log: String) -> Result<Self, keys::Error> {
        let key = keys::file::load_or_create(keys.join("audit.pem"), Algorithm::Esp256)?;
        Ok(Self { key, log })
    }

    /// The public key.
    pub fn key(&self) -> &Key {
        self.key.key()
    }
}

impl Moc {
    /// A checkpoint over all that is in the log.
    pub async fn checkpoint(&self) -> Result<SignedCheckpoint, Refusal> {
        let (size, root) = self.log_root().await?;
        let at_ms = self.clock.now_ms();
        let checkpoint = Checkpoint { log: self.audit.log.clone(), size, root, at_ms };
        let checkpoint = STANDARD.encode(checkpoint.sign(&self.audit.key)?);
        Ok(SignedCheckpoint { size, root: hex::encode(root), at_ms, checkpoint })
    }

    /// A page of the log.
    pub async fn log(&self, from: u64, limit: u64) -> Result<LogPage, Refusal> {
        let limit = limit.clamp(1, PAGE_MAX);
        let leaves = self.store.log(from, limit + 1).await?;
        let more = leaves.len() as u64 > limit;
        let shown = leaves.iter().take(usize::try_from(limit).unwrap_or(usize::MAX));
        let entries: Vec<String> = shown.map(|leaf| STANDARD.encode(&leaf.bytes)).collect();
        Ok(LogPage { next: more.then_some(from + limit), entries })
    }

    /// An entry of the log with its proof.
    pub async fn log_entry(&self, position: u64) -> Result<LogProof, Refusal> {
        let found = self.store.log(position, 1).await?.pop();
        let leaf = found.filter(|leaf| leaf.entry.position == position);
        let leaf = leaf.ok_or(Refusal::NotFound("entry"))?;
        let (size, root) = self.log_root().await?;
        self.proof(&leaf, size, root, None).await
    }

    /// That the log continues one of `older` entries.
    pub async fn log_consistency(&self, older: u64) -> Result<LogConsistency, Refusal> {
        let (newer, root) = self.log_root().await?;
        let ranges = tree::consistency(older, newer).ok_or_else(|| {
            Refusal::malformed("from", &format!("a size from 1 to {newer}"), older.to_string())
        })?;
        let path = self.store.log_hashes(&ranges).await?;
        let receipt = receipt::consistency(&self.audit.key, older, newer, &root, &path)?;
        Ok(LogConsistency { older, newer, receipt: STANDARD.encode(receipt) })
    }

    /// What happened in a deployment, with the proofs and the acting parties' own statements.
    pub async fn proofs(&self, tenant: &str, deployment: &str) -> Result<Vec<LogProof>, Refusal> {
        self.own(tenant, deployment).await?;
        let own = self.store.of(tenant);
        let events = own.events(deployment).await?;
        let leaves = own.log_about(&format!("deployment/{deployment}")).await?;
        let (size, root) = self.log_root().await?;
        let mut proofs = Vec::with_capacity(leaves.len());
        for leaf in leaves {
            let stated = leaf.entry.statement.and_then(|digest| {
                events.iter().find(|event| cose::sha256(&event.statement) == digest)
            });
            let statement = stated.map(|event| STANDARD.encode(&event.statement));
            proofs.push(self.proof(&leaf, size, root, statement).await?);
        }
        Ok(proofs)
    }

    async fn proof(
        &self,
        leaf: &Leaf,
        size: u64,
        root: Hash,
        statement: Option<String>,
    ) -> Result<LogProof, Refusal> {
        let index = leaf.entry.position;
        let ranges = tree::inclusion(index, size).ok_or(StoreFailed::Corrupt("log.position"))?;
        let path = self.store.log_hashes(&ranges).await?;
        let included = Included { index, size, root };
        let receipt = receipt::inclusion(&self.audit.key, &included, &path)?;
        let (entry, receipt) = (STANDARD.encode(&leaf.bytes), STANDARD.encode(receipt));
        Ok(LogProof { position: index, entry, receipt, statement })
    }

    /// Size and root of the log. Entries may follow meanwhile; these stay true.
    async fn log_root(&self) -> Result<(u64, Hash), StoreFailed> {
        let size = self.store.log_size().await?;
        let root = self.store.log_hashes(&[Range::tree(size)]).await?;
        Ok((size, root[0]))
    }
}

/// The most entries of one page.
const PAGE_MAX: u64 = 1000;

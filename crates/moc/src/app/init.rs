//! The first start.

use api::{Initialised, Role};

use crate::{
    config::Config,
    store::{Change, NewDecision, NotCommitted, StoreFailed},
};

use super::{Moc, new_token};

/// The first start was not one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotInitialised {
    /// There is an operator already.
    #[error("the store has an operator already; its token was shown when it was made")]
    Already,
    /// The store.
    #[error("the store cannot be written")]
    Store(#[from] NotCommitted),
}

impl From<StoreFailed> for NotInitialised {
    fn from(error: StoreFailed) -> Self {
        Self::Store(error.into())
    }
}

impl Moc {
    /// Makes the operator's token and tells it, once, with the public keys that others pin.
    pub async fn initialise(&self, config: &Config) -> Result<Initialised, NotInitialised> {
        if self.store.has_token(Role::Operator).await? {
            return Err(NotInitialised::Already);
        }
        let now_ms = self.clock.now_ms();
        let (bootstrap_token, row) = new_token(Role::Operator, "", "", now_ms);
        let decision = NewDecision {
            tenant: String::new(),
            at_ms: now_ms,
            subject: "operator".into(),
            decision: "added".into(),
            reason: "first start".into(),
        };
        self.store.commit(vec![Change::AddToken(row), Change::AddDecision(decision)]).await?;
        let hexadecimal = |key: &cose::Key| hex::encode(key.encode());
        Ok(Initialised {
            bootstrap_token,
            tam_keys: self.tam.keys().public().into_iter().map(hexadecimal).collect(),
            tam_encryption_key: hexadecimal(self.tam.keys().encryption()),
            verifier_key: hexadecimal(self.verification.key()),
            audit_key: hexadecimal(self.audit.key()),
            tam_uri: config.tam_uri(),
        })
    }
}

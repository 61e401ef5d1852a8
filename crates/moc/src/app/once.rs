//! Work that is done once under a key.

use crate::store::{AnswerRow, Change, NotCommitted};

use super::{Moc, Refusal, user::ANSWERS_KEPT_MS};

impl Moc {
    /// Claims a key for a request, or tells what was answered to that same request before.
    pub(crate) async fn claim(
        &self,
        whose: &str,
        key: &str,
        digest: &str,
    ) -> Result<Option<String>, Refusal> {
        let row = AnswerRow {
            holder: whose.to_owned(),
            name: key.to_owned(),
            digest: digest.to_owned(),
            body: String::new(),
            until_ms: self.clock.now_ms().saturating_add(ANSWERS_KEPT_MS),
        };
        match self.store.commit(vec![Change::AddAnswer(row)]).await {
            Ok(()) => return Ok(None),
            Err(NotCommitted::Exists(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let known = self.store.of(whose).answer(key).await?;
        let known = known.ok_or_else(|| not_now("the first request was refused just now"))?;
        if known.digest != digest {
            return Err(Refusal::conflict(
                "idempotency-key",
                "the request that came first under this key",
                "another request",
                "use a new key for a new request",
            ));
        }
        match known.body.is_empty() {
            true => Err(not_now("the first request has no answer yet, or broke off")),
            false => Ok(Some(known.body)),
        }
    }

    /// Keeps the answer of a claimed key, or gives the key back.
    pub(crate) async fn settle_claim(
        &self,
        whose: &str,
        key: &str,
        kept: Option<String>,
    ) -> Result<(), Refusal> {
        let (holder, name) = (whose.to_owned(), key.to_owned());
        Ok(self.store.commit(vec![Change::SettleAnswer { holder, name, body: kept }]).await?)
    }
}

fn not_now(seen: &str) -> Refusal {
    Refusal::conflict(
        "idempotency-key",
        "a request whose outcome is known",
        seen,
        "look whether it was done; if not, ask again, or under a new key",
    )
}

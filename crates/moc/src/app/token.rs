//! Credentials: made here, told once, kept as hashes.

use std::collections::BTreeSet;

use api::{Owner, PostToken, Role, Scope, TokenAdded, TokenView};

use crate::{
    deployment::Failure,
    store::{CERTIFICATE, Change, NewDecision, Quota, TokenRow},
};

use super::{Moc, Refusal, hash, operator::check_name, secret};

impl Moc {
    /// The credential behind a bearer token.
    pub async fn bearer(&self, token: &str) -> Result<Option<TokenRow>, Refusal> {
        Ok(self.store.token(&hash(token), self.clock.now_ms()).await?)
    }

    /// The credential behind a TLS client certificate, by its SHA-256.
    pub async fn certificate(&self, sha256: &[u8; 32]) -> Result<Option<TokenRow>, Refusal> {
        let hash = format!("{CERTIFICATE}{}", hex::encode(sha256));
        Ok(self.store.token(&hash, self.clock.now_ms()).await?)
    }

    /// Makes a credential in the name of another one, which it does not exceed.
    pub async fn add_token(
        &self,
        holder: &TokenRow,
        asked: &PostToken,
    ) -> Result<TokenAdded, Refusal> {
        check_name(&asked.name)?;
        let tenant = self.tenant_of(holder, asked).await?;
        check_scopes(holder, asked)?;
        let now_ms = self.clock.now_ms();
        let expires_at_ms = now_ms.saturating_add(lifetime_ms(asked)?);
        let (token, hash) = secret_of(asked)?;
        let row = TokenRow {
            hash,
            name: asked.name.clone(),
            role: asked.role,
            tenant: tenant.clone(),
            device: String::new(),
            scopes: asked.scopes.clone(),
            created_ms: now_ms,
            expires_ms: Some(expires_at_ms),
        };
        let id = row.id().to_owned();
        let decision = NewDecision {
            tenant: tenant.clone(),
            at_ms: now_ms,
            subject: format!("token/{id}"),
            decision: "added".into(),
            reason: format!("{} `{}` by token/{}", asked.role, asked.name, holder.id()),
        };
        let max = self.limits.tenant_tokens_max;
        self.store
            .commit(vec![
                Change::AddToken(row),
                Change::Within(Quota::Tokens { tenant, max, now_ms }),
                Change::AddDecision(decision),
            ])
            .await?;
        tracing::info!(%id, role = %asked.role, name = %asked.name, "credential added");
        Ok(TokenAdded { id, token, expires_at_ms })
    }

    /// The credentials that count and that the holder may revoke.
    pub async fn tokens(&self, holder: &TokenRow) -> Result<Vec<TokenView>, Refusal> {
        let tenant = holder.role.is_of_tenant().then_some(holder.tenant.as_str());
        let rows = self.store.tokens(tenant, self.clock.now_ms()).await?;
        Ok(rows.into_iter().map(view).collect())
    }

    /// Ends a credential. That of another tenant looks like none.
    pub async fn revoke_token(&self, holder: &TokenRow, id: &str) -> Result<(), Refusal> {
        let now_ms = self.clock.now_ms();
        let tenant = holder.role.is_of_tenant().then_some(holder.tenant.as_str());
        let rows = self.store.tokens(tenant, now_ms).await?;
        let row = rows.iter().find(|row| row.id() == id).ok_or(Refusal::NotFound("credential"))?;
        let rules = |row: &&TokenRow| row.role == Role::Operator && row.allows(Scope::TokensWrite);
        if rules(&row) && rows.iter().filter(rules).count() == 1 {
            return Err(Refusal::conflict(
                "last-operator",
                "another credential of the operator with `tokens:write`",
                "none",
                "make another one first",
            ));
        }
        let decision = NewDecision {
            tenant: row.tenant.clone(),
            at_ms: now_ms,
            subject: format!("token/{id}"),
            decision: "revoked".into(),
            reason: format!("{} `{}` by token/{}", row.role, row.name, holder.id()),
        };
        let hash = row.hash.clone();
        self.store
            .commit(vec![
                Change::RevokeToken { hash, at_ms: now_ms },
                Change::AddDecision(decision),
            ])
            .await?;
        tracing::info!(%id, "credential revoked");
        Ok(())
    }

    /// The tenant of a new credential; empty for those who belong to none.
    async fn tenant_of(&self, holder: &TokenRow, asked: &PostToken) -> Result<String, Refusal> {
        if !holder.role.grants().contains(&asked.role) {
            let grants: Vec<&str> = holder.role.grants().iter().map(|r| r.as_str()).collect();
            return Err(beyond("role", grants.join(", "), asked.role.as_str()));
        }
        let named = asked.tenant.as_deref();
        match (asked.role.is_of_tenant(), holder.role.is_of_tenant()) {
            (false, _) if named.is_some() => {
                Err(Refusal::malformed("tenant", "none for this role", named.unwrap_or_default()))
            }
            (false, _) => Ok(String::new()),
            (true, true) if named.is_none_or(|named| named == holder.tenant) => {
                Ok(holder.tenant.clone())
            }
            (true, true) => Err(Refusal::NotFound("tenant")),
            (true, false) => {
                let named = named.ok_or_else(|| {
                    Refusal::malformed("tenant", "the tenant of the credential", "none")
                })?;
                match self.store.of(named).name().await? {
                    Some(_) => Ok(named.to_owned()),
                    None => Err(Refusal::NotFound("tenant")),
                }
            }
        }
    }
}

/// A credential never allows what its role does not, nor more than a narrowed one that makes it.
fn check_scopes(holder: &TokenRow, asked: &PostToken) -> Result<(), Refusal> {
    let of_role: BTreeSet<Scope> = asked.role.scopes().iter().copied().collect();
    if let Some(scope) = asked.scopes.difference(&of_role).next() {
        let expected = format!("scopes of the role: {}", listed(&of_role));
        return Err(Refusal::malformed("scopes", &expected, scope.as_str()));
    }
    let new = if asked.scopes.is_empty() { of_role } else { asked.scopes.clone() };
    if !holder.scopes.is_empty() && !new.is_subset(&holder.allowed()) {
        return Err(beyond("scopes", listed(&holder.allowed()), &listed(&new)));
    }
    Ok(())
}

fn beyond(check: &str, expected: String, seen: &str) -> Refusal {
    Refusal::Untrusted(Failure {
        check: check.to_owned(),
        expected: format!("at most {expected}"),
        seen: seen.to_owned(),
        owner: Owner::Operator,
        remedy: "let somebody with a wider credential make it".into(),
    })
}

fn lifetime_ms(asked: &PostToken) -> Result<u64, Refusal> {
    let seconds = asked.expires_in_s.unwrap_or(LIFETIME_S);
    match (1..=LIFETIME_S_MAX).contains(&seconds) {
        true => Ok(seconds * 1000),
        false => {
            let expected = format!("1 to {LIFETIME_S_MAX} seconds");
            Err(Refusal::malformed("expires_in_s", &expected, seconds.to_string()))
        }
    }
}

/// What is told, when there is something to tell, and what is kept.
fn secret_of(asked: &PostToken) -> Result<(Option<String>, String), Refusal> {
    let Some(certificate) = &asked.certificate_sha256 else {
        let token = secret(&format!("tamarack-{}-", asked.role));
        let hash = hash(&token);
        return Ok((Some(token), hash));
    };
    let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    match certificate.len() == 64 && certificate.bytes().all(lower) {
        true => Ok((None, format!("{CERTIFICATE}{certificate}"))),
        false => Err(Refusal::malformed(
            "certificate_sha256",
            "64 lower-case hexadecimal digits",
            format!("{} characters", certificate.len()),
        )),
    }
}

fn view(row: TokenRow) -> TokenView {
    TokenView {
        id: row.id().to_owned(),
        role: row.role,
        scopes: row.allowed(),
        certificate: row.is_certificate(),
        name: row.name,
        tenant: (!row.tenant.is_empty()).then_some(row.tenant),
        device: (!row.device.is_empty()).then_some(row.device),
        created_at_ms: row.created_ms,
        expires_at_ms: row.expires_ms,
    }
}

fn listed(scopes: &BTreeSet<Scope>) -> String {
    scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(", ")
}

/// 90 days.
const LIFETIME_S: u64 = 7_776_000;
/// A leap year.
const LIFETIME_S_MAX: u64 = 31_622_400;

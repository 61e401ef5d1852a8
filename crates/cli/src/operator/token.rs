//! `tamarack operator token`: who may do what, until when.

use std::{collections::BTreeSet, path::PathBuf};

use anyhow::Context as _;
use api::{PostToken, Role, Scope, TokenView};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::{Args, Subcommand};
use sdk::MocClient;
use serde_json::json;

use super::print;
use crate::outcome::Failed;

/// `tamarack operator token`.
#[derive(Debug, Subcommand)]
pub(super) enum Token {
    /// Makes a credential and prints its token, once
    Add(Add),
    /// Lists the credentials that count
    List,
    /// Ends a credential
    Revoke {
        /// Its identifier, as the list shows it
        id: String,
    },
}

/// `tamarack operator token add`.
#[derive(Debug, Args)]
pub(super) struct Add {
    /// What it is for
    name: String,
    /// operator, security-officer, tenant-admin, tenant-user or auditor
    #[arg(long)]
    role: Role,
    /// The tenant's identifier, for the roles of a tenant
    #[arg(long, value_name = "ID")]
    tenant: Option<String>,
    /// Only this, such as `devices:read`; may be repeated [default: all that the role may]
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<Scope>,
    /// After how many days it ends [default: 90]
    #[arg(long, value_name = "DAYS")]
    days: Option<u64>,
    /// The holder's TLS client certificate (PEM) in place of a token
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
}

impl Token {
    pub(super) async fn run(self, moc: &MocClient, as_json: bool) -> Result<(), Failed> {
        match self {
            Self::Add(add) => {
                let asked = add.asked()?;
                let added = moc.add_token(&asked).await?;
                print(as_json, &json!(added), || match &added.token {
                    Some(token) => format!("credential {}: token {token}", added.id),
                    None => format!("credential {}: the certificate", added.id),
                });
            }
            Self::List => {
                let tokens = moc.tokens().await?;
                print(as_json, &json!(tokens), || {
                    tokens.iter().map(line).collect::<Vec<_>>().join("\n")
                });
            }
            Self::Revoke { id } => {
                moc.revoke_token(&id).await?;
                print(as_json, &json!({ "revoked": id }), || format!("{id} counts no more"));
            }
        }
        Ok(())
    }
}

impl Add {
    fn asked(self) -> anyhow::Result<PostToken> {
        Ok(PostToken {
            role: self.role,
            tenant: self.tenant,
            name: self.name,
            scopes: self.scopes.into_iter().collect::<BTreeSet<_>>(),
            expires_in_s: self.days.map(|days| days.saturating_mul(86_400)),
            certificate_sha256: self.certificate.map(fingerprint).transpose()?,
        })
    }
}

/// SHA-256 of the first certificate of a PEM file.
fn fingerprint(path: PathBuf) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("reading the certificate {}", path.display()))?;
    let body: String = text
        .lines()
        .skip_while(|line| !line.contains("BEGIN CERTIFICATE"))
        .skip(1)
        .take_while(|line| !line.contains("END CERTIFICATE"))
        .map(str::trim)
        .collect();
    let der = STANDARD.decode(body).context("the certificate is not PEM")?;
    anyhow::ensure!(!der.is_empty(), "{} holds no certificate", path.display());
    Ok(hex::encode(cose::sha256(&der)))
}

fn line(token: &TokenView) -> String {
    let whose = token.tenant.as_deref().or(token.device.as_deref()).unwrap_or("");
    let end = token
        .expires_at_ms
        .and_then(|ms| jiff::Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok());
    let end = end.map_or_else(|| "no end".to_owned(), |end| format!("until {end:.0}"));
    format!("{}  {:<16} {:<20} {end} {whose}", token.id, token.role.as_str(), token.name)
}

//! `tamarack operator join-token`: devices that may join, one or many.

use std::path::PathBuf;

use anyhow::Context as _;
use api::{JoinTokenView, JoinTokensAdded, PostDevice, PostJoinTokens};
use clap::{Args, Subcommand};
use sdk::MocClient;
use serde::Deserialize;
use serde_json::json;

use super::{device, print};
use crate::outcome::Failed;

/// `tamarack operator join-token`.
#[derive(Debug, Subcommand)]
pub(super) enum JoinToken {
    /// Announces one device and prints its join token, once
    Add {
        #[command(flatten)]
        device: device::Add,
        #[command(flatten)]
        terms: Terms,
    },
    /// Announces every device of a manifest, all or none, and prints the join tokens, once
    Import {
        /// The manifest (TOML): a table `[[device]]` for each, with the members of `POST
        /// /v1/devices` and `hardware_id`
        manifest: PathBuf,
        #[command(flatten)]
        terms: Terms,
    },
    /// Lists the join tokens that count
    List,
    /// Takes a join token back
    Revoke {
        /// Its identifier, as the list shows it
        id: String,
    },
}

/// On which terms devices join.
#[derive(Debug, Args)]
pub(super) struct Terms {
    /// They need no approval after they have joined
    #[arg(long)]
    approved: bool,
    /// After how many days the tokens end [default: 7]
    #[arg(long, value_name = "DAYS")]
    days: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    device: Vec<PostDevice>,
}

impl JoinToken {
    pub(super) async fn run(self, moc: &MocClient, as_json: bool) -> Result<(), Failed> {
        match self {
            Self::Add { device, terms } => {
                let added = moc.add_join_tokens(&terms.for_all(vec![device.asked()])).await?;
                tell(&added, as_json);
            }
            Self::Import { manifest, terms } => {
                let name = manifest.display();
                let text = std::fs::read_to_string(&manifest)
                    .with_context(|| format!("reading the manifest {name}"))?;
                let read: Manifest = toml::from_str(&text)
                    .with_context(|| format!("the manifest {name} is not what it should be"))?;
                let added = moc.add_join_tokens(&terms.for_all(read.device)).await?;
                tell(&added, as_json);
            }
            Self::List => {
                let tokens = moc.join_tokens().await?;
                print(as_json, &json!(tokens), || {
                    tokens.iter().map(line).collect::<Vec<_>>().join("\n")
                });
            }
            Self::Revoke { id } => {
                moc.revoke_join_token(&id).await?;
                print(as_json, &json!({ "revoked": id }), || format!("{id} counts no more"));
            }
        }
        Ok(())
    }
}

impl Terms {
    fn for_all(&self, devices: Vec<PostDevice>) -> PostJoinTokens {
        let expires_in_s = self.days.map(|days| days.saturating_mul(86_400));
        PostJoinTokens { devices, approved: self.approved, expires_in_s }
    }
}

fn tell(added: &JoinTokensAdded, as_json: bool) {
    print(as_json, &json!(added), || {
        let each = added.tokens.iter().map(|one| format!("{}  {}", one.device, one.token));
        each.collect::<Vec<_>>().join("\n")
    });
}

fn line(token: &JoinTokenView) -> String {
    let end = i64::try_from(token.expires_at_ms).ok();
    let end = end.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let end = end.map_or_else(String::new, |end| format!("until {end:.0}"));
    let approval = if token.approved { "approved" } else { "to be approved" };
    let JoinTokenView { id, device, hardware, hardware_id, .. } = token;
    format!("{id}  {device:<20} {hardware:<9} {hardware_id} {approval} {end}")
}

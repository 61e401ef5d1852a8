//! Makes Evidence: what the agent is and runs, signed by its evidence key, and a quote over it.
//!
//! Every exchange gets its own: a new receiver of the agent and of each Trusted Application,
//! named in the EAT,
//! and a quote that covers the EAT. What is not running is not in it.

use cose::Signer as _;
use device::tee::Description;
use rats::binding::{Binding, BoundQuote};
use rats::eat::{Claims, Confirmation, DebugStatus, OemId, SessionKeys, TaEntry, Ueid, Version};
use rats::evidence::{AGENT_PROFILE, Evidence, Hardware};
use rats::nonce::Nonce;

use crate::attester::{Attester, Unavailable};
use crate::exchanges::Exchanges;
use crate::identity::Identity;
use crate::ta::{Applications, Challenged};

/// Why there is no Evidence.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoEvidence {
    /// The TEE gave no quote.
    #[error("the TEE gave no quote")]
    Tee(#[from] Unavailable),
    /// The TEE describes itself with values that are no claims.
    #[error("the description of the TEE has an unusable {0}")]
    Description(&'static str),
    /// The challenge is shorter or longer than a nonce may be.
    #[error("the challenge has an unusable length")]
    Challenge,
    /// The evidence key does not sign.
    #[error("the evidence key does not sign")]
    Key(#[from] cose::KeyUnusable),
}

/// Answers a challenge.
pub(crate) fn evidence(
    identity: &Identity,
    attester: &dyn Attester,
    applications: &Applications,
    exchanges: &mut Exchanges,
    challenge: &[u8],
) -> Result<Vec<u8>, NoEvidence> {
    let challenge = Nonce::new(challenge).map_err(|_| NoEvidence::Challenge)?;
    let mut claims = device_claims(attester.description())?;
    claims.cnf = Some(Confirmation::Key(identity.teep.key().clone()));
    claims.eat_nonce = Some(challenge.clone());
    claims.dbgstat = Some(DebugStatus::DisabledSinceBoot);
    claims.eat_profile = Some(AGENT_PROFILE.to_owned());
    claims.session_keys = Some(SessionKeys {
        report: identity.report.key().clone(),
        receipt: identity.receipt.key().clone(),
    });
    let receiver = exchanges.new_receiver();
    claims.receiver = Some(receiver.clone());
    let challenged = applications.challenge();
    for application in &challenged {
        claims.submods.insert_ta(entry(application));
    }

    let digest = cose::sha256(&claims.encode());
    // The receiver was made above, so there is nothing that could be in the way.
    let _bound = exchanges.bind(receiver.thumbprint(), digest);
    for application in challenged {
        // One that ended meanwhile has no receiver any more, so nothing can be released to it.
        let _ = application.ta.bind(application.receiver.thumbprint(), digest);
    }
    let eat = rats::eat::sign(&claims, identity.evidence.as_ref())?;
    let binding = Binding { challenge, key: identity.evidence.key().clone(), claims: Some(digest) };
    let quote = attester.quote(binding.report_data())?;
    let bound = BoundQuote { quote: quote.evidence, binding: binding.encode() };
    let hardware = Some(Hardware { media_type: quote.media_type, bound, endorsements: quote.aux });
    Ok(Evidence { eat, hardware }.encode())
}

fn device_claims(description: &Description) -> Result<Claims, NoEvidence> {
    let bad = |what| move |_| NoEvidence::Description(what);
    let oemid = match description.oemid.as_slice() {
        random if random.len() == 16 => {
            OemId::Random(random.try_into().map_err(|_| NoEvidence::Description("oemid"))?)
        }
        &[a, b, c] => OemId::Ieee([a, b, c]),
        _ => return Err(NoEvidence::Description("oemid")),
    };
    if !(1..=32).contains(&description.hwmodel.len()) {
        return Err(NoEvidence::Description("hwmodel"));
    }
    Ok(Claims {
        ueid: Some(Ueid::from_bytes(&description.ueid).map_err(bad("ueid"))?),
        oemid: Some(oemid),
        hwmodel: Some(description.hwmodel.clone()),
        hwversion: Some(Version::new(description.hwversion.clone())),
        ..Claims::default()
    })
}

fn entry(application: &Challenged) -> TaEntry {
    TaEntry {
        service_key: application.service_key.clone(),
        receiver: Some(application.receiver.clone()),
        instance: application.claim.clone(),
        manifest: application.ta.manifest_id(),
        swname: application.ta.component().name().map(ToOwned::to_owned),
        manifests: Vec::new(),
    }
}

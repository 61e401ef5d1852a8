//! Makes Evidence: what the agent is and runs, signed by its evidence key, and a quote over it.
//!
//! Every exchange gets its own: a new receiver of the agent and of each Trusted Application,
//! named in the EAT, and a quote that covers the EAT. What is not running is not in it. A renewal
//! is the EAT alone: it costs no quote, and nothing can be released to it.

use channel::Suites;
use cose::{Agreement as _, Key, Signer as _, Thumbprint};
use device::tee::{Description, Quote, REPORT_DATA_BYTES};
use rats::binding::{Binding, BoundQuote};
use rats::eat::{
    Claims, Confirmation, DebugStatus, Instance as InstanceClaim, OemId, SessionKeys, TaEntry,
    Ueid, Version,
};
use rats::evidence::{AGENT_PROFILE, Evidence, Hardware};
use rats::nonce::Nonce;

use crate::attester::{Quoted, Unavailable};
use crate::exchanges::Exchanges;
use crate::identity::Identity;
use crate::ta::{Applications, Challenged, Facts, Ta};

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

/// Evidence that lacks nothing but its quote.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    eat: Vec<u8>,
    binding: Binding,
}

/// Prepares the answer to a challenge: a new receiver for each place, named in a signed EAT. Who
/// asks is told of the applications that are to be shown.
pub(crate) fn prepare(
    identity: &Identity,
    tee: &Description,
    applications: &Applications,
    exchanges: &mut Exchanges,
    suites: &Suites,
    shown: &dyn Fn(&Facts) -> bool,
    challenge: &[u8],
) -> Result<Prepared, NoEvidence> {
    let challenge = Nonce::new(challenge).map_err(|_| NoEvidence::Challenge)?;
    let mut claims = agent_claims(identity, tee, &challenge)?;
    claims.receivers = exchanges.new_receiver(suites);
    let receiver = id(&claims.receivers);
    let challenged = applications.challenge(suites, shown);
    for application in &challenged {
        claims.submods.insert_ta(entry(application));
    }

    let digest = cose::sha256(&claims.encode());
    // The receiver was made above, so there is nothing that could be in the way.
    let _bound = exchanges.bind(receiver, digest);
    for application in challenged {
        // One that ended meanwhile has no receiver any more, so nothing can be released to it.
        let _ = application.ta.bind(id(&application.receivers), digest);
    }
    let eat = rats::eat::sign(&claims, identity.evidence.as_ref())?;
    let binding = Binding { challenge, key: identity.evidence.key().clone(), claims: Some(digest) };
    Ok(Prepared { eat, binding })
}

/// Answers a challenge by the agent layer alone, for who has appraised a quote of this Agent.
///
/// It names what runs, and no receiver: whoever releases anything needs a new quote.
pub(crate) fn renewal(
    identity: &Identity,
    tee: &Description,
    applications: &Applications,
    shown: &dyn Fn(&Facts) -> bool,
    challenge: &[u8],
) -> Result<Vec<u8>, NoEvidence> {
    let challenge = Nonce::new(challenge).map_err(|_| NoEvidence::Challenge)?;
    let mut claims = agent_claims(identity, tee, &challenge)?;
    for (ta, service_key, claim) in applications.running(shown) {
        claims.submods.insert_ta(named(&ta, service_key, Vec::new(), claim));
    }
    let eat = rats::eat::sign(&claims, identity.evidence.as_ref())?;
    Ok(Evidence { eat, hardware: None }.encode())
}

impl Prepared {
    /// What the quote has to cover.
    pub(crate) fn report_data(&self) -> [u8; REPORT_DATA_BYTES] {
        self.binding.report_data()
    }

    /// The Evidence, with its quote.
    pub(crate) fn with(self, quoted: Quoted) -> Vec<u8> {
        let Self { eat, binding } = self;
        let Quoted { quote: Quote { media_type, evidence, aux }, runtime_log } = quoted;
        let bound = BoundQuote { quote: evidence, binding: binding.encode() };
        let hardware = Some(Hardware { media_type, bound, endorsements: aux, runtime_log });
        Evidence { eat, hardware }.encode()
    }
}

fn agent_claims(
    identity: &Identity,
    tee: &Description,
    challenge: &Nonce,
) -> Result<Claims, NoEvidence> {
    let mut claims = device_claims(tee)?;
    claims.cnf = Some(Confirmation::Key(identity.teep.key().clone()));
    claims.eat_nonce = Some(challenge.clone());
    claims.dbgstat = Some(DebugStatus::DisabledSinceBoot);
    claims.eat_profile = Some(AGENT_PROFILE.to_owned());
    claims.session_keys = Some(SessionKeys {
        report: identity.report.key().clone(),
        receipt: identity.receipt.key().clone(),
        payload: Some(identity.payload.key().clone()),
    });
    Ok(claims)
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
    let Challenged { ta, service_key, receivers, claim } = application;
    named(ta, service_key.clone(), receivers.clone(), claim.clone())
}

/// What names a receiver; one that has ended has no key.
fn id(receivers: &[Key]) -> Thumbprint {
    receivers.first().map_or(Thumbprint([0; 32]), Key::thumbprint)
}

fn named(ta: &Ta, service_key: Key, receivers: Vec<Key>, instance: InstanceClaim) -> TaEntry {
    TaEntry {
        service_key,
        receivers,
        instance,
        manifest: ta.manifest_id(),
        swname: ta.component().name().map(ToOwned::to_owned),
        manifests: Vec::new(),
    }
}

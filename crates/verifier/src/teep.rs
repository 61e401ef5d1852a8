//! TEEP evidence: a hardware quote, the binding that it covers, and the agent-layer EAT.
//!
//! The quote vouches for the binding, the binding names challenge, evidence key and claims, and
//! the evidence key signed the claims. All of it is one answer to one challenge: no part counts
//! without the others. What a TAM or a Network User then asks of the claims is theirs.

use cose::{Accept, Key, Verified};
use rats::binding::{Binding, BoundQuote};
use rats::eat::{Claims, Confirmation, Token};
use rats::evidence::{AGENT_PROFILE, Evidence};

use crate::check::{Check, Checks, Failure, Owner, Reason, Stop};
use crate::evidence::{EventLog, Kind, Request, UserData, appraise};
use crate::runtime::Measured;
use crate::value::Value;
use crate::{
    Anchors, Appraisal, Appraised, Collateral, Endorsements, Policy, ReferenceValues, Timestamp,
};

/// What TEEP evidence is appraised with.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// What the evidence must answer: 8 to 64 octets, with a Network User the combined challenge.
    pub challenge: &'a [u8],
    /// An event log to replay against the quote's registers.
    pub event_log: Option<EventLog<'a>>,
    /// Where trust begins.
    pub anchors: &'a Anchors,
    /// Which measured software is meant.
    pub reference: &'a ReferenceValues,
    /// What else is accepted.
    pub policy: &'a Policy,
    /// For which point in time.
    pub now: Timestamp,
}

/// TEEP evidence that was read, not appraised.
#[derive(Clone, Debug)]
pub struct TeepEvidence {
    kind: Kind,
    bound: BoundQuote,
    runtime_log: Option<Vec<u8>>,
    eat: Vec<u8>,
}

/// The appraisal of both layers.
#[derive(Clone, Debug)]
pub struct AgentAppraisal {
    appraisal: Appraisal,
    agent: Option<Agent>,
}

/// An [`AgentAppraisal`] that accepted; only [`AgentAppraisal::accept`] makes one.
#[derive(Clone, Debug)]
pub struct AppraisedAgent {
    appraised: Appraised,
    agent: Agent,
}

/// What the agent layer said, bound to the quote and signed by the bound key.
#[derive(Clone, Debug)]
pub struct Agent {
    /// The key that the quote vouches for; it signs nothing but EATs.
    pub evidence_key: Key,
    /// The key that signs the Agent's TEEP messages.
    pub teep_key: Key,
    /// The claims, and the bytes that name them.
    pub token: Verified<Token>,
    /// What the quote's runtime register holds.
    measured: Measured,
}

/// Bytes are not TEEP evidence that can be appraised; the check explains why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not TEEP evidence that can be appraised")]
pub struct NotEvidence(Box<Check>);

/// Appraises TEEP evidence against collateral that is verified for this one use.
///
/// Whoever appraises more than once reads the evidence with [`TeepEvidence::decode`] and keeps
/// prepared [`Endorsements`].
pub fn appraise_teep(
    evidence_cmw: &[u8],
    collateral: &Collateral,
    terms: &Terms<'_>,
) -> Result<AgentAppraisal, NotEvidence> {
    let evidence = TeepEvidence::decode(evidence_cmw)?;
    let collateral = collateral.for_evidence(evidence.kind, evidence.quote());
    let prepared = Endorsements::prepare(evidence.kind, &collateral, terms.anchors);
    Ok(evidence.appraise(&prepared, terms))
}

impl TeepEvidence {
    /// Reads the CMW collection and finds the hardware's record in it.
    pub fn decode(evidence_cmw: &[u8]) -> Result<Self, NotEvidence> {
        let evidence = read(evidence_cmw)?;
        let Some(hardware) = evidence.hardware else {
            let remedy = "send a new quote with the EAT: an EAT alone renews, it does not begin";
            return Err(NotEvidence::new(Reason::MissingEndorsement, "no hardware record", remedy));
        };
        let Some(kind) = Kind::from_media_type(&hardware.media_type) else {
            let remedy = "send evidence of a kind that this Verifier appraises";
            return Err(NotEvidence::new(Reason::Unsupported, hardware.media_type, remedy));
        };
        let mut bound = hardware.bound;
        // A report with the host's certificate table after it is one form of SEV-SNP evidence.
        if let (Kind::SevSnp, Some(table)) = (kind, hardware.endorsements) {
            bound.quote.extend(table);
        }
        Ok(Self { kind, bound, runtime_log: hardware.runtime_log, eat: evidence.eat })
    }

    /// The kind of hardware, which says what endorsements to prepare.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The hardware's own evidence and what endorses it there, for example to find the
    /// platform's collateral.
    #[must_use]
    pub fn quote(&self) -> &[u8] {
        &self.bound.quote
    }

    /// Appraises the hardware layer, then the agent layer under it.
    #[must_use]
    pub fn appraise(&self, endorsements: &Endorsements, terms: &Terms<'_>) -> AgentAppraisal {
        let report_data = cose::sha512(&self.bound.binding);
        let request = self.request(UserData::Exactly(&report_data), terms);
        let mut appraisal = appraise(&request, endorsements);
        let mut agent = None;
        if appraisal.authentic && appraisal.bound {
            let mut checks = Checks::default();
            agent = self.open(appraisal.claims(), terms, &mut checks).ok();
            appraisal.add(checks.into_check("agent"));
        }
        AgentAppraisal { appraisal, agent }
    }

    /// Appraises an EAT alone that renews this evidence, which the same asker challenged before.
    ///
    /// The quote is appraised again, with today's endorsements and time; `terms` are those of the
    /// first exchange but for that. The renewal must answer `challenge` under the same keys.
    pub fn renew(
        &self,
        renewal_cmw: &[u8],
        challenge: &[u8],
        endorsements: &Endorsements,
        terms: &Terms<'_>,
    ) -> Result<AgentAppraisal, NotEvidence> {
        let renewal = read(renewal_cmw)?;
        if renewal.hardware.is_some() {
            let remedy = "appraise evidence with a quote of its own as new evidence";
            return Err(NotEvidence::new(Reason::Unsupported, "a hardware record", remedy));
        }
        let AgentAppraisal { mut appraisal, agent: first } = self.appraise(endorsements, terms);
        let mut agent = None;
        if let Some(first) = first {
            let mut checks = Checks::default();
            let terms = Terms { challenge, ..*terms };
            agent = first.renewed(&renewal.eat, &terms, &mut checks).ok();
            appraisal.add(checks.into_check("renewal"));
        }
        Ok(AgentAppraisal { appraisal, agent })
    }

    fn request<'a>(&'a self, user_data: UserData<'a>, terms: &Terms<'a>) -> Request<'a> {
        Request {
            kind: self.kind,
            evidence: &self.bound.quote,
            event_log: terms.event_log,
            user_data,
            anchors: terms.anchors,
            reference: terms.reference,
            policy: terms.policy,
            now: terms.now,
        }
    }

    /// Opens the agent layer of evidence whose quote covers the binding's bytes.
    fn open(
        &self,
        hardware: Option<&crate::Claims>,
        terms: &Terms<'_>,
        checks: &mut Checks,
    ) -> Result<Agent, Stop> {
        let binding = Binding::decode(&self.bound.binding).or_else(|error| {
            let check = Check::new("agent.binding").seen(error.to_string());
            checks.fail(check.holds(false, || {
                let remedy = "bind with teep-bind-v1 in its deterministic encoding";
                Failure::new(Reason::Malformed, Owner::Attester, remedy)
            }))
        })?;
        let fresh = binding.challenge.check(terms.challenge).is_ok();
        checks.need(check_challenge(
            "agent.challenge",
            binding.challenge.as_bytes(),
            fresh,
            terms,
        ))?;
        let token = verify_token(&self.eat, &binding.key, checks)?;
        let digest = token.get().digest();
        let ok = binding.check(terms.challenge, &binding.key, Some(&digest)).is_ok();
        let check = Check::new("agent.eat.digest").seen(&digest).source("binding");
        checks.need(check.holds(ok, || {
            mismatch("send the EAT that was signed for this quote: the quote covers other claims")
        }))?;
        let claims = &token.get().claims;
        let teep_key = check_claims(claims, &binding.key, terms, checks)?;
        let log = self.runtime_log.as_deref();
        let measured = Measured::replayed(self.kind, hardware, log, checks)?;
        measured.check(claims, terms.policy, checks)?;
        Ok(Agent { evidence_key: binding.key, teep_key, token, measured })
    }
}

/// Checks what every agent-layer EAT says and returns the Agent's TEEP key.
fn check_claims(
    claims: &Claims,
    evidence_key: &Key,
    terms: &Terms<'_>,
    checks: &mut Checks,
) -> Result<Key, Stop> {
    let profile = claims.eat_profile.as_deref().unwrap_or("none").to_owned();
    let ok = profile == AGENT_PROFILE;
    let check = Check::new("agent.eat.profile").seen(profile).expected(AGENT_PROFILE);
    checks.need(check.holds(ok, || {
        Failure::new(Reason::Unsupported, Owner::AgentProvider, "make EATs of this profile")
    }))?;
    let nonce = claims.eat_nonce.as_ref();
    let fresh = nonce.is_some_and(|nonce| nonce.check(terms.challenge).is_ok());
    let seen = nonce.map(rats::nonce::Nonce::as_bytes).unwrap_or_default();
    checks.need(check_challenge("agent.eat.nonce", seen, fresh, terms))?;
    //= EV-COM-6: the key that signs TEEP messages is named in the bound data
    let Some(Confirmation::Key(teep_key)) = &claims.cnf else {
        return checks.fail(Check::new("agent.eat.cnf").seen("no key").holds(false, || {
            Failure::new(
                Reason::BindingMismatch,
                Owner::AgentProvider,
                "name the key of the Agent's TEEP messages in cnf, as a whole COSE_Key",
            )
        }));
    };
    let check = Check::new("agent.eat.cnf").seen(&teep_key.thumbprint().0[..]);
    checks.need(check.holds(teep_key != evidence_key, || {
        Failure::new(
            Reason::ConfigurationNotAllowed,
            Owner::AgentProvider,
            "use a key of its own for TEEP messages: the evidence key signs EATs only",
        )
    }))?;
    Ok(teep_key.clone())
}

fn check_challenge(name: &'static str, seen: &[u8], fresh: bool, terms: &Terms<'_>) -> Check {
    let check = Check::new(name).seen(seen).expected(terms.challenge).source("this exchange");
    check.holds(fresh, || mismatch("ask again: this evidence answers another challenge"))
}

fn verify_token(eat: &[u8], key: &Key, checks: &mut Checks) -> Result<Verified<Token>, Stop> {
    let token = rats::eat::verify(eat, key, &Accept::CURRENT);
    let token = token.or_else(|error| checks.fail(bad_token(&error)))?;
    checks.note(Check::new("agent.eat.signature").seen(&key.thumbprint().0[..]));
    Ok(token)
}

fn bad_token(error: &rats::Refused) -> Check {
    let (reason, text) = match error {
        rats::Refused::Malformed(error) => (Reason::Malformed, error.to_string()),
        rats::Refused::Unsupported(error) => (Reason::Unsupported, error.to_string()),
        rats::Refused::Untrusted(error) => (Reason::BadSignature, error.to_string()),
    };
    Check::new("agent.eat.signature").seen(text).source("binding").holds(false, || {
        let remedy = "send an EAT that the key in the binding signed";
        Failure::new(reason, Owner::Attester, remedy)
    })
}

fn mismatch(remedy: &'static str) -> Failure {
    Failure::new(Reason::BindingMismatch, Owner::Attester, remedy)
}

fn read(evidence_cmw: &[u8]) -> Result<Evidence, NotEvidence> {
    Evidence::decode(evidence_cmw).map_err(|error| {
        let remedy = "send a CMW collection of an EAT and a quote";
        NotEvidence::new(Reason::Malformed, error.to_string(), remedy)
    })
}

impl NotEvidence {
    fn new(reason: Reason, seen: impl Into<Value>, remedy: &'static str) -> Self {
        let check = Check::new("teep.format").seen(seen);
        Self(Box::new(check.holds(false, || Failure::new(reason, Owner::Attester, remedy))))
    }

    /// The explanation.
    #[must_use]
    pub const fn check(&self) -> &Check {
        &self.0
    }

    /// The class of the failure.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        self.0.first_failure().map(|(_, failure)| failure.reason)
    }
}

impl Agent {
    fn renewed(self, eat: &[u8], terms: &Terms<'_>, checks: &mut Checks) -> Result<Self, Stop> {
        let token = verify_token(eat, &self.evidence_key, checks)?;
        let claims = &token.get().claims;
        let teep_key = check_claims(claims, &self.evidence_key, terms, checks)?;
        let check = Check::new("agent.renewal.key").seen(&teep_key.thumbprint().0[..]);
        let check = check.expected(&self.teep_key.thumbprint().0[..]).source("first exchange");
        checks.need(check.holds(teep_key == self.teep_key, || {
            mismatch("attest anew: an Agent with another key is another Agent")
        }))?;
        // The register is that of the first exchange: what began since is not in it.
        self.measured.check(claims, terms.policy, checks)?;
        Ok(Self { teep_key, token, ..self })
    }
}

impl AgentAppraisal {
    /// Turns the appraisal into its proof, or gives it back when it refused.
    pub fn accept(self) -> Result<AppraisedAgent, Box<Self>> {
        match (self.appraisal.accept(), self.agent) {
            (Ok(appraised), Some(agent)) => Ok(AppraisedAgent { appraised, agent }),
            (Ok(appraised), None) => {
                Err(Box::new(Self { appraisal: appraised.into_appraisal(), agent: None }))
            }
            (Err(appraisal), agent) => Err(Box::new(Self { appraisal: *appraisal, agent })),
        }
    }

    /// Whether both layers were accepted.
    #[must_use]
    pub const fn accepted(&self) -> bool {
        self.appraisal.accepted() && self.agent.is_some()
    }

    /// The appraisal, with the checks of both layers.
    #[must_use]
    pub const fn appraisal(&self) -> &Appraisal {
        &self.appraisal
    }

    /// The agent layer, if it belongs to the authentic quote; the appraisal may still refuse.
    #[must_use]
    pub const fn agent(&self) -> Option<&Agent> {
        self.agent.as_ref()
    }
}

impl AppraisedAgent {
    /// The agent layer.
    #[must_use]
    pub const fn agent(&self) -> &Agent {
        &self.agent
    }

    /// The hardware layer.
    #[must_use]
    pub const fn hardware(&self) -> &Appraised {
        &self.appraised
    }
}

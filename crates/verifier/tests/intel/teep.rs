//! TEEP evidence of both layers: what belongs together is accepted, anything else is not.

use crate::vendor::{NOW, Shape, Vendor, World, enclave_body};
use cose::{Algorithm, Curve, KeyUnusable, Signer};
use rats::binding::{Binding, BoundQuote};
use rats::eat::{Claims, Confirmation};
use rats::evidence::{AGENT_PROFILE, Evidence, Hardware, SGX_QUOTE, TDX_QUOTE};
use rats::nonce::Nonce;
use verifier::teep::{NotEvidence, Terms};
use verifier::{
    AgentAppraisal, Anchors, Collateral, Endorsements, Kind, Policy, Reason, ReferenceValues,
    TeepEvidence, appraise_teep,
};

#[test]
fn evidence_whose_layers_belong_together_is_accepted() {
    let bench = Bench::new();

    let appraisal = bench.appraise(&bench.evidence(), &CHALLENGE).expect("evidence");

    assert!(appraisal.accepted(), "{}", appraisal.appraisal());
    assert!(appraisal.appraisal().bound());
    let accepted = appraisal.accept().expect("accepted");
    assert_eq!(accepted.agent().teep_key, *bench.teep.key());
    assert_eq!(accepted.agent().evidence_key, *bench.evidence_key.key());
    assert_eq!(accepted.hardware().claims().measurements[0].name, "mrenclave");
}

//= EV-COM-5: the challenge of this exchange
#[test]
fn evidence_that_answers_another_challenge_is_refused() {
    let bench = Bench::new();
    let mut other = CHALLENGE;
    other[63] ^= 1;

    let appraisal = bench.appraise(&bench.evidence(), &other).expect("evidence");

    assert_eq!(refused(appraisal), ("agent.challenge", Reason::BindingMismatch));
}

#[test]
fn a_binding_that_the_quote_does_not_cover_is_refused() {
    let bench = Bench::new();
    let mut evidence = bench.evidence();
    let hardware = evidence.hardware.as_mut().expect("hardware");
    hardware.bound.binding = Binding { claims: None, ..bench.binding() }.encode();

    let appraisal = bench.appraise(&evidence, &CHALLENGE).expect("evidence");

    assert!(appraisal.agent().is_none());
    assert_eq!(refused(appraisal), ("binding.user-data", Reason::BindingMismatch));
}

//= EV-COM-6: the bound data names the claims
#[test]
fn claims_that_the_quote_does_not_cover_are_refused() {
    let bench = Bench::new();
    let mut evidence = bench.evidence();
    let others = Claims { swname: Some("other".into()), ..bench.claims() };
    evidence.eat = rats::eat::sign(&others, &bench.evidence_key).expect("signed");

    let appraisal = bench.appraise(&evidence, &CHALLENGE).expect("evidence");

    assert_eq!(refused(appraisal), ("agent.eat.digest", Reason::BindingMismatch));
}

#[test]
fn claims_of_another_key_are_refused() {
    let bench = Bench::new();
    let mut evidence = bench.evidence();
    evidence.eat = rats::eat::sign(&bench.claims(), &Software::new()).expect("signed");

    let appraisal = bench.appraise(&evidence, &CHALLENGE).expect("evidence");

    assert_eq!(refused(appraisal), ("agent.eat.signature", Reason::BadSignature));
}

#[test]
fn a_binding_without_claims_admits_no_claims() {
    let bench = Bench::new();
    let binding = Binding { claims: None, ..bench.binding() };

    let evidence = bench.evidence_of(&bench.claims(), &binding);

    let appraisal = bench.appraise(&evidence, &CHALLENGE).expect("evidence");
    assert_eq!(refused(appraisal), ("agent.eat.digest", Reason::BindingMismatch));
}

//= EV-COM-6: the TEEP key is named in the bound data
#[test]
fn claims_without_profile_nonce_or_key_are_refused() {
    let bench = Bench::new();
    let claims = || bench.claims();
    for (claims, check, reason) in [
        (
            Claims { eat_profile: Some("other".into()), ..claims() },
            "agent.eat.profile",
            Reason::Unsupported,
        ),
        (Claims { eat_profile: None, ..claims() }, "agent.eat.profile", Reason::Unsupported),
        (Claims { eat_nonce: None, ..claims() }, "agent.eat.nonce", Reason::BindingMismatch),
        (
            Claims { eat_nonce: Some(nonce(&[1; 64])), ..claims() },
            "agent.eat.nonce",
            Reason::BindingMismatch,
        ),
        (Claims { cnf: None, ..claims() }, "agent.eat.cnf", Reason::BindingMismatch),
        (
            Claims { cnf: Some(Confirmation::Kid(bench.teep.key().thumbprint())), ..claims() },
            "agent.eat.cnf",
            Reason::BindingMismatch,
        ),
        (
            Claims { cnf: Some(Confirmation::Key(bench.evidence_key.key().clone())), ..claims() },
            "agent.eat.cnf",
            Reason::ConfigurationNotAllowed,
        ),
    ] {
        let digest = cose::sha256(&claims.encode());
        let binding = Binding { claims: Some(digest), ..bench.binding() };

        let evidence = bench.evidence_of(&claims, &binding);

        let appraisal = bench.appraise(&evidence, &CHALLENGE).expect("evidence");
        assert_eq!(refused(appraisal), (check, reason));
    }
}

#[test]
fn the_agent_layer_does_not_mend_refused_hardware() {
    let bench = Bench::new();
    let strict = Policy::default();
    let terms = Terms { policy: &strict, ..bench.terms(&CHALLENGE) };

    let encoded = bench.evidence().encode();
    let appraisal = appraise_teep(&encoded, &bench.collateral, &terms).expect("evidence");

    assert!(appraisal.agent().is_none());
    assert_eq!(refused(appraisal), ("anchor.standing", Reason::EmulatedNotAllowed));
}

#[test]
fn what_is_no_teep_evidence_is_refused_before_anything_else() {
    let bench = Bench::new();
    let reason = |bytes: &[u8]| {
        let appraisal = appraise_teep(bytes, &bench.collateral, &bench.terms(&CHALLENGE));
        appraisal.err().and_then(|error: NotEvidence| error.reason())
    };
    let whole = bench.evidence();
    let media_type = |name: &str| {
        let mut evidence = whole.clone();
        evidence.hardware.as_mut().expect("hardware").media_type = name.to_owned();
        evidence.encode()
    };

    assert_eq!(reason(b"junk"), Some(Reason::Malformed));
    assert_eq!(reason(&media_type("application/x")), Some(Reason::Unsupported));
    let alone = Evidence { hardware: None, ..whole.clone() };
    assert_eq!(reason(&alone.encode()), Some(Reason::MissingEndorsement));
    let encoded = whole.encode();
    for length in 0..encoded.len() {
        assert!(reason(&encoded[..length]).is_some());
    }
    let as_domain =
        appraise_teep(&media_type(TDX_QUOTE), &bench.collateral, &bench.terms(&CHALLENGE));
    assert_eq!(as_domain.expect("evidence").appraisal().reason(), Some(Reason::Unsupported));
}

#[test]
fn no_changed_bit_of_the_evidence_is_accepted() {
    let bench = Bench::new();
    let whole = bench.evidence();
    let encoded = whole.encode();
    let quote = &whole.hardware.as_ref().expect("hardware").bound.quote;
    let anchors = bench.vendor.anchors();
    let endorsements = Endorsements::prepare(Kind::Sgx, &bench.collateral, &anchors);
    for at in 0..encoded.len() {
        let mut changed = encoded.clone();
        changed[at] ^= 1 << (at % 8);
        let Ok(evidence) = TeepEvidence::decode(&changed) else { continue };

        let appraisal = evidence.appraise(&endorsements, &bench.terms(&CHALLENGE));

        // Outside both signatures are only names of keys and the wrapper's own labels.
        let same = appraisal.agent().is_some_and(|agent| {
            agent.token.get().payload == bench.claims().encode() && evidence.quote() == *quote
        });
        assert!(!appraisal.accepted() || same, "octet {at}");
    }
}

#[test]
fn a_renewal_counts_under_the_same_keys_and_the_new_challenge() {
    let bench = Bench::new();
    let first = TeepEvidence::decode(&bench.evidence().encode()).expect("evidence");
    let anchors = bench.vendor.anchors();
    let endorsements = Endorsements::prepare(Kind::Sgx, &bench.collateral, &anchors);
    let second = [0x22; 64];
    let claims = Claims { eat_nonce: Some(nonce(&second)), ..bench.claims() };
    let renew = |claims: &Claims, signer: &Software| {
        let eat = rats::eat::sign(claims, signer).expect("signed");
        let renewal = Evidence { eat, hardware: None }.encode();
        first.renew(&renewal, &second, &endorsements, &bench.terms(&CHALLENGE)).expect("a renewal")
    };

    let renewed = renew(&claims, &bench.evidence_key);
    assert!(renewed.accepted(), "{}", renewed.appraisal());
    assert_eq!(renewed.agent().expect("an agent").token.get().claims, claims);

    let replayed = renew(&bench.claims(), &bench.evidence_key);
    assert_eq!(refused(replayed), ("agent.eat.nonce", Reason::BindingMismatch));
    let stranger = renew(&claims, &Software::new());
    assert_eq!(refused(stranger), ("agent.eat.signature", Reason::BadSignature));
    let other = Confirmation::Key(Software::new().key().clone());
    let moved = renew(&Claims { cnf: Some(other), ..claims }, &bench.evidence_key);
    assert_eq!(refused(moved), ("agent.renewal.key", Reason::BindingMismatch));

    let whole = bench.evidence().encode();
    let refusal = first.renew(&whole, &second, &endorsements, &bench.terms(&CHALLENGE));
    assert_eq!(refusal.err().and_then(|error| error.reason()), Some(Reason::Unsupported));
}

struct Bench {
    vendor: Vendor,
    collateral: Collateral,
    anchors: Anchors,
    reference: ReferenceValues,
    policy: Policy,
    evidence_key: Software,
    teep: Software,
}

impl Bench {
    fn new() -> Self {
        let vendor = Vendor::new();
        let policy =
            Policy { emulated_allowed: true, reference_required: false, ..Policy::default() };
        Self {
            collateral: vendor.collateral(&World::sgx()),
            anchors: vendor.anchors(),
            reference: ReferenceValues::default(),
            policy,
            vendor,
            evidence_key: Software::new(),
            teep: Software::new(),
        }
    }

    fn claims(&self) -> Claims {
        Claims {
            eat_nonce: Some(nonce(&CHALLENGE)),
            eat_profile: Some(AGENT_PROFILE.into()),
            cnf: Some(Confirmation::Key(self.teep.key().clone())),
            ..Claims::default()
        }
    }

    fn binding(&self) -> Binding {
        Binding {
            challenge: nonce(&CHALLENGE),
            key: self.evidence_key.key().clone(),
            claims: Some(cose::sha256(&self.claims().encode())),
        }
    }

    fn evidence(&self) -> Evidence {
        self.evidence_of(&self.claims(), &self.binding())
    }

    fn evidence_of(&self, claims: &Claims, binding: &Binding) -> Evidence {
        let mut body = enclave_body();
        body[320..].copy_from_slice(&binding.report_data());
        let quote = self.vendor.quote(&body, &Shape::default());
        Evidence {
            eat: rats::eat::sign(claims, &self.evidence_key).expect("signed"),
            hardware: Some(Hardware {
                media_type: SGX_QUOTE.to_owned(),
                bound: BoundQuote { quote, binding: binding.encode() },
                endorsements: None,
                runtime_log: None,
            }),
        }
    }

    fn terms<'a>(&'a self, challenge: &'a [u8]) -> Terms<'a> {
        Terms {
            challenge,
            event_log: None,
            anchors: &self.anchors,
            reference: &self.reference,
            policy: &self.policy,
            now: NOW,
        }
    }

    fn appraise(
        &self,
        evidence: &Evidence,
        challenge: &[u8; 64],
    ) -> Result<AgentAppraisal, NotEvidence> {
        appraise_teep(&evidence.encode(), &self.collateral, &self.terms(challenge))
    }
}

fn refused(appraisal: AgentAppraisal) -> (&'static str, Reason) {
    let refused = appraisal.accept().expect_err("a refusal");
    let (check, failure) = refused.appraisal().refusal().expect("a failed check");
    (check.name, failure.reason)
}

fn nonce(bytes: &[u8]) -> Nonce {
    Nonce::new(bytes).expect("a nonce")
}

/// A signing key in memory.
struct Software {
    pair: crate::vendor::der::Key,
    key: cose::Key,
}

impl Software {
    fn new() -> Self {
        let pair = crate::vendor::der::Key::generate();
        let point = [&[4][..], &pair.raw()].concat();
        let key = cose::Key::from_sec1(Curve::P256, &point).expect("a key");
        Self { pair, key }
    }
}

impl Signer for Software {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Esp256
    }

    fn key(&self) -> &cose::Key {
        &self.key
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyUnusable> {
        Ok(self.pair.sign(message).to_vec())
    }
}

const CHALLENGE: [u8; 64] = [0x11; 64];

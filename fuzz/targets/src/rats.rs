//! Attestation formats.

use cose::{Accept, Header, Payload, Signer as _};
use rats::binding::{Binding, BoundQuote};
use rats::cmw::Cmw;
use rats::corim::{self, Corim};
use rats::ear::{self, Ear, VectorRule};
use rats::eat::{self, Claims};
use rats::evidence::Evidence;
use rats::nonce::{Nonce, TamNonce};
use rats::result::{self, AttestationResult};
use rats::{Timestamp, eat::Confirmation};

use crate::known::{ED25519, NOW, PEER_ED25519, RECEIVER, SILENT};

/// EAT claims, tokens, encrypted tokens and results in the TEEP profile.
pub fn rats_eat(bytes: &[u8]) {
    for key in &SILENT {
        assert!(eat::verify(bytes, key, &Accept::WITH_LEGACY).is_err(), "a token of nobody");
    }
    let _ = eat::decrypt(bytes, &*RECEIVER);
    let peeked = eat::peek(bytes);
    for claims in [Claims::decode(bytes), peeked].into_iter().flatten() {
        let encoded = claims.encode();
        assert_eq!(Claims::decode(&encoded).as_ref(), Ok(&claims), "claims change by encoding");
        let token = eat::sign(&claims, &*ED25519).expect("the key signs");
        let verified = eat::verify(&token, ED25519.key(), &Accept::CURRENT);
        assert_eq!(verified.map(|token| token.into_inner().claims), Ok(claims.clone()));
        for submod in claims.submods.other().values() {
            let _ = submod.claims();
            let _ = submod.verify(ED25519.key(), &Accept::CURRENT);
        }
    }
    if let Ok(nonce) = Nonce::new(bytes) {
        assert_eq!(nonce.check(bytes), Ok(()));
    }
    let opened = TamNonce::open(bytes, &[1; 32], Timestamp(NOW), 300);
    assert!(opened.is_err(), "a nonce that nobody made");
    attestation_result(&token_of(bytes));
}

fn attestation_result(token: &[u8]) {
    let agent = PEER_ED25519.key().thumbprint();
    let expect = result::Expect {
        verifiers: &[ED25519.key().clone()],
        accept: &Accept::CURRENT,
        profile: "urn:ietf:rfc:rfcXXXX",
        agent,
        nonce: None,
        now: Timestamp(NOW),
        skew_s: 60,
    };
    let Ok(verified) = AttestationResult::verify(token, &expect) else { return };
    let result = verified.into_inner();
    assert_eq!(result.agent, agent, "a result about somebody else");
    let again = result.sign(expect.profile, &*ED25519).expect("the key signs");
    let again = AttestationResult::verify(&again, &expect).expect("what is written is read");
    assert_eq!(again.into_inner(), result);
}

/// EAR in CBOR and in JSON, bare and signed.
pub fn rats_ear(bytes: &[u8]) {
    let verifiers = SILENT.each_ref().map(|key| (*key).clone());
    let expect = ear::Expect {
        verifiers: &verifiers,
        accept: &Accept::WITH_LEGACY,
        now: Timestamp(NOW),
        skew_s: 60,
        nonce: None,
        vector: VectorRule::Waived,
    };
    assert!(Ear::verify(bytes, &expect).is_err(), "a result of nobody");
    let text = std::str::from_utf8(bytes).ok();
    let from_json = || text.and_then(|text| Ear::from_json(text).ok());
    let Some(ear) = Ear::decode(bytes).ok().or_else(from_json) else { return };
    assert_eq!(Ear::decode(&ear.encode()).as_ref(), Ok(&ear), "a result changes by CBOR");
    let again = Ear::from_json(&ear.to_json()).expect("what is written as JSON is read");
    let unknown = ear.appraisals().values().any(|one| !one.other.is_empty());
    if ear.other.is_empty() && !unknown {
        assert_eq!(again, ear, "a result changes by JSON");
    }
    assert_eq!(again.status(), ear.status(), "a status changes by JSON");
    let worst = ear.appraisals().values().map(ear::Appraisal::status).reduce(ear::Tier::worst);
    assert!(worst.is_none_or(|worst| worst == ear.status()), "the status is not the worst");
    let verifiers = [ED25519.key().clone()];
    let token = ear.sign(&*ED25519).expect("the key signs");
    if let Ok(verified) = Ear::verify(&token, &ear::Expect { verifiers: &verifiers, ..expect }) {
        assert_eq!(verified.into_inner(), ear);
    }
}

/// CMW in all its forms, and Evidence inside.
pub fn rats_cmw(bytes: &[u8]) {
    let silent = SILENT.each_ref().map(|key| (*key).clone());
    assert!(Cmw::verify(bytes, &silent, &Accept::WITH_LEGACY).is_err(), "a wrapper of nobody");
    if let Ok(cmw) = Cmw::decode(bytes) {
        assert_eq!(Cmw::decode(&cmw.encode()).as_ref(), Ok(&cmw), "a wrapper changes by encoding");
        let signed = cmw.sign(&*ED25519).expect("the key signs");
        let known = [ED25519.key().clone()];
        let verified = Cmw::verify(&signed, &known, &Accept::CURRENT);
        assert_eq!(verified.map(cose::Verified::into_inner), Ok(cmw));
    }
    if let Ok(evidence) = Evidence::decode(bytes) {
        assert_eq!(Evidence::decode(&evidence.encode()), Ok(evidence));
    }
    let _ = teep::evidence::peek(bytes);
}

/// CoRIM, bare and signed.
pub fn rats_corim(bytes: &[u8]) {
    let silent = SILENT.each_ref().map(|key| (*key).clone());
    let mut expect =
        corim::Expect { signers: &silent, accept: &Accept::WITH_LEGACY, now: Timestamp(NOW) };
    assert!(Corim::verify(bytes, &expect).is_err(), "reference values of nobody");
    let Ok(corim) = Corim::decode(bytes) else { return };
    if corim.tags.is_empty() {
        // Tags of other kinds are not kept, and one without tags is not written.
        return;
    }
    let encoded = corim.encode();
    let again = Corim::decode(&encoded);
    let again = again.expect("what is written is read");
    assert_eq!(again.encode(), encoded, "the encoding is not stable");
    if !is_restricted(&corim) {
        assert_eq!(again, corim, "reference values change by encoding");
    }
    let meta = corim::Meta { signer: "fuzz".to_owned(), validity: None };
    let signed = corim.sign(&meta, &*ED25519).expect("the key signs");
    let known = [ED25519.key().clone()];
    expect.signers = &known;
    if let Ok(verified) = Corim::verify(&signed, &expect) {
        assert_eq!(verified.into_inner(), again);
    }
    let _ = verifier::ReferenceValues::default().with_corim(&corim);
}

/// Whether something narrows the values down that is not known here: it is read so that the values
/// match nothing, and it is not written.
fn is_restricted(corim: &Corim) -> bool {
    corim.tags.iter().flat_map(|tag| &tag.reference_values).any(|triple| {
        let unmatched = triple.measurements.iter().any(|one| !one.restrictions.is_empty());
        unmatched || !triple.environment.restrictions.is_empty()
    })
}

/// `teep-bind-v1` and bound quotes: one encoding, and no other bytes behind the same report data.
pub fn rats_binding(bytes: &[u8]) {
    if let Ok(binding) = Binding::decode(bytes) {
        assert_eq!(binding.encode(), bytes, "a binding has a second encoding");
        assert_eq!(binding.report_data(), cose::sha512(bytes));
        let claims = binding.claims;
        let challenge = binding.challenge.as_bytes();
        assert_eq!(binding.check(challenge, &binding.key, claims.as_ref()), Ok(()));
        // A public key is no secret: the bytes may name either of them.
        let other = SILENT.iter().find(|key| ***key != binding.key).expect("two keys differ");
        assert!(binding.check(challenge, other, claims.as_ref()).is_err());
        assert!(Confirmation::Key(binding.key.clone()).confirms(binding.key.thumbprint()).is_ok());
    }
    if let Ok(bound) = BoundQuote::decode(bytes) {
        assert_eq!(bound.encode(), bytes, "a bound quote has a second encoding");
        let data = cose::sha512(&bound.binding);
        let opened = bound.open(&data);
        assert_eq!(opened.is_ok(), Binding::decode(&bound.binding).is_ok());
        assert!(bound.open(&[0; 64]).is_err(), "another report data opens the quote");
    }
}

/// Whatever the bytes are, as a token that the known key signed.
fn token_of(payload: &[u8]) -> Vec<u8> {
    let header = Header::default;
    cose::sign1(&*ED25519, header(), header(), &[], Payload::Attached(payload))
        .expect("the key signs")
}

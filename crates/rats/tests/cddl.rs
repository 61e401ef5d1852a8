//! What is written satisfies the documents' CDDL, as `spec/cddl` has it.

use std::collections::BTreeMap;

use cddl::validate_cbor_from_slice;
use cose::{Algorithm, Signer as _};
use keys::SigningKey;
use rats::corim::{
    Class, ClassId, Comid, Corim, Digest, Environment, Measurement, MeasurementKey, Meta,
    ReferenceTriple, Svn, TagId, Validity,
};
use rats::ear::{
    Appraisal, Ear, Profile, TeepClaims, Tier, TrustClaim, TrustValue, Vector, VerifierId,
};
use rats::eat::{Confirmation, Manifest, OemId, Ueid, Version};
use rats::nonce::Nonce;
use rats::{Label, Timestamp};

const COSE: &str = include_str!("../../../spec/cddl/cose.cddl");
const EAR: &str = include_str!("../../../spec/cddl/ear.cddl");
const CORIM: &str = include_str!("../../../spec/cddl/corim.cddl");

//= rats 11.22 (M): what is written has the draft's form, and the older one on request
#[test]
fn every_attestation_result_satisfies_the_cddl() {
    let signer = SigningKey::generate(Algorithm::Esp256).unwrap();
    let confirmations = [
        Confirmation::Key(signer.key().clone()),
        Confirmation::Kid(signer.key().thumbprint()),
        Confirmation::Ckt(signer.key().thumbprint()),
    ];
    for cnf in confirmations {
        let current = full(cnf);
        let mut legacy = current.clone();
        legacy.profile = Profile::Legacy;

        assert_eq!(is("ear", EAR, &current.encode()), Ok(()));
        assert_eq!(is("ear-legacy", EAR, &legacy.encode()), Ok(()));
        assert!(is("ear", EAR, &legacy.encode()).is_err());
        assert!(is("ear-legacy", EAR, &current.encode()).is_err());
    }
    let signed = bare().sign(&signer).unwrap();
    assert_eq!(is("ear", EAR, &bare().encode()), Ok(()));
    let tagged = [&[0xd2][..], &signed].concat();
    assert_eq!(is("COSE_Sign1_Tagged", COSE, &tagged), Ok(()));
}

//= rats 11.29 (M): reference values are stated in the draft's form
#[test]
fn every_statement_of_reference_values_satisfies_the_cddl() {
    let signer = SigningKey::generate(Algorithm::Ed25519).unwrap();
    let validity = Validity { not_before: Some(Timestamp(1)), not_after: Timestamp(2) };
    for validity in [None, Some(Validity { not_before: None, ..validity }), Some(validity)] {
        let corim = Corim { validity, ..corim() };
        let meta = Meta { signer: "provider".to_owned(), validity };

        let signed = corim.sign(&meta, &signer).unwrap();

        assert_eq!(is("corim", CORIM, &corim.encode()), Ok(()));
        assert_eq!(is("signed-corim", CORIM, &signed), Ok(()));
    }
}

/// The validation can fail.
#[test]
fn the_cddl_refuses_what_breaks_a_rule() {
    let empty = Corim { tags: Vec::new(), ..corim() };
    let mut unknown = bare();
    unknown.other = BTreeMap::from([(Label::Int(77), vec![0])]);

    assert!(is("corim", CORIM, &empty.encode()).is_err());
    assert!(is("corim", CORIM, &bare().encode()).is_err());
    assert!(is("ear", EAR, &unknown.encode()).is_err());
    assert!(is("ear", EAR, &corim().encode()).is_err());
}

/// A result with every member.
fn full(cnf: Confirmation) -> Ear {
    let mut vector = Vector::default();
    for claim in TrustClaim::ALL {
        vector.record(claim, TrustValue::AFFIRMED);
    }
    vector.record(TrustClaim::Hardware, TrustValue::VERIFIER_MALFUNCTION);
    let mut agent = Appraisal::new(vector);
    agent.degrade(Tier::Warning);
    agent.profile = Some("tag:tamarack,2026:agent#1".to_owned());
    agent.policies = vec!["strict".to_owned(), "tenant".to_owned()];
    agent.nonce = Nonce::new([3; 64]).ok();
    agent.cnf = Some(cnf);
    agent.akpub = Some(vec![0x30, 0]);
    agent.teep = Some(TeepClaims {
        nonce: Nonce::new([4; 8]).ok(),
        ueid: Ueid::rand(&[1; 16]).ok(),
        oemid: Some(OemId::Pen(76_543)),
        hwmodel: Some(vec![1]),
        hwversion: Some(Version::new("1")),
        manifests: vec![Manifest { content_format: 60, content: vec![9] }],
    });
    let verifier = VerifierId { developer: "d".to_owned(), build: "b".to_owned() };
    let mut ear = Ear::new(verifier, Timestamp(1_000), "agent", agent);
    ear.exp = Some(Timestamp(2_000));
    ear.nonce = Nonce::new([1; 32]).ok();
    ear.raw_evidence = Some(b"evidence".to_vec());
    ear
}

/// A result with nothing that may be absent.
fn bare() -> Ear {
    let verifier = VerifierId { developer: "d".to_owned(), build: "b".to_owned() };
    Ear::new(verifier, Timestamp(1_000), "agent", Appraisal::new(Vector::default()))
}

/// Reference values with every member, and with as few as may be.
fn corim() -> Corim {
    let digests = || vec![Digest::sha256([9; 32]), Digest::sha384([9; 48])];
    let registers = [(Label::Int(0), digests()), (Label::Text("rem1".to_owned()), digests())];
    let all = Measurement {
        key: Some(MeasurementKey::Text("agent".to_owned())),
        version: Some(Version::new("1")),
        svn: Some(Svn::Min(5)),
        digests: digests(),
        raw: Some(vec![4; 5]),
        name: Some("agent".to_owned()),
        keys: vec![vec![6; 32]],
        registers: registers.into(),
        restrictions: Vec::new(),
    };
    let few = Measurement { svn: Some(Svn::Exact(7)), ..Measurement::default() };
    let ids = [
        ClassId::Uuid([5; 16]),
        ClassId::Oid(vec![0x2a, 3]),
        ClassId::component(&[vec![7; 32], b"ta.suit".to_vec()]),
    ];
    let triples = ids.map(|id| ReferenceTriple {
        environment: Environment::of(Class {
            id: Some(id),
            vendor: Some("maker".to_owned()),
            model: Some("agent".to_owned()),
        }),
        measurements: vec![all.clone(), few.clone()],
    });
    let tag = |id, reference_values| Comid { id, version: 1, reference_values };
    Corim {
        id: TagId::Text("reference-values".to_owned()),
        tags: vec![
            tag(TagId::Uuid([2; 16]), triples.to_vec()),
            tag(TagId::Text("nothing".to_owned()), Vec::new()),
        ],
        validity: None,
    }
}

/// Whether bytes are one item of this rule.
fn is(rule: &str, definitions: &str, bytes: &[u8]) -> Result<(), String> {
    let document = format!("start = {rule}\n{definitions}");
    validate_cbor_from_slice(&document, bytes, None).map_err(|error| error.to_string())
}

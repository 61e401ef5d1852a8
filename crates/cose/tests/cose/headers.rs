//! Header parameters, through the objects that carry them.

use std::collections::BTreeMap;

use cose::cbor::{self, Limits};
use cose::{
    Accept, Algorithm, ContentType, Header, Label, Malformed, Payload, Sign1, Signer as _, Tagging,
    Untrusted,
};

use crate::fixture::{TestSigner, hex};

#[test]
fn every_parameter_reads_back() {
    let signer = TestSigner::new(Algorithm::Esp256, 1);
    let protected = Header {
        content_type: Some(ContentType::from("application/teep+cbor")),
        critical: vec![Label::Int(3)],
        kid: Some(b"kid".to_vec()),
        other: BTreeMap::from([(-65537, vec![0x01]), (258, vec![0x81, 0x02])]),
        ..Header::default()
    };
    let unprotected = Header {
        iv: Some(vec![1; 12]),
        kccs: Some(signer.key().clone()),
        x5chain: vec![vec![1], vec![2]],
        other_text: BTreeMap::from([("text".to_owned(), vec![0xf5])]),
        ..Header::default()
    };

    let bytes = sign(&signer, protected.clone(), unprotected.clone());

    assert_eq!(cbor::check_deterministic(&bytes, Limits::DEFAULT), Ok(()));
    let message = Sign1::decode(&bytes, Tagging::Tagged).unwrap();
    assert_eq!(message.protected, Header { algorithm: Some(Algorithm::Esp256), ..protected });
    assert_eq!(message.unprotected, unprotected);
    assert_eq!(message.kid(), Some(b"kid".as_slice()));
    assert!(message.verify(signer.key(), &Accept::CURRENT, &[]).is_ok());
}

#[test]
fn numbers_for_content_types_and_single_certificates_read_back() {
    let signer = TestSigner::new(Algorithm::Ed25519, 1);
    let unprotected = Header {
        content_type: Some(ContentType::Format(65535)),
        kid: Some(vec![]),
        x5chain: vec![vec![1]],
        ..Header::default()
    };

    let bytes = sign(&signer, Header::default(), unprotected.clone());

    assert_eq!(Sign1::decode(&bytes, Tagging::Tagged).unwrap().unprotected, unprotected);
}

#[test]
fn a_parameter_given_twice_stays_protected_only() {
    let signer = TestSigner::new(Algorithm::Esp256, 1);
    let full = Header {
        algorithm: Some(Algorithm::EdDsa),
        content_type: Some(ContentType::Format(1)),
        kid: Some(vec![1]),
        iv: Some(vec![2]),
        kccs: Some(signer.key().clone()),
        x5chain: vec![vec![3]],
        other: BTreeMap::from([(99, vec![0x00])]),
        other_text: BTreeMap::from([("a".to_owned(), vec![0x00])]),
        ..Header::default()
    };

    let bytes = sign(&signer, full.clone(), full.clone());

    let message = Sign1::decode(&bytes, Tagging::Tagged).unwrap();
    assert_eq!(message.unprotected, Header::default());
    assert_eq!(message.protected, Header { algorithm: Some(Algorithm::Esp256), ..full });
}

#[test]
fn a_parameter_in_both_buckets_is_refused() {
    let cases =
        ["43a10126 a10126", "43a10441 a10440", "44a1616100 a1616100", "44a1186300 a1186300"];
    for buckets in cases {
        let refused = decode(buckets);
        let expected = if buckets.starts_with("43a10441") {
            Malformed::Truncated
        } else {
            Malformed::DuplicateParameter
        };
        assert_eq!(refused, Some(expected), "{buckets}");
    }
}

#[test]
fn parameters_of_another_shape_are_refused() {
    let x5chain = "a certificate, or an array of two or more";
    let kccs = "a CWT Claims Set with a COSE_Key in cnf";
    let cases = [
        ("40 a101 6161", Malformed::Expected("a registered algorithm")),
        ("40 a103 20", Malformed::Expected("a content type")),
        ("40 a104 01", Malformed::Cbor(5)),
        ("40 a105 f6", Malformed::Cbor(5)),
        ("40 a2 05 40 06 40", Malformed::Expected("either IV or Partial IV")),
        ("40 a102 8101", Malformed::Expected("crit in the protected header only")),
        ("44 a1028104 a0", Malformed::Expected("the parameters that crit lists")),
        ("43 a10280 a0", Malformed::Expected("one element or more")),
        ("44 a10281f6 a0", Malformed::Expected("a header label")),
        ("40 a1f6 00", Malformed::Expected("a header label")),
        ("40 a11821 80", Malformed::Expected("one element or more")),
        ("40 a11821 8140", Malformed::Expected(x5chain)),
        ("40 a10e a0", Malformed::Expected(kccs)),
        ("40 a10e 40", Malformed::Expected(kccs)),
        ("40 a10e a108a0", Malformed::Expected(kccs)),
        ("40 a10e a10840", Malformed::Expected(kccs)),
        ("40 a10e a108a10140", Malformed::Expected("a COSE_Key map")),
        ("40 a11bffffffffffffffff 00", Malformed::Cbor(4)),
    ];
    for (buckets, fault) in cases {
        assert_eq!(decode(buckets), Some(fault), "{buckets}");
    }
}

#[test]
fn a_claims_set_may_say_more_than_the_key() {
    let signer = TestSigner::new(Algorithm::Ed25519, 3);
    let claims = [
        hex("d2 84 40 bf 0e bf 02 63616263 61 78 f6 08 a2 01"),
        signer.key().encode(),
        hex("03 40 ff ff f6 40"),
    ]
    .concat();

    let message = Sign1::decode(&claims, Tagging::Tagged).unwrap();

    assert_eq!(message.unprotected.kccs.as_ref(), Some(signer.key()));
}

//= teep 14.3 (M): an unknown critical header parameter is refused
#[test]
fn critical_parameters_that_are_not_understood_are_refused() {
    let signer = TestSigner::new(Algorithm::Esp256, 1);
    let number = Header {
        critical: vec![Label::Int(3), Label::Int(99)],
        content_type: Some(ContentType::Format(1)),
        other: BTreeMap::from([(99, vec![0x00])]),
        ..Header::default()
    };
    let text = Header {
        critical: vec![Label::Text("x".to_owned())],
        other_text: BTreeMap::from([("x".to_owned(), vec![0x00])]),
        ..Header::default()
    };
    let cases =
        [(number, Untrusted::CriticalHeader(99)), (text, Untrusted::CriticalText("x".to_owned()))];
    for (header, fault) in cases {
        let bytes = sign(&signer, header, Header::default());
        let message = Sign1::decode(&bytes, Tagging::Tagged).unwrap();

        assert_eq!(message.verify(signer.key(), &Accept::CURRENT, &[]), Err(fault));
    }
}

fn sign(signer: &TestSigner, protected: Header, unprotected: Header) -> Vec<u8> {
    cose::sign1(signer, protected, unprotected, &[], Payload::Attached(b"payload"))
        .expect("the key signs")
}

/// The fault of a COSE_Sign1 with these buckets.
fn decode(buckets: &str) -> Option<Malformed> {
    let bytes = [hex("d284"), hex(buckets), hex("f640")].concat();
    Sign1::decode(&bytes, Tagging::Tagged).err()
}

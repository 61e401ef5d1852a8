//! Certification paths of message signers.

#[expect(dead_code, reason = "the tests of Intel's evidence use the rest")]
#[path = "intel/vendor/der.rs"]
mod der;

use std::slice::from_ref;

use verifier::Timestamp;
use verifier::time::parse_rfc3339;
use verifier::x509::{NotAPath, Path};

use der::{Key, boolean, extension, integer, name, sequence, time, tlv};

#[test]
fn a_chain_leads_to_its_anchor_with_or_without_it() {
    let pki = Pki::new();
    let root = [pki.root.clone()];

    for chain in [
        vec![pki.signer.clone(), pki.middle.clone()],
        vec![pki.signer.clone(), pki.middle.clone(), pki.root.clone()],
    ] {
        let path = Path::verify(&chain, &root, now()).expect("a path");

        assert_eq!(path.key, cose::Key::from_spki(&pki.signer_key.spki()).expect("a key"));
        // The signer's certificate ends first.
        assert_eq!(Some(path.valid_until), parse_rfc3339("2026-06-01T00:00:00Z"));
    }
    let direct = Path::verify(from_ref(&pki.signer), from_ref(&pki.middle), now());
    assert!(direct.is_ok(), "{direct:?}");
}

#[test]
fn a_chain_that_nobody_anchors_is_refused() {
    let (pki, other) = (Pki::new(), Pki::new());
    let chain = [pki.signer.clone(), pki.middle.clone()];
    let verify = |chain: &[Vec<u8>], anchors: &[Vec<u8>]| Path::verify(chain, anchors, now());

    assert_eq!(verify(&chain, &[]), Err(NotAPath::NoAnchor));
    assert_eq!(verify(&chain, from_ref(&other.root)), Err(NotAPath::NoAnchor));
    // Of the same name and another key.
    assert_eq!(verify(&chain[..1], from_ref(&other.middle)), Err(NotAPath::NoAnchor));
    let mixed = [pki.signer.clone(), other.middle.clone()];
    assert_eq!(verify(&mixed, from_ref(&other.root)), Err(NotAPath::Issuer(1)));
    let itself = [pki.signer.clone()];
    assert_eq!(verify(&itself, &itself), Err(NotAPath::NoAnchor));
}

#[test]
fn the_first_certificate_is_a_signers_and_the_others_are_authorities() {
    let pki = Pki::new();
    let root = [pki.root.clone()];
    let below = pki.signer_key.issue(&tbs("signer", "below", &pki.signer_key, None, UNTIL));

    let authority = Path::verify(from_ref(&pki.middle), &root, now());
    let issuer = Path::verify(&[below, pki.signer.clone(), pki.middle.clone()], &root, now());

    assert_eq!(authority, Err(NotAPath::NotASigner));
    assert_eq!(issuer, Err(NotAPath::Issuer(1)));
}

#[test]
fn no_more_authorities_follow_than_the_path_length_allows() {
    let (root, middle, low, signer) =
        (Key::generate(), Key::generate(), Key::generate(), Key::generate());
    let anchor = root.issue(&tbs("root", "root", &root, Some(Some(1)), UNTIL));
    let narrow = root.issue(&tbs("root", "middle", &middle, Some(Some(0)), UNTIL));
    let wide = root.issue(&tbs("root", "middle", &middle, Some(None), UNTIL));
    let below = middle.issue(&tbs("middle", "low", &low, Some(None), UNTIL));
    let last = low.issue(&tbs("low", "signer", &signer, None, UNTIL));
    let direct = middle.issue(&tbs("middle", "signer", &signer, None, UNTIL));
    let verify = |chain: &[&Vec<u8>]| {
        let chain: Vec<Vec<u8>> = chain.iter().map(|der| (*der).clone()).collect();
        Path::verify(&chain, from_ref(&anchor), now()).map(|_| ())
    };

    assert_eq!(verify(&[&direct, &narrow]), Ok(()));
    assert_eq!(verify(&[&last, &below, &narrow]), Err(NotAPath::PathLength(2)));
    assert_eq!(verify(&[&last, &below, &wide]), Err(NotAPath::PathLength(3)));
}

#[test]
fn every_certificate_has_its_time() {
    let pki = Pki::new();
    let chain = [pki.signer.clone(), pki.middle.clone()];
    let at = |text| Path::verify(&chain, from_ref(&pki.root), parse_rfc3339(text).expect("a time"));

    assert!(at("2026-05-31T23:59:59Z").is_ok());
    assert_eq!(at("2026-06-01T00:00:01Z"), Err(NotAPath::OutOfDate));
    assert_eq!(at("2019-12-31T23:59:59Z"), Err(NotAPath::OutOfDate));
}

#[test]
fn chains_of_another_length_or_of_other_bytes_are_refused() {
    let pki = Pki::new();
    let root = [pki.root.clone()];
    let nine = vec![pki.middle.clone(); 9];

    assert_eq!(Path::verify(&[], &root, now()), Err(NotAPath::Length));
    assert_eq!(Path::verify(&nine, &root, now()), Err(NotAPath::Length));
    let junk = [pki.signer.clone(), vec![0x30, 0]];
    assert_eq!(Path::verify(&junk, &root, now()), Err(NotAPath::Malformed(1)));
    for at in 0..pki.signer.len() {
        let mut changed = pki.signer.clone();
        changed[at] ^= 1;
        let path = Path::verify(&[changed, pki.middle.clone()], &root, now());
        assert!(path.is_err(), "byte {at}");
    }
}

struct Pki {
    root: Vec<u8>,
    middle: Vec<u8>,
    signer: Vec<u8>,
    signer_key: Key,
}

impl Pki {
    fn new() -> Self {
        let (root, middle, signer) = (Key::generate(), Key::generate(), Key::generate());
        Self {
            root: root.issue(&tbs("root", "root", &root, Some(None), UNTIL)),
            middle: root.issue(&tbs("root", "middle", &middle, Some(Some(0)), UNTIL)),
            signer: middle.issue(&tbs("middle", "signer", &signer, None, "2026-06-01T00:00:00")),
            signer_key: signer,
        }
    }
}

/// A certificate to be signed; an authority's with or without a path length.
fn tbs(from: &str, to: &str, key: &Key, authority: Option<Option<u64>>, until: &str) -> Vec<u8> {
    let (constraints, usage) = match authority {
        Some(length) => {
            let length = length.map(integer).unwrap_or_default();
            (sequence(&[&boolean(true), &length]), [1, 0x06])
        }
        None => (sequence(&[]), [7, 0x80]),
    };
    let extensions = [
        extension(&[0x55, 0x1d, 0x13], true, &constraints),
        extension(&[0x55, 0x1d, 0x0f], true, &tlv(0x03, &usage)),
    ];
    sequence(&[
        &tlv(0xa0, &integer(2)),
        &integer(7),
        &der::algorithm(),
        &name(from),
        &sequence(&[&time("2020-01-01T00:00:00"), &time(until)]),
        &name(to),
        &key.spki(),
        &tlv(0xa3, &sequence(&[&extensions.concat()])),
    ])
}

fn now() -> Timestamp {
    parse_rfc3339("2026-01-01T00:00:00Z").expect("a time")
}

const UNTIL: &str = "2030-01-01T00:00:00";

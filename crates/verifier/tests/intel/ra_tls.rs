//! Quotes in the certificates whose keys they name.

use std::fs;
use std::path::{Path, PathBuf};

use verifier::crypto::sha256;
use verifier::evidence::dcap;
use verifier::time::parse_rfc3339;
use verifier::{
    Anchors, Appraisal, Collateral, Endorsements, Kind, Policy, Reason, ReferenceValues, Request,
    Timestamp, UserData, appraise,
};

use crate::vendor::der::{self, Key, extension, integer, name, sequence, time, tlv};
use crate::vendor::{NOW, Shape, Vendor, World, domain_body, enclave_body};

#[test]
fn a_recorded_certificate_is_appraised_as_its_quote() {
    let Some(folder) = vector("ratls-intel-sdk") else { return };
    let [certificate, quote] = ["cert.pem", "quote.bin"].map(|file| folder.join(file));
    let (certificate, quote) =
        (fs::read(certificate).expect("a file"), fs::read(quote).expect("a file"));

    let carried = recorded(&certificate);

    assert!(carried.accepted(), "{carried}");
    assert_eq!(carried.fields(), recorded(&quote).fields());
    assert!(carried.checks().find("binding.certificate").is_some_and(|check| check.ok));
}

#[test]
fn a_recorded_certificate_that_breaks_x509_is_malformed() {
    let Some(folder) = vector("ratls-gramine-legacy") else { return };

    let appraisal = recorded(&fs::read(folder.join("cert.pem")).expect("a file"));

    assert_eq!(appraisal.reason(), Some(Reason::Malformed), "{appraisal}");
    assert!(recorded(&fs::read(folder.join("quote.bin")).expect("a file")).accepted());
}

#[test]
fn no_changed_octet_of_a_certificate_is_accepted() {
    let vendor = Vendor::new();
    let key = Key::generate();
    let certificate = tagged(&key, &vendor, &enclave_body());
    assert!(made(&vendor, &certificate, Kind::Sgx).accepted());

    for at in (0..certificate.len()).step_by(7) {
        let mut changed = certificate.clone();
        changed[at] ^= 1;

        assert!(!made(&vendor, &changed, Kind::Sgx).accepted(), "octet {at}");
    }
    for length in (0..certificate.len()).step_by(61) {
        assert!(!made(&vendor, &certificate[..length], Kind::Sgx).accepted(), "{length} octets");
    }
}

#[test]
fn a_quote_of_either_tee_may_stand_in_a_certificate() {
    let vendor = Vendor::new();
    let key = Key::generate();
    let domain = domain_body();

    let certificate = tagged(&key, &vendor, &domain[..584]);
    let pem = der::pem(&[&certificate]);

    for evidence in [&certificate, &pem] {
        let appraisal = made(&vendor, evidence, Kind::Tdx);
        assert!(appraisal.accepted(), "{appraisal}");
    }
    let other = made(&vendor, &certificate, Kind::Sgx);
    assert_eq!(other.reason(), Some(Reason::Unsupported));
}

#[test]
fn an_older_certificate_names_its_key_without_claims() {
    let vendor = Vendor::new();
    let key = Key::generate();
    let quote = quote_of(&vendor, &enclave_body(), &sha256(&key.spki()));

    let appraisal = made(&vendor, &carry(&key, GRAMINE, &quote), Kind::Sgx);

    assert!(appraisal.accepted(), "{appraisal}");
}

#[test]
fn somebody_elses_quote_in_a_certificate_is_refused() {
    let vendor = Vendor::new();
    let (key, thief) = (Key::generate(), Key::generate());
    let claims = claims_of(&key);
    let quote = quote_of(&vendor, &enclave_body(), &sha256(&claims));
    let older = quote_of(&vendor, &enclave_body(), &sha256(&key.spki()));

    let stolen = made(&vendor, &carry(&thief, DICE, &tag(&quote, &claims)), Kind::Sgx);
    let renamed = carry(&thief, DICE, &tag(&quote, &claims_of(&thief)));
    let renamed = made(&vendor, &renamed, Kind::Sgx);
    let older = made(&vendor, &carry(&thief, GRAMINE, &older), Kind::Sgx);

    assert_eq!(stolen.reason(), Some(Reason::Malformed));
    assert_eq!(renamed.reason(), Some(Reason::BindingMismatch));
    assert_eq!(older.reason(), Some(Reason::BindingMismatch));
}

#[test]
fn a_certificate_without_a_quote_is_malformed() {
    let vendor = Vendor::new();
    let key = Key::generate();
    let quote = quote_of(&vendor, &enclave_body(), &sha256(&claims_of(&key)));
    let longer = [tag(&quote, &claims_of(&key)), vec![0]].concat();

    for certificate in [
        carry(&key, &[0x2a, 0x03], &quote),
        carry(&key, DICE, &quote),
        carry(&key, DICE, &longer),
        vendor.pck.clone(),
        b"-----BEGIN CERTIFICATE-----\n".to_vec(),
    ] {
        let appraisal = made(&vendor, &certificate, Kind::Sgx);

        assert_eq!(appraisal.reason(), Some(Reason::Malformed), "{appraisal}");
    }
}

/// A certificate as the interoperable format has it.
fn tagged(key: &Key, vendor: &Vendor, body: &[u8]) -> Vec<u8> {
    let claims = claims_of(key);
    let quote = quote_of(vendor, body, &sha256(&claims));
    carry(key, DICE, &tag(&quote, &claims))
}

fn quote_of(vendor: &Vendor, body: &[u8], bound: &[u8; 32]) -> Vec<u8> {
    let mut body = body.to_vec();
    let report_data = if body.len() == 384 { 320 } else { 520 };
    body[report_data..report_data + 64].fill(0);
    body[report_data..report_data + 32].copy_from_slice(bound);
    let version = if body.len() == 384 { 3 } else { 4 };
    vendor.quote(&body, &Shape { version, ..Shape::default() })
}

/// `{"pubkey-hash": << [1, hash of the key] >>}`
fn claims_of(key: &Key) -> Vec<u8> {
    let digest = [&[0x82, 0x01, 0x58, 0x20][..], &sha256(&key.spki())].concat();
    [&[0xa1, 0x6b][..], b"pubkey-hash", &[0x58, 0x24], &digest].concat()
}

/// `60000([quote, claims])`
fn tag(quote: &[u8], claims: &[u8]) -> Vec<u8> {
    let bytes = |bytes: &[u8]| {
        let length = u16::try_from(bytes.len()).expect("a short string").to_be_bytes();
        [&[0x59][..], &length, bytes].concat()
    };
    [vec![0xd9, 0xea, 0x60, 0x82], bytes(quote), bytes(claims)].concat()
}

fn carry(key: &Key, id: &[u8], value: &[u8]) -> Vec<u8> {
    let owner = name("enclave");
    let [from, until] = ["2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"].map(time);
    key.issue(&sequence(&[
        &tlv(0xa0, &integer(2)),
        &integer(1),
        &der::algorithm(),
        &owner,
        &sequence(&[&from, &until]),
        &owner,
        &key.spki(),
        &tlv(0xa3, &sequence(&[&extension(id, false, value)])),
    ]))
}

fn made(vendor: &Vendor, evidence: &[u8], kind: Kind) -> Appraisal {
    let world = if kind == Kind::Sgx { World::sgx() } else { World::tdx() };
    let policy = Policy { emulated_allowed: true, reference_required: false, ..Policy::default() };
    let collateral = vendor.collateral(&world);
    judge(evidence, kind, &collateral, &vendor.anchors(), &policy, NOW)
}

/// Without collateral, which does not exist for these platforms.
fn recorded(evidence: &[u8]) -> Appraisal {
    let dcap = dcap::Policy { collateral_required: false, ..dcap::Policy::default() };
    let policy =
        Policy { dcap, debug_allowed: true, reference_required: false, ..Policy::default() };
    let at = parse_rfc3339("2025-06-01T00:00:00Z").expect("a time");
    judge(evidence, Kind::Sgx, &Collateral::default(), &Anchors::vendors(), &policy, at)
}

fn judge(
    evidence: &[u8],
    kind: Kind,
    collateral: &Collateral,
    anchors: &Anchors,
    policy: &Policy,
    now: Timestamp,
) -> Appraisal {
    let request = Request {
        kind,
        evidence,
        event_log: None,
        user_data: UserData::Unchecked,
        anchors,
        reference: &ReferenceValues::default(),
        policy,
        now,
    };
    appraise(&request, &Endorsements::prepare(kind, collateral, anchors))
}

/// A vector's folder; none where the vectors are absent.
fn vector(name: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors/evidence/sgx");
    Some(root.join(name)).filter(|folder| folder.exists())
}

/// tcg-dice-TaggedEvidence.
const DICE: &[u8] = &[0x67, 0x81, 0x05, 0x05, 0x04, 0x09];
/// The older extension of Gramine.
const GRAMINE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 0x8a, 0x39, 0x06];

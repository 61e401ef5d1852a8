use std::collections::BTreeSet;
use std::fs;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde_json::Value;
use x509_cert::Certificate;
use x509_cert::crl::CertificateList;
use x509_cert::der::{Decode as _, DecodePem as _, Encode as _};

use std::path::PathBuf;

use super::*;
use crate::family::intel::pck::{self, Platform, Tcb};
use crate::key::sha256;

#[test]
fn a_quote_has_the_layout_of_version_3() {
    let bench = Bench::new();
    let mut machine = bench.start(Misbehaviour::None);

    let quote = machine.quote(bench.now, &[0x5a; 64]).unwrap();

    assert_eq!(quote.media_type, MEDIA_TYPE);
    let quote = Parsed::new(&quote.evidence);
    assert_eq!(quote.header[..8], [3, 0, 2, 0, 0, 0, 0, 0]);
    assert_eq!(quote.header[8..12], [8, 0, 13, 0]);
    assert_eq!(hex::encode(&quote.header[12..28]), "939a7233f79c4ca9940a0db3957f0607");
    assert_eq!(hex::encode(&quote.body[48..64]), "8500000000000000e700000000000000");
    assert_eq!(quote.body[64..96], bench.measurement.mrenclave);
    assert_eq!(quote.body[128..160], bench.measurement.mrsigner);
    assert_eq!(quote.body[192..256], bench.measurement.config_id);
    assert_eq!(quote.body[256..260], [1, 0, 1, 0]);
    assert_eq!(quote.body[320..384], [0x5a; 64]);
    assert_eq!(quote.auth_data.len(), 32);
    assert_eq!(quote.chain.last(), Some(&0), "the chain ends in NUL as the vendor's does");
}

#[test]
fn the_signatures_of_a_quote_lead_from_the_report_to_the_root() {
    let bench = Bench::new();
    let mut machine = bench.start(Misbehaviour::None);

    let quote = machine.quote(bench.now, &[1; 64]).unwrap().evidence;

    let quote = Parsed::new(&quote);
    let signed = [quote.header, quote.body].concat();
    fixed(quote.key, &signed, quote.signature).unwrap();
    let bound = sha256(&[quote.key, quote.auth_data].concat());
    assert_eq!(quote.qe_report[320..352], bound);
    assert_eq!(quote.qe_report[352..384], [0; 32]);
    let chain = quote.certificates();
    fixed(point(&chain[0]), quote.qe_report, quote.qe_signature).unwrap();
    for (certificate, issuer) in [(0, 1), (1, 2), (2, 2)] {
        issued(&chain[certificate], &chain[issuer]);
    }
    let root = chain[2].tbs_certificate().subject_public_key_info().to_der().unwrap();
    assert_eq!(sha256(&root), Vendor::open(&bench.vendor, bench.now).unwrap().anchor());
}

#[test]
fn names_are_those_that_verifiers_look_for_and_say_that_it_is_an_emulation() {
    let bench = Bench::new();
    let mut machine = bench.start(Misbehaviour::None);
    let quote = machine.quote(bench.now, &[1; 64]).unwrap().evidence;

    let mut names: BTreeSet<String> = BTreeSet::new();
    let mut certificates = Parsed::new(&quote).certificates();
    certificates.extend(chain(&bench.collateral("tcb_signing_chain.pem")));
    for certificate in certificates {
        names.insert(certificate.tbs_certificate().subject().to_string());
    }

    let expected = [
        "O=Tamarack Emulation,CN=Intel SGX PCK Certificate",
        "O=Tamarack Emulation,CN=Intel SGX PCK Platform CA",
        "O=Tamarack Emulation,CN=Intel SGX Root CA",
        "O=Tamarack Emulation,CN=Intel SGX TCB Signing",
    ];
    assert_eq!(names, expected.map(str::to_owned).into());
}

#[test]
fn the_extension_of_a_real_platform_is_reproduced_byte_for_byte() {
    let Some(quote) = real("quote.bin") else { return };
    let real = &Parsed::new(&quote).certificates()[0];
    let value = extension(real, "1.2.840.113741.1.13.1");
    let components = [14, 14, 3, 3, 255, 255, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let platform = Platform {
        ppid: value[20..36].try_into().unwrap(),
        instance: value[value.len() - 86..value.len() - 70].try_into().unwrap(),
        tcb: Tcb { components, pce_svn: 13, tee_tcb_svn: [0; 16] },
    };

    let ours = platform.extension();

    // The platform family differs on purpose.
    let fmspc = ours.windows(6).position(|window| window == pck::FMSPC).unwrap();
    let mut expected = value.clone();
    assert_eq!(hex::encode(&expected[fmspc..fmspc + 6]), "00606a000000");
    expected[fmspc..fmspc + 6].copy_from_slice(&pck::FMSPC);
    assert_eq!(hex::encode(ours), hex::encode(expected));
}

#[test]
fn certificates_have_the_extensions_of_the_vendor_in_its_order() {
    let Some(quote) = real("quote.bin") else { return };
    let bench = Bench::new();
    let ours = bench.start(Misbehaviour::None).quote(bench.now, &[1; 64]).unwrap().evidence;

    let real = Parsed::new(&quote).certificates();

    for (ours, real) in Parsed::new(&ours).certificates().iter().zip(&real) {
        assert_eq!(extensions(ours), extensions(real));
        let constraints = "2.5.29.19";
        assert_eq!(extension(ours, constraints), extension(real, constraints));
        let usage = "2.5.29.15";
        assert_eq!(extension(ours, usage), extension(real, usage));
    }
}

#[test]
fn lists_have_the_members_of_the_vendor_in_its_order() {
    let bench = Bench::new();
    bench.start(Misbehaviour::None);
    for name in ["tcb_info.json", "qe_identity.json"] {
        let Some(real) = real(&format!("collateral-2025-08/{name}")) else { return };
        let ours = bench.collateral(name);

        assert_eq!(members(&ours), members(&real), "{name}");
        let value: Value = serde_json::from_slice(&ours).unwrap();
        assert_eq!(serde_json::to_vec(&value).unwrap(), ours, "{name} is compact");
    }
}

#[test]
fn lists_are_signed_by_the_tcb_signer_over_their_very_bytes() {
    let bench = Bench::new();
    bench.start(Misbehaviour::None);
    let chain = chain(&bench.collateral("tcb_signing_chain.pem"));
    issued(&chain[0], &chain[1]);

    for name in ["tcb_info", "qe_identity"] {
        let json = bench.collateral(&format!("{name}.json"));
        let signature = bench.collateral(&format!("{name}.sig.hex"));
        let signature = hex::decode(signature.trim_ascii_end()).unwrap();
        fixed(point(&chain[0]), &json, &signature).unwrap();
    }
}

#[test]
fn revocation_lists_are_numbered_signed_and_valid_for_their_time() {
    let bench = Bench::new();
    bench.start(Misbehaviour::None);
    let chain = chain(&bench.collateral("pck_crl_issuer_chain.pem"));

    for (name, issuer) in [("pck_crl.der", &chain[0]), ("root_ca_crl.der", &chain[1])] {
        let list =
            CertificateList::<x509_cert::certificate::Rfc5280>::from_der(&bench.collateral(name))
                .unwrap();
        let signed = list.tbs_cert_list.to_der().unwrap();
        let signature = list.signature.as_bytes().unwrap();
        asn1(point(issuer), &signed, signature).unwrap();
        assert_eq!(list.tbs_cert_list.revoked_certificates, None, "{name}");
        let extensions = list.tbs_cert_list.crl_extensions.unwrap();
        let names: Vec<_> = extensions.iter().map(|one| one.extn_id.to_string()).collect();
        assert_eq!(names, ["2.5.29.20", "2.5.29.35"]);
        let from = list.tbs_cert_list.this_update.to_unix_duration().as_secs();
        assert_eq!(from, bench.now.as_second() as u64);
    }
}

#[test]
fn a_device_keeps_its_identity_and_certificate_over_a_restart() {
    let bench = Bench::new();
    let mut first = bench.start(Misbehaviour::None);
    let mut again = bench.start(Misbehaviour::None);

    assert_eq!(first.describe(), again.describe());
    assert_eq!(first.sealing_key("a"), again.sealing_key("a"));
    let first = first.quote(bench.now, &[1; 64]).unwrap().evidence;
    let again = again.quote(bench.now, &[1; 64]).unwrap().evidence;
    let (first, again) = (Parsed::new(&first), Parsed::new(&again));
    assert_eq!(first.key, again.key);
    assert_eq!(first.header, again.header);
    assert_eq!(first.chain, again.chain);
}

#[test]
fn two_devices_of_one_vendor_share_only_the_vendor() {
    let bench = Bench::new();
    let mut one = bench.start(Misbehaviour::None);
    let dir = bench.dir.path().join("other");
    let measurement = bench.measurement.clone();
    let mut other =
        Machine::start(&bench.vendor, &dir, measurement, Misbehaviour::None, bench.now).unwrap();

    let one_quote = one.quote(bench.now, &[1; 64]).unwrap().evidence;
    let other_quote = other.quote(bench.now, &[1; 64]).unwrap().evidence;

    let (one_quote, other_quote) = (Parsed::new(&one_quote), Parsed::new(&other_quote));
    assert_ne!(one_quote.key, other_quote.key);
    assert_ne!(one_quote.certificates()[0], other_quote.certificates()[0]);
    assert_eq!(one_quote.certificates()[1..], other_quote.certificates()[1..]);
    assert_ne!(one.sealing_key("a"), other.sealing_key("a"));
    assert_ne!(one.describe().ueid, other.describe().ueid);
}

#[test]
fn another_program_or_debug_mode_gets_another_sealing_key() {
    let bench = Bench::new();
    let key = bench.start(Misbehaviour::None).sealing_key("a");

    let debug = bench.start(Misbehaviour::Debug).sealing_key("a");
    let other = bench.start(Misbehaviour::WrongMeasurement).sealing_key("a");

    assert_ne!(key, debug);
    assert_ne!(key, other);
    assert_eq!(key, bench.start(Misbehaviour::None).sealing_key("a"));
}

#[test]
fn collateral_is_made_anew_when_it_is_due_and_not_before() {
    let mut bench = Bench::new();
    let mut machine = bench.start(Misbehaviour::None);
    let first = bench.collateral("tcb_info.json");

    bench.pass_days(19);
    machine.quote(bench.now, &[1; 64]).unwrap();
    assert_eq!(bench.collateral("tcb_info.json"), first);

    bench.pass_days(2);
    machine.quote(bench.now, &[1; 64]).unwrap();
    assert_ne!(bench.collateral("tcb_info.json"), first);
}

#[test]
fn collateral_is_made_anew_when_a_part_is_missing_or_the_clock_went_back() {
    let mut bench = Bench::new();
    bench.start(Misbehaviour::None);
    let first = bench.collateral("tcb_info.json");

    fs::remove_file(bench.vendor.join("collateral/pck_crl.der")).unwrap();
    bench.start(Misbehaviour::None);
    bench.collateral("pck_crl.der");

    bench.pass_days(-1);
    bench.start(Misbehaviour::None);
    assert_ne!(bench.collateral("tcb_info.json"), first);
}

#[test]
fn a_vendor_keeps_its_anchor_and_each_installation_has_its_own() {
    let mut bench = Bench::new();
    let anchor = Vendor::open(&bench.vendor, bench.now).unwrap().anchor();

    bench.pass_days(6 * 365 + 360);
    let later = Vendor::open(&bench.vendor, bench.now).unwrap();
    let other = Vendor::open(&bench.dir.path().join("other"), bench.now).unwrap();

    assert_eq!(later.anchor(), anchor);
    assert_ne!(other.anchor(), anchor);
    let chain = chain(&bench.collateral("tcb_signing_chain.pem"));
    let until = chain[0].tbs_certificate().validity().not_after.to_unix_duration().as_secs();
    let in_a_year = bench.now + jiff::SignedDuration::from_hours(365 * 24);
    assert!(until > in_a_year.as_second() as u64, "the signer's certificate was renewed");
}

#[test]
fn a_revoked_device_is_on_the_list_and_its_good_certificate_is_not() {
    let bench = Bench::new();
    let revoked = bench.start(Misbehaviour::Revoked).quote(bench.now, &[1; 64]).unwrap().evidence;
    let good = bench.start(Misbehaviour::None).quote(bench.now, &[1; 64]).unwrap().evidence;

    let list = bench.collateral("pck_crl.der");

    let list = CertificateList::<x509_cert::certificate::Rfc5280>::from_der(&list).unwrap();
    let listed = list.tbs_cert_list.revoked_certificates.unwrap();
    let serial = |quote: &[u8]| {
        Parsed::new(quote).certificates()[0].tbs_certificate().serial_number().clone()
    };
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].serial_number, serial(&revoked));
    assert_ne!(listed[0].serial_number, serial(&good));
}

#[test]
fn a_replaying_device_answers_with_yesterdays_quote() {
    let bench = Bench::new();
    let earlier = bench.start(Misbehaviour::None).quote(bench.now, &[1; 64]).unwrap();

    let mut replaying = bench.start(Misbehaviour::Replay);

    assert_eq!(replaying.quote(bench.now, &[2; 64]).unwrap(), earlier);
    assert_eq!(replaying.quote(bench.now, &[3; 64]).unwrap(), earlier);
}

#[test]
fn a_replaying_device_that_never_made_a_quote_makes_up_an_earlier_one() {
    let bench = Bench::new();
    let mut replaying = bench.start(Misbehaviour::Replay);

    let quote = replaying.quote(bench.now, &[2; 64]).unwrap();

    assert_eq!(Parsed::new(&quote.evidence).body[320..384], [0; 64]);
    assert_eq!(replaying.quote(bench.now, &[3; 64]).unwrap(), quote);
}

#[test]
fn keys_and_fuses_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;

    let bench = Bench::new();
    bench.start(Misbehaviour::None);

    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for dir in [bench.vendor.join("keys"), bench.dir.path().join("device")] {
        assert_eq!(mode(&dir), 0o700);
        for secret in fs::read_dir(dir).unwrap() {
            assert_eq!(mode(&secret.unwrap().path()) & 0o077, 0);
        }
    }
}

#[test]
fn damaged_vendor_state_is_an_error_and_not_a_new_vendor() {
    let bench = Bench::new();
    bench.start(Misbehaviour::None);
    let path = bench.vendor.join("vendor.json");
    fs::write(&path, b"{").unwrap();

    let opened = Vendor::open(&bench.vendor, bench.now).map(|_| ());

    let what = "not the expected JSON";
    assert_eq!(opened, Err(Error::Damaged { path, what }));
}

struct Bench {
    dir: tempfile::TempDir,
    vendor: PathBuf,
    measurement: Measurement,
    now: Timestamp,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let vendor = dir.path().join("vendor");
        let measurement = Measurement::of(b"program", b"settings").unwrap();
        Self { dir, vendor, measurement, now: "2026-07-01T12:00:00Z".parse().unwrap() }
    }

    fn start(&self, misbehaviour: Misbehaviour) -> Machine {
        let measurement = self.measurement.clone();
        let dir = self.dir.path().join("device");
        Machine::start(&self.vendor, &dir, measurement, misbehaviour, self.now).unwrap()
    }

    fn collateral(&self, name: &str) -> Vec<u8> {
        fs::read(self.vendor.join("collateral").join(name)).unwrap()
    }

    fn pass_days(&mut self, days: i64) {
        self.now += jiff::SignedDuration::from_hours(24 * days);
    }
}

/// A quote, cut at the offsets of the vendor's documentation.
struct Parsed<'a> {
    header: &'a [u8],
    body: &'a [u8],
    signature: &'a [u8],
    key: &'a [u8],
    qe_report: &'a [u8],
    qe_signature: &'a [u8],
    auth_data: &'a [u8],
    chain: &'a [u8],
}

impl<'a> Parsed<'a> {
    fn new(quote: &'a [u8]) -> Self {
        let mut rest = quote;
        let mut take = |count| {
            let (part, after) = rest.split_at(count);
            rest = after;
            part
        };
        let length = |bytes: &[u8]| {
            bytes.iter().rev().fold(0, |length, byte| length << 8 | usize::from(*byte))
        };
        let (header, body) = (take(48), take(384));
        assert_eq!(length(take(4)), quote.len() - 436);
        let (signature, key) = (take(64), take(64));
        let (qe_report, qe_signature) = (take(384), take(64));
        let auth_length = length(take(2));
        let auth_data = take(auth_length);
        assert_eq!(length(take(2)), 5);
        let chain_length = length(take(4));
        let chain = take(chain_length);
        assert!(rest.is_empty());
        Self { header, body, signature, key, qe_report, qe_signature, auth_data, chain }
    }

    fn certificates(&self) -> Vec<Certificate> {
        chain(self.chain.strip_suffix(&[0]).unwrap())
    }
}

fn chain(pem: &[u8]) -> Vec<Certificate> {
    let pem = std::str::from_utf8(pem).unwrap();
    let end = "-----END CERTIFICATE-----\n";
    let one = |part| Certificate::from_pem(format!("{part}{end}")).unwrap();
    pem.split(end).filter(|part| !part.is_empty()).map(one).collect()
}

fn point(certificate: &Certificate) -> &[u8] {
    let point = certificate.tbs_certificate().subject_public_key_info();
    &point.subject_public_key.as_bytes().unwrap()[1..]
}

fn issued(certificate: &Certificate, issuer: &Certificate) {
    let signed = certificate.tbs_certificate().to_der().unwrap();
    asn1(point(issuer), &signed, certificate.signature().as_bytes().unwrap()).unwrap();
    let (to_be_signed, issuer) = (certificate.tbs_certificate(), issuer.tbs_certificate());
    assert_eq!(to_be_signed.issuer(), issuer.subject());
}

fn fixed(
    key: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<(), aws_lc_rs::error::Unspecified> {
    let key = [&[4], key].concat();
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key).verify(message, signature)
}

fn asn1(key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), aws_lc_rs::error::Unspecified> {
    let key = [&[4], key].concat();
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key).verify(message, signature)
}

/// Identifiers and criticality, in order.
fn extensions(certificate: &Certificate) -> Vec<(String, bool)> {
    let extensions = certificate.tbs_certificate().extensions().unwrap();
    extensions.iter().map(|one| (one.extn_id.to_string(), one.critical)).collect()
}

fn extension(certificate: &Certificate, oid: &str) -> Vec<u8> {
    let mut extensions = certificate.tbs_certificate().extensions().unwrap().iter();
    let found = extensions.find(|one| one.extn_id.to_string() == oid).unwrap();
    found.extn_value.as_bytes().to_vec()
}

/// The paths of all members, in the order of their first appearance.
fn members(json: &[u8]) -> Vec<String> {
    fn walk(value: &Value, path: &str, members: &mut Vec<String>) {
        match value {
            Value::Object(object) => {
                for (name, value) in object {
                    let path = format!("{path}.{name}");
                    if !members.contains(&path) {
                        members.push(path.clone());
                    }
                    walk(value, &path, members);
                }
            }
            Value::Array(array) => {
                for value in array {
                    walk(value, &format!("{path}[]"), members);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut members = Vec::new();
    walk(&serde_json::from_slice(json).unwrap(), "", &mut members);
    members
}

/// A file of recorded evidence of real hardware.
fn real(name: &str) -> Option<Vec<u8>> {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    let file = fs::read(vectors.join("evidence/sgx/v3-icx-swhardening").join(name));
    if file.is_err() {
        println!("skipped: ../shared/vectors is absent");
    }
    file.ok()
}

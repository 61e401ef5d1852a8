//! OP-TEE: the attestation PTA of a device of our own.

use std::sync::OnceLock;

use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use proptest::prelude::*;
use verifier::anchor::{Device, ListedDevice, Vendor};
use verifier::evidence::trustzone::optee::{Command, Evidence, Reference, nonce};
use verifier::evidence::trustzone::{self, Software, Uuid};
use verifier::value::{Hex, Octets};
use verifier::{Collateral, Kind, Reason, crypto};

use crate::bench::{Bench, assert_nothing_else_is_accepted};
use crate::device::{base64, pem};
use crate::huawei::{Rsa, vendor};

//= EV-OT-1: the key that was recorded at enrolment, as PEM or as n and e
#[test]
fn an_enrolled_device_is_accepted() {
    for (name, key) in
        [("device.pem", pem("PUBLIC KEY", &key().spki())), ("device.jwk", jwk(key()))]
    {
        let mut bench = bench();
        bench.collateral = Collateral::from_files([(name, key)]);

        let appraisal = bench.appraise(&evidence().encode());

        assert!(appraisal.accepted() && appraisal.bound(), "{name}\n{appraisal}");
        let claims = appraisal.claims().expect("authentic");
        assert_eq!(claims.generation, Some("OP-TEE"));
        assert_eq!(claims.instance_id, Some(Octets::new(DEVICE)));
        assert_eq!(claims.measurements[0].name, "ta-memory");
    }
}

//= EV-OT-1: another device, another key
#[test]
fn a_device_counts_under_its_own_key_only() {
    let reason = |bench: &Bench, evidence: &Evidence| bench.appraise(&evidence.encode()).reason();

    let stranger = Evidence { device: b"unit 18".to_vec(), ..evidence() };
    assert_eq!(reason(&bench(), &stranger), Some(Reason::UntrustedRoot));

    let mut without = bench();
    without.collateral = Collateral::default();
    assert_eq!(reason(&without, &evidence()), Some(Reason::MissingEndorsement));

    let mut other = Bench::new(Kind::TrustZone);
    other.collateral = bench().collateral;
    assert_eq!(reason(&other, &evidence()), Some(Reason::UntrustedRoot));

    let signed = vendor().device.pss(&message(&evidence()));
    let by_another = Evidence { signature: signed, ..evidence() };
    assert_eq!(reason(&bench(), &by_another), Some(Reason::BadSignature));

    let signed = key().sign(&RSA_PKCS1_SHA256, &message(&evidence()));
    let by_another_scheme = Evidence { signature: signed, ..evidence() };
    assert_eq!(reason(&bench(), &by_another_scheme), Some(Reason::BadSignature));

    let mut emulated = bench();
    emulated.anchors = verifier::Anchors::vendors().with_device(listed(true));
    assert_eq!(reason(&emulated, &evidence()), Some(Reason::EmulatedNotAllowed));
}

//= EV-OT-2: challenge, application and command are in the nonce that was signed
#[test]
fn evidence_that_says_something_else_than_its_nonce_is_refused() {
    let ordinary = evidence;
    for changed in [
        Evidence { challenge: [9; 64], ..ordinary() },
        Evidence { ta: Uuid([9; 16]), ..ordinary() },
        Evidence { command: Command::TaHeader, ..ordinary() },
        Evidence { digest: [9; 32], ..ordinary() },
    ] {
        let appraisal = bench().appraise(&changed.encode());

        assert_eq!(appraisal.reason(), Some(Reason::BadSignature), "{appraisal}");
    }
}

//= EV-OT-2: the digest of another command means something else
#[test]
fn a_digest_counts_with_its_command_only() {
    for (command, digest, reason) in [
        (Command::TaMemory, [1; 32], None),
        (Command::TaMemory, [2; 32], Some(Reason::MeasurementMismatch)),
        (Command::TaHeader, [1; 32], Some(Reason::ConfigurationNotAllowed)),
        (Command::TeeMemory, [1; 32], Some(Reason::ConfigurationNotAllowed)),
    ] {
        let signed = signed(Evidence { command, digest, ..unsigned() });
        let mut bench = bench();
        assert_eq!(bench.appraise(&signed.encode()).reason(), reason, "{command:?}");

        bench.policy.trustzone.optee.commands = vec![Command::TaHeader, Command::TeeMemory];
        let allowed = bench.appraise(&signed.encode()).reason();
        let other = command != Command::TaMemory;
        let expected =
            if other { Reason::MeasurementMismatch } else { Reason::ConfigurationNotAllowed };
        assert_eq!(allowed, Some(expected), "{command:?}");
    }
}

#[test]
fn another_challenge_or_application_is_refused() {
    let mut other = bench();
    other.user_data = Some([9; 64]);
    assert_eq!(other.appraise(&evidence().encode()).reason(), Some(Reason::BindingMismatch));

    let signed = signed(Evidence { ta: Uuid([9; 16]), ..unsigned() });
    let appraisal = bench().appraise(&signed.encode());
    assert_eq!(appraisal.refusal().map(|(check, _)| check.name), Some("ta"), "{appraisal}");
}

//= EV-OT-2: SHA-256(challenge ‖ TA uuid ‖ command)
#[test]
fn the_nonce_is_a_digest_of_what_it_binds() {
    let ta = Uuid::parse("435dcafa-0029-4d53-97e8-a7a13a80c82e").expect("a UUID");
    let bound = [&[7; 64][..], &ta.0, &[0, 0, 0, 2]].concat();

    assert_eq!(nonce(&[7; 64], ta, Command::TaMemory), crypto::sha256(&bound));
}

#[test]
fn evidence_survives_the_round_trip_in_one_spelling_only() {
    let encoded = evidence().encode();
    assert_eq!(Evidence::decode(&encoded), Ok(evidence()));

    for command in [0, 4] {
        let mut other = encoded.clone();
        let at = other.windows(16).position(|it| it == [5; 16]).expect("the UUID") + 16;
        other[at] = command;
        assert!(Evidence::decode(&other).is_err(), "{command}");
    }
    let indefinite = [&[0x9f][..], &encoded[1..], &[0xff]].concat();
    assert!(Evidence::decode(&indefinite).is_err());
}

//= EV-COM-4: changed, cut and extended evidence
#[test]
fn no_changed_bit_and_no_cut_is_accepted() {
    assert_nothing_else_is_accepted(&bench(), &evidence().encode());
}

#[test]
fn policy_and_reference_values_are_read_from_toml() {
    let policy = "[trustzone.optee]\ncommands = ['ta-memory', 'tee-memory']\n\
                  [trustzone.itrustee]\nima_included = true\n\
                  [trustzone.virtcca]\nlifecycles = ['secured']\n\
                  [trustzone.psa]\nsecure_client_required = false";
    let policy = verifier::Policy::from_toml(policy).expect("a policy");
    assert_eq!(policy.trustzone.optee.commands.len(), 2);
    assert!(verifier::Policy::from_toml("[trustzone.optee]\ncommands = ['public-key']").is_err());

    let id = "ab".repeat(32);
    let optee = format!(
        "optee = {{ ta = '435dcafa-0029-4d53-97e8-a7a13a80c82e', command = 'ta-memory', \
         digest = '{id}' }}"
    );
    let itrustee = format!("itrustee = {{ qta_img = '{id}', qta_mem = '{id}' }}");
    let read = |lines: &[&str]| {
        let text = format!("[[trustzone]]\nname = 'x'\n{}", lines.join("\n"));
        verifier::ReferenceValues::from_toml(&text)
    };
    assert!(read(&[&optee]).is_ok() && read(&[&itrustee]).is_ok());
    assert!(read(&[&optee, &itrustee]).is_err(), "exactly one format");
    assert!(read(&[]).is_err());
}

proptest! {
    //= EV-COM-4: no panic on hostile input
    #[test]
    fn any_bytes_are_read_without_panic(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
        let array = [&[0x86][..], &octets].concat();
        let _ = Evidence::decode(&array);
        prop_assert!(!bench_without_keys().appraise(&array).accepted());
    }
}

/// The key of the device: the vendor's, so that no other is made.
fn key() -> &'static Rsa {
    &vendor().ak
}

fn unsigned() -> Evidence {
    Evidence {
        device: DEVICE.to_vec(),
        ta: Uuid([5; 16]),
        command: Command::TaMemory,
        challenge: CHALLENGE,
        digest: [1; 32],
        signature: Vec::new(),
    }
}

fn message(evidence: &Evidence) -> Vec<u8> {
    let nonce = nonce(&evidence.challenge, evidence.ta, evidence.command);
    [nonce, evidence.digest].concat()
}

fn signed(evidence: Evidence) -> Evidence {
    let signature = key().pss(&message(&evidence));
    Evidence { signature, ..evidence }
}

/// Evidence as the Agent makes it, signed once.
fn evidence() -> Evidence {
    static EVIDENCE: OnceLock<Evidence> = OnceLock::new();
    EVIDENCE.get_or_init(|| signed(unsigned())).clone()
}

fn jwk(key: &Rsa) -> Vec<u8> {
    let modulus = base64(&key.modulus(), b"-_");
    let modulus = modulus.trim_end_matches('=');
    format!(r#"{{"kty":"RSA","n":"{modulus}","e":"AQAB","alg":"PS256"}}"#).into_bytes()
}

fn listed(emulated: bool) -> ListedDevice {
    ListedDevice {
        vendor: Vendor::OpTee,
        name: "unit 17".into(),
        spki_sha256: Hex(crypto::sha256(&key().spki())),
        device: Device::Instance(Octets::new(DEVICE)),
        emulated,
    }
}

fn bench_without_keys() -> Bench {
    Bench::new(Kind::TrustZone)
}

fn bench() -> Bench {
    let mut bench = bench_without_keys();
    bench.anchors = bench.anchors.with_device(listed(false));
    bench.collateral = Collateral::from_files([("device.pem", pem("PUBLIC KEY", &key().spki()))]);
    bench.user_data = Some(CHALLENGE);
    let reference =
        Reference { ta: Uuid([5; 16]), command: Command::TaMemory, digest: Hex([1; 32]) };
    bench
        .reference
        .trustzone
        .push(trustzone::Reference { name: "ours".into(), software: Software::OpTee(reference) });
    bench
}

const DEVICE: &[u8] = b"unit 17";
const CHALLENGE: [u8; 64] = [0xc5; 64];

//! SEV: recorded platforms and measurements.

use serde_json::Value as Json;

use crate::vectors::{Vector, vectors};
use proptest::prelude::*;
use verifier::evidence::sev::certificate::{
    AuthorityCertificate, NotACertificate, PlatformCertificate, Usage,
};
use verifier::evidence::sev::chain::VerifiedChain;
use verifier::evidence::sev::launch::{GuestPolicy, Kernel, Launch, launch_digest};
use verifier::{
    Anchors, Collateral, Endorsements, Kind, Policy, Reason, ReferenceValues, Request, Timestamp,
    UserData, appraise,
};

//= EV-SEV-2: a real chain of Naples up to the real root
#[test]
fn the_recorded_platform_verifies_at_any_time() {
    for vector in named("naples-chain") {
        let chain = VerifiedChain::verify(&vector.collateral(), &Anchors::vendors());

        let chain = chain.expect("every signature holds");
        assert_eq!(chain.anchor.name, "ARK-Naples");
        assert_eq!(chain.api, [0, 16]);
    }
}

//= EV-SEV-2: fields of every certificate
#[test]
fn certificates_decode_to_the_oracles_fields() {
    for vector in named("naples-chain") {
        let fields = &vector.expected["fields"];
        let (ark, ask) = (vector.file("ark.cert"), vector.file("ask.cert"));
        let ark = AuthorityCertificate::decode(&ark).expect("a certificate");
        let ask = AuthorityCertificate::decode(&ask).expect("a certificate");
        assert_eq!(hex::encode(ark.key_id), fields["ark_key_id"]);
        assert_eq!(hex::encode(ask.key_id), fields["ask_key_id"]);
        assert_eq!((ark.usage, ask.usage), (Usage::Ark, Usage::Ask));
        for (name, expected) in fields["sev_certs"].as_object().expect("certificates") {
            let bytes = vector.file(&format!("{name}.cert"));
            let certificate = PlatformCertificate::decode(&bytes).expect("a certificate");
            let signatures = certificate.signatures().iter();
            let signatures = signatures
                .map(|it| [it.usage.number(), it.algorithm].map(|number| format!("{number:#x}")));
            assert_eq!(format!("{:#x}", certificate.usage.number()), expected["usage"]);
            assert_eq!(format!("{:#x}", certificate.algorithm), expected["algo"]);
            assert_eq!(Json::from(certificate.api.to_vec()), expected["api"]);
            assert_eq!(serde_json::json!(signatures.collect::<Vec<_>>()), expected["sigs"]);
        }
    }
}

//= EV-SEV-2: changed certificates, and every one of them is needed
#[test]
fn a_chain_with_a_changed_or_missing_certificate_is_refused() {
    for vector in named("naples-chain") {
        let whole = vector.collateral();
        let verify = |name: &str, bytes: Option<Vec<u8>>| {
            let rest = whole.files().filter(|(other, _)| *other != name);
            let mut files = Collateral::from_files(rest);
            if let Some(bytes) = bytes {
                files.insert(name, bytes);
            }
            let outcome = VerifiedChain::verify(&files, &Anchors::vendors());
            outcome.err().and_then(|check| check.first_failure().map(|(_, it)| it.reason))
        };
        for test in vector.expected["derived_negative_tests"].as_array().expect("tests") {
            let name = test["file"].as_str().expect("a name");
            let mut bytes = vector.file(name);
            bytes[test["flip_bit_at"].as_u64().expect("an offset") as usize] ^= 1;
            assert!(verify(name, Some(bytes)).is_some(), "{test}");
        }
        for name in ["ark.cert", "ask.cert", "cek.cert", "oca.cert", "pek.cert", "pdh.cert"] {
            let bytes = vector.file(name);
            assert_eq!(verify(name, None), Some(Reason::MissingEndorsement));
            let cut = bytes[..bytes.len() - 1].to_vec();
            assert_eq!(verify(name, Some(cut)), Some(Reason::Malformed));
            let longer = [&bytes[..], &[0]].concat();
            assert_eq!(verify(name, Some(longer)), Some(Reason::Malformed));
            for at in (0..bytes.len()).step_by(5) {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << (at % 8);
                assert!(verify(name, Some(changed)).is_some(), "{name} octet {at}");
            }
        }
        let swapped = verify("cek.cert", Some(vector.file("oca.cert")));
        assert_eq!(swapped, Some(Reason::Malformed));
    }
}

//= EV-SEV-2: RSA of 2048 and 4096 bits, PSS with SHA-256 and SHA-384
//= EV-SEV-3: the Naples ARK without signature is refused
#[test]
fn the_vendors_authorities_verify_except_the_unsigned_one() {
    for vector in named("vendor-certs") {
        for product in ["naples", "rome", "milan", "genoa", "turin"] {
            let [ark, ask] =
                ["ark", "ask"].map(|name| vector.file(&format!("{product}-{name}.cert")));
            let ark = AuthorityCertificate::decode(&ark).expect("a certificate");
            let ask = AuthorityCertificate::decode(&ask).expect("a certificate");

            assert!(ark.is_signed_by(&ark) && ask.is_signed_by(&ark) && !ark.is_signed_by(&ask));
            let anchors = Anchors::vendors();
            let anchor = anchors.find(verifier::anchor::Vendor::Amd, &ark.spki_sha256());
            let name = anchor.expect("a pinned root").name.to_lowercase();
            assert_eq!(name, format!("ark-{product}"));
        }
        let bad = vector.file("naples-ark-known-bad.cert");
        let expected = "a signature: an early Naples ARK was published without one";
        let outcome = AuthorityCertificate::decode(&bad).map(|_| ());
        assert_eq!(outcome, Err(NotACertificate::Malformed(expected)));
    }
}

//= EV-SEV-4: HMAC over version, policy, launch digest and nonce; digest with kernel and VMSAs
#[test]
fn recorded_measurements_are_recomputed() {
    for vector in named("launch-measurement") {
        let key = vector.file("tik.bin");
        for case in vector.expected["cases"].as_array().expect("cases") {
            let mut launch = launch_of(&vector, case);
            assert!(launch.is_measured_by(&key), "{}", case["name"]);

            assert!(!launch.is_measured_by(&[0; 16]));
            launch.policy.0 ^= 1;
            assert!(!launch.is_measured_by(&key), "{}", case["name"]);
        }
    }
}

#[test]
fn evidence_of_hygon_is_clearly_unsupported() {
    for vector in named("hygon-csv-adjacent") {
        for name in ["csv_evidence.json", "csvrs-report.cert"] {
            let reason = reason_of(&vector.file(name));
            assert_eq!(reason, Some(Reason::Unsupported), "{name}");
        }
        let hygon = NotACertificate::Unsupported("a Hygon certificate (SM2)");
        let root = vector.file("hrk.cert");
        assert_eq!(AuthorityCertificate::decode(&root).map(|_| ()), Err(hygon));
        let chip = &vector.file("csvrs-hsk_cek.cert")[832..];
        assert_eq!(PlatformCertificate::decode(chip).map(|_| ()), Err(hygon));

        let collateral = Collateral::from_files([("ark.cert", root)]);
        let check = VerifiedChain::verify(&collateral, &Anchors::vendors()).expect_err("refused");
        let reason = check.first_failure().map(|(_, failure)| failure.reason);
        assert_eq!(reason, Some(Reason::Unsupported));
    }
}

proptest! {
    //= EV-COM-4: no panic on hostile input
    #[test]
    fn any_bytes_are_read_without_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..2600),
        head in any::<[u8; 64]>(),
    ) {
        prop_assert!(reason_of(&bytes).is_some());
        let _ = AuthorityCertificate::decode(&bytes);
        let _ = AuthorityCertificate::decode(&[&head[..], &[0; 1536]].concat());
        let _ = PlatformCertificate::decode(&[&head[..], &[0; 2020]].concat());
    }

    #[test]
    fn a_launch_survives_the_round_trip(
        firmware in any::<[u8; 3]>(),
        policy in any::<u32>(),
        digest in any::<[u8; 32]>(),
        proof in any::<Option<[u8; 32]>>(),
    ) {
        let policy = GuestPolicy(policy);
        let (mac, nonce) = ([7; 32], [9; 16]);
        let launch = Launch { firmware, policy, digest, mac, nonce, proof };
        let encoded = launch.encode();

        prop_assert_eq!(Launch::decode(&encoded), Ok(launch));
        prop_assert!(Launch::decode(&encoded[..encoded.len() - 1]).is_err());
        prop_assert!(Launch::decode(&[&encoded[..], &[0]].concat()).is_err());
    }
}

fn reason_of(evidence: &[u8]) -> Option<Reason> {
    let anchors = Anchors::vendors();
    let endorsements = Endorsements::prepare(Kind::Sev, &Collateral::default(), &anchors);
    let request = Request {
        kind: Kind::Sev,
        evidence,
        event_log: None,
        user_data: UserData::Unchecked,
        anchors: &anchors,
        reference: &ReferenceValues::default(),
        policy: &Policy::default(),
        now: Timestamp(0),
    };
    appraise(&request, &endorsements).reason()
}

fn launch_of(vector: &Vector, case: &Json) -> Launch {
    let text = |name: &str| case[name].as_str().expect("text");
    let (firmware, vmsas) = (vector.file("ovmf-trimmed.bin"), ["vmsa0.bin", "vmsa1.bin"]);
    let [first, other] = vmsas.map(|name| vector.file(name));
    let (image, initrd) = (vector.file("vmlinuz-fake.bin"), vector.file("initrd-fake.bin"));
    let kernel =
        Kernel { image: &image, initrd: &initrd, command_line: b"foo bar baz fake kernel=cmdline" };
    let digest = match text("name") {
        "digest given" => base64(text("launch_digest_b64")).try_into().expect("32 octets"),
        "firmware only" => launch_digest(&firmware, None, &[]),
        "SEV-ES, 4 vCPU (real machine capture)" => {
            launch_digest(&firmware, None, &[&first, &other, &other, &other])
        }
        "with kernel hashes table" => launch_digest(&firmware, Some(&kernel), &[]),
        other => panic!("unknown case {other}"),
    };
    let (major, minor) = text("api").split_once('.').expect("a version");
    let number = |text: &str| text.parse::<u8>().expect("a number");
    let build = case["build"].as_u64().expect("a number") as u8;
    let policy = text("policy").strip_prefix("0x").expect("hexadecimal");
    let measure = base64(text("expect_b64"));
    Launch {
        firmware: [number(major), number(minor), build],
        policy: GuestPolicy(u32::from_str_radix(policy, 16).expect("hexadecimal")),
        digest,
        mac: measure[..32].try_into().expect("32 octets"),
        nonce: measure[32..].try_into().expect("16 octets"),
        proof: None,
    }
}

fn base64(text: &str) -> Vec<u8> {
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let value = |octet| digits.iter().position(|&digit| digit == octet).expect("base64") as u32;
    let mut octets = Vec::new();
    let (mut group, mut bits) = (0_u32, 0);
    for octet in text.bytes().filter(|&octet| octet != b'=') {
        group = group << 6 | value(octet);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            octets.push((group >> bits) as u8);
        }
    }
    octets
}

fn named(name: &str) -> Vec<Vector> {
    let found = vectors("sev").into_iter().filter(|vector| vector.name() == name);
    found.collect()
}

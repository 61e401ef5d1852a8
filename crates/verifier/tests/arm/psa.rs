//! PSA tokens: recorded from TF-M, and of a device of our own.

use proptest::prelude::*;
use serde_json::{Value as Json, json};
use verifier::anchor::{Device, ListedDevice, Vendor};
use verifier::evidence::arm::component::Component;
use verifier::evidence::trustzone::psa::{PsaClaims, Reference};
use verifier::evidence::trustzone::{self, Software};
use verifier::value::{Hex, Octets};
use verifier::{Appraisal, Collateral, Kind, Reason};

use crate::bench::{Bench, assert_nothing_else_is_accepted};
use crate::device::{
    Claim, ES256, ES384, ES512, Key, bytes, component, header, list, map, number, sign1, text,
};
use crate::vectors::{Vector, spki_of_pem, vector};

//= EV-PSA-2: the anchor by instance id
#[test]
fn recorded_tokens_are_accepted_under_the_enrolled_key() {
    let Some(vector) = vector("trustzone/psa-tfm") else { return };
    for file in SIGNED {
        let appraisal = enrolled(&vector, file).appraise(&vector.file(file));

        assert!(appraisal.accepted() && appraisal.bound(), "{file}\n{appraisal}");
        assert_eq!(shown(&appraisal), oracle(&vector, file), "{file}");
    }
}

#[test]
fn recorded_tokens_with_a_mac_are_refused() {
    let Some(vector) = vector("trustzone/psa-tfm") else { return };
    for file in ["psa-2_0_0_mac0.bin", "psa-iot-1_mac0.bin"] {
        let appraisal = enrolled(&vector, SIGNED[0]).appraise(&vector.file(file));

        assert_eq!(appraisal.reason(), Some(Reason::Unsupported), "{file}");
    }
}

//= EV-COM-4: changed, cut and extended tokens
#[test]
fn no_changed_bit_and_no_cut_of_a_recorded_token_is_accepted() {
    let Some(vector) = vector("trustzone/psa-tfm") else { return };
    for file in SIGNED {
        assert_nothing_else_is_accepted(&enrolled(&vector, file), &vector.file(file));
    }
}

#[test]
fn every_algorithm_of_the_profile_is_accepted() {
    for algorithm in [ES256, ES384, ES512] {
        let unit = Unit::new(algorithm);

        let appraisal = unit.bench().appraise(&unit.token());

        assert!(appraisal.accepted(), "{algorithm}\n{appraisal}");
        let json = serde_json::to_value(&appraisal).expect("serialisable");
        assert_eq!(json["trust"]["hardware"], 2);
        assert_eq!(json["trust"]["storage-opaque"], 2);
        assert_eq!(appraisal.claims().map(|claims| claims.generation), Some(Some("PSA")));
    }
}

//= EV-PSA-1: life cycle 0x30xx only
#[test]
fn only_secured_devices_are_accepted() {
    let unit = Unit::new(ES256);
    for (lifecycle, reason) in [
        (0x3000, None),
        (0x30ff, None),
        (0x0000, Some(Reason::ConfigurationNotAllowed)),
        (0x1000, Some(Reason::ConfigurationNotAllowed)),
        (0x2000, Some(Reason::ConfigurationNotAllowed)),
        (0x3100, Some(Reason::ConfigurationNotAllowed)),
        (0x4000, Some(Reason::Debug)),
        (0x5000, Some(Reason::Debug)),
        (0x6000, Some(Reason::ConfigurationNotAllowed)),
    ] {
        let token = unit.with(number(2395, lifecycle));

        assert_eq!(unit.bench().appraise(&token).reason(), reason, "{lifecycle:#x}");
    }
}

//= EV-PSA-1: negative is a non-secure caller; 1 or more when a secure partition must be it
#[test]
fn a_token_for_a_non_secure_caller_is_refused_unless_allowed() {
    let unit = Unit::new(ES256);
    for (client, secure) in [(1, true), (3002, true), (0, false), (-1, false), (i64::MIN, false)] {
        let token = unit.with(number(2394, client));
        let mut bench = unit.bench();

        let refused = bench.appraise(&token).reason();
        assert_eq!(refused.is_none(), secure, "{client}");

        bench.policy.trustzone.psa.secure_client_required = false;
        assert!(bench.appraise(&token).accepted(), "{client}");
    }
}

//= EV-PSA-2: the anchor by implementation id and key id
#[test]
fn a_device_is_found_by_implementation_and_key_id() {
    let unit = Unit::new(ES256);
    let named = |kid: u8| {
        let kid = map(&[bytes(4, &[kid; 3])]);
        let claims = map(&unit.claims());
        sign1(&header(ES256), &kid, &claims, |message| unit.key.sign(message))
    };
    let mut bench = unit.bench();
    bench.anchors = crate::vectors::vendors().with_device(ListedDevice {
        vendor: Vendor::Arm,
        name: "batch 4".into(),
        spki_sha256: Hex(verifier::crypto::sha256(&unit.key.spki())),
        device: Device::Key { implementation_id: Hex([3; 32]), key_id: Octets::new(&[9; 3]) },
        emulated: false,
    });

    assert!(bench.appraise(&named(9)).accepted());
    assert_eq!(bench.appraise(&named(8)).reason(), Some(Reason::UntrustedRoot));
    assert_eq!(bench.appraise(&unit.token()).reason(), Some(Reason::UntrustedRoot));

    // Another device is enrolled with this instance id: a key id does not make it this one.
    let other = Key::generate(ES256);
    bench = bench.enrol(Vendor::Arm, &other.spki(), &INSTANCE);
    bench.collateral.insert("other.pem", other.pem());
    assert_eq!(bench.appraise(&named(9)).reason(), Some(Reason::BadSignature));
}

#[test]
fn claims_that_are_missing_or_of_another_form_are_refused() {
    let unit = Unit::new(ES256);
    let reason = |claims: &[Claim]| unit.bench().appraise(&unit.key.sign1(&map(claims))).reason();
    for label in [10, 256, 265, 2394, 2395, 2396, 2399] {
        let claims = unit.claims().into_iter().filter(|claim| claim.0 != label);
        assert_eq!(reason(&claims.collect::<Vec<_>>()), Some(Reason::Malformed), "{label}");
    }
    for (claim, expected) in [
        (bytes(10, &[0xc5; 63]), Reason::Malformed),
        (bytes(256, &[0x01; 32]), Reason::Malformed),
        (bytes(256, &[0x02; 33]), Reason::Malformed),
        (bytes(2396, &[3; 31]), Reason::Malformed),
        (number(2395, -1), Reason::Malformed),
        (text(265, "http://arm.com/psa/9"), Reason::Unsupported),
        (text(265, "PSA_IOT_PROFILE_1"), Reason::Unsupported),
        (bytes(10, &[0xc5; 32]), Reason::BindingMismatch),
    ] {
        let mut claims = unit.claims();
        claims.retain(|it| it.0 != claim.0);
        claims.push(claim);
        assert_eq!(reason(&claims), Some(expected));
    }
    let mut two = unit.claims();
    two.push(text(-75000, "PSA_IOT_PROFILE_1"));
    assert_eq!(reason(&two), Some(Reason::Malformed));
    let mut unknown = unit.claims();
    unknown.push(number(77, 7));
    assert_eq!(reason(&unknown), None);
}

#[test]
fn a_device_that_differs_from_the_reference_value_is_refused() {
    let unit = Unit::new(ES256);
    let refused = |change: &dyn Fn(&mut Reference)| {
        let mut bench = unit.bench();
        match &mut bench.reference.trustzone[0].software {
            Software::Psa(reference) => change(reference),
            other => panic!("not a PSA reference value: {other:?}"),
        }
        let appraisal = bench.appraise(&unit.token());
        assert_eq!(appraisal.reason(), Some(Reason::MeasurementMismatch), "{appraisal}");
        appraisal.refusal().map(|(check, _)| check.name)
    };

    assert_eq!(refused(&|it| it.implementation_id = Hex([9; 32])), Some("implementation_id"));
    assert_eq!(refused(&|it| it.components.clear()), Some("component"));
    let certificate = |it: &mut Reference| it.certification_reference = Some("x".into());
    assert_eq!(refused(&certificate), Some("certification_reference"));
}

proptest! {
    //= EV-COM-4: no panic on hostile input
    #[test]
    fn any_bytes_are_read_without_panic(octets in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = PsaClaims::decode(&octets);
        prop_assert!(!Bench::new(Kind::TrustZone).appraise(&octets).accepted());
    }
}

const SIGNED: [&str; 2] = ["psa-2_0_0_sign1.bin", "psa-iot-1_sign1.bin"];

fn enrolled(vector: &Vector, file: &str) -> Bench {
    let spki = spki_of_pem(&vector.file("public.pem"));
    let claims = oracle(vector, file);
    let octets = |json: &Json| hex::decode(json.as_str().expect("text")).expect("hexadecimal");
    let instance = octets(&claims["instance_id"]);
    let mut bench = Bench::new(Kind::TrustZone).enrol(Vendor::Arm, &spki, &instance);
    bench.collateral = vector.collateral();
    bench.user_data = Some([0; 64]);
    let components = claims["sw_components"].as_array().expect("components");
    let components = components.iter().map(|it| Component {
        kind: it["type"].as_str().map(str::to_owned),
        measurement: Octets::new(&octets(&it["measurement_value"])),
        signer_id: Some(Octets::new(&octets(&it["signer_id"]))),
        version: it["version"].as_str().map(str::to_owned),
    });
    let reference = Reference {
        implementation_id: Hex(octets(&claims["implementation_id"]).try_into().expect("32")),
        components: components.collect(),
        certification_reference: claims["certification_reference"].as_str().map(str::to_owned),
    };
    bench
        .reference
        .trustzone
        .push(trustzone::Reference { name: "TF-M".into(), software: Software::Psa(reference) });
    bench
}

/// The oracle's claims by the names that they have here.
fn oracle(vector: &Vector, file: &str) -> Json {
    let claims = &vector.expected["results"][file]["claims"];
    let named = |new: &str, old: &str| {
        if claims[new].is_null() { claims[old].clone() } else { claims[new].clone() }
    };
    let components = named("2399", "-75006");
    let components = components.as_array().expect("components").iter().map(|it| {
        json!({
            "type": it["1"], "measurement_value": it["2"], "version": it["4"],
            "signer_id": it["5"], "hash_algo": it["6"],
        })
    });
    json!({
        "profile": named("265", "-75000"), "nonce": named("10", "-75008"),
        "instance_id": named("256", "-75009"), "client_id": named("2394", "-75001"),
        "lifecycle": named("2395", "-75002"), "implementation_id": named("2396", "-75003"),
        "boot_seed": named("2397", "-75004"), "certification_reference": named("2398", "-75005"),
        "sw_components": components.collect::<Vec<_>>(), "vsi": named("2400", "-75010"),
    })
}

fn shown(appraisal: &Appraisal) -> Json {
    serde_json::to_value(appraisal).expect("serialisable")["fields"].clone()
}

/// A device of our own.
struct Unit {
    key: Key,
}

impl Unit {
    fn new(algorithm: i64) -> Self {
        Self { key: Key::generate(algorithm) }
    }

    fn claims(&self) -> Vec<Claim> {
        vec![
            bytes(10, &CHALLENGE),
            bytes(256, &INSTANCE),
            text(265, "tag:psacertified.org,2023:psa#tfm"),
            number(2394, 1),
            number(2395, 0x3000),
            bytes(2396, &[3; 32]),
            list(2399, &[component("SPE", &[1; 32], &[7; 32])]),
        ]
    }

    fn token(&self) -> Vec<u8> {
        self.key.sign1(&map(&self.claims()))
    }

    /// A token in which one claim is another.
    fn with(&self, claim: Claim) -> Vec<u8> {
        let mut claims = self.claims();
        claims.retain(|it| it.0 != claim.0);
        claims.push(claim);
        self.key.sign1(&map(&claims))
    }

    fn bench(&self) -> Bench {
        let mut bench = Bench::new(Kind::TrustZone).enrol(Vendor::Arm, &self.key.spki(), &INSTANCE);
        bench.collateral = Collateral::from_files([("iak.pem", self.key.pem())]);
        bench.user_data = Some(CHALLENGE);
        let component = Component {
            kind: Some("SPE".into()),
            measurement: Octets::new(&[1; 32]),
            signer_id: Some(Octets::new(&[7; 32])),
            version: None,
        };
        let reference = Reference {
            implementation_id: Hex([3; 32]),
            components: vec![component],
            certification_reference: None,
        };
        bench
            .reference
            .trustzone
            .push(trustzone::Reference { name: "ours".into(), software: Software::Psa(reference) });
        bench
    }
}

const INSTANCE: [u8; 33] = [0x01; 33];
const CHALLENGE: [u8; 64] = [0xc5; 64];

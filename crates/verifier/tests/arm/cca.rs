//! Realms: tokens recorded from firmware, and tokens of a platform of our own.

use proptest::prelude::*;
use verifier::anchor::{Device, Listed, ListedDevice, Vendor};
use verifier::evidence::arm::component::Component;
use verifier::evidence::arm::{
    HashAlgorithm, Lifecycle, NotAToken, PlatformClaims, PlatformReference, RealmClaims,
    RealmReference, rem,
};
use verifier::evidence::cca::Reference;
use verifier::value::{Hex, Octets};
use verifier::{Appraisal, Collateral, Kind, Reason, ReferenceValues};

use crate::bench::{Bench, assert_nothing_else_is_accepted};
use crate::device::{
    Claim, ES256, ES384, ES512, Key, bytes, component, header, list, map, number, sign1, text,
};
use crate::vectors::{Vector, spki_of_jwk, vector, vectors};

//= EV-COM-11: every claim as decoded
#[test]
fn decoded_fields_equal_the_oracle() {
    for vector in recorded() {
        let appraisal = Bench::new(Kind::Cca).appraise(&vector.file("token.cbor"));

        let json = serde_json::to_value(&appraisal).expect("serialisable");
        assert_eq!(json["fields"], vector.expected["fields"], "{}", vector.id());
    }
}

//= EV-CCA-1, EV-CCA-2: ES256 and ES384 platforms, raw and COSE keys of realms
//= EV-CCA-3: a realm key that the platform does not name
//= EV-CCA-4: the recorded challenge
#[test]
fn every_case_has_the_stated_outcome() {
    for vector in recorded() {
        let bench = enrolled(&vector);
        let appraisal = bench.appraise(&vector.file("token.cbor"));

        let expect = vector.expected["cases"][0]["expect"].as_str().expect("an outcome");
        if expect == "reject: RAK not bound" {
            assert_eq!(appraisal.reason(), Some(Reason::BindingMismatch), "{appraisal}");
            assert_eq!(appraisal.refusal().map(|it| it.0.name), Some("cca.realm.binding"));
            assert!(!appraisal.authentic() && !appraisal.bound());
            continue;
        }
        assert!(expect.starts_with("signatures ok, binding ok"), "{expect}");
        assert!(appraisal.accepted() && appraisal.bound(), "{}\n{appraisal}", vector.id());
        assert_eq!(appraisal.reference(), Some("recorded"));
        let claims = appraisal.claims().expect("authentic");
        assert_eq!(claims.lifecycle, vector.expected["fields"]["platform"]["lifecycle"].as_u64());
        assert_eq!(claims.debug, Some(false));
    }
}

//= EV-CCA-6: hash length must match the declared algorithm
#[test]
fn constructed_tokens_with_digests_of_another_length_are_refused_by_default() {
    for vector in recorded() {
        let mut bench = enrolled(&vector);
        bench.policy.cca.digest_lengths_required = true;

        let appraisal = bench.appraise(&vector.file("token.cbor"));

        let named = ["cca/legacy-es256-platform", "cca/mixed-realm-2023-profile"];
        if named.contains(&vector.id().as_str()) {
            assert_eq!(appraisal.reason(), Some(Reason::Malformed), "{appraisal}");
            assert!(appraisal.authentic());
        } else if vector.id() != "cca/bad-rak-not-bound" {
            assert!(appraisal.accepted(), "{appraisal}");
        }
    }
}

//= EV-CCA-1: no anchor, no trust, whatever key comes along
#[test]
fn a_platform_that_nobody_enrolled_is_refused() {
    for vector in recorded() {
        let mut bench = enrolled(&vector);
        bench.anchors = crate::vectors::vendors();

        let appraisal = bench.appraise(&vector.file("token.cbor"));

        assert_eq!(appraisal.reason(), Some(Reason::UntrustedRoot), "{}", vector.id());
        assert!(!appraisal.authentic() && appraisal.claims().is_none());
    }
}

//= EV-COM-4: changed, cut and extended tokens
#[test]
fn no_changed_bit_and_no_cut_of_a_recorded_token_is_accepted() {
    for vector in recorded().into_iter().filter(|it| it.id() != "cca/bad-rak-not-bound") {
        let bench = enrolled(&vector);

        assert_nothing_else_is_accepted(&bench, &vector.file("token.cbor"));
    }
}

//= EV-CCA-6: unknown claims are ignored, missing mandatory ones refused
#[test]
fn claim_sets_without_a_challenge_are_refused_and_spurious_claims_passed_over() {
    let Some(vector) = vector("cca/claims-only") else { return };
    let plain = RealmClaims::decode(&vector.file("realm-claims.cbor"));

    assert!(plain.is_ok());
    for spurious in
        ["realm-claims+spurious-numeric-key.cbor", "realm-claims+spurious-text-key.cbor"]
    {
        assert_eq!(RealmClaims::decode(&vector.file(spurious)), plain, "{spurious}");
    }
    let missing = RealmClaims::decode(&vector.file("realm-claims-missing-challenge.cbor"));
    assert!(matches!(missing, Err(NotAToken::Malformed(_))), "{missing:?}");
    let platform = PlatformClaims::decode(&vector.file("platform-claims.cbor"));
    assert_eq!(platform.map(|claims| claims.components.len()), Ok(2));
}

//= EV-CCA-1: ES256, ES384 and ES512 by the protected algorithm
#[test]
fn a_platform_key_on_every_curve_is_accepted() {
    for algorithm in [ES256, ES384, ES512] {
        let platform = Platform::new(algorithm);

        let appraisal = platform.bench().appraise(&platform.token());

        assert!(appraisal.accepted(), "{algorithm}\n{appraisal}");
    }
}

//= EV-CCA-1: by instance id
#[test]
fn a_platform_counts_under_its_own_enrolled_key_only() {
    let (mine, other) = (Platform::new(ES384), Platform::new(ES384));
    let reason = |bench: &Bench| bench.appraise(&mine.token()).reason();

    let mut bench = mine.bench();
    bench.collateral = Collateral::default();
    assert_eq!(reason(&bench), Some(Reason::MissingEndorsement));

    // The instance is enrolled with another key, and this key for any instance: that does not help.
    let mut bench = other.bench();
    bench.collateral.insert("other.pem", mine.cpak.pem());
    bench.anchors = bench.anchors.with_enrolled(Listed {
        vendor: Vendor::Arm,
        name: "maker".into(),
        spki_sha256: Hex(verifier::crypto::sha256(&mine.cpak.spki())),
    });
    assert_eq!(reason(&bench), Some(Reason::BadSignature));

    let mut bench = mine.bench();
    bench.anchors = crate::vectors::vendors().with_enrolled(Listed {
        vendor: Vendor::Arm,
        name: "maker".into(),
        spki_sha256: Hex(verifier::crypto::sha256(&mine.cpak.spki())),
    });
    assert_eq!(reason(&bench), None);
    bench.anchors = crate::vectors::vendors();
    assert_eq!(reason(&bench), Some(Reason::UntrustedRoot));
}

//= EV-EMU-1: emulated platforms are labelled, and refused unless allowed
#[test]
fn an_emulated_platform_is_labelled_and_refused_by_default() {
    let platform = Platform::new(ES384);
    let mut bench = platform.bench();
    bench.anchors = crate::vectors::vendors().with_device(ListedDevice {
        vendor: Vendor::Arm,
        name: "bench".into(),
        spki_sha256: Hex(verifier::crypto::sha256(&platform.cpak.spki())),
        device: Device::Instance(Octets::new(&INSTANCE)),
        emulated: true,
    });

    let appraisal = bench.appraise(&platform.token());
    assert_eq!(appraisal.reason(), Some(Reason::EmulatedNotAllowed));
    assert_eq!(appraisal.emulated(), Some(true));

    bench.policy.emulated_allowed = true;
    assert!(bench.appraise(&platform.token()).accepted());
}

//= EV-CCA-3: the digest of the key exactly as carried, by the named algorithm
//= EV-CCA-2: the realm signature by that key
#[test]
fn a_realm_key_that_the_platform_does_not_name_is_refused() {
    let platform = Platform::new(ES384);
    for name in ["sha-256", "sha-384", "sha-512"] {
        let token = platform.shaped(&Shape { key_hash: name, ..Shape::default() });
        assert_eq!(platform.bench().appraise(&token).reason(), None, "{name}");
    }
    let unbound = Shape { challenge: Some(vec![7; 32]), ..Shape::default() };
    let other_key = Shape { realm_signer: Some(Key::generate(ES384)), ..Shape::default() };
    let unknown = Shape { key_hash: "sha3-256", ..Shape::default() };
    for (shape, reason, check) in [
        (unbound, Reason::BindingMismatch, "cca.realm.binding"),
        (other_key, Reason::BadSignature, "cca.realm.signature"),
        (unknown, Reason::Unsupported, "cca.realm.binding"),
    ] {
        let appraisal = platform.bench().appraise(&platform.shaped(&shape));

        let refusal = appraisal.refusal().map(|(check, failure)| (check.name, failure.reason));
        assert_eq!(refusal, Some((check, reason)), "{appraisal}");
        assert!(!appraisal.authentic());
    }
}

//= EV-CCA-2: the new profile carries a COSE_Key, the legacy one a point, on P-384
#[test]
fn a_realm_key_in_the_other_form_or_on_another_curve_is_refused() {
    let platform = Platform::new(ES384);
    let p256 = Key::generate(ES256);
    let accepted = Shape { profile_2023: true, ..Shape::default() };
    assert!(platform.bench().appraise(&platform.shaped(&accepted)).accepted());

    let point = platform.rak.point().to_vec();
    let hybrid = [&[6][..], &point[1..]].concat();
    for (profile_2023, key) in [
        (false, platform.rak.cose_key()),
        (true, point.clone()),
        (false, p256.point().to_vec()),
        (false, point[..96].to_vec()),
        (false, hybrid),
        (false, vec![4; 97]),
        (true, cose::Key::from_sec1(cose::Curve::P256, p256.point()).expect("a key").encode()),
    ] {
        let shape = Shape { profile_2023, realm_key: Some(key), ..Shape::default() };

        let reason = platform.bench().appraise(&platform.shaped(&shape)).reason();

        assert_eq!(reason, Some(Reason::Malformed));
    }
}

//= EV-CCA-4: all 64 octets
#[test]
fn the_challenge_is_compared_whole() {
    let platform = Platform::new(ES384);
    let mut bench = platform.bench();

    assert!(bench.appraise(&platform.token()).bound());
    for at in [0, 31, 32, 63] {
        let mut other = CHALLENGE;
        other[at] ^= 1;
        bench.user_data = Some(other);
        assert_eq!(bench.appraise(&platform.token()).reason(), Some(Reason::BindingMismatch));
    }
}

//= EV-CCA-5: every state but secured is refused by default
#[test]
fn only_secured_platforms_are_accepted_by_default() {
    let platform = Platform::new(ES384);
    for (lifecycle, reason) in [
        (0x3000, None),
        (0x30ff, None),
        (0x0000, Some(Reason::ConfigurationNotAllowed)),
        (0x1000, Some(Reason::ConfigurationNotAllowed)),
        (0x2000, Some(Reason::ConfigurationNotAllowed)),
        (0x2fff, Some(Reason::ConfigurationNotAllowed)),
        (0x3100, Some(Reason::ConfigurationNotAllowed)),
        (0x4000, Some(Reason::Debug)),
        (0x5000, Some(Reason::Debug)),
        (0x6000, Some(Reason::ConfigurationNotAllowed)),
    ] {
        let token = platform.shaped(&Shape { lifecycle, ..Shape::default() });
        let mut bench = platform.bench();

        let appraisal = bench.appraise(&token);
        assert_eq!(appraisal.reason(), reason, "{lifecycle:#x}\n{appraisal}");

        bench.policy.cca.lifecycles.push(Lifecycle::NonPlatformDebug);
        assert_eq!(bench.appraise(&token).reason(), reason, "debug needs both");
        bench.policy.debug_allowed = true;
        assert_eq!(bench.appraise(&token).accepted(), reason.is_none() || lifecycle == 0x4000);
    }
}

//= EV-CCA-6: implementation id, components, configuration, RIM, RPV and REMs
#[test]
fn a_realm_or_platform_that_differs_from_the_reference_value_is_refused() {
    let platform = Platform::new(ES384);
    let refused = |change: &dyn Fn(&mut Reference)| {
        let mut bench = platform.bench();
        change(&mut bench.reference.cca[0]);
        let appraisal = bench.appraise(&platform.token());
        assert_eq!(appraisal.reason(), Some(Reason::MeasurementMismatch), "{appraisal}");
        appraisal.refusal().map(|(check, _)| check.name)
    };
    let other = || Some(Octets::new(&[9; 32]));

    assert_eq!(
        refused(&|it| it.platform.implementation_id = Hex([9; 32])),
        Some("implementation_id")
    );
    assert_eq!(refused(&|it| it.realm.rim = Octets::new(&[9; 32])), Some("rim"));
    assert_eq!(refused(&|it| it.realm.rpv = Some(Hex([9; 64]))), Some("rpv"));
    assert_eq!(refused(&|it| it.platform.configuration = other()), Some("configuration"));
    assert_eq!(refused(&|it| it.realm.rem0 = other()), Some("rem0"));
    assert_eq!(refused(&|it| it.realm.rem3 = other()), Some("rem3"));
    assert_eq!(refused(&|it| it.platform.components.truncate(1)), Some("component"));
    assert_eq!(refused(&|it| it.platform.components[0].signer_id = other()), Some("component"));
    assert_eq!(
        refused(&|it| it.platform.components[1].measurement = Octets::new(&[9])),
        Some("component")
    );

    let mut bench = platform.bench();
    bench.reference = ReferenceValues::default();
    let appraisal = bench.appraise(&platform.token());
    assert_eq!(appraisal.reason(), Some(Reason::MeasurementMismatch));
    assert!(appraisal.authentic());
}

//= EV-CCA-6: REM count is exactly 4, missing mandatory claims are refused
#[test]
fn tokens_that_lack_a_claim_or_have_another_number_of_measurements_are_malformed() {
    let platform = Platform::new(ES384);
    for label in [265, 10, 2396, 256, 2401, 2395, 2399, 2402] {
        let token = platform.shaped(&Shape { without: Some(label), ..Shape::default() });
        let reason = platform.bench().appraise(&token).reason();
        assert_eq!(reason, Some(Reason::Malformed), "{label}");
    }
    for label in [10, 44235, 44236, 44237, 44238, 44239, 44240] {
        let token = platform.shaped(&Shape { without_realm: Some(label), ..Shape::default() });
        let reason = platform.bench().appraise(&token).reason();
        assert_eq!(reason, Some(Reason::Malformed), "{label}");
    }
    for rems in [0, 3, 5] {
        let token = platform.shaped(&Shape { rems, ..Shape::default() });
        let reason = platform.bench().appraise(&token).reason();
        assert_eq!(reason, Some(Reason::Malformed), "{rems}");
    }
}

//= EV-CCA-7: REM ← H(REM ‖ value) from zero, replayed from the log
#[test]
fn an_event_log_replays_to_the_registers_or_is_refused() {
    let platform = Platform::new(ES384);
    let mut bench = platform.bench();
    bench.policy.cca.event_log_required = true;
    assert_eq!(bench.appraise(&platform.token()).reason(), Some(Reason::MissingEndorsement));

    bench.event_log = Some(log(&[(1, [1; 32]), (1, [2; 32]), (4, [3; 32])]));
    let appraisal = bench.appraise(&platform.token());
    assert!(appraisal.accepted(), "{appraisal}");

    for other in [
        log(&[(1, [2; 32]), (1, [1; 32]), (4, [3; 32])]),
        log(&[(1, [1; 32]), (1, [2; 32])]),
        log(&[(2, [1; 32]), (1, [2; 32]), (4, [3; 32])]),
    ] {
        bench.event_log = Some(other);
        let reason = bench.appraise(&platform.token()).reason();
        assert_eq!(reason, Some(Reason::MeasurementMismatch));
    }
    bench.event_log = Some(vec![1; 40]);
    assert_eq!(bench.appraise(&platform.token()).reason(), Some(Reason::Malformed));
}

//= EV-CCA-7: the initial value is zero
#[test]
fn extending_hashes_the_register_and_the_value() {
    let zero = Octets::new(&[0; 32]);
    let expected = verifier::crypto::sha256(&[&[0; 32][..], b"value"].concat());

    assert_eq!(rem::extend(HashAlgorithm::Sha256, &zero, b"value").as_slice(), expected);
    assert_eq!(
        rem::replay(HashAlgorithm::Sha512, &log(&[])).map(|it| it[0].clone()),
        Ok(Octets::new(&[0; 64]))
    );
}

//= EV-CCA-8: the protected algorithm, none of symmetric or no signature, and a key that fits
#[test]
fn other_algorithms_and_unprotected_ones_are_refused() {
    let platform = Platform::new(ES384);
    let claims = map(&platform.platform_claims(&Shape::default()));
    let realm = platform.rak.sign1(&map(&platform.realm_claims(&Shape::default())));
    let sign = |message: &[u8]| platform.cpak.sign(message);
    for (protected, unprotected, reason) in [
        (header(ES384), vec![0xa0], None),
        // ESP384 is the same signature under a header that names the curve.
        (header(-51), vec![0xa0], None),
        (vec![], header(ES384), Some(Reason::Unsupported)),
        (vec![], vec![0xa0], Some(Reason::Unsupported)),
        (header(0), vec![0xa0], Some(Reason::Unsupported)),
        (header(5), vec![0xa0], Some(Reason::Unsupported)),
        (header(-8), vec![0xa0], Some(Reason::Unsupported)),
        (header(-37), vec![0xa0], Some(Reason::Unsupported)),
        (header(ES256), vec![0xa0], Some(Reason::BadSignature)),
        (header(ES512), vec![0xa0], Some(Reason::BadSignature)),
    ] {
        let signed = sign1(&protected, &unprotected, &claims, sign);
        let appraisal = platform.bench().appraise(&collection(&signed, &realm));

        assert_eq!(appraisal.reason(), reason, "{protected:02x?}\n{appraisal}");
    }
    let unprotected =
        sign1(&[], &header(ES384), &map(&platform.realm_claims(&Shape::default())), |message| {
            platform.rak.sign(message)
        });
    let token = collection(&platform.cpak.sign1(&claims), &unprotected);
    assert_eq!(platform.bench().appraise(&token).reason(), Some(Reason::Unsupported));
}

#[test]
fn other_collections_and_profiles_are_unsupported() {
    let platform = Platform::new(ES384);
    let token = platform.token();
    assert_eq!(token[..3], [0xd9, 0x01, 0x8f]);

    let mut other_tag = token.clone();
    other_tag[2] = 0x90;
    let reason = |token: &[u8]| platform.bench().appraise(token).reason();
    assert_eq!(reason(&other_tag), Some(Reason::Unsupported));
    assert_eq!(reason(&token[3..]), Some(Reason::Malformed));

    let profile = Shape { profile: "tag:arm.com,2030:cca_platform#9", ..Shape::default() };
    assert_eq!(reason(&platform.shaped(&profile)), Some(Reason::Unsupported));
    let realm =
        Shape { extra_realm: Some(text(265, "tag:arm.com,2030:realm#9")), ..Shape::default() };
    assert_eq!(reason(&platform.shaped(&realm)), Some(Reason::Unsupported));
}

//= EV-PERF-1: a remembered platform token costs less and means the same
#[test]
fn a_known_platform_token_excuses_nothing_else() {
    let platform = Platform::new(ES384);
    let bench = platform.bench();
    let prepared = bench.prepare();
    let json = |appraisal: &Appraisal| serde_json::to_string(appraisal).expect("serialisable");

    let first = bench.appraise_with(&platform.token(), &prepared);
    let again = bench.appraise_with(&platform.token(), &prepared);
    assert!(first.accepted());
    assert_eq!(json(&first), json(&again));

    let other = Shape { realm_signer: Some(Key::generate(ES384)), ..Shape::default() };
    assert!(!bench.appraise_with(&platform.shaped(&other), &prepared).accepted());
    let mut strangers = platform.bench();
    strangers.anchors = crate::vectors::vendors();
    assert!(!strangers.appraise_with(&platform.token(), &prepared).accepted());
}

#[test]
fn an_affirmed_realm_has_an_affirming_vector() {
    let platform = Platform::new(ES384);

    let json = serde_json::to_value(platform.bench().appraise(&platform.token())).expect("JSON");

    assert_eq!(json["trust"]["instance-identity"], 2);
    assert_eq!(json["trust"]["hardware"], 2);
    assert_eq!(json["trust"]["runtime-opaque"], 2);
    assert_eq!(json["claims"]["debug"], false);
    assert_eq!(json["claims"]["instance_id"], hex::encode(INSTANCE));
}

#[test]
fn policy_and_reference_values_are_read_from_toml() {
    let policy = verifier::Policy::from_toml(
        "[cca]\nlifecycles = ['secured', 'non-platform-debug']\nevent_log_required = true",
    )
    .expect("a policy");
    assert!(policy.cca.event_log_required && policy.cca.digest_lengths_required);
    assert!(verifier::Policy::from_toml("[cca]\nlifecycle = []").is_err());

    let id = "ab".repeat(32);
    let text = format!(
        "[[cca]]\nname = 'r'\nrealm = {{ rim = '{id}' }}\n\
         [cca.platform]\nimplementation_id = '{id}'\n\
         components = [{{ type = 'RMM', measurement = '{id}', signer_id = '{id}' }}]"
    );
    let values = ReferenceValues::from_toml(&text).expect("reference values");
    assert_eq!(values.cca[0].platform.components[0].kind.as_deref(), Some("RMM"));
    assert!(ReferenceValues::from_toml("[[cca]]\nname = 'r'").is_err());
}

proptest! {
    //= EV-COM-4: no panic on hostile input
    #[test]
    fn any_bytes_are_read_without_panic(octets in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = PlatformClaims::decode(&octets);
        let _ = RealmClaims::decode(&octets);
        let _ = rem::replay(HashAlgorithm::Sha256, &octets);
        prop_assert!(!Bench::new(Kind::Cca).appraise(&octets).accepted());
    }

    //= EV-COM-4: nothing of hostile input is accepted
    #[test]
    fn a_token_with_any_octets_overwritten_is_refused(
        at in any::<usize>(),
        octets in proptest::collection::vec(any::<u8>(), 1..9),
    ) {
        static PLATFORM: std::sync::OnceLock<(Bench, Vec<u8>)> = std::sync::OnceLock::new();
        let (bench, token) = PLATFORM.get_or_init(|| {
            let platform = Platform::new(ES384);
            (platform.bench(), platform.token())
        });
        let mut changed = token.clone();
        let at = at % (token.len() - octets.len());
        changed[at..at + octets.len()].copy_from_slice(&octets);

        prop_assert_eq!(bench.appraise(&changed).accepted(), changed == *token);
    }
}

/// The vectors that are tokens.
fn recorded() -> Vec<Vector> {
    let tokens: Vec<_> = vectors("cca").into_iter().filter(|it| it.has("token.cbor")).collect();
    assert!(tokens.is_empty() || tokens.len() >= 5, "all vectors are there");
    tokens
}

/// A Verifier that knows the vector's platform, means its software, and does not mind digests
/// that are longer than their algorithm makes them.
fn enrolled(vector: &Vector) -> Bench {
    let spki = spki_of_jwk(&vector.file("cpak.jwk.json"));
    let instance = vector.hex("/fields/platform/instance_id");
    let mut bench = Bench::new(Kind::Cca).enrol(Vendor::Arm, &spki, &instance);
    bench.collateral = vector.collateral();
    bench.policy.cca.digest_lengths_required = false;
    bench.user_data = Some(vector.fixed("/fields/realm/challenge").0);
    let components = vector.expected["fields"]["platform"]["sw_components"].as_array();
    let components = components.expect("components").iter().map(|it| {
        let member = |name: &str| it[name].as_str().map(str::to_owned);
        let octets = |name| Octets::new(&hex::decode(member(name).expect("text")).expect("hex"));
        Component {
            kind: member("type"),
            measurement: octets("measurement_value"),
            signer_id: Some(octets("signer_id")),
            version: member("version"),
        }
    });
    bench.reference.cca.push(Reference {
        name: "recorded".into(),
        platform: PlatformReference {
            implementation_id: vector.fixed("/fields/platform/implementation_id"),
            configuration: Some(vector.octets("/fields/platform/config")),
            components: components.collect(),
        },
        realm: RealmReference {
            rim: vector.octets("/fields/realm/rim"),
            rpv: Some(vector.fixed("/fields/realm/rpv")),
            rem0: Some(vector.octets("/fields/realm/rems/0")),
            rem1: Some(vector.octets("/fields/realm/rems/1")),
            rem2: Some(vector.octets("/fields/realm/rems/2")),
            rem3: Some(vector.octets("/fields/realm/rems/3")),
        },
    });
    bench
}

/// A platform with a realm, both ours.
struct Platform {
    cpak: Key,
    rak: Key,
}

/// How a token differs from an ordinary one.
struct Shape {
    profile: &'static str,
    profile_2023: bool,
    lifecycle: i64,
    key_hash: &'static str,
    /// In place of the digest of the realm's key.
    challenge: Option<Vec<u8>>,
    /// In place of the realm's key.
    realm_key: Option<Vec<u8>>,
    realm_signer: Option<Key>,
    without: Option<i64>,
    without_realm: Option<i64>,
    extra_realm: Option<Claim>,
    rems: usize,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            profile: "tag:arm.com,2023:cca_platform#1.0.0",
            profile_2023: false,
            lifecycle: 0x3003,
            key_hash: "sha-256",
            challenge: None,
            realm_key: None,
            realm_signer: None,
            without: None,
            without_realm: None,
            extra_realm: None,
            rems: 4,
        }
    }
}

impl Platform {
    fn new(algorithm: i64) -> Self {
        Self { cpak: Key::generate(algorithm), rak: Key::generate(ES384) }
    }

    fn token(&self) -> Vec<u8> {
        self.shaped(&Shape::default())
    }

    fn shaped(&self, shape: &Shape) -> Vec<u8> {
        let platform = self.cpak.sign1(&map(&self.platform_claims(shape)));
        let signer = shape.realm_signer.as_ref().unwrap_or(&self.rak);
        collection(&platform, &signer.sign1(&map(&self.realm_claims(shape))))
    }

    fn realm_key(&self, shape: &Shape) -> Vec<u8> {
        shape.realm_key.clone().unwrap_or_else(|| {
            if shape.profile_2023 { self.rak.cose_key() } else { self.rak.point().to_vec() }
        })
    }

    fn platform_claims(&self, shape: &Shape) -> Vec<Claim> {
        let digest = HashAlgorithm::from_name(shape.key_hash).unwrap_or(HashAlgorithm::Sha256);
        let digest = digest.digest(&[&self.realm_key(shape)]).as_slice().to_vec();
        let challenge = shape.challenge.clone().unwrap_or(digest);
        let components =
            [component("BL2", &[1; 32], &[7; 32]), component("RMM", &[2; 32], &[8; 32])];
        let mut claims = vec![
            text(265, shape.profile),
            bytes(10, &challenge),
            bytes(2396, &[3; 32]),
            bytes(256, &INSTANCE),
            bytes(2401, &[5; 4]),
            number(2395, shape.lifecycle),
            list(2399, &components),
            text(2402, "sha-256"),
        ];
        claims.retain(|(label, _)| Some(*label) != shape.without);
        claims
    }

    fn realm_claims(&self, shape: &Shape) -> Vec<Claim> {
        let registers = registers().map(|rem| bytes(0, rem.as_slice()).1);
        let registers = registers.into_iter().cycle().take(shape.rems).collect::<Vec<_>>();
        let mut claims = vec![
            bytes(10, &CHALLENGE),
            text(44236, "sha-256"),
            text(44240, shape.key_hash),
            bytes(44235, &[6; 64]),
            bytes(44237, &self.realm_key(shape)),
            bytes(44238, &[4; 32]),
            list(44239, &registers),
        ];
        if shape.profile_2023 {
            claims.push(text(265, "tag:arm.com,2023:realm#1.0.0"));
        }
        claims.extend(shape.extra_realm.clone());
        claims.retain(|(label, _)| Some(*label) != shape.without_realm);
        claims
    }

    fn bench(&self) -> Bench {
        let mut bench = Bench::new(Kind::Cca).enrol(Vendor::Arm, &self.cpak.spki(), &INSTANCE);
        bench.collateral = Collateral::from_files([("cpak.pem", self.cpak.pem())]);
        bench.user_data = Some(CHALLENGE);
        let listed = |kind: &str, measurement, signer| Component {
            kind: Some(kind.into()),
            measurement: Octets::new(&[measurement; 32]),
            signer_id: Some(Octets::new(&[signer; 32])),
            version: None,
        };
        bench.reference.cca.push(Reference {
            name: "ours".into(),
            platform: PlatformReference {
                implementation_id: Hex([3; 32]),
                configuration: None,
                components: vec![listed("BL2", 1, 7), listed("RMM", 2, 8)],
            },
            realm: RealmReference {
                rim: Octets::new(&[4; 32]),
                rpv: None,
                rem0: None,
                rem1: None,
                rem2: None,
                rem3: None,
            },
        });
        bench
    }
}

fn collection(platform: &[u8], realm: &[u8]) -> Vec<u8> {
    let tokens = map(&[bytes(44234, platform), bytes(44241, realm)]);
    [&[0xd9, 0x01, 0x8f][..], &tokens].concat()
}

/// The registers after the events of the ordinary log.
fn registers() -> [Octets; 4] {
    let zero = Octets::new(&[0; 32]);
    let extend = |register: &Octets, value| rem::extend(HashAlgorithm::Sha256, register, value);
    let rem0 = extend(&extend(&zero, &[1; 32]), &[2; 32]);
    [rem0, zero.clone(), zero.clone(), extend(&zero, &[3; 32])]
}

/// A crypto-agile log with SHA-256 and SHA-512 digests.
fn log(events: &[(u32, [u8; 32])]) -> Vec<u8> {
    let mut spec = b"Spec ID Event03\0".to_vec();
    spec.extend([0; 8]);
    spec.extend(2_u32.to_le_bytes());
    for (algorithm, size) in [(0x000b_u16, 32_u16), (0x000d, 64)] {
        spec.extend(algorithm.to_le_bytes());
        spec.extend(size.to_le_bytes());
    }
    spec.push(0);
    let mut log = [0_u32.to_le_bytes(), 3_u32.to_le_bytes()].concat();
    log.extend([0; 20]);
    log.extend((spec.len() as u32).to_le_bytes());
    log.extend(spec);
    for (register, digest) in events {
        log.extend(register.to_le_bytes());
        log.extend(13_u32.to_le_bytes());
        log.extend(2_u32.to_le_bytes());
        log.extend(0x000b_u16.to_le_bytes());
        log.extend(digest);
        log.extend(0x000d_u16.to_le_bytes());
        log.extend([9; 64]);
        log.extend(2_u32.to_le_bytes());
        log.extend(b"hi");
    }
    log
}

const INSTANCE: [u8; 33] = {
    let mut instance = [0x11; 33];
    instance[0] = 0x01;
    instance
};
const CHALLENGE: [u8; 64] = [0xc5; 64];

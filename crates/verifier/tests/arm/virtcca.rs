//! virtCCA: a token recorded from a real server, and tokens of a platform of our own.

use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use verifier::anchor::{Listed, Vendor};
use verifier::evidence::arm::component::Component;
use verifier::evidence::arm::{PlatformReference, RealmReference};
use verifier::evidence::trustzone::virtcca::Reference;
use verifier::evidence::trustzone::{self, Software};
use verifier::time::parse_rfc3339;
use verifier::value::{Hex, Octets};
use verifier::{Collateral, Kind, Reason, Timestamp, crypto};

use crate::bench::{Bench, assert_nothing_else_is_accepted};
use crate::device::{Claim, ES256, ES512, Key, bytes, header, list, map, number, sign1, text};
use crate::huawei::{World, p521_chain, vendor};
use crate::vectors::vector;

//= EV-VC-1: the recorded token has no platform token, so its key is endorsed by nothing
#[test]
fn the_recorded_token_is_refused_whatever_certificate_comes_along() {
    let Some(vector) = vector("trustzone/kunpeng-virtcca-cvm-only") else { return };
    let mut bench = Bench::new(Kind::TrustZone);
    bench.collateral = vector.collateral();
    bench.now = parse_rfc3339("2025-01-01T00:00:00Z").expect("a time");

    let appraisal = bench.appraise(&vector.file("token.cbor"));

    assert_eq!(appraisal.reason(), Some(Reason::MissingEndorsement), "{appraisal}");
    assert_eq!(appraisal.refusal().map(|it| it.0.name), Some("virtcca.platform.signature"));
    assert!(!appraisal.authentic() && appraisal.claims().is_none());
    let json = serde_json::to_value(&appraisal).expect("serialisable");
    let (seen, expected) = (&json["fields"], &vector.expected["fields"]);
    for field in ["challenge", "rim", "alg", "pubkey"] {
        assert_eq!(seen[field], expected[field], "{field}");
    }
    assert_eq!(expected["rems"], "4 x 32 zero bytes");
    for rem in ["rem0", "rem1", "rem2", "rem3"] {
        assert_eq!(seen[rem], "00".repeat(32));
    }
}

//= EV-VC-1: certificate chain, platform signature, challenge = H(CVM key), CVM signature
#[test]
fn a_machine_that_its_platform_names_is_accepted() {
    for rsa in [false, true] {
        let server = Server::new(rsa);

        let appraisal = server.bench().appraise(&server.token(&Shape::default()));

        assert!(appraisal.accepted() && appraisal.bound(), "{appraisal}");
        assert_eq!(appraisal.emulated(), Some(true));
        let claims = appraisal.claims().expect("authentic");
        assert_eq!((claims.generation, claims.lifecycle), (Some("virtCCA"), Some(0x3000)));
    }
}

//= EV-VC-1: a device certificate on P-521, under a root on P-521
#[test]
fn a_platform_on_p521_is_accepted() {
    let server = Server::new(false);
    let (root, device) = (Key::generate(ES512), Key::generate(ES512));
    let [root_certificate, certificate] = p521_chain(&root, &device);
    let mut bench = server.bench();
    bench.collateral =
        Collateral::from_files([("root.der", root_certificate), ("device.der", certificate)]);
    let listed = Listed {
        vendor: Vendor::Huawei,
        name: "p521".into(),
        spki_sha256: Hex(crypto::sha256(&root.spki())),
    };
    let token = server.token(&Shape { platform_signer: Some(device), ..Shape::default() });

    assert_eq!(bench.appraise(&token).reason(), Some(Reason::UntrustedRoot));
    bench.anchors = bench.anchors.with_emulator(listed);
    assert!(bench.appraise(&token).accepted(), "{}", bench.appraise(&token));
}

#[test]
fn claims_may_stand_directly_in_the_payload() {
    let server = Server::new(false);

    let token = server.token(&Shape { wrapped: false, ..Shape::default() });

    assert!(server.bench().appraise(&token).accepted());
}

//= EV-VC-1: each link fails by itself
#[test]
fn every_link_of_the_chain_is_needed() {
    let server = Server::new(false);
    let ordinary = Shape::default;
    let other_key = Some(Key::generate(ES512));
    for (shape, reason, check) in [
        (
            Shape { platform: false, ..ordinary() },
            Reason::MissingEndorsement,
            "virtcca.platform.signature",
        ),
        (
            Shape { platform_by_cvm: true, ..ordinary() },
            Reason::BadSignature,
            "virtcca.platform.signature",
        ),
        (
            Shape { platform_pkcs1: true, ..ordinary() },
            Reason::BadSignature,
            "virtcca.platform.signature",
        ),
        (
            Shape { challenge: Some([9; 32]), ..ordinary() },
            Reason::BindingMismatch,
            "virtcca.cvm.binding",
        ),
        (
            Shape { cvm_signer: other_key, ..ordinary() },
            Reason::BadSignature,
            "virtcca.cvm.signature",
        ),
        (
            Shape { cvm_algorithm: Some(ES256), ..ordinary() },
            Reason::Unsupported,
            "virtcca.cvm.signature",
        ),
        (
            Shape { cvm_algorithm: Some(-37), ..ordinary() },
            Reason::BadSignature,
            "virtcca.cvm.signature",
        ),
    ] {
        let appraisal = server.bench().appraise(&server.token(&shape));

        let refusal = appraisal.refusal().map(|(check, failure)| (check.name, failure.reason));
        assert_eq!(refusal, Some((check, reason)), "{appraisal}");
        assert!(!appraisal.authentic());
    }
}

//= EV-VC-1: the device certificate's chain
#[test]
fn a_device_without_certificate_or_with_a_failed_chain_is_refused() {
    let server = Server::new(false);
    let token = server.token(&Shape::default());
    let mut bench = server.bench();
    bench.collateral = vendor().collateral(&World::default());
    assert_eq!(bench.appraise(&token).reason(), Some(Reason::MissingEndorsement));

    let mut bench = server.bench();
    bench.anchors = verifier::Anchors::vendors();
    assert_eq!(bench.appraise(&token).reason(), Some(Reason::UntrustedRoot));

    let late = Bench { now: Timestamp(2_200_000_000), ..server.bench() };
    assert_eq!(late.appraise(&token).reason(), Some(Reason::Expired));
}

#[test]
fn a_machine_in_debug_or_with_another_challenge_or_measurement_is_refused() {
    let server = Server::new(false);
    let reason = |shape: &Shape| server.bench().appraise(&server.token(shape)).reason();
    let ordinary = Shape::default;

    assert_eq!(reason(&Shape { lifecycle: 0x4000, ..ordinary() }), Some(Reason::Debug));
    let unknown = Shape { lifecycle: 0, ..ordinary() };
    assert_eq!(reason(&unknown), Some(Reason::ConfigurationNotAllowed));
    let other = Shape { user_data: [9; 64], ..ordinary() };
    assert_eq!(reason(&other), Some(Reason::BindingMismatch));
    assert_eq!(reason(&Shape { rim: 9, ..ordinary() }), Some(Reason::MeasurementMismatch));
    let component = Shape { component: 9, ..ordinary() };
    assert_eq!(reason(&component), Some(Reason::MeasurementMismatch));
    let long = Shape { hash: "sha-512", ..ordinary() };
    assert_eq!(reason(&long), Some(Reason::Malformed));
    let three = Shape { rems: 3, ..ordinary() };
    assert_eq!(reason(&three), Some(Reason::Malformed));

    let mut bench = server.bench();
    bench.policy.trustzone.virtcca.event_log_required = true;
    let appraisal = bench.appraise(&server.token(&ordinary()));
    assert_eq!(appraisal.reason(), Some(Reason::MissingEndorsement));
}

#[test]
fn a_key_of_another_kind_is_refused() {
    let server = Server::new(false);
    for key in
        [Key::generate(ES256).point().to_vec(), Key::generate(ES256).spki(), vec![4; 132], vec![]]
    {
        let token = server.token(&Shape { cvm_key: Some(key), ..Shape::default() });

        assert_eq!(server.bench().appraise(&token).reason(), Some(Reason::Malformed));
    }
}

//= EV-COM-4: changed, cut and extended tokens
#[test]
fn no_changed_bit_and_no_cut_of_a_token_is_accepted() {
    let server = Server::new(false);

    assert_nothing_else_is_accepted(&server.bench(), &server.token(&Shape::default()));
}

/// A server of the emulated vendor with a machine on it.
struct Server {
    /// The machine's key, unless it is the vendor's RSA key.
    cvm: Option<Key>,
}

/// How a token differs from an ordinary one.
struct Shape {
    platform: bool,
    platform_by_cvm: bool,
    /// In place of the vendor's RSA key.
    platform_signer: Option<Key>,
    platform_pkcs1: bool,
    wrapped: bool,
    challenge: Option<[u8; 32]>,
    cvm_signer: Option<Key>,
    cvm_algorithm: Option<i64>,
    cvm_key: Option<Vec<u8>>,
    lifecycle: i64,
    user_data: [u8; 64],
    hash: &'static str,
    rim: u8,
    component: u8,
    rems: usize,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            platform: true,
            platform_by_cvm: false,
            platform_signer: None,
            platform_pkcs1: false,
            wrapped: true,
            challenge: None,
            cvm_signer: None,
            cvm_algorithm: None,
            cvm_key: None,
            lifecycle: 0x3000,
            user_data: CHALLENGE,
            hash: "sha-256",
            rim: 4,
            component: 1,
            rems: 4,
        }
    }
}

impl Server {
    fn new(rsa: bool) -> Self {
        Self { cvm: (!rsa).then(|| Key::generate(ES512)) }
    }

    fn cvm_key(&self, shape: &Shape) -> Vec<u8> {
        let own = || self.cvm.as_ref().map(|key| key.point().to_vec());
        shape.cvm_key.clone().or_else(own).unwrap_or_else(|| vendor().ak.spki())
    }

    fn token(&self, shape: &Shape) -> Vec<u8> {
        let mut tokens = Vec::new();
        if shape.platform {
            let claims = map(&self.platform_claims(shape));
            tokens.push(bytes(44234, &self.sign_platform(&claims, shape)));
        }
        let claims = map(&self.cvm_claims(shape));
        let payload = if shape.wrapped { bytes(0, &claims).1 } else { claims };
        tokens.push(bytes(44241, &self.sign_cvm(&payload, shape)));
        [&[0xd9, 0x01, 0x8f][..], &map(&tokens)].concat()
    }

    fn sign_platform(&self, claims: &[u8], shape: &Shape) -> Vec<u8> {
        let device = &vendor().device;
        if let Some(signer) = &shape.platform_signer {
            return signer.sign1(claims);
        }
        match &self.cvm {
            Some(cvm) if shape.platform_by_cvm => cvm.sign1(claims),
            _ if shape.platform_pkcs1 => sign1(&header(PS256), &[0xa0], claims, |message| {
                device.sign(&RSA_PKCS1_SHA256, message)
            }),
            _ => sign1(&header(PS256), &[0xa0], claims, |message| device.pss(message)),
        }
    }

    fn sign_cvm(&self, payload: &[u8], shape: &Shape) -> Vec<u8> {
        let Some(own) = &self.cvm else {
            return sign1(&header(PS256), &[0xa0], payload, |message| vendor().ak.pss(message));
        };
        let signer = shape.cvm_signer.as_ref().unwrap_or(own);
        let protected = header(shape.cvm_algorithm.unwrap_or(ES512));
        sign1(&protected, &[0xa0], payload, |message| signer.sign(message))
    }

    fn platform_claims(&self, shape: &Shape) -> Vec<Claim> {
        let challenge = shape.challenge.unwrap_or(crypto::sha256(&self.cvm_key(shape)));
        let component = map(&[
            text(1, "TMM\0\0"),
            bytes(2, &[shape.component; 32]),
            text(4, "1.0"),
            bytes(5, &[]),
            text(6, "sha-256\0"),
        ]);
        vec![
            text(265, "a profile of the vendor"),
            bytes(10, &challenge),
            bytes(2396, &[3; 32]),
            bytes(256, &INSTANCE),
            bytes(2401, &[]),
            number(2395, shape.lifecycle),
            list(2399, &[component]),
            text(2400, "https://vendor.example"),
            text(2402, "sha-256"),
        ]
    }

    fn cvm_claims(&self, shape: &Shape) -> Vec<Claim> {
        let rems = vec![bytes(0, &[0; 32]).1; shape.rems];
        vec![
            bytes(10, &shape.user_data),
            bytes(44235, &[0; 64]),
            bytes(44237, &self.cvm_key(shape)),
            text(44236, shape.hash),
            text(44240, "sha-256"),
            bytes(44238, &[shape.rim; 32]),
            list(44239, &rems),
        ]
    }

    fn bench(&self) -> Bench {
        let vendor = vendor();
        let mut bench = Bench::new(Kind::TrustZone);
        bench.anchors = vendor.anchors();
        bench.collateral = vendor.collateral(&World::default());
        let certificate = vendor.device_certificate(&vendor.device.spki(), false, 0xf8);
        bench.collateral.insert("aik_cert.der", certificate);
        bench.policy.emulated_allowed = true;
        bench.user_data = Some(CHALLENGE);
        let component = Component {
            kind: Some("TMM".into()),
            measurement: Octets::new(&[1; 32]),
            signer_id: None,
            version: Some("1.0".into()),
        };
        let platform = PlatformReference {
            implementation_id: Hex([3; 32]),
            configuration: None,
            components: vec![component],
        };
        let cvm = RealmReference {
            rim: Octets::new(&[4; 32]),
            rpv: None,
            rem0: Some(Octets::new(&[0; 32])),
            rem1: None,
            rem2: None,
            rem3: None,
        };
        bench.reference.trustzone.push(trustzone::Reference {
            name: "ours".into(),
            software: Software::VirtCca(Box::new(Reference { platform, cvm })),
        });
        bench
    }
}

const PS256: i64 = -37;
const INSTANCE: [u8; 33] = [0x01; 33];
const CHALLENGE: [u8; 64] = [0xc5; 64];

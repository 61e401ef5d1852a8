//! The way of an SEV guest to the Verifier: what its owner put into the secret at launch, as
//! efi_secret shows it, and what the host hands over beside it.

use std::fs;
use std::path::Path;

use agent::attester::{Interface, detect};
use cose::cbor::encode;
use cose::{Agreement as _, Algorithm, Curve, Signer as _};
use emulator::Misbehaviour;
use emulator::family::sev::Platform;
use keys::{AgreementKey, SigningKey};
use verifier::anchor::{Listed, Vendor};
use verifier::crypto::sha256;
use verifier::evidence::sev::chain::VerifiedChain;
use verifier::evidence::sev::launch::{GuestPolicy, Launch};
use verifier::evidence::sev::stated::{CERTIFICATES, Statement};
use verifier::value::Hex;
use verifier::{
    Anchors, Collateral, Endorsements, Kind, Policy, Reason, ReferenceValues, Request, UserData,
    appraise,
};

#[test]
fn what_the_guest_says_by_its_owners_secret_is_authentic_and_bound() {
    let dir = tempfile::tempdir().unwrap();
    let platform = Platform::start(&dir.path().join("vendor"), dir.path(), Misbehaviour::None);
    let platform = platform.unwrap();
    let anchors = anchors(platform.anchor());
    let owner = SigningKey::generate(Algorithm::Esp256).unwrap();
    launched(&dir.path().join("guest"), &platform.collateral_dir(), &owner, &anchors);

    let attester = detect(&dir.path().join("guest"), None).unwrap();
    let quote = attester.quote([7; 64]).unwrap();

    assert_eq!(attester.description().interface, "efi-secret");
    assert_eq!(Kind::from_media_type(&quote.media_type), Some(Kind::Sev));
    let judge = |user_data: &[u8; 64], launched_by: Vec<Hex<32>>| {
        let mut policy = Policy { emulated_allowed: true, ..Policy::default() };
        policy.sev.launched_by = launched_by;
        let request = Request {
            kind: Kind::Sev,
            evidence: &quote.evidence,
            event_log: None,
            user_data: UserData::Exactly(user_data),
            anchors: &anchors,
            reference: &ReferenceValues::default(),
            policy: &policy,
            now: verifier::Timestamp(0),
        };
        appraise(&request, &Endorsements::prepare(Kind::Sev, &Collateral::default(), &anchors))
    };
    let own = || vec![Hex(owner.key().thumbprint().0)];
    let authentic = judge(&[7; 64], own());
    assert!(authentic.authentic() && authentic.bound(), "{authentic}");
    assert_eq!(authentic.emulated(), Some(true));
    assert!(!judge(&[8; 64], own()).bound());
    let nobody = judge(&[7; 64], Vec::new());
    assert_eq!(nobody.reason(), Some(Reason::ConfigurationNotAllowed), "{nobody}");
}

/// What a launch leaves in the guest.
fn launched(root: &Path, chain: &Path, owner: &SigningKey, anchors: &Anchors) {
    let certificates = CERTIFICATES.map(|name| fs::read(chain.join(name)).unwrap());
    let collateral = Collateral::from_files(CERTIFICATES.into_iter().zip(certificates.clone()));
    let platform = VerifiedChain::verify(&collateral, anchors).unwrap();
    let proof = AgreementKey::generate(Curve::P384).unwrap();
    let launch = Launch {
        firmware: [1, 55, 21],
        policy: GuestPolicy(0x3701_000f),
        digest: [3; 32],
        mac: [4; 32],
        nonce: [5; 16],
        proof: None,
    };
    let statement = Statement {
        owner: owner.key().clone(),
        platform: sha256(platform.pdh.public()),
        launch,
        proof_key: proof.key().clone(),
        at: 0,
    };
    let (statement, scalar) = (statement.sign(owner).unwrap(), proof.to_scalar().unwrap());
    let secret = encode(|e| {
        e.array(5)?.str("teep-sev-v1")?.bytes(b"token")?.bytes(&[1; 32])?;
        e.bytes(&statement)?.bytes(scalar.expose())?.ok()
    });
    let chain = encode(|e| {
        e.array(6)?;
        for certificate in &certificates {
            e.bytes(certificate)?;
        }
        e.ok()
    });
    let put = |path: &str, content: &[u8]| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    put(Interface::SevSecret.path(), &secret);
    put("sys/firmware/qemu_fw_cfg/by_name/opt/tamarack/sev-chain/raw", &chain);
    put("proc/cmdline", b"quiet");
}

fn anchors(spki_sha256: [u8; 32]) -> Anchors {
    Anchors::vendors().with_emulator(Listed {
        vendor: Vendor::Amd,
        name: "bench".to_owned(),
        spki_sha256: Hex(spki_sha256),
    })
}

//! Evidence of OP-TEE's attestation PTA, and what our Verifier makes of it.

use agent::attester::{Attester as _, OpTee};
use agent::sys::tee::{Failed, Parameter, SecureWorld};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PSS_SHA256};
use verifier::anchor::{Device, ListedDevice, Vendor};
use verifier::evidence::trustzone::optee::Command;
use verifier::value::{Hex, Octets};
use verifier::{
    Anchors, Appraisal, Collateral, Endorsements, Kind, Policy, Reason, ReferenceValues, Request,
    UserData, crypto,
};

//= EV-OT-1: the device is accepted under the key that it was enrolled with
#[test]
fn an_enrolled_device_is_accepted_where_the_policy_takes_the_digest_of_op_tee() {
    let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let spki = key.public_key().as_der().unwrap().as_ref().to_vec();
    let tee = OpTee::over(Box::new(Pta(key)), "dev/tee0".into()).unwrap();
    let quote = tee.quote(CHALLENGE).unwrap();
    assert_eq!(Kind::from_media_type(&quote.media_type), Some(Kind::TrustZone));
    let (ueid, mut policy) = (&tee.description().ueid, Policy::default());

    let strict = appraise(&quote.evidence, ueid, &spki, &policy);
    policy.trustzone.optee.commands = vec![Command::TeeMemory];
    let accepted = appraise(&quote.evidence, ueid, &spki, &policy);
    let stranger = appraise(&quote.evidence, &[9; 33], &spki, &policy);

    // Anybody in the normal world can ask for it.
    assert_eq!(strict.reason(), Some(Reason::ConfigurationNotAllowed), "{strict}");
    assert!(accepted.accepted() && accepted.bound(), "{accepted}");
    assert_eq!(accepted.emulated(), Some(false));
    assert_eq!(stranger.reason(), Some(Reason::UntrustedRoot), "{stranger}");
}

fn appraise(evidence: &[u8], device: &[u8], spki: &[u8], policy: &Policy) -> Appraisal {
    let anchors = Anchors::vendors().with_device(ListedDevice {
        vendor: Vendor::OpTee,
        name: "gateway 7".to_owned(),
        spki_sha256: Hex(crypto::sha256(spki)),
        device: Device::Instance(Octets::new(device)),
        emulated: false,
    });
    let collateral = Collateral::from_files([("device.pem", pem(spki))]);
    let reference = format!(
        "[[trustzone]]\nname = 'OP-TEE 4.5'\noptee = {{ ta = '{AGENT}', command = 'tee-memory', \
         digest = '{}' }}",
        "3c".repeat(32)
    );
    let request = Request {
        kind: Kind::TrustZone,
        evidence,
        event_log: None,
        user_data: UserData::Exactly(&CHALLENGE),
        anchors: &anchors,
        reference: &ReferenceValues::from_toml(&reference).unwrap(),
        policy,
        now: verifier::Timestamp(1_782_000_000),
    };
    verifier::appraise(&request, &Endorsements::prepare(Kind::TrustZone, &collateral, &anchors))
}

fn pem(spki: &[u8]) -> Vec<u8> {
    let lines = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, spki);
    format!("-----BEGIN PUBLIC KEY-----\n{lines}\n-----END PUBLIC KEY-----\n").into_bytes()
}

/// The attestation PTA, as OP-TEE 3.17 and newer have it.
struct Pta(KeyPair);

impl SecureWorld for Pta {
    fn invoke(
        &self,
        service: &[u8; 16],
        command: u32,
        parameters: &mut [Parameter],
    ) -> Result<(), Failed> {
        assert_eq!(service, &0x3980_0861_182a_4720_9b67_2bcd_622b_c0b5_u128.to_be_bytes());
        match (command, parameters) {
            (0, [Parameter::Output(e), Parameter::Output(n), Parameter::ValueOutput]) => {
                // RSAPublicKey ends with the modulus and INTEGER 65537.
                let key = self.0.public_key().as_ref();
                let end = key.len() - 5;
                (*e, *n) = (vec![1, 0, 1], key[end - 256..end].to_vec());
            }
            (3, [Parameter::Input(nonce), Parameter::Output(output)]) => {
                let signed = [&nonce[..], &[0x3c; 32]].concat();
                let mut signature = vec![0; 256];
                let random = SystemRandom::new();
                self.0.sign(&RSA_PSS_SHA256, &random, &signed, &mut signature).unwrap();
                *output = [&[0x3c; 32][..], &signature].concat();
            }
            (_, _) => return Err(Failed::Result(0xffff_0006)),
        }
        Ok(())
    }
}

const CHALLENGE: [u8; 64] = [7; 64];
const AGENT: &str = "54616d61-7261-436b-8f01-4f5054454521";

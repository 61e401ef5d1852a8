//! Evidence that one signature or one MAC makes: SEV launches, iTrustee reports, OP-TEE digests.

use std::hint::black_box;
use std::path::Path;

use anyhow::{Context as _, Result};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair as _, RSA_PSS_2048_8192_SHA256, RSA_PSS_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bench::{Row, seconds};
use cose::{Secret, hmac_sha256};
use verifier::anchor::{Device, ListedDevice, Vendor};
use verifier::evidence::sev::launch::{GuestPolicy, Launch};
use verifier::evidence::sev::session::LaunchKeys;
use verifier::evidence::trustzone::{Uuid, optee};
use verifier::time::parse_rfc3339;
use verifier::value::{Hex, Octets};
use verifier::{Anchors, Collateral, Endorsements, Kind, Policy, Timestamp};

use super::Recorded;
use crate::bare::Signed;
use crate::vectors::{expected, read};

pub(super) fn measure(evidence: &Path) -> Result<[Row; 3]> {
    let (launch, message) = launch(&evidence.join("sev/naples-chain"))?;
    let keys = LaunchKeys::recorded(Secret::new(INTEGRITY_KEY.to_vec()));
    let launch_known = Endorsements::for_launch(keys, &launch.collateral, &launch.anchors);
    let report = report(&evidence.join("trustzone/itrustee-report-no-as"))?;
    let (digest, digest_signature) = digest()?;
    let (report_known, digest_known) = (report.prepare(), digest.prepare());
    launch.appraise(&launch_known)?;
    report.appraise(&report_known)?;
    digest.appraise(&digest_known)?;
    let report_signature = rsa(KeySize::Rsa4096, &[0x5a; 1200])?.0;

    let [launch, report, digest, mac, rsa_4096, rsa_3072] = seconds([
        &mut || launch.appraise(&launch_known).expect("it was accepted before"),
        &mut || report.appraise(&report_known).expect("it was accepted before"),
        &mut || digest.appraise(&digest_known).expect("it was accepted before"),
        &mut || {
            black_box(hmac_sha256(&INTEGRITY_KEY, black_box(&message)));
        },
        &mut || report_signature.verify(),
        &mut || digest_signature.verify(),
    ]);
    Ok([
        Row::beyond("SEV launch: own work over one HMAC", [launch, mac], SEV_OWN_US),
        Row::of_floor("TrustZone iTrustee warm, to 1 of RSA-4096", [report, rsa_4096], GOAL),
        Row::of_floor("TrustZone OP-TEE, to 1 of RSA-3072", [digest, rsa_3072], GOAL),
    ])
}

/// A launch on the recorded platform, and what its firmware's HMAC covers.
fn launch(platform: &Path) -> Result<(Recorded, Vec<u8>)> {
    let names = ["ark", "ask", "cek", "oca", "pek", "pdh"].map(|name| format!("{name}.cert"));
    let files = names.map(|name| Ok((name.clone(), read(&platform.join(&name))?)));
    let files = files.into_iter().collect::<Result<Vec<_>>>()?;
    // NODBG, NOKS, ES, NOSEND.
    let policy = GuestPolicy(0b1111);
    let (firmware, digest, nonce) = ([0, 16, 1], [0x5a; 32], [0xa5; 16]);
    let mut message = vec![4];
    message.extend(firmware);
    message.extend(policy.0.to_le_bytes());
    message.extend(digest);
    message.extend(nonce);
    let mac = hmac_sha256(&INTEGRITY_KEY, &message);
    let launch = Launch { firmware, policy, digest, mac, nonce, proof: None };
    let recorded = Recorded {
        kind: Kind::Sev,
        evidence: launch.encode(),
        collateral: Collateral::from_files(files),
        anchors: Anchors::vendors(),
        policy: Policy { reference_required: false, ..Policy::default() },
        user_data: None,
        now: NOW,
    };
    Ok((recorded, message))
}

fn report(folder: &Path) -> Result<Recorded> {
    let expected = expected(folder)?;
    let from = expected["crypto"]["drk_not_before"].as_str().context("a time")?;
    let from = parse_rfc3339(&from.replace("+00:00", "Z")).context("a time")?;
    Ok(Recorded {
        kind: Kind::TrustZone,
        evidence: read(&folder.join("report.json"))?,
        collateral: Collateral::default(),
        anchors: Anchors::vendors(),
        policy: Policy { reference_required: false, ..Policy::default() },
        user_data: None,
        now: from.after(86_400),
    })
}

/// A digest of an OP-TEE device whose key was recorded when it was enrolled.
fn digest() -> Result<(Recorded, Signed)> {
    let (ta, command) = (Uuid([7; 16]), optee::Command::TaMemory);
    let (challenge, digest) = ([0x5a; 64], [0xa5; 32]);
    let message = [optee::nonce(&challenge, ta, command), digest].concat();
    let (signed, signature, spki) = rsa(KeySize::Rsa3072, &message)?;
    let device = b"unit 17".to_vec();
    let evidence =
        optee::Evidence { device: device.clone(), ta, command, challenge, digest, signature };
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        STANDARD.encode(&spki)
    );
    let anchors = Anchors::vendors().with_device(ListedDevice {
        vendor: Vendor::OpTee,
        name: "unit 17".to_owned(),
        spki_sha256: Hex(cose::sha256(&spki)),
        device: Device::Instance(Octets::new(&device)),
        emulated: false,
    });
    let recorded = Recorded {
        kind: Kind::TrustZone,
        evidence: evidence.encode(),
        collateral: Collateral::from_files([("device.pem", pem)]),
        anchors,
        policy: Policy { reference_required: false, ..Policy::default() },
        user_data: Some(challenge),
        now: NOW,
    };
    Ok((recorded, signed))
}

/// A signature with SHA-256 under a new RSA key: bare, as bytes, and the key.
fn rsa(size: KeySize, message: &[u8]) -> Result<(Signed, Vec<u8>, Vec<u8>)> {
    let pair = RsaKeyPair::generate(size)?;
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PSS_SHA256, &SystemRandom::new(), message, &mut signature)?;
    let key = pair.public_key();
    let spki = AsDer::<PublicKeyX509Der<'_>>::as_der(key)?.as_ref().to_vec();
    let signed = Signed::new(&RSA_PSS_2048_8192_SHA256, key.as_ref(), message, &signature)?;
    Ok((signed, signature, spki))
}

/// What an appraisal must reach of what its signature alone would allow.
const GOAL: f64 = 0.7;
/// What an SEV launch may cost beyond its HMAC, µs.
const SEV_OWN_US: f64 = 10.0;
const INTEGRITY_KEY: [u8; 16] = [0x17; 16];
/// 2024-01-01.
const NOW: Timestamp = Timestamp(1_704_067_200);

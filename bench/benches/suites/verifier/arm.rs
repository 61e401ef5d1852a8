//! CCA tokens and PSA tokens, against the signatures in them; no peer in Rust verifies them well.

use std::path::Path;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bench::{Row, seconds};
use cose::{Curve, Key};
use serde_json::Value as Json;
use verifier::anchor::{Device, ListedDevice, Vendor};
use verifier::value::{Hex, Octets};
use verifier::{Anchors, Collateral, Kind, Policy, Timestamp};

use super::{COLD_GOAL, Recorded, WARM_GOAL};
use crate::bare::Signed;
use crate::vectors::{expected, read, read_text};

pub(super) fn measure(evidence: &Path) -> Result<[Row; 3]> {
    let realm = realm(&evidence.join("cca/draft-ffm-00-profile-2023"))?;
    let device = device(&evidence.join("trustzone/psa-tfm"))?;
    let (realm_known, device_known) = (realm.prepare(), device.prepare());
    realm.appraise(&realm_known)?;
    device.appraise(&device_known)?;
    let (p384, p256) = (Signed::with_p384(700)?, Signed::with_p256(400)?);
    let [cold, warm, device, p384, p256] = seconds([
        &mut || realm.cold(),
        &mut || realm.appraise(&realm_known).expect("it was accepted before"),
        &mut || device.appraise(&device_known).expect("it was accepted before"),
        &mut || p384.verify(),
        &mut || p256.verify(),
    ]);
    Ok([
        Row::of_floor("CCA cold, to 2 of P-384", [cold, 2.0 * p384], COLD_GOAL),
        Row::of_floor("CCA warm, to 1 of P-384", [warm, p384], WARM_GOAL),
        Row::of_floor("TrustZone PSA, to 1 of P-256", [device, p256], WARM_GOAL),
    ])
}

fn realm(folder: &Path) -> Result<Recorded> {
    let expected = expected(folder)?;
    let fields = &expected["fields"];
    let jwk = read(&folder.join("cpak.jwk.json"))?;
    let spki = spki_of_jwk(&jwk)?;
    let challenge = hex_of(&fields["realm"]["challenge"])?;
    Ok(Recorded {
        kind: Kind::Cca,
        evidence: read(&folder.join("token.cbor"))?,
        collateral: Collateral::from_files([("cpak.jwk.json", jwk)]),
        anchors: enrolled(&spki, &hex_of(&fields["platform"]["instance_id"])?),
        policy: Policy { reference_required: false, ..Policy::default() },
        user_data: Some(challenge[..].try_into()?),
        now: NOW,
    })
}

fn device(folder: &Path) -> Result<Recorded> {
    const TOKEN: &str = "psa-2_0_0_sign1.bin";
    let expected = expected(folder)?;
    let claims = &expected["results"][TOKEN]["claims"];
    let pem = read_text(&folder.join("public.pem"))?;
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    Ok(Recorded {
        kind: Kind::TrustZone,
        evidence: read(&folder.join(TOKEN))?,
        collateral: Collateral::from_files([("public.pem", pem)]),
        anchors: enrolled(&STANDARD.decode(body)?, &hex_of(&claims["256"])?),
        policy: Policy { reference_required: false, ..Policy::default() },
        user_data: Some([0; 64]),
        now: NOW,
    })
}

fn enrolled(spki: &[u8], instance: &[u8]) -> Anchors {
    Anchors::vendors().with_device(ListedDevice {
        vendor: Vendor::Arm,
        name: "unit 17".to_owned(),
        spki_sha256: Hex(cose::sha256(spki)),
        device: Device::Instance(Octets::new(instance)),
        emulated: false,
    })
}

fn spki_of_jwk(jwk: &[u8]) -> Result<Vec<u8>> {
    let jwk: Json = serde_json::from_slice(jwk)?;
    let member = |name: &str| -> Result<Vec<u8>> {
        Ok(URL_SAFE_NO_PAD.decode(jwk[name].as_str().context("a member of a key")?)?)
    };
    let point = [vec![4], member("x")?, member("y")?].concat();
    Ok(Key::from_sec1(Curve::P384, &point)?.to_spki())
}

fn hex_of(json: &Json) -> Result<Vec<u8>> {
    Ok(hex::decode(json.as_str().context("hexadecimal digits")?)?)
}

/// 2024-01-01.
const NOW: Timestamp = Timestamp(1_704_067_200);

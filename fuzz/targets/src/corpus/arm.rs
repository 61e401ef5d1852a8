//! Claims of Arm devices.

use cose::Signer as _;
use cose::cbor::{Written, encode};
use minicbor::Encoder;

use super::Seeds;
use crate::known::{ESP256, REALM};
use crate::teep::sealed_by;
use crate::verifier::cca_token;

pub(super) fn seed(seeds: &mut Seeds) {
    let string =
        |bytes: &[u8]| [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
    let signed = [&[1][..], &string(&platform()), &string(&realm())].concat();
    seeds.put("verifier_cca", "platform", platform());
    seeds.put("verifier_cca", "realm", realm());
    seeds.put("verifier_cca", "token", cca_token(&platform(), &realm()));
    seeds.put("verifier_cca", "to-be-signed", signed);
    seeds.put("verifier_trustzone", "psa-claims", psa());
    seeds.put("verifier_trustzone", "psa-token", sealed_by(&ESP256, &psa()));
    let json = r#"{"report_sign":{"sce_no_as":"AA"},"akcert":{},"payload":{"version":"TEE.RA.1.0","nonce":"AAAA","uuid":"e3d37f4a-f24c-48d0-8884-3bdd6c44e988","scenario":"sce_no_as"}}"#;
    seeds.put("verifier_trustzone", "report", json);
}

pub(crate) fn psa() -> Vec<u8> {
    encode(|e| {
        e.map(7)?.u8(10)?.bytes(&[7; 32])?.u16(256)?.bytes(&instance())?;
        e.u16(265)?.str("tag:psacertified.org,2023:psa#tfm")?.u16(2394)?.i8(1)?;
        e.u16(2395)?.u16(0x3000)?.u16(2396)?.bytes(&[5; 32])?.u16(2399)?.array(1)?;
        component(e)
    })
}

pub(crate) fn platform() -> Vec<u8> {
    let realm_key = cose::sha256(&REALM.key().encode());
    encode(|e| {
        e.map(8)?.u16(265)?.str("tag:arm.com,2023:cca_platform#1.0.0")?;
        e.u8(10)?.bytes(&realm_key)?.u16(2396)?.bytes(&[5; 32])?.u16(256)?.bytes(&instance())?;
        e.u16(2401)?.bytes(&[8; 32])?.u16(2395)?.u16(0x3000)?.u16(2402)?.str("sha-256")?;
        e.u16(2399)?.array(1)?;
        component(e)
    })
}

pub(crate) fn realm() -> Vec<u8> {
    encode(|e| {
        e.map(8)?.u8(10)?.bytes(&[7; 64])?.u16(265)?.str("tag:arm.com,2023:realm#1.0.0")?;
        e.u16(44235)?.bytes(&[9; 64])?.u16(44238)?.bytes(&[1; 32])?;
        e.u16(44239)?.array(4)?.bytes(&[1; 32])?.bytes(&[2; 32])?.bytes(&[3; 32])?;
        e.bytes(&[4; 32])?.u16(44236)?.str("sha-256")?.u16(44240)?.str("sha-256")?;
        e.u16(44237)?.bytes(&REALM.key().encode())?.ok()
    })
}

fn instance() -> Vec<u8> {
    [&[1][..], &[2; 32]].concat()
}

fn component(e: &mut Encoder<Vec<u8>>) -> Written {
    e.map(4)?.u8(1)?.str("BL")?.u8(2)?.bytes(&[3; 32])?.u8(5)?.bytes(&[4; 32])?;
    e.u8(6)?.str("sha-256")?.ok()
}

//! Hardware evidence and endorsements in the shapes of the vendors, by keys of one run.

use cose::cbor::{Written, encode};
use minicbor::Encoder;
use minicbor::data::Tag;
use verifier::Collateral;
use verifier::x509::decode_pem;

use super::Seeds;
use crate::intel::{Shape, Vendor, World, domain_body, enclave_body};
use crate::known::ED25519;
use crate::teep::sealed_by;

pub(super) fn seed(seeds: &mut Seeds) {
    intel(seeds);
    amd(seeds);
    arm(seeds);
    event_logs(seeds);
}

fn intel(seeds: &mut Seeds) {
    let vendor = Vendor::new();
    let shape = |version| Shape { version, ..Shape::default() };
    for version in [3, 4, 5] {
        let quote = vendor.quote(&enclave_body(), &shape(version));
        seeds.put("verifier_sgx", format!("version-{version}"), quote);
    }
    let mut debug = enclave_body();
    debug[48] |= 2;
    seeds.put("verifier_sgx", "debug", vendor.quote(&debug, &shape(3)));
    let without_chain = Shape { certification: 3, ..Shape::default() };
    seeds.put("verifier_sgx", "without-chain", vendor.quote(&enclave_body(), &without_chain));
    seeds.put("verifier_tdx", "version-4", vendor.quote(&domain_body()[..584], &shape(4)));
    seeds.put("verifier_tdx", "version-5", vendor.quote(&domain_body(), &shape(5)));
    seeds.put("verifier_tdx", "version-5-td-1.0", vendor.quote(&domain_body()[..584], &shape(5)));

    for (name, world) in [("sgx", World::sgx()), ("tdx", World::tdx())] {
        let collateral = vendor.collateral(&world);
        for (file, bytes) in collateral.files().filter(|(file, _)| file.ends_with(".json")) {
            seeds.put("verifier_collateral", format!("{name}-{file}"), bytes);
        }
        seeds.put("verifier_collateral", name, collateral.encode());
    }
    let collateral = vendor.collateral(&World::sgx());
    for name in ["pck_crl.der", "root_ca_crl.der"] {
        seeds.put("verifier_crl", name, collateral.file(name).unwrap());
    }
    seeds.put("verifier_collateral", "empty", Collateral::default().encode());
    for (at, certificate) in decode_pem(&vendor.chain()).unwrap().into_iter().enumerate() {
        seeds.put("verifier_x509", format!("certificate-{at}"), certificate);
    }
    seeds.put("verifier_x509", "chain.pem", vendor.chain());
}

/// A report of each layout, with nothing but the fields that choose it.
fn amd(seeds: &mut Seeds) {
    for version in [2, 3, 5] {
        let mut report = vec![0; 1184];
        report[0] = version;
        report[10] = 3;
        report[52] = 1;
        report[80..144].fill(7);
        report[144..192].fill(8);
        report[416..480].fill(9);
        if version > 2 {
            report[392..395].copy_from_slice(&[0x19, 0x11, 1]);
        }
        seeds.put("verifier_sev_snp", format!("version-{version}"), report);
    }
    let mut with_table = vec![0; 1184];
    with_table[0] = 2;
    with_table
        .extend([&[7; 16][..], &[48, 0, 0, 0, 4, 0, 0, 0], &[0; 24], b"\x30\x02\x05\x00"].concat());
    seeds.put("verifier_sev_snp", "certificate-table", with_table);
    let mut launch = b"\x01\x33\x17\x01".to_vec();
    launch.extend([&[4; 32][..], &[5; 16], &[6; 32]].concat());
    seeds.put("verifier_sev", "launch", launch);
}

fn arm(seeds: &mut Seeds) {
    let nonce = [7; 64];
    let instance = [&[1][..], &[2; 32]].concat();
    let component = |e: &mut Encoder<Vec<u8>>| -> Written {
        e.map(4)?.u8(1)?.str("BL")?.u8(2)?.bytes(&[3; 32])?.u8(5)?.bytes(&[4; 32])?;
        e.u8(6)?.str("sha-256")?.ok()
    };
    let psa = encode(|e| {
        e.map(7)?.u8(10)?.bytes(&nonce[..32])?.u16(256)?.bytes(&instance)?;
        e.u16(265)?.str("tag:psacertified.org,2023:psa#tfm")?.u16(2394)?.i8(1)?;
        e.u16(2395)?.u16(0x3000)?.u16(2396)?.bytes(&[5; 32])?.u16(2399)?.array(1)?;
        component(e)
    });
    let platform = encode(|e| {
        e.map(8)?.u16(265)?.str("tag:arm.com,2023:cca_platform#1.0.0")?;
        e.u8(10)?.bytes(&[6; 32])?.u16(2396)?.bytes(&[5; 32])?.u16(256)?.bytes(&instance)?;
        e.u16(2401)?.bytes(&[8; 32])?.u16(2395)?.u16(0x3000)?.u16(2402)?.str("sha-256")?;
        e.u16(2399)?.array(1)?;
        component(e)
    });
    let realm = encode(|e| {
        e.map(8)?.u8(10)?.bytes(&nonce)?.u16(265)?.str("tag:arm.com,2023:realm#1.0.0")?;
        e.u16(44235)?.bytes(&[9; 64])?.u16(44238)?.bytes(&[1; 32])?;
        e.u16(44239)?.array(4)?.bytes(&[1; 32])?.bytes(&[2; 32])?.bytes(&[3; 32])?;
        e.bytes(&[4; 32])?.u16(44236)?.str("sha-256")?.u16(44240)?.str("sha-256")?;
        e.u16(44237)?.bytes(&cose::Signer::key(&*ED25519).encode())?.ok()
    });
    let token = encode(|e| {
        e.tag(Tag::new(399))?.map(2)?.u16(44234)?.bytes(&sealed_by(&ED25519, &platform))?;
        e.u16(44241)?.bytes(&sealed_by(&ED25519, &realm))?.ok()
    });
    seeds.put("verifier_cca", "platform", platform);
    seeds.put("verifier_cca", "realm", realm);
    seeds.put("verifier_cca", "token", token);
    seeds.put("verifier_trustzone", "psa-claims", psa.clone());
    seeds.put("verifier_trustzone", "psa-token", sealed_by(&ED25519, &psa));
    let json = r#"{"report_sign":{"sce_no_as":"AA"},"akcert":{},"payload":{"version":"TEE.RA.1.0","nonce":"AAAA","uuid":"e3d37f4a-f24c-48d0-8884-3bdd6c44e988","scenario":"sce_no_as"}}"#;
    seeds.put("verifier_trustzone", "report", json);
}

fn event_logs(seeds: &mut Seeds) {
    let mut header = [&[0; 4][..], &[3, 0, 0, 0], &[0; 20], &[33, 0, 0, 0]].concat();
    header.extend(
        [&b"Spec ID Event03\0"[..], &[0; 8], &[1, 0, 0, 0], &[0x0c, 0, 48, 0], &[0]].concat(),
    );
    let event = |register: u8, kind: u8| {
        let head =
            [&[register, 0, 0, 0, kind, 0, 0, 0, 1, 0, 0, 0, 0x0c, 0][..], &[5; 48]].concat();
        [&head[..], &[4, 0, 0, 0], b"boot"].concat()
    };
    seeds.put("verifier_event_log", "header", header.clone());
    seeds.put("verifier_event_log", "ccel", [&header[..], &event(1, 4), &event(2, 8)].concat());
    seeds.put("verifier_event_log", "no-action", [&header[..], &event(1, 3)].concat());
    let digest = "05".repeat(48);
    let json = format!(
        r#"[{{"imr":0,"event_type":4,"digest":"{digest}","event":"","event_payload":"00"}}]"#
    );
    seeds.put("verifier_event_log", "dstack", json);
}

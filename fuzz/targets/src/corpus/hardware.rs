//! Hardware evidence and endorsements in the shapes of the vendors, by keys of one run.

use verifier::Collateral;
use verifier::x509::decode_pem;

use super::Seeds;
use crate::intel::{Shape, Vendor, World, domain_body, enclave_body};

pub(super) fn seed(seeds: &mut Seeds) {
    intel(seeds);
    amd(seeds);
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

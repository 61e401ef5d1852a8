use std::fs;
use std::path::PathBuf;

use super::*;
use crate::family::intel::{Tee, Vendor};

#[test]
fn a_quote_of_a_td_1_0_domain_has_the_layout_of_version_4() {
    let bench = Bench::new();
    let mut machine = bench.start(Generation::Td10, Misbehaviour::None);

    let quote = machine.quote(bench.now, &[0x5a; 64]).unwrap();

    assert_eq!(quote.media_type, MEDIA_TYPE);
    let quote = quote.evidence;
    assert_eq!(quote[..12], [4, 0, 2, 0, 0x81, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(hex::encode(&quote[12..28]), "939a7233f79c4ca9940a0db3957f0607");
    bench.check_body(&quote[48..]);
    check_signature_data(&quote[48 + 584..]);
}

#[test]
fn a_quote_of_a_td_1_5_domain_has_the_layout_of_version_5() {
    let bench = Bench::new();
    let mut machine = bench.start(Generation::Td15, Misbehaviour::None);

    let quote = machine.quote(bench.now, &[0x5a; 64]).unwrap().evidence;

    assert_eq!(quote[..8], [5, 0, 2, 0, 0x81, 0, 0, 0]);
    assert_eq!(quote[48..54], [3, 0, 0x88, 2, 0, 0]);
    bench.check_body(&quote[54..]);
    assert_eq!(quote[54 + 584..54 + 600], quote[54..54 + 16], "TEE_TCB_SVN2");
    assert_eq!(quote[54 + 600..54 + 648], [0; 48], "MRSERVICETD");
    check_signature_data(&quote[54 + 648..]);
}

#[test]
fn registers_are_in_the_quote_and_start_at_zero_again() {
    let bench = Bench::new();
    let mut machine = bench.start(Generation::Td10, Misbehaviour::None);
    machine.extend(3, &[7; 48]).unwrap();

    let quote = machine.quote(bench.now, &[1; 64]).unwrap().evidence;

    let registers: Vec<_> = (0..4).map(|index| machine.read(index).unwrap()).collect();
    assert_eq!(quote[48 + 328..48 + 520], registers.concat());
    assert_eq!(registers[..3].concat(), [0; 144]);
    assert_ne!(registers[3], [0; 48]);
    let again = bench.start(Generation::Td10, Misbehaviour::None);
    assert_eq!(again.read(3), Ok(vec![0; 48]));
}

#[test]
fn another_program_or_debug_mode_gets_another_sealing_key() {
    let bench = Bench::new();
    let key = |misbehaviour| bench.start(Generation::Td10, misbehaviour).sealing_key("a");

    assert_eq!(key(Misbehaviour::None), key(Misbehaviour::None));
    assert_ne!(key(Misbehaviour::None), key(Misbehaviour::Debug));
    assert_ne!(key(Misbehaviour::None), key(Misbehaviour::WrongMeasurement));
}

#[test]
fn lists_have_the_members_of_the_vendor_in_its_order() {
    let bench = Bench::new();
    bench.start(Generation::Td10, Misbehaviour::None);
    let vendor = Vendor::open(&bench.vendor, bench.now).unwrap();
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/vectors/evidence/tdx/v4-emr-uptodate/collateral-2026-08");
    if !recorded.exists() {
        println!("skipped: ../shared/vectors is absent");
        return;
    }
    for name in ["tcb_info.json", "qe_identity.json"] {
        let ours = fs::read(vendor.collateral_file(Tee::Tdx, name)).unwrap();
        let real = fs::read(recorded.join(name)).unwrap();

        let names = |json: &[u8]| keys(&serde_json::from_slice(json).unwrap());
        assert_eq!(names(&ours)[..6], names(&real)[..6], "{name}");
        let mut missing = names(&real);
        missing.retain(|name| !names(&ours).contains(name));
        assert!(missing.iter().all(|name| name == ".tcbLevels[].advisoryIDs"), "{missing:?}");
    }
}

struct Bench {
    _dir: tempfile::TempDir,
    vendor: PathBuf,
    device: PathBuf,
    measurement: Measurement,
    now: Timestamp,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (vendor, device) = (dir.path().join("vendor"), dir.path().join("device"));
        let measurement = Measurement::of(b"program", b"settings").unwrap();
        let now = "2026-07-01T12:00:00Z".parse().unwrap();
        Self { _dir: dir, vendor, device, measurement, now }
    }

    fn start(&self, generation: Generation, misbehaviour: Misbehaviour) -> Machine {
        let measurement = self.measurement.clone();
        let (vendor, device) = (&self.vendor, &self.device);
        Machine::start(vendor, device, generation, measurement, misbehaviour, self.now).unwrap()
    }

    fn check_body(&self, body: &[u8]) {
        assert_eq!(body[0..3], [11, 1, 16]);
        assert_eq!(body[64..120], [0; 56], "MRSIGNERSEAM and SEAMATTRIBUTES");
        assert_eq!(body[120..128], [0, 0, 0, 0x10, 0, 0, 0, 0]);
        assert_eq!(body[136..184], self.measurement.mrtd);
        assert_eq!(body[184..232], self.measurement.mrconfigid);
        assert_eq!(body[232..520], [0; 288], "MROWNER, MROWNERCONFIG, RTMRs");
        assert_eq!(body[520..584], [0x5a; 64]);
    }
}

/// Length, signature, key, and certification data of type 6 that fills the rest.
fn check_signature_data(data: &[u8]) {
    let number = |at: usize| u32::from_le_bytes(data[at..at + 4].try_into().unwrap()) as usize;
    assert_eq!(number(0), data.len() - 4);
    assert_eq!(data[132..134], [6, 0]);
    assert_eq!(number(134), data.len() - 138);
}

/// The paths of all members, in the order of their first appearance.
fn keys(value: &serde_json::Value) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut add = |name: String| {
        if !all.contains(&name) {
            all.push(name);
        }
    };
    match value {
        serde_json::Value::Object(object) => {
            for (name, value) in object {
                add(format!(".{name}"));
                keys(value).into_iter().for_each(|inner| add(format!(".{name}{inner}")));
            }
        }
        serde_json::Value::Array(array) => {
            for value in array {
                keys(value).into_iter().for_each(|inner| add(format!("[]{inner}")));
            }
        }
        _ => {}
    }
    all
}

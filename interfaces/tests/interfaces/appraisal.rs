//! The way from a device to the Verifier: configfs-tsm gives what an emulated device signed, the
//! Agent takes it, and it is authentic under the emulator's root alone.

use std::fs;
use std::path::Path;

use agent::attester::{Attester as _, Tsm};
use device::tee::Quote;
use emulator::Misbehaviour;
use emulator::family::{FamilyName, Software, Start};
use jiff::Timestamp;
use verifier::anchor::List;
use verifier::{
    Anchors, Appraisal, Collateral, Endorsements, Kind, Policy, Reason, ReferenceValues, Request,
    UserData,
};

use crate::fuse::Mounted;
use crate::kernel::Kernel;
use crate::tsm::mount;

#[test]
fn what_the_kernel_gives_is_authentic_and_bound_under_the_devices_root() {
    for (provider, family, kind) in [
        ("tdx_guest", FamilyName::Tdx, Kind::Tdx),
        ("sev_guest", FamilyName::SevSnp, Kind::SevSnp),
        ("arm_cca_guest", FamilyName::Cca, Kind::Cca),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut kernel = Kernel::new(provider);
        let mut device = family.start(start(dir.path())).unwrap();
        kernel.device = Some(Box::new(move |report_data| {
            let quote = device.quote(now(), report_data).unwrap();
            (quote.evidence, quote.aux)
        }));
        let kernel = mount!(kernel);
        let tsm = Tsm::open(kernel.root(), None).unwrap();

        let quote = tsm.quote(CHALLENGE).unwrap();

        assert_eq!(Kind::from_media_type(&quote.media_type), Some(kind));
        assert_eq!(quote.aux.is_some(), kind == Kind::SevSnp, "{provider}");
        let anchors = anchors(&dir.path().join("vendor"));
        let judge = |challenge, anchors| appraise(dir.path(), kind, &quote, challenge, anchors);
        let authentic = judge(&CHALLENGE, &anchors);
        assert!(authentic.bound(), "{provider}\n{authentic}");
        assert_eq!(authentic.emulated(), Some(true), "{provider}");
        assert!(!judge(&[8; 64], &anchors).bound(), "{provider}");
        let stranger = judge(&CHALLENGE, &Anchors::vendors());
        assert!(!stranger.bound(), "{provider}\n{stranger}");
        assert_eq!(stranger.reason(), Some(Reason::UntrustedRoot), "{provider}\n{stranger}");
    }
}

fn start(dir: &Path) -> Start<'_> {
    // The folders live as long as the test.
    let folder = |name: &str| -> &'static Path { Box::leak(dir.join(name).into_boxed_path()) };
    Start {
        vendor_dir: folder("vendor"),
        state_dir: folder("device"),
        software: Software::Program(b"program"),
        settings: b"settings",
        misbehaviour: Misbehaviour::None,
        now: now(),
    }
}

fn anchors(vendor: &Path) -> Anchors {
    emulator::vendor::publish(vendor, now()).unwrap();
    let list = fs::read_to_string(vendor.join("anchors.toml")).unwrap();
    Anchors::vendors().with_list(List::from_toml(&list).unwrap())
}

/// Without reference values: what the programs are is not the question here.
fn appraise(
    dir: &Path,
    kind: Kind,
    quote: &Quote,
    challenge: &[u8; 64],
    anchors: &Anchors,
) -> Appraisal {
    let files = fs::read_dir(dir.join("vendor/collateral")).unwrap().map(|file| {
        let path = file.unwrap().path();
        (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap())
    });
    let collateral = Collateral::from_files(files);
    let request = Request {
        kind,
        evidence: &quote.evidence,
        event_log: None,
        user_data: UserData::Exactly(challenge),
        anchors,
        reference: &ReferenceValues::default(),
        policy: &Policy { emulated_allowed: true, ..Policy::default() },
        now: verifier::Timestamp(now().as_second()),
    };
    verifier::appraise(&request, &Endorsements::prepare(kind, &collateral, anchors))
}

fn now() -> Timestamp {
    "2026-07-01T12:00:00Z".parse().unwrap()
}

const CHALLENGE: [u8; 64] = [7; 64];

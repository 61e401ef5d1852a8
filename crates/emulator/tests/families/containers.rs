//! Containers that an Agent measures into the runtime register of TDX and CCA: our Verifier
//! replays the log, and takes no container for running that the register does not hold.

use cose::{Agreement as _, Algorithm, Curve, Signer as _};
use emulator::Misbehaviour;
use emulator::family::arm::enrolment::enrolled;
use emulator::family::intel::Vendor;
use emulator::family::{Family, FamilyName, Software, Start};
use keys::{AgreementKey, SigningKey};
use rats::binding::{Binding, BoundQuote};
use rats::eat::{
    Claims, Confirmation, ImageId, Instance, InstanceType, ManifestId, Submods, TaEntry,
};
use rats::evidence::{AGENT_PROFILE, Evidence, Hardware};
use rats::nonce::Nonce;
use rats::runtime::{Event, RuntimeLog};
use verifier::anchor::{Device, Listed, ListedDevice, Vendor as Maker};
use verifier::teep::Terms;
use verifier::value::{Hex, Octets};
use verifier::{
    AgentAppraisal, Anchors, Endorsements, Policy, Reason, ReferenceValues, TeepEvidence,
    appraise_teep,
};

use crate::bench::{PROGRAM, SETTINGS, collateral, now};

const FAMILIES: [FamilyName; 4] =
    [FamilyName::Tdx, FamilyName::Tdx15, FamilyName::Cca, FamilyName::CcaLegacy];
const CHALLENGE: [u8; 64] = [9; 64];
const IMAGE: ImageId = ImageId { manifest: [2; 32], config: [3; 32] };
const REGISTER: u64 = 3;

#[test]
fn a_container_that_was_measured_before_it_started_is_accepted() {
    for family in FAMILIES {
        let mut bench = Bench::new(family);
        bench.measure(&Event::container(&[7; 32], &IMAGE));
        bench.measure(&Event::container(&MANIFEST, &IMAGE));

        let appraisal = bench.appraise_own(&[IMAGE]);

        assert!(appraisal.accepted(), "{}", appraisal.appraisal());
        let name = if bench.is_tdx() { "rtmr3" } else { "rem3" };
        let checks = appraisal.appraisal().checks();
        let source = checks.find("agent.runtime-log").unwrap().source.as_ref().unwrap();
        assert_eq!(source.as_str(), name);
    }
}

#[test]
fn a_container_that_no_register_holds_is_refused_unless_the_policy_takes_the_agent_s_word() {
    for family in FAMILIES {
        let mut bench = Bench::new(family);
        refused(&bench.appraise(&None, &[IMAGE]), "agent.container");

        bench.measure(&Event::container(&MANIFEST, &IMAGE));
        let log = bench.log();
        let config = ImageId { config: [4; 32], ..IMAGE };
        let manifest = ImageId { manifest: [4; 32], ..IMAGE };
        for other in [config, manifest] {
            refused(&bench.appraise(&log, &[other]), "agent.container");
        }
        refused(&bench.appraise(&log, &[IMAGE, config]), "agent.container");

        bench.policy.claimed_images_allowed = true;
        let appraisal = bench.appraise(&log, &[config]);
        assert!(appraisal.accepted(), "{}", appraisal.appraisal());
    }
}

#[test]
fn a_log_that_does_not_replay_to_the_register_is_refused() {
    for family in FAMILIES {
        let mut bench = Bench::new(family);
        // Somebody measured before this Agent, and its log does not have it.
        bench.machine.extend(REGISTER, &[5; 48]).unwrap();
        bench.measure(&Event::container(&MANIFEST, &IMAGE));
        refused(&bench.appraise_own(&[IMAGE]), "agent.runtime-log");

        let mut bench = Bench::new(family);
        bench.measure(&Event::container(&MANIFEST, &IMAGE));
        bench.log.push(Event::container(&[8; 32], &IMAGE)).unwrap();
        refused(&bench.appraise_own(&[IMAGE]), "agent.runtime-log");
    }
}

#[test]
fn what_is_no_log_and_a_log_without_a_register_are_refused() {
    let mut bench = Bench::new(FamilyName::Tdx);
    bench.measure(&Event::container(&MANIFEST, &IMAGE));
    let appraisal = bench.appraise(&Some(vec![0x80]), &[]);
    assert_eq!(appraisal.appraisal().reason(), Some(Reason::Malformed));

    let mut bench = Bench::new(FamilyName::Sgx);
    bench.log.push(Event::container(&MANIFEST, &IMAGE)).unwrap();
    let appraisal = bench.appraise_own(&[IMAGE]);
    assert_eq!(appraisal.appraisal().reason(), Some(Reason::Unsupported));
    // Where there is no register, the image is what the Agent claims.
    assert!(bench.appraise(&None, &[IMAGE]).accepted());
}

#[test]
fn a_renewal_cannot_name_a_container_that_began_after_the_quote() {
    let mut bench = Bench::new(FamilyName::Tdx);
    bench.measure(&Event::container(&MANIFEST, &IMAGE));
    let log = bench.log();
    let first = TeepEvidence::decode(&bench.evidence(&log, &[IMAGE])).unwrap();
    let later = ImageId { manifest: [6; 32], ..IMAGE };
    let renewed = |images: &[ImageId]| {
        let eat = rats::eat::sign(&bench.claims(images), &bench.key).unwrap();
        let renewal = Evidence { eat, hardware: None }.encode();
        let anchors = bench.anchors();
        let files = collateral(&bench.dir.path().join("vendor/collateral"));
        let endorsements = Endorsements::prepare(first.kind(), &files, &anchors);
        first.renew(&renewal, &CHALLENGE, &endorsements, &bench.terms(&anchors)).unwrap()
    };

    assert!(renewed(&[IMAGE]).accepted(), "{}", renewed(&[IMAGE]).appraisal());
    refused(&renewed(&[IMAGE, later]), "agent.container");
}

fn refused(appraisal: &AgentAppraisal, check: &str) {
    assert!(!appraisal.accepted());
    let (refused_by, failure) = appraisal.appraisal().refusal().unwrap();
    let text = appraisal.appraisal();
    assert_eq!((failure.reason, refused_by.name), (Reason::MeasurementMismatch, check), "{text}");
}

struct Bench {
    dir: tempfile::TempDir,
    family: FamilyName,
    machine: Box<dyn Family>,
    log: RuntimeLog,
    policy: Policy,
    reference: ReferenceValues,
    key: SigningKey,
    teep: SigningKey,
    service: AgreementKey,
}

impl Bench {
    fn new(family: FamilyName) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let start = Start {
            vendor_dir: &dir.path().join("vendor"),
            state_dir: &dir.path().join("device"),
            software: Software::Program(PROGRAM),
            settings: SETTINGS,
            misbehaviour: Misbehaviour::None,
            now: now(),
        };
        let machine = family.start(start).unwrap();
        let policy =
            Policy { emulated_allowed: true, reference_required: false, ..Policy::default() };
        let signing = || SigningKey::generate(Algorithm::Esp256).unwrap();
        Self {
            dir,
            family,
            machine,
            log: RuntimeLog::default(),
            policy,
            reference: ReferenceValues::default(),
            key: signing(),
            teep: signing(),
            service: AgreementKey::generate(Curve::P256).unwrap(),
        }
    }

    fn is_tdx(&self) -> bool {
        matches!(self.family, FamilyName::Tdx | FamilyName::Tdx15)
    }

    /// Does what an Agent does before it starts a container.
    fn measure(&mut self, event: &[u8]) {
        let digest = match self.machine.read(REGISTER).unwrap().len() {
            32 => cose::sha256(event).to_vec(),
            _ => cose::sha384(event).to_vec(),
        };
        self.machine.extend(REGISTER, &digest).unwrap();
        self.log.push(event.to_vec()).unwrap();
    }

    fn log(&self) -> Option<Vec<u8>> {
        self.log.encode()
    }

    fn appraise_own(&mut self, images: &[ImageId]) -> AgentAppraisal {
        let log = self.log();
        self.appraise(&log, images)
    }

    fn appraise(&mut self, log: &Option<Vec<u8>>, images: &[ImageId]) -> AgentAppraisal {
        let evidence = self.evidence(log, images);
        let anchors = self.anchors();
        let collateral = collateral(&self.dir.path().join("vendor/collateral"));
        appraise_teep(&evidence, &collateral, &self.terms(&anchors)).unwrap()
    }

    fn evidence(&mut self, log: &Option<Vec<u8>>, images: &[ImageId]) -> Vec<u8> {
        let claims = self.claims(images);
        let binding = Binding {
            challenge: Nonce::new(CHALLENGE).unwrap(),
            key: self.key.key().clone(),
            claims: Some(cose::sha256(&claims.encode())),
        };
        let quote = self.machine.quote(now(), &binding.report_data()).unwrap();
        let hardware = Some(Hardware {
            media_type: quote.media_type,
            bound: BoundQuote { quote: quote.evidence, binding: binding.encode() },
            endorsements: quote.aux,
            runtime_log: log.clone(),
        });
        Evidence { eat: rats::eat::sign(&claims, &self.key).unwrap(), hardware }.encode()
    }

    /// An EAT with a container of each of these images, all of one manifest.
    fn claims(&self, images: &[ImageId]) -> Claims {
        let mut submods = Submods::default();
        for (number, image) in images.iter().enumerate() {
            submods.insert_ta(TaEntry {
                service_key: self.service.key().clone(),
                receivers: Vec::new(),
                instance: Instance {
                    kind: InstanceType::Container,
                    isolation: vec!["seccomp".to_owned()],
                    submodule: Some("native".to_owned()),
                    image: Some(*image),
                },
                manifest: ManifestId {
                    component_id: vec![vec![number as u8], b"ta.suit".to_vec()],
                    digest: MANIFEST,
                    sequence_number: 1,
                },
                swname: None,
                manifests: Vec::new(),
            });
        }
        Claims {
            eat_nonce: Some(Nonce::new(CHALLENGE).unwrap()),
            eat_profile: Some(AGENT_PROFILE.to_owned()),
            cnf: Some(Confirmation::Key(self.teep.key().clone())),
            submods,
            ..Claims::default()
        }
    }

    fn anchors(&self) -> Anchors {
        let vendor = self.dir.path().join("vendor");
        if !matches!(self.family, FamilyName::Cca | FamilyName::CcaLegacy) {
            let spki = Vendor::open(&vendor, now()).unwrap().anchor();
            let (name, spki_sha256) = ("bench".to_owned(), Hex(spki));
            return Anchors::vendors().with_emulator(Listed {
                vendor: Maker::Intel,
                name,
                spki_sha256,
            });
        }
        enrolled(&vendor).unwrap().into_iter().fold(Anchors::vendors(), |anchors, device| {
            anchors.with_device(ListedDevice {
                vendor: Maker::Arm,
                name: device.family,
                spki_sha256: Hex(device.spki_sha256),
                device: Device::Instance(Octets::new(&device.instance)),
                emulated: true,
            })
        })
    }

    fn terms<'a>(&'a self, anchors: &'a Anchors) -> Terms<'a> {
        Terms {
            challenge: &CHALLENGE,
            event_log: None,
            anchors,
            reference: &self.reference,
            policy: &self.policy,
            now: verifier::Timestamp(now().as_second()),
        }
    }
}

const MANIFEST: [u8; 32] = [1; 32];

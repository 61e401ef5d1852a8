//! A guest of SEV-ES from its owner's first word to evidence that others appraise.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;

use cose::{Agreement as _, Algorithm, Curve, Signer as _};
use device::FailureCode;
use device::frame;
use device::launch::{Reply, Request};
use emulator::Misbehaviour;
use emulator::family::sev::{Machine, Platform, launch_digest};
use emulator::family::{Family as _, FamilyName, Software};
use emulator::vm::{Architecture, Image};
use keys::{AgreementKey, SigningKey};
use verifier::anchor::{Listed, Vendor as Maker};
use verifier::crypto::sha256;
use verifier::evidence::sev::Reference;
use verifier::evidence::sev::chain::VerifiedChain;
use verifier::evidence::sev::launch::{GuestPolicy, Launch};
use verifier::evidence::sev::session::Session;
use verifier::evidence::sev::stated::{CERTIFICATES, Statement};
use verifier::value::Hex;
use verifier::{
    Anchors, Appraisal, Collateral, Endorsements, Kind, Policy, Reason, ReferenceValues,
    Request as Question, UserData, appraise,
};

use crate::bench::{CHALLENGE, SETTINGS, emulation_allowed, now, refused_by};
use crate::sev::{POLICY, Random, lend_keys};

//= EV-SEV-1: the owner attests at launch, and injects the secret before the guest runs
//= EV-SEV-7: later user data is bound by what was injected
#[test]
fn whoever_believes_the_owner_appraises_the_guest_by_the_statement_in_its_secret() {
    let bench = Bench::new();
    let (mut machine, _) = bench.launched(Misbehaviour::None);

    let evidence = machine.quote(now(), &CHALLENGE).unwrap().evidence;

    let appraisal = bench.appraise(&evidence, &bench.policy());
    assert!(appraisal.accepted() && appraisal.bound(), "{appraisal}");
    assert_eq!(appraisal.emulated(), Some(true));
    assert_eq!(appraisal.claims().unwrap().generation, Some("SEV-ES"));
    let nobody = Policy { sev: Default::default(), ..bench.policy() };
    let appraisal = bench.appraise(&evidence, &nobody);
    refused_by(&appraisal, Reason::ConfigurationNotAllowed, "sev.launch.owner");
    let strict = Policy { emulated_allowed: false, ..bench.policy() };
    let appraisal = bench.appraise(&evidence, &strict);
    refused_by(&appraisal, Reason::EmulatedNotAllowed, "anchor.standing");
}

#[test]
fn evidence_with_an_octet_changed_is_refused() {
    let bench = Bench::new();
    let (mut machine, _) = bench.launched(Misbehaviour::None);
    let evidence = machine.quote(now(), &CHALLENGE).unwrap().evidence;
    // More of statement and proof than of the certificates, which cost the most.
    let head = 1024.min(evidence.len());
    for at in (0..head).step_by(3).chain((head..evidence.len()).step_by(211)) {
        let mut changed = evidence.clone();
        changed[at] ^= 1;

        let appraisal = bench.appraise(&changed, &bench.policy());

        assert!(!(appraisal.accepted() && appraisal.bound()), "octet {at}: {appraisal}");
    }
}

#[test]
fn a_guest_answers_for_its_own_launch_and_platform_alone() {
    let (bench, other) = (Bench::new(), Bench::new());
    let (mut machine, _) = bench.launched(Misbehaviour::None);
    let (mut foreign, _) = other.launched(Misbehaviour::None);
    let evidence = machine.quote(now(), &CHALLENGE).unwrap().evidence;
    let theirs = foreign.quote(now(), &CHALLENGE).unwrap().evidence;
    let mut policy = bench.policy();
    policy.sev.launched_by.push(Hex(other.owner.key().thumbprint().0));

    // The statement of one platform beside the certificates of another, of the same vendor.
    let spliced = splice(&evidence, &theirs);
    let appraisal = bench.appraise(&spliced, &policy);
    refused_by(&appraisal, Reason::MissingEndorsement, "sev.session.platform");
    let old = machine.quote(now(), &[9; 64]).unwrap().evidence;
    let appraisal = bench.appraise(&old, &bench.policy());
    refused_by(&appraisal, Reason::BindingMismatch, "binding.user-data");
}

#[test]
fn a_guest_that_misbehaves_later_is_refused_for_its_proof() {
    for misbehaviour in [Misbehaviour::Replay, Misbehaviour::WrongReportData] {
        let bench = Bench::new();
        // Its launch was accepted: whoever opened the session did not look.
        let (mut machine, _) = bench.launched(misbehaviour);

        let evidence = machine.quote(now(), &CHALLENGE).unwrap().evidence;

        let appraisal = bench.appraise(&evidence, &bench.policy());
        refused_by(&appraisal, Reason::BindingMismatch, "binding.user-data");
    }
}

#[test]
fn an_owner_who_leaves_or_is_refused_makes_room_for_the_next() {
    let bench = Bench::new();
    let (_, refusals) = bench.launched(Misbehaviour::None);

    let codes = [FailureCode::Misbehaved, FailureCode::Malformed, FailureCode::Untrusted];
    assert_eq!(refusals, codes);
}

#[test]
fn what_a_launch_measures_is_the_image_and_the_settings() {
    let image = image();
    let measured = FamilyName::Sev.measure(Software::Machine(&image), SETTINGS).unwrap();

    let bound = image.with_settings(SETTINGS);
    let digest = hex::encode(launch_digest(&bound).unwrap());
    assert_eq!(measured["sev"][0]["launch_digest"], digest.as_str());
    let others = FamilyName::Sev.measure(Software::Machine(&image), b"other settings").unwrap();
    assert_ne!(others, measured);
    let mut initrd = image.clone();
    initrd.initrd[0] ^= 1;
    assert_ne!(FamilyName::Sev.measure(Software::Machine(&initrd), SETTINGS).unwrap(), measured);
    let program = FamilyName::Sev.measure(Software::Program(b"program"), SETTINGS);
    assert!(program.unwrap_err().to_string().contains("virtual machines alone"));
}

/// A platform's vendor, and the owner of its guests.
struct Bench {
    dir: tempfile::TempDir,
    owner: SigningKey,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        lend_keys(&dir.path().join("vendor"), ["ark", "ask"]);
        Self { dir, owner: SigningKey::generate(Algorithm::Esp256).unwrap() }
    }

    fn policy(&self) -> Policy {
        let mut policy = emulation_allowed();
        policy.sev.launched_by = vec![Hex(self.owner.key().thumbprint().0)];
        policy
    }

    /// A guest of this owner, after several who came to nothing; how those were refused.
    fn launched(&self, misbehaviour: Misbehaviour) -> (Machine, Vec<FailureCode>) {
        let (vendor, device) = (self.dir.path().join("vendor"), self.dir.path().join("device"));
        let platform = Platform::start(&vendor, &device, misbehaviour).unwrap();
        let anchors = anchors(platform.anchor());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let image = image().with_settings(SETTINGS);
        let waiting = thread::spawn(move || Machine::await_owner(platform, &image, &listener));

        let refusals = come_to_nothing(address);
        launch(address, &self.owner, &anchors);

        (waiting.join().unwrap().unwrap(), refusals)
    }

    fn appraise(&self, evidence: &[u8], policy: &Policy) -> Appraisal {
        let anchors = self.anchors();
        let bound = image().with_settings(SETTINGS);
        let launch_digest = Hex(launch_digest(&bound).unwrap());
        let sev = vec![Reference { name: "guest".to_owned(), launch_digest }];
        let question = Question {
            kind: Kind::Sev,
            evidence,
            event_log: None,
            user_data: UserData::Exactly(&CHALLENGE),
            anchors: &anchors,
            reference: &ReferenceValues { sev, ..ReferenceValues::default() },
            policy,
            now: verifier::Timestamp(now().as_second()),
        };
        appraise(&question, &Endorsements::prepare(Kind::Sev, &Collateral::default(), &anchors))
    }

    fn anchors(&self) -> Anchors {
        let state = tempfile::tempdir().unwrap();
        let vendor = self.dir.path().join("vendor");
        anchors(anchor(&vendor, state.path()))
    }
}

fn anchor(vendor: &Path, state: &Path) -> [u8; 32] {
    Platform::start(vendor, state, Misbehaviour::None).unwrap().anchor()
}

fn anchors(spki_sha256: [u8; 32]) -> Anchors {
    let name = "bench".to_owned();
    Anchors::vendors().with_emulator(Listed {
        vendor: Maker::Amd,
        name,
        spki_sha256: Hex(spki_sha256),
    })
}

/// A secret before its launch, bytes that are no message, a session for another platform; and one
/// who leaves after the measurement.
fn come_to_nothing(address: SocketAddr) -> Vec<FailureCode> {
    let ask = |request: &Request| {
        let mut host = TcpStream::connect(address).unwrap();
        frame::ask::<_, Reply>(&mut host, request).unwrap()
    };
    let code = |reply| match reply {
        Reply::Failed(failure) => failure.code,
        other => panic!("{other:?}"),
    };
    let secret = Request::Secret { header: Box::new([0; 52]), ciphertext: vec![0; 16] };
    let mut codes = vec![code(ask(&secret))];
    let mut host = TcpStream::connect(address).unwrap();
    frame::write_frame(&mut host, b"\xff").unwrap();
    codes.push(code(frame::receive(&mut host).unwrap().unwrap()));
    drop(host);
    let ephemeral = AgreementKey::generate(Curve::P384).unwrap();
    let Reply::Platform(certificates) = ask(&Request::Describe) else { panic!("no platform") };
    let mut certificate = certificates[5].clone();
    certificate[20..68].copy_from_slice(&reversed(ephemeral.key().x()));
    certificate[92..140].copy_from_slice(&reversed(ephemeral.key().y().unwrap()));
    let session = Box::new([5; 128]);
    codes.push(code(ask(&Request::Start { policy: POLICY.0, certificate, session })));
    codes
}

/// What the owner does, but for looking at what was measured.
fn launch(address: SocketAddr, owner: &SigningKey, anchors: &Anchors) {
    let mut host = TcpStream::connect(address).unwrap();
    let platform = frame::ask(&mut host, &Request::Describe).unwrap();
    let Reply::Platform(certificates) = platform else { panic!("no platform") };
    let certificates = Collateral::from_files(CERTIFICATES.into_iter().zip(*certificates));
    let chain = VerifiedChain::verify(&certificates, anchors).unwrap();
    let ephemeral = AgreementKey::generate(Curve::P384).unwrap();
    let (session, start) = Session::open(&chain, POLICY, &ephemeral, &mut Random).unwrap();
    let start = Request::Start {
        policy: POLICY.0,
        certificate: start.certificate,
        session: Box::new(start.session),
    };
    let Reply::Measured { firmware, policy, digest, measure } =
        frame::ask(&mut host, &start).unwrap()
    else {
        panic!("not measured");
    };
    let (mac, mut nonce) = measure.split_at(32);
    // What a platform that replays shows is another nonce than it measured with.
    let mut honest = [0; 16];
    honest.copy_from_slice(nonce);
    let mut launch = Launch {
        firmware,
        policy: GuestPolicy(policy),
        digest,
        mac: mac.try_into().unwrap(),
        nonce: honest,
        proof: None,
    };
    let accepted = loop {
        let question = Question {
            kind: Kind::Sev,
            evidence: &launch.encode(),
            event_log: None,
            user_data: UserData::Unchecked,
            anchors,
            reference: &ReferenceValues {
                sev: vec![Reference { name: "guest".into(), launch_digest: Hex(digest) }],
                ..ReferenceValues::default()
            },
            policy: &emulation_allowed(),
            now: verifier::Timestamp(now().as_second()),
        };
        let endorsements = Endorsements::for_launch(session.keys(), &certificates, anchors);
        match appraise(&question, &endorsements).accept() {
            Ok(accepted) => break accepted,
            Err(refused) => {
                assert!(!nonce.is_empty(), "{refused}");
                nonce = &[];
                launch.nonce[0] ^= 0xff;
            }
        }
    };
    let proof = AgreementKey::generate(Curve::P384).unwrap();
    let statement = Statement {
        owner: owner.key().clone(),
        platform: sha256(chain.pdh.public()),
        launch: launch.clone(),
        proof_key: proof.key().clone(),
        at: 0,
    };
    let (statement, scalar) = (statement.sign(owner).unwrap(), proof.to_scalar().unwrap());
    let stated = Some((statement.as_slice(), &scalar));
    let released = session.release_stated(&accepted, &launch, b"token", stated, &mut Random);
    let (packet, _) = released.unwrap();
    let (header, ciphertext) = (Box::new(packet.header), packet.ciphertext);
    let secret = Request::Secret { header, ciphertext };
    assert_eq!(frame::ask::<_, Reply>(&mut host, &secret), Ok(Reply::Started));
}

/// Statement and proof of one, certificates of another.
fn splice(of: &[u8], certificates: &[u8]) -> Vec<u8> {
    let at = |evidence: &[u8]| {
        evidence.windows(5).position(|window| window == [0x86, 0x59, 0x06, 0x40, 0x01]).unwrap()
    };
    [&of[..at(of)], &certificates[at(certificates)..]].concat()
}

fn reversed(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().rev().copied().collect()
}

fn image() -> Image {
    Image {
        architecture: Architecture::X8664,
        firmware: Some(vec![1; 8192]),
        kernel: vec![2; 5000],
        initrd: vec![3; 6000],
        command_line: "quiet".to_owned(),
    }
}

//! AMD SEV-ES, by our Verifier as the owner of the guest.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use cose::{Agreement, Curve, Entropy, Key, KeyUnusable, Secret, hmac_sha256};
use emulator::Misbehaviour;
use emulator::family::sev::{FIRMWARE, Guest, LaunchStart, Measured, Platform, Refused};
use verifier::anchor::{Listed, Vendor as Maker};
use verifier::crypto::sha256;
use verifier::evidence::sev::Reference;
use verifier::evidence::sev::chain::VerifiedChain;
use verifier::evidence::sev::launch::{GuestPolicy, Launch};
use verifier::evidence::sev::session::{LaunchKeys, SECRET_ID, Session};
use verifier::value::Hex;
use verifier::{
    Anchors, Appraisal, Collateral, Endorsements, Kind, Policy, Reason, ReferenceValues, Request,
    UserData,
};

use crate::bench::{CHALLENGE, PROGRAM, collateral, emulation_allowed, now, refused_by};

//= EV-EMU-2 (M): the same code as for real hardware accepts, only the anchor differs
//= EV-SEV-7: the guest proves by the injected secret that it is the one that was launched
#[test]
fn a_launched_guest_gets_one_secret_and_proves_it() {
    let bench = Bench::new(Misbehaviour::None);
    let (session, mut guest) = bench.launch();
    let launch = as_evidence(&guest.measure().unwrap());

    let appraisal = bench.appraise(&launch, session.keys(), UserData::Unchecked);
    assert!(appraisal.accepted(), "{appraisal}");
    assert_eq!(appraisal.emulated(), Some(true));
    assert_eq!(appraisal.claims().unwrap().generation, Some("SEV-ES"));
    let accepted = appraisal.accept().unwrap();
    let (packet, keys) = session.release(&accepted, &launch, b"token", &mut Random).unwrap();
    let memory = guest.inject(&packet.header, &packet.ciphertext).unwrap();

    let key = injected_key(&memory);
    let answer = Launch { proof: Some(hmac_sha256(&key, &CHALLENGE)), ..launch };
    let appraisal = bench.appraise(&answer, keys, UserData::Exactly(&CHALLENGE));
    assert!(appraisal.accepted() && appraisal.bound(), "{appraisal}");
    let again = guest.inject(&packet.header, &packet.ciphertext);
    assert_eq!(again, Err(Refused::InvalidState), "a secret is injected once");
}

//= EV-EMU-3 (M): each negative variant, by its own check
#[test]
fn every_misbehaviour_of_a_platform_is_refused_by_the_check_meant_for_it() {
    for (misbehaviour, reason, check) in [
        (Misbehaviour::Debug, Reason::Debug, "instance.debug"),
        (Misbehaviour::OtherKey, Reason::BadSignature, "sev.launch.measure"),
        (Misbehaviour::Replay, Reason::BadSignature, "sev.launch.measure"),
        (Misbehaviour::TcbOutOfDate, Reason::TcbStatusNotAllowed, "sev.firmware"),
        (Misbehaviour::WrongReportData, Reason::BadSignature, "sev.launch.measure"),
        (Misbehaviour::WrongMeasurement, Reason::MeasurementMismatch, "launch_digest"),
    ] {
        let bench = Bench::new(misbehaviour);
        let (session, mut guest) = bench.launch();
        let launch = as_evidence(&guest.measure().unwrap());

        let appraisal = bench.appraise(&launch, session.keys(), UserData::Unchecked);

        refused_by(&appraisal, reason, check);
    }
}

#[test]
fn a_platform_of_another_vendor_is_refused_for_its_root() {
    let bench = Bench::new(Misbehaviour::None);
    let foreign = Bench::new(Misbehaviour::ForeignRoot);

    let refused = VerifiedChain::verify(&foreign.collateral(), &bench.anchors()).unwrap_err();

    assert_eq!(refused.first_failure().unwrap().1.reason, Reason::UntrustedRoot);
    let state = tempfile::tempdir().unwrap();
    let revoked = Platform::start(state.path(), state.path(), Misbehaviour::Revoked);
    assert!(revoked.err().unwrap().to_string().contains("no revocation list"));
}

//= EV-EMU-1 (M): refused by every policy that does not name emulation
#[test]
fn an_emulated_platform_is_refused_unless_it_is_allowed() {
    let bench = Bench::new(Misbehaviour::None);
    let (session, mut guest) = bench.launch();
    let launch = as_evidence(&guest.measure().unwrap());

    let strict = Policy { emulated_allowed: false, ..bench.policy() };
    let appraisal = bench.judge(&launch, session.keys(), UserData::Unchecked, &strict);

    assert_eq!(appraisal.reason(), Some(Reason::EmulatedNotAllowed));
}

//= EV-SEV-6: MACs over the wrapped keys and the policy
#[test]
fn a_session_for_another_platform_or_policy_is_refused_by_the_firmware() {
    let bench = Bench::new(Misbehaviour::None);
    let chain = VerifiedChain::verify(&bench.collateral(), &bench.anchors()).unwrap();
    let (_, start) = Session::open(&chain, POLICY, &Owner::new(), &mut Random).unwrap();
    let ask = |platform: &Platform, policy: u32, session: &[u8; 128], certificate: &[u8]| {
        let start = LaunchStart { policy, certificate, session };
        platform.launch_start(&start).map(drop)
    };
    let (policy, session, certificate) = (POLICY.0, &start.session, &start.certificate);
    assert_eq!(ask(&bench.platform, policy, session, certificate), Ok(()));

    assert_eq!(ask(&bench.platform, policy ^ 1, session, certificate), BAD);
    let mut changed = *session;
    changed[20] ^= 1;
    assert_eq!(ask(&bench.platform, policy, &changed, certificate), BAD);
    let other = Bench::new(Misbehaviour::None);
    assert_eq!(ask(&other.platform, policy, session, certificate), BAD);
    let short = &certificate[..100];
    let refused = ask(&bench.platform, policy, session, short);
    assert_eq!(refused, Err(Refused::InvalidCertificate));
}

#[test]
fn nothing_is_added_after_the_measurement_and_nothing_injected_before_it() {
    let bench = Bench::new(Misbehaviour::None);
    let (_, mut guest) = bench.launch();

    assert_eq!(guest.inject(&[0; 52], &[0; 16]), Err(Refused::InvalidState));
    guest.measure().unwrap();
    assert_eq!(guest.update(b"more"), Err(Refused::InvalidState));
    assert_eq!(guest.inject(&[0; 52], &[0; 16]), Err(Refused::BadMeasurement));
}

struct Bench {
    _dir: tempfile::TempDir,
    vendor: PathBuf,
    platform: Platform,
}

impl Bench {
    fn new(misbehaviour: Misbehaviour) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (vendor, device) = (dir.path().join("vendor"), dir.path().join("device"));
        lend_keys(&vendor, ["ark", "ask"]);
        lend_keys(&device.join("sev/foreign-vendor"), ["ask", "ark"]);
        let platform = Platform::start(&vendor, &device, misbehaviour).unwrap();
        Self { _dir: dir, vendor, platform }
    }

    fn collateral(&self) -> Collateral {
        collateral(&self.platform.collateral_dir())
    }

    /// The vendor's own root, whoever certified the platform.
    fn anchors(&self) -> Anchors {
        let device = tempfile::tempdir().unwrap();
        let honest = Platform::start(&self.vendor, device.path(), Misbehaviour::None).unwrap();
        Anchors::vendors().with_emulator(Listed {
            vendor: Maker::Amd,
            name: "bench".to_owned(),
            spki_sha256: Hex(honest.anchor()),
        })
    }

    fn policy(&self) -> Policy {
        let mut policy = emulation_allowed();
        policy.sev.firmware_min = FIRMWARE;
        policy
    }

    fn launch(&self) -> (Session, Guest) {
        let chain = VerifiedChain::verify(&self.collateral(), &self.anchors()).unwrap();
        let opened = Session::open(&chain, POLICY, &Owner::new(), &mut Random);
        let (session, start) = opened.unwrap();
        let start = LaunchStart {
            policy: start.policy.0,
            certificate: &start.certificate,
            session: &start.session,
        };
        let mut guest = self.platform.launch_start(&start).unwrap();
        guest.update(PROGRAM).unwrap();
        (session, guest)
    }

    fn appraise(&self, launch: &Launch, keys: LaunchKeys, user_data: UserData<'_>) -> Appraisal {
        self.judge(launch, keys, user_data, &self.policy())
    }

    fn judge(
        &self,
        launch: &Launch,
        keys: LaunchKeys,
        user_data: UserData<'_>,
        policy: &Policy,
    ) -> Appraisal {
        let anchors = self.anchors();
        let endorsements = Endorsements::for_launch(keys, &self.collateral(), &anchors);
        let launch_digest = Hex(sha256(PROGRAM));
        let sev = vec![Reference { name: "program".to_owned(), launch_digest }];
        let request = Request {
            kind: Kind::Sev,
            evidence: &launch.encode(),
            event_log: None,
            user_data,
            anchors: &anchors,
            reference: &ReferenceValues { sev, ..ReferenceValues::default() },
            policy,
            now: verifier::Timestamp(now().as_second()),
        };
        verifier::appraise(&request, &endorsements)
    }
}

fn as_evidence(measured: &Measured) -> Launch {
    let Measured { firmware, policy, digest, mac, nonce } = *measured;
    Launch { firmware, policy: GuestPolicy(policy), digest, mac, nonce, proof: None }
}

/// The key at the end of the entry that is for the Agent.
fn injected_key(memory: &[u8]) -> Vec<u8> {
    let at = memory.windows(16).position(|window| window == SECRET_ID).unwrap();
    let length = u32::from_le_bytes(memory[at + 16..at + 20].try_into().unwrap()) as usize;
    memory[at + length - 32..at + length].to_vec()
}

/// Copies the keys of one vendor, which are slow to make.
pub(crate) fn lend_keys(vendor: &std::path::Path, names: [&str; 2]) {
    static KEYS: OnceLock<tempfile::TempDir> = OnceLock::new();
    let keys = KEYS.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let device = dir.path().join("device");
        Platform::start(dir.path(), &device, Misbehaviour::None).unwrap();
        dir
    });
    fs::create_dir_all(vendor.join("keys")).unwrap();
    for (own, lent) in ["ark", "ask"].into_iter().zip(names) {
        let from = keys.path().join(format!("keys/sev-{lent}.pk8"));
        fs::copy(from, vendor.join(format!("keys/sev-{own}.pk8"))).unwrap();
    }
}

/// An owner's ephemeral key.
struct Owner(aws_lc_rs::agreement::PrivateKey, Key);

impl Owner {
    fn new() -> Self {
        let private =
            aws_lc_rs::agreement::PrivateKey::generate(&aws_lc_rs::agreement::ECDH_P384).unwrap();
        let public = private.compute_public_key().unwrap();
        let key = Key::from_sec1(Curve::P384, public.as_ref()).unwrap();
        Self(private, key)
    }
}

impl Agreement for Owner {
    fn key(&self) -> &Key {
        &self.1
    }

    fn agree(&self, peer: &Key) -> Result<Secret, KeyUnusable> {
        use aws_lc_rs::agreement::{ECDH_P384, UnparsedPublicKey, agree};
        let peer = UnparsedPublicKey::new(&ECDH_P384, peer.public());
        agree(&self.0, peer, KeyUnusable, |shared| Ok(Secret::new(shared.to_vec())))
    }
}

pub(crate) struct Random;

impl Entropy for Random {
    fn fill(&mut self, out: &mut [u8]) {
        aws_lc_rs::rand::fill(out).unwrap();
    }
}

/// NODBG, NOKS, ES and NOSEND, API 1.55.
pub(crate) const POLICY: GuestPolicy = GuestPolicy(0x3701_000f);
const BAD: Result<(), Refused> = Err(Refused::BadMeasurement);

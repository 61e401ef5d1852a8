//! What the Network User's own appraisal accepts, and everything that it refuses.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::fs;

use channel::{Suite, Suites, release::Receiver};
use cose::{Algorithm, Key, Signer as _};
use emulator::{
    Misbehaviour,
    family::{
        Family as _,
        sgx::{MEDIA_TYPE, Machine, Measurement, Vendor},
    },
};
use keys::{SigningKey, SystemEntropy};
use rats::{
    Timestamp,
    binding::{Binding, BoundQuote},
    cmw::{Cmw, Collection, Indicator, Record},
    ear::{self, Ear, Tier, TrustClaim, TrustValue, Vector, VerifierId},
    eat::{
        Claims, Confirmation, Instance, InstanceType, ManifestId, SessionKeys, Submods, TaEntry,
    },
    evidence::{AGENT_PROFILE, COLLATERAL, Evidence, Hardware},
    nonce::{self, Nonce},
};
use sdk::{
    appraisal::{Application, Examined, Expected, examine},
    trust::{Strength, Trust},
};
use verifier::Collateral;

#[test]
fn fresh_evidence_of_the_own_ta_on_a_pinned_emulator_is_accepted() {
    let bench = Bench::new();

    let examined = bench.examine(&bench.result(&Lie::default()));

    let accepted = examined.accepted().unwrap();
    assert_eq!(accepted.service_key(), Some(bench.service.public()));
    assert!(accepted.emulated());
    assert!(examined.checks.ok, "{}", examined.checks);
}

#[test]
fn an_emulator_that_the_user_did_not_pin_is_refused() {
    let bench = Bench::new();
    let result = bench.result(&Lie::default());
    let mut trust = bench.trust();
    trust.anchors = verifier::Anchors::vendors();

    assert_refused(&bench.examine_with(&result, &trust), "dcap.pck.root");
}

#[test]
fn without_reference_values_everything_is_refused() {
    let bench = Bench::new();
    let result = bench.result(&Lie::default());
    let mut trust = bench.trust();
    trust.reference = verifier::ReferenceValues::default();

    let examined = bench.examine_with(&result, &trust);

    assert!(examined.accepted().is_err() && !examined.checks.ok, "{}", examined.checks);
}

#[test]
fn evidence_for_another_nonce_is_refused() {
    let bench = Bench::new();
    let other = Lie { user_nonce: Some([9; 32]), ..Lie::default() };

    assert_refused(&bench.examine(&bench.result(&other)), "agent.challenge");
}

#[test]
fn a_result_for_an_old_nonce_is_refused() {
    let bench = Bench::new();
    let result = bench.result(&Lie::default());
    let late = Timestamp(bench.now().0 + 601);

    let examined = examine(&result, &bench.expected(), &bench.trust(), late);

    assert_refused(&examined, "nonce.age");
}

#[test]
fn agent_only_evidence_releases_nothing() {
    let bench = Bench::new();

    let examined = bench.examine(&bench.result(&Lie { no_ta: true, ..Lie::default() }));

    assert_refused(&examined, "ta.entry");
}

#[test]
fn another_version_of_the_ta_is_refused() {
    let bench = Bench::new();
    let lie = Lie { manifest_digest: Some([9; 32]), ..Lie::default() };

    assert_refused(&bench.examine(&bench.result(&lie)), "ta.manifest-digest");
}

#[test]
fn another_instance_type_is_refused() {
    let bench = Bench::new();
    let lie = Lie { instance: Some(InstanceType::Container), ..Lie::default() };

    assert_refused(&bench.examine(&bench.result(&lie)), "ta.instance");
}

#[test]
fn a_ta_without_a_receiver_of_this_exchange_is_refused() {
    let bench = Bench::new();

    let examined = bench.examine(&bench.result(&Lie { no_receiver: true, ..Lie::default() }));

    assert_refused(&examined, "ta.receiver");
}

#[test]
fn a_platform_that_is_out_of_date_is_refused_whatever_the_moc_says() {
    let bench = Bench::new();
    let lie = Lie { misbehaviour: Misbehaviour::TcbOutOfDate, ..Lie::default() };

    assert_refused(&bench.examine(&bench.result(&lie)), "dcap.tcb.status");
}

#[test]
fn a_result_of_another_verifier_is_refused() {
    let bench = Bench::new();
    let result = bench.result(&Lie::default());
    let mut trust = bench.trust();
    trust.verifier = Some(SigningKey::generate(Algorithm::Esp256).unwrap().key().clone());

    assert_refused(&bench.examine_with(&result, &trust), "result.signature");
}

#[test]
fn a_verdict_of_the_moc_that_the_user_does_not_share_stops_the_flow() {
    let bench = Bench::new();
    let lie = Lie { contraindicated: true, ..Lie::default() };

    let examined = bench.examine(&bench.result(&lie));

    assert_refused(&examined, "result.ear");
    assert!(examined.hardware.is_some_and(|hardware| hardware.accepted()));
}

#[test]
fn a_result_that_is_bound_to_another_key_is_refused() {
    let bench = Bench::new();

    let examined = bench.examine(&bench.result(&Lie { other_cnf: true, ..Lie::default() }));

    assert_refused(&examined, "result.ear");
}

#[test]
fn without_a_pinned_verifier_the_evidence_alone_decides() {
    let bench = Bench::new();
    let mut trust = bench.trust();
    trust.verifier = None;
    trust.collateral = None;
    let contradicted = bench.result(&Lie { contraindicated: true, ..Lie::default() });

    assert!(bench.examine_with(&contradicted, &trust).accepted().is_ok());
}

/// How much a Network User asks for decides what an operator can get away with.
#[test]
fn each_strength_refuses_what_the_weaker_one_takes() {
    let bench = Bench::new();
    let verdict = |lie: Lie, strength| {
        let trust = Trust { strength, ..bench.trust() };
        let examined = bench.examine_with(&bench.result(&lie), &trust);
        examined.accepted().map(|_| ()).map_err(|refusal| refusal.check)
    };
    let honest = Lie::default;
    let outdated = || Lie { misbehaviour: Misbehaviour::TcbOutOfDate, ..Lie::default() };
    let from_before = || Lie { user_nonce: Some([9; 32]), ..Lie::default() };
    let refused = |check: &str| Err(check.to_owned());

    for (strength, of_outdated, of_before) in [
        (Strength::Result, Ok(()), Ok(())),
        (Strength::Evidence, refused("dcap.tcb.status"), Ok(())),
        (Strength::Own, refused("dcap.tcb.status"), refused("agent.challenge")),
    ] {
        assert_eq!(verdict(honest(), strength), Ok(()), "{strength:?}");
        assert_eq!(verdict(outdated(), strength), of_outdated, "{strength:?}");
        assert_eq!(verdict(from_before(), strength), of_before, "{strength:?}");
    }
    assert_eq!(Trust::strict().strength, Strength::Own, "the strongest unless the user says less");
}

/// Which suites there are is the Agent's word, under the hardware's signature; which of them data
/// is sealed with is the user's.
#[test]
fn the_user_s_policy_chooses_the_suite_and_refuses_what_it_does_not_name() {
    let bench = Bench::new();
    let suite = |names: &[&str], lie: Lie| {
        let channel = Suites::parse(names.iter().copied()).unwrap();
        let trust = Trust { channel, ..bench.trust() };
        let examined = bench.examine_with(&bench.result(&lie), &trust);
        let found = examined.accepted().map(|accepted| accepted.suite().unwrap());
        found.map_err(|refusal| (refusal.check, refusal.expected, refusal.seen))
    };
    let old = || Lie { only_p_256: true, ..Lie::default() };

    assert_eq!(suite(&["x25519", "x-wing"], Lie::default()), Ok(Suite::X25519));
    assert_eq!(suite(&["x-wing", "x25519"], Lie::default()), Ok(Suite::XWing));
    assert_eq!(suite(&["x-wing", "p-256"], old()), Ok(Suite::P256));
    let refused = ("channel.suite", "one of x-wing, x25519", "p-256");
    let refused = (refused.0.to_owned(), refused.1.to_owned(), refused.2.to_owned());
    assert_eq!(suite(&["x-wing", "x25519"], old()), Err(refused));
    assert_eq!(bench.trust().channel, Suites::default(), "the hybrid first");
}

#[test]
fn no_strength_takes_a_refusal_of_the_pinned_verifier_or_another_ta() {
    let bench = Bench::new();
    for strength in [Strength::Result, Strength::Evidence, Strength::Own] {
        let trust = Trust { strength, ..bench.trust() };
        for (lie, check) in [
            (Lie { contraindicated: true, ..Lie::default() }, "result.ear"),
            (Lie { other_cnf: true, ..Lie::default() }, "result.ear"),
            (Lie { no_ta: true, ..Lie::default() }, "ta.entry"),
            (Lie { manifest_digest: Some([9; 32]), ..Lie::default() }, "ta.manifest-digest"),
            (Lie { no_receiver: true, ..Lie::default() }, "ta.receiver"),
        ] {
            assert_refused(&bench.examine_with(&bench.result(&lie), &trust), check);
        }
        let stranger = SigningKey::generate(Algorithm::Esp256).unwrap();
        let trust = Trust { verifier: Some(stranger.key().clone()), ..trust };
        let result = bench.result(&Lie::default());
        assert_refused(&bench.examine_with(&result, &trust), "result.signature");
    }
}

#[test]
fn what_rests_on_a_verifier_s_word_needs_a_pinned_one() {
    let bench = Bench::new();
    let result = bench.result(&Lie::default());
    for strength in [Strength::Result, Strength::Evidence] {
        let trust = Trust { strength, verifier: None, ..bench.trust() };

        assert_refused(&bench.examine_with(&result, &trust), "result.verifier");
    }
}

#[test]
fn a_verdict_that_the_other_side_does_not_share_is_visible_on_both_sides() {
    let bench = Bench::new();
    let seen = |lie: &Lie| {
        let examined = bench.examine(&bench.result(lie));
        (examined.told, examined.differs(), examined.accepted().is_ok())
    };
    let outdated = Lie { misbehaviour: Misbehaviour::TcbOutOfDate, ..Lie::default() };
    let contradicted = Lie { contraindicated: true, ..Lie::default() };

    assert_eq!(seen(&Lie::default()), (Some(Tier::Affirming), false, true));
    assert_eq!(seen(&outdated), (Some(Tier::Affirming), true, false));
    assert_eq!(seen(&contradicted), (Some(Tier::Contraindicated), true, false));
}

#[test]
fn a_result_that_misses_a_part_is_refused() {
    let bench = Bench::new();
    for part in ["tam-nonce", "evidence"] {
        let examined = bench.examine(&bench.result(&Lie { leave_out: part, ..Lie::default() }));

        assert_refused(&examined, "result.parts");
    }
}

#[test]
fn no_cut_and_no_flipped_byte_of_a_result_is_accepted() {
    let bench = Bench::new();
    let result = bench.result(&Lie::default());
    for at in (0..result.len()).step_by(97) {
        let mut flipped = result.clone();
        flipped[at] ^= 1;

        assert!(bench.examine(&result[..at]).accepted().is_err(), "cut at {at}");
        assert!(bench.examine(&flipped).accepted().is_err(), "flipped at {at}");
    }
}

fn assert_refused(examined: &Examined, check: &str) {
    let refusal = examined.accepted().unwrap_err();
    assert_eq!(refusal.check, check, "{}", examined.checks);
    assert!(!refusal.remedy.is_empty() && !refusal.owner.is_empty());
    assert!(!examined.checks.ok);
}

/// What is wrong with a result; nothing by default.
struct Lie {
    user_nonce: Option<[u8; 32]>,
    no_ta: bool,
    no_receiver: bool,
    only_p_256: bool,
    manifest_digest: Option<[u8; 32]>,
    instance: Option<InstanceType>,
    misbehaviour: Misbehaviour,
    contraindicated: bool,
    other_cnf: bool,
    leave_out: &'static str,
}

impl Lie {
    fn challenge(&self) -> Vec<u8> {
        nonce::combine(&TAM_NONCE, &self.user_nonce.unwrap_or(USER_NONCE)).to_vec()
    }
}

impl Default for Lie {
    fn default() -> Self {
        Self {
            user_nonce: None,
            no_ta: false,
            no_receiver: false,
            only_p_256: false,
            manifest_digest: None,
            instance: None,
            misbehaviour: Misbehaviour::None,
            contraindicated: false,
            other_cnf: false,
            leave_out: "",
        }
    }
}

/// An emulated device, the M/OC's Verifier, and the Network User.
struct Bench {
    directory: tempfile::TempDir,
    anchor: [u8; 32],
    measurement: Measurement,
    now: jiff::Timestamp,
    verifier: SigningKey,
    teep: SigningKey,
    evidence: SigningKey,
    session: SigningKey,
    service: channel::PrivateKey,
    receiver: Receiver,
    manifest: Vec<Vec<u8>>,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let now = jiff::Timestamp::now();
        let anchor = Vendor::open(&directory.path().join("vendor"), now).unwrap().anchor();
        let key = || SigningKey::generate(Algorithm::Esp256).unwrap();
        Self {
            measurement: Measurement::of(b"agent", b"settings").unwrap(),
            directory,
            anchor,
            now,
            verifier: key(),
            teep: key(),
            evidence: key(),
            session: key(),
            service: channel::PrivateKey::generate(&mut SystemEntropy),
            receiver: Receiver::generate(&Suites::default(), &mut SystemEntropy),
            manifest: vec![vec![7; 32], b"planner.suit".to_vec()],
        }
    }

    fn receivers(&self, lie: &Lie) -> Vec<Key> {
        let named = |key: &&Key| !lie.no_receiver && (!lie.only_p_256 || Suite::of(key) == P256);
        self.receiver.public().iter().filter(named).cloned().collect()
    }

    fn now(&self) -> Timestamp {
        Timestamp(self.now.as_second())
    }

    fn trust(&self) -> Trust {
        let provider = SigningKey::generate(Algorithm::Esp256).unwrap();
        let settings = cose::sha256(b"settings");
        let corim =
            verifier::corim::sgx_enclave("agent", self.measurement.mrenclave, settings, None);
        let meta = rats::corim::Meta { signer: "provider".into(), validity: None };
        let signed = corim.sign(&meta, &provider).unwrap();
        let trust = Trust::strict().with_emulator(self.anchor);
        let mut trust = trust.with_reference("agent", &signed, provider.key(), self.now()).unwrap();
        trust.collateral = Some(self.collateral());
        trust.verifier = Some(self.verifier.key().clone());
        trust
    }

    fn collateral(&self) -> Collateral {
        let folder = self.directory.path().join("vendor/collateral");
        let files = fs::read_dir(folder).unwrap().map(|entry| {
            let path = entry.unwrap().path();
            (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap())
        });
        Collateral::from_files(files)
    }

    fn expected(&self) -> Expected<'_> {
        Expected {
            nonce: &USER_NONCE,
            nonce_made: self.now(),
            application: Some(Application {
                manifest: &self.manifest,
                manifest_digest: DIGEST,
                instance: InstanceType::Process,
            }),
        }
    }

    fn examine(&self, result: &[u8]) -> Examined {
        self.examine_with(result, &self.trust())
    }

    fn examine_with(&self, result: &[u8], trust: &Trust) -> Examined {
        examine(result, &self.expected(), trust, self.now())
    }

    /// What the M/OC delivers.
    fn result(&self, lie: &Lie) -> Vec<u8> {
        let challenge = lie.challenge();
        let record = |media_type: &str, value: &[u8], indicator| {
            Cmw::Record(Record::new(media_type, value, indicator))
        };
        let ear = record("application/eat+cwt", &self.ear(lie), Indicator::ATTESTATION_RESULTS);
        let mut collection = Collection::new("ear", ear);
        let evidence = self.evidence(&challenge, lie);
        let collateral = self.collateral().encode();
        for (label, message) in [
            ("evidence", record("application/cmw+cbor", &evidence, Indicator::EVIDENCE)),
            ("endorsements", record(COLLATERAL, &collateral, Indicator::ENDORSEMENTS)),
            ("tam-nonce", record("application/octet-stream", &TAM_NONCE, Indicator::EVIDENCE)),
        ] {
            if label != lie.leave_out {
                collection.insert(label, message).unwrap();
            }
        }
        Cmw::Collection(collection).sign(&self.verifier).unwrap()
    }

    fn ear(&self, lie: &Lie) -> Vec<u8> {
        let mut vector = Vector::default();
        let worst = if lie.contraindicated { TrustValue(96) } else { TrustValue(2) };
        vector.record(TrustClaim::Executables, worst);
        let mut agent = ear::Appraisal::new(vector);
        agent.policies = vec!["operator".into()];
        agent.nonce = Some(Nonce::new(lie.challenge()).unwrap());
        let key = if lie.other_cnf { &self.session } else { &self.teep };
        agent.cnf = Some(Confirmation::Kid(key.key().thumbprint()));
        let verifier = VerifierId { developer: "Test".into(), build: "1".into() };
        let mut ear = Ear::new(verifier, self.now(), "agent", agent);
        ear.exp = Some(Timestamp(self.now().0 + 600));
        ear.nonce = Some(Nonce::new(USER_NONCE).unwrap());
        ear.sign(&self.verifier).unwrap()
    }

    fn evidence(&self, challenge: &[u8], lie: &Lie) -> Vec<u8> {
        let mut submods = Submods::default();
        if !lie.no_ta {
            submods.insert_ta(self.entry(lie));
        }
        let session = |key: &SigningKey| -> Key { key.key().clone() };
        let claims = Claims {
            eat_profile: Some(AGENT_PROFILE.into()),
            eat_nonce: Some(Nonce::new(challenge).unwrap()),
            cnf: Some(Confirmation::Key(session(&self.teep))),
            session_keys: Some(SessionKeys {
                report: session(&self.session),
                receipt: session(&self.session),
                payload: None,
            }),
            submods,
            ..Claims::default()
        };
        let eat = rats::eat::sign(&claims, &self.evidence).unwrap();
        let binding = Binding {
            challenge: Nonce::new(challenge).unwrap(),
            key: session(&self.evidence),
            claims: Some(cose::sha256(&claims.encode())),
        };
        let (vendor, state) =
            (self.directory.path().join("vendor"), self.directory.path().join("device"));
        let measurement = self.measurement.clone();
        let machine = Machine::start(&vendor, &state, measurement, lie.misbehaviour, self.now);
        let quote = machine.unwrap().quote(self.now, &binding.report_data()).unwrap();
        let bound = BoundQuote { quote: quote.evidence, binding: binding.encode() };
        let hardware = Some(Hardware {
            media_type: MEDIA_TYPE.into(),
            bound,
            endorsements: None,
            runtime_log: None,
        });
        Evidence { eat, hardware }.encode()
    }

    fn entry(&self, lie: &Lie) -> TaEntry {
        TaEntry {
            service_key: self.service.public().clone(),
            receivers: self.receivers(lie),
            instance: Instance {
                kind: lie.instance.unwrap_or(InstanceType::Process),
                isolation: vec!["seccomp".into()],
                submodule: Some("wasmtime".into()),
                image: None,
            },
            manifest: ManifestId {
                component_id: self.manifest.clone(),
                digest: lie.manifest_digest.unwrap_or(DIGEST),
                sequence_number: 1,
            },
            swname: None,
            manifests: Vec::new(),
        }
    }
}

const USER_NONCE: [u8; 32] = [5; 32];
const TAM_NONCE: [u8; 64] = [6; 64];
const DIGEST: [u8; 32] = [3; 32];
const P256: Option<Suite> = Some(Suite::P256);

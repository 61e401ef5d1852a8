//! SEV under a vendor of our own: sessions, launches, secrets and proofs.

use cose::hmac_sha256;

use crate::vendor::platform::{Firmware, Owner, Platform, Random};
use verifier::evidence::sev::chain::VerifiedChain;
use verifier::evidence::sev::launch::{GuestPolicy, Launch};
use verifier::evidence::sev::session::{LaunchKeys, NotReleased, SECRET_ID, Session};
use verifier::evidence::sev::{self, Reference};
use verifier::value::Hex;
use verifier::{
    Anchors, Appraisal, Collateral, Endorsements, Kind, Policy, Reason, ReferenceValues, Request,
    Timestamp, UserData, appraise,
};

//= EV-SEV-1, EV-SEV-6, EV-SEV-7: launch, appraisal, one secret, proof by the guest
#[test]
fn an_accepted_launch_earns_one_secret_and_its_guest_proves_it() {
    for wide in [false, true] {
        let bench = Bench::new(Platform::new(wide));
        let (session, firmware) = bench.open(POLICY);
        let launch = firmware.measure(POLICY, DIGEST);

        let appraisal = bench.appraise(&launch, session.keys(), UserData::Unchecked);
        assert!(!appraisal.bound());
        let accepted = appraisal.accept().expect("accepted");
        assert_eq!(accepted.appraisal().reference(), Some("the guest"));
        assert_eq!(accepted.claims().generation, Some("SEV-ES"));
        assert_eq!(accepted.claims().debug, Some(false));

        let token = [0x70; 8];
        let released = session.release(&accepted, &launch, &token, &mut Random);
        let (packet, keys) = released.expect("a secret");
        assert!(packet.ciphertext.len().is_multiple_of(16));
        let memory = firmware.inject(&packet, &launch.mac).expect("the firmware accepts it");
        assert_eq!(firmware.inject(&packet, &[0; 32]), None);

        let key = injected_key(&memory, &token);
        let proof = Some(hmac_sha256(&key, &USER_DATA));
        let answer = Launch { proof, ..launch };
        let appraisal = bench.appraise(&answer, keys, UserData::Exactly(&USER_DATA));
        assert!(appraisal.accepted() && appraisal.bound(), "{appraisal}");
    }
}

//= EV-SEV-7: proof is demanded from the agent after boot
#[test]
fn a_guest_that_does_not_prove_its_secret_is_not_bound() {
    let bench = Bench::new(Platform::new(false));
    let (session, firmware) = bench.open(POLICY);
    let launch = firmware.measure(POLICY, DIGEST);
    let accepted = bench.appraise(&launch, session.keys(), UserData::Unchecked);
    let accepted = accepted.accept().expect("accepted");
    let (_, keys) = session.release(&accepted, &launch, b"token", &mut Random).expect("a secret");

    let wrong = Launch { proof: Some(hmac_sha256(&[0; 32], &USER_DATA)), ..launch.clone() };
    let appraisal = bench.appraise(&wrong, keys, UserData::Exactly(&USER_DATA));
    assert_eq!(appraisal.reason(), Some(Reason::BindingMismatch));
    assert!(!appraisal.bound());
    // Before a secret is injected nothing can be bound.
    let keys = LaunchKeys::recorded(firmware.integrity_key());
    let appraisal = bench.appraise(&launch, keys, UserData::Exactly(&USER_DATA));
    assert_eq!(appraisal.reason(), Some(Reason::BindingMismatch));
}

//= EV-SEV-1: the secret goes to the launch that was appraised, in its own session
#[test]
fn a_secret_is_not_released_to_another_launch() {
    let bench = Bench::new(Platform::new(false));
    let (session, firmware) = bench.open(POLICY);
    let launch = firmware.measure(POLICY, DIGEST);
    let appraisal = bench.appraise(&launch, session.keys(), UserData::Unchecked);
    let accepted = appraisal.accept().expect("accepted");
    let release = |session: Session, launch: &Launch| {
        session.release(&accepted, launch, b"token", &mut Random).map(|_| ()).err()
    };
    let refused = Some(NotReleased::AnotherLaunch);

    let (other, _) = bench.open(POLICY);
    assert_eq!(release(other, &launch), refused);
    let (other, other_firmware) = bench.open(POLICY);
    assert_eq!(release(other, &other_firmware.measure(POLICY, [9; 32])), refused);
    let (other, other_firmware) = bench.open(POLICY);
    assert_eq!(release(other, &other_firmware.measure(GuestPolicy(0), DIGEST)), refused);
    assert_eq!(release(session, &launch), None);
}

//= EV-SEV-6: MACs over the wrapped keys and the policy
#[test]
fn a_changed_session_is_refused_by_the_firmware() {
    let bench = Bench::new(Platform::new(false));
    let chain = bench.chain();
    let opened = Session::open(&chain, POLICY, &Owner::new(), &mut Random);
    let (_, start) = opened.expect("a session");
    assert!(bench.platform.start(&start).is_some());
    for at in 0..128 {
        let mut changed = start.clone();
        changed.session[at] ^= 1;
        assert!(bench.platform.start(&changed).is_none(), "octet {at}");
    }
    let mut changed = start.clone();
    changed.policy.0 ^= 1;
    assert!(bench.platform.start(&changed).is_none());
    assert!(Platform::new(false).start(&start).is_none());
}

//= EV-SEV-4: no launch but the one that was measured
#[test]
fn a_changed_launch_is_refused() {
    let bench = Bench::new(Platform::new(false));
    let (session, firmware) = bench.open(POLICY);
    let launch = firmware.measure(POLICY, DIGEST);
    let encoded = launch.encode();
    let endorsements = Endorsements::for_launch(session.keys(), &bench.collateral, &bench.anchors);
    assert!(bench.appraise_with(&encoded, &endorsements, UserData::Unchecked).accepted());
    for at in 0..encoded.len() * 8 {
        let mut changed = encoded.clone();
        changed[at / 8] ^= 1 << (at % 8);

        let appraisal = bench.appraise_with(&changed, &endorsements, UserData::Unchecked);

        assert!(!appraisal.accepted(), "bit {at}\n{appraisal}");
        assert!(!appraisal.authentic() && appraisal.claims().is_none());
    }
}

//= EV-SEV-1: chain first, then the MAC under the keys of the session
#[test]
fn what_the_appraisal_lacks_is_said() {
    let bench = Bench::new(Platform::new(false));
    let (session, firmware) = bench.open(POLICY);
    let evidence = firmware.measure(POLICY, DIGEST).encode();
    let outcome = |bench: &Bench, keys| {
        let appraisal = bench.appraise_bytes(&evidence, keys, UserData::Unchecked);
        let name = appraisal.refusal().map(|(check, _)| check.name);
        (name, appraisal.reason())
    };

    let none = outcome(&bench, None);
    assert_eq!(none, (Some("sev.session"), Some(Reason::MissingEndorsement)));
    let other = LaunchKeys::recorded(cose::Secret::new(vec![0; 16]));
    let wrong = outcome(&bench, Some(other));
    assert_eq!(wrong, (Some("sev.launch.measure"), Some(Reason::BadSignature)));
    let another = Bench::new(Platform::new(false));
    let wrong = outcome(&another, Some(session.keys()));
    assert_eq!(wrong, (Some("sev.session.platform"), Some(Reason::MissingEndorsement)));
    let unlisted = Bench { anchors: Anchors::vendors(), ..Bench::new(Platform::new(false)) };
    let wrong = outcome(&unlisted, Some(session.keys()));
    assert_eq!(wrong, (Some("sev.chain.root"), Some(Reason::UntrustedRoot)));
    let bare = Bench { collateral: Collateral::default(), ..Bench::new(Platform::new(false)) };
    let wrong = outcome(&bare, Some(session.keys()));
    assert_eq!(wrong, (Some("sev.chain.files"), Some(Reason::MissingEndorsement)));
    let mut strict = bench;
    strict.policy.emulated_allowed = false;
    let wrong = outcome(&strict, Some(session.keys()));
    assert_eq!(wrong, (Some("anchor.standing"), Some(Reason::EmulatedNotAllowed)));
}

//= EV-SEV-5: NODBG, NOKS, ES, NOSEND and the minimum API
#[test]
fn what_the_policy_does_not_allow_is_refused_by_name() {
    type Edit = fn(&mut u32, &mut sev::Policy);
    let edits: [(&str, Reason, Edit); 8] = [
        ("instance.debug", Reason::Debug, |bits, _| *bits &= !1),
        ("sev.policy.noks", Reason::ConfigurationNotAllowed, |bits, _| *bits &= !2),
        ("sev.policy.es", Reason::ConfigurationNotAllowed, |bits, _| *bits &= !4),
        ("sev.policy.nosend", Reason::ConfigurationNotAllowed, |bits, _| *bits &= !8),
        ("sev.policy.api", Reason::ConfigurationNotAllowed, |_, policy| policy.api_min = [1, 56]),
        ("sev.firmware", Reason::TcbStatusNotAllowed, |_, policy| {
            policy.firmware_min = [1, 55, 22]
        }),
        ("sev.owner", Reason::ConfigurationNotAllowed, |_, policy| {
            policy.owners = vec![Hex([0; 32])];
        }),
        ("launch_digest", Reason::MeasurementMismatch, |_, _| ()),
    ];
    for (name, reason, edit) in edits {
        let mut bench = Bench::new(Platform::new(false));
        let mut bits = POLICY.0;
        edit(&mut bits, &mut bench.policy.sev);
        let policy = GuestPolicy(bits);
        let (session, firmware) = bench.open(policy);
        let digest = if name == "launch_digest" { [0; 32] } else { DIGEST };

        let launch = firmware.measure(policy, digest);
        let appraisal = bench.appraise(&launch, session.keys(), UserData::Unchecked);

        let refusal = appraisal.refusal().map(|(check, failure)| (check.name, failure.reason));
        assert_eq!(refusal, Some((name, reason)), "{appraisal}");
        assert!(appraisal.authentic());
    }
}

#[test]
fn the_policy_can_allow_what_older_guests_need() {
    let mut bench = Bench::new(Platform::new(false));
    bench.policy.sev = sev::Policy {
        es_required: false,
        key_sharing_allowed: true,
        sending_allowed: true,
        owners: vec![Hex(bench.chain().owner)],
        firmware_min: [1, 55, 21],
        ..sev::Policy::default()
    };
    let policy = GuestPolicy(GuestPolicy::NODBG);
    let (session, firmware) = bench.open(policy);

    let launch = firmware.measure(policy, DIGEST);
    let appraisal = bench.appraise(&launch, session.keys(), UserData::Unchecked);

    assert!(appraisal.accepted(), "{appraisal}");
    assert_eq!(appraisal.claims().and_then(|claims| claims.generation), Some("SEV"));
    assert_eq!(appraisal.tcb().map(|tcb| tcb.status), Some("MeetsMinimum"));
}

#[test]
fn policy_and_reference_values_are_written_in_toml() {
    let policy = Policy::from_toml("[sev]\nfirmware_min = [1, 55, 21]\nes_required = false\n");
    assert!(policy.is_ok_and(|policy| !policy.sev.es_required));
    assert!(Policy::from_toml("[sev]\nes = false\n").is_err());
    let digest = "ab".repeat(32);
    let text = format!("[[sev]]\nname = 'guest'\nlaunch_digest = '{digest}'\n");
    assert_eq!(ReferenceValues::from_toml(&text).map(|values| values.sev.len()), Ok(1));
    assert!(ReferenceValues::from_toml("[[sev]]\nname = 'guest'\n").is_err());
}

/// One platform with everything that an appraisal needs.
struct Bench {
    platform: Platform,
    anchors: Anchors,
    collateral: Collateral,
    policy: Policy,
    reference: ReferenceValues,
}

impl Bench {
    fn new(platform: Platform) -> Self {
        let guest = Reference { name: "the guest".into(), launch_digest: Hex(DIGEST) };
        Self {
            anchors: platform.anchors(),
            collateral: platform.collateral(),
            platform,
            policy: Policy { emulated_allowed: true, ..Policy::default() },
            reference: ReferenceValues { sev: vec![guest], ..ReferenceValues::default() },
        }
    }

    fn chain(&self) -> VerifiedChain {
        VerifiedChain::verify(&self.collateral, &self.anchors).expect("a chain")
    }

    /// Opens a session, to which the firmware agrees.
    fn open(&self, policy: GuestPolicy) -> (Session, Firmware) {
        let opened = Session::open(&self.chain(), policy, &Owner::new(), &mut Random);
        let (session, start) = opened.expect("a session");
        (session, self.platform.start(&start).expect("the firmware accepts the session"))
    }

    fn appraise(&self, launch: &Launch, keys: LaunchKeys, user_data: UserData<'_>) -> Appraisal {
        self.appraise_bytes(&launch.encode(), Some(keys), user_data)
    }

    fn appraise_bytes(
        &self,
        evidence: &[u8],
        keys: Option<LaunchKeys>,
        user_data: UserData<'_>,
    ) -> Appraisal {
        let endorsements = match keys {
            Some(keys) => Endorsements::for_launch(keys, &self.collateral, &self.anchors),
            None => Endorsements::prepare(Kind::Sev, &self.collateral, &self.anchors),
        };
        self.appraise_with(evidence, &endorsements, user_data)
    }

    fn appraise_with(
        &self,
        evidence: &[u8],
        endorsements: &Endorsements,
        user_data: UserData<'_>,
    ) -> Appraisal {
        let request = Request {
            kind: Kind::Sev,
            evidence,
            event_log: None,
            user_data,
            anchors: &self.anchors,
            reference: &self.reference,
            policy: &self.policy,
            now: Timestamp(0),
        };
        appraise(&request, endorsements)
    }
}

/// Finds the key in the table of secrets, as the guest does.
fn injected_key(memory: &[u8], token: &[u8]) -> Vec<u8> {
    let at = memory.windows(16).position(|window| window == SECRET_ID).expect("the entry");
    let secret = &memory[at + 20..];
    let mut expected = vec![0x83, 0x6b];
    expected.extend(b"teep-sev-v1");
    expected.push(0x40 | token.len() as u8);
    expected.extend(token);
    expected.extend([0x58, 32]);
    assert_eq!(secret[..expected.len()], expected);
    secret[expected.len()..][..32].to_vec()
}

const DIGEST: [u8; 32] = [0xd1; 32];
const USER_DATA: [u8; 64] = [0xda; 64];
/// NODBG, NOKS, ES, NOSEND, API 1.55.
const POLICY: GuestPolicy = GuestPolicy(0x3701_000f);

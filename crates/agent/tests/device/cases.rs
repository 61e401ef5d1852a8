//! Packages of several parts, and where the secure channel ends: the five cases of the draft.

use channel::PrivateKey;
use channel::bundle::Bundle;
use channel::call::{self, Service};
use channel::receipt::Receipt;
use channel::release::{self, Binding, Role};
use cose::Key;
use device::broker::{Action, Reply, Request};
use keys::SystemEntropy;
use suit::build::{Built, Name, Payload, Pd};
use suit::parameter::{CustomValue, Parameter};
use suit::report::{Conclusion, Entry};

use crate::component;
use crate::support::*;

#[test]
fn data_in_one_package_with_its_application_is_opened_by_the_agent() {
    let party = Party::new();
    let caller = PrivateKey::generate(&mut SystemEntropy);
    let ta = party.owner.ta(1, &component::echo());
    let pd = party.pd(&ta, Role::Agent, &[caller.public().clone()]);
    let package = party.owner.package(1, &[&ta, &pd]);

    let verdict = deploy(&party.device, &party.tam, &party.to, &[&package.envelope]);

    assert!(verdict.is_success(), "{verdict:?}");
    assert_eq!(party.device.state(), "released");
    let keys = party.to.claims.session_keys.as_ref().unwrap();
    let receipt = Receipt::verify(&bytes(&verdict, agent::install::RECEIPT), &keys.receipt);
    let receipt = receipt.unwrap();
    assert_eq!(receipt.eat_digest, party.to.eat_digest);
    // No Evidence has named the application yet: the receipt says whom callers talk to.
    let key = receipt.service_key.unwrap();
    assert_eq!(party.call(&caller, key, &ta), b"data?");
}

#[test]
fn a_package_is_installed_again_and_its_data_is_the_new_one() {
    let party = Party::new();
    let caller = PrivateKey::generate(&mut SystemEntropy);
    let ta = party.owner.ta(1, &component::echo());
    let ua = party.owner.ua(1, b"program");
    for sequence in [1, 2] {
        let to = attest(&party.device, &party.tam, &CHALLENGE);
        let callers = [caller.public().clone()];
        let sealed =
            party.seal_to_agent(&to, &ta, &callers, format!("data {sequence} ").as_bytes());
        let pd = party.owner.pd(sequence, &sealed);
        let package = party.owner.package(sequence, &[&ta, &pd, &ua]);

        let verdict = party.install_in(&to, &package, &mut |_| Ok(Vec::new()));

        assert!(verdict.is_success(), "{verdict:?}");
        let keys = to.claims.session_keys.as_ref().unwrap();
        let receipt = Receipt::verify(&bytes(&verdict, agent::install::RECEIPT), &keys.receipt);
        let key = receipt.unwrap().service_key.unwrap();
        let answer = party.call_as(&caller, sequence, key, &ta);
        assert_eq!(answer, format!("data {sequence} ?").into_bytes());
    }
}

#[test]
fn data_for_the_wrong_end_of_the_channel_is_refused_and_leaves_nothing() {
    let party = Party::new();
    let ta = party.owner.ta(1, &component::echo());
    let to_the_ta = party.pd(&ta, Role::Ta, &[]);
    let package = party.owner.package(1, &[&ta, &to_the_ta]);

    let refused = deploy(&party.device, &party.tam, &party.to, &[&package.envelope]);

    assert!(cause(&refused).contains("owner did not sign"), "{refused:?}");
    let now = attest(&party.device, &party.tam, &CHALLENGE);
    assert_eq!(now.claims.submods.tas().count(), 0, "the application stayed without its data");
    // Data alone is for the TA: sealed to the Agent it opens nowhere.
    assert!(deploy(&party.device, &party.tam, &party.to, &[&ta.envelope]).is_success());
    let to_the_agent = party.pd(&ta, Role::Agent, &[]);
    let refused = deploy(&party.device, &party.tam, &party.to, &[&to_the_agent.envelope]);
    assert!(matches!(refused.failure(), Conclusion::Failure { .. }));
    assert_eq!(party.device.state(), "awaiting release");
}

#[test]
fn in_case_1_the_ua_goes_to_the_ree_after_the_data_is_in_the_tee() {
    let party = Party::new();
    let ta = party.owner.ta(1, &component::echo());
    let pd = party.pd(&ta, Role::Agent, &[]);
    let ua = party.owner.ua(1, b"program");
    let package = party.owner.package(1, &[&ta, &pd, &ua]);

    let verdict = party.install(&package, &mut |action| match action {
        Action::InstallUa { envelope, loads: None, .. } if *envelope == ua.envelope => {
            Ok(b"report of the REE".to_vec())
        }
        other => panic!("{other:?}"),
    });

    assert!(verdict.is_success(), "{verdict:?}");
    use agent::install::{RECEIPT, REE_REPORT, RUNS, SAID_BY};
    assert_eq!(told(&verdict, &[RUNS, RECEIPT, SAID_BY]), [RUNS, RECEIPT, SAID_BY]);
    assert_eq!(bytes(&verdict, REE_REPORT), b"report of the REE");
}

#[test]
fn a_package_whose_ua_the_ree_refuses_leaves_neither_application_nor_data() {
    let party = Party::new();
    let ta = party.owner.ta(1, &component::echo());
    let pd = party.pd(&ta, Role::Agent, &[]);
    let ua = party.owner.ua(1, b"program");
    let package = party.owner.package(1, &[&ta, &pd, &ua]);

    let refused = party.install(&package, &mut |_| Err("no room".to_owned()));

    assert!(matches!(refused.failure(), Conclusion::Failure { .. }));
    let now = attest(&party.device, &party.tam, &CHALLENGE);
    assert_eq!(now.claims.submods.tas().count(), 0);
}

#[test]
fn in_case_2_the_ua_is_first_and_on_sgx_it_loads_the_ta() {
    let party = Party::new();
    let ta = party.owner.ta(1, &component::echo());
    let ua = party.owner.ua(1, b"program");
    let package = party.owner.package(1, &[&ua, &ta]);
    let planner = for_broker(&party.owner.planner());

    let verdict = party.install(&package, &mut |action| match action {
        Action::InstallUa { loads: Some(loads), .. } if *loads == planner => Ok(Vec::new()),
        other => panic!("{other:?}"),
    });

    assert!(verdict.is_success(), "{verdict:?}");
    use agent::install::{RUNS, SAID_BY};
    assert_eq!(told(&verdict, &[RUNS, SAID_BY]), [SAID_BY, RUNS]);
}

#[test]
fn in_case_5_the_application_hands_the_ua_out_and_the_ree_may_refuse_it() {
    let party = Party::new();
    let ta = party.owner.ta(1, &component::echo());
    assert!(deploy(&party.device, &party.tam, &party.to, &[&ta.envelope]).is_success());
    let ua = party.owner.ua(1, b"program");
    for (sequence, outcome) in [(1, Err("no room".to_owned())), (2, Ok(Vec::new()))] {
        let to = attest(&party.device, &party.tam, &CHALLENGE);
        let content = Bundle::encode(&ua.envelope, b"data");
        let sealed = party.seal(&to, &party.owner, &ta, Role::Ta, &[], content.expose());
        let package = named(&party.owner, "planner.ua-pd", sequence, &sealed);

        let verdict = party.install_in(&to, &package, &mut |action| match action {
            Action::InstallUa { envelope, .. } if *envelope == ua.envelope => outcome.clone(),
            other => panic!("{other:?}"),
        });

        assert_eq!(verdict.is_success(), outcome.is_ok(), "{verdict:?}");
        let state = if outcome.is_ok() { "released" } else { "awaiting release" };
        assert_eq!(party.device.state(), state, "a refused UA takes the data with it");
    }
}

#[test]
fn what_is_handed_out_and_no_ua_of_the_ree_is_refused_with_the_data() {
    let party = Party::new();
    let ta = party.owner.ta(1, &component::echo());
    assert!(deploy(&party.device, &party.tam, &party.to, &[&ta.envelope]).is_success());
    for (sequence, content) in (1..).zip([b"no envelope".to_vec(), ta.envelope.clone()]) {
        let to = attest(&party.device, &party.tam, &CHALLENGE);
        let content = Bundle::encode(&content, b"data");
        let sealed = party.seal(&to, &party.owner, &ta, Role::Ta, &[], content.expose());
        let package = named(&party.owner, "planner.ua-pd", sequence, &sealed);

        let refused = deploy(&party.device, &party.tam, &to, &[&package.envelope]);

        assert!(matches!(refused.failure(), Conclusion::Failure { .. }), "{refused:?}");
        assert_eq!(party.device.state(), "awaiting release");
    }
}

#[test]
fn personalization_data_of_the_tam_is_refused_whatever_brings_it() {
    let party = Party::new();
    let key = party.tam.key.to_pkcs8().unwrap();
    let tam = Owner { key: keys::SigningKey::from_pkcs8(key.expose()).unwrap() };
    let ta = tam.ta(1, &component::echo());
    let pd = party.seal(&party.to, &tam, &ta, Role::Agent, &[], b"data");
    let pd = tam.pd(1, &pd);
    let package = tam.package(1, &[&ta, &pd]);

    let refused = deploy(&party.device, &party.tam, &party.to, &[&package.envelope]);
    assert!(cause(&refused).contains("draft section 2.1"), "{refused:?}");
    assert!(deploy(&party.device, &party.tam, &party.to, &[&ta.envelope]).is_success());
    let refused = deploy(&party.device, &party.tam, &party.to, &[&pd.envelope]);
    assert!(matches!(refused.failure(), Conclusion::Failure { .. }), "{refused:?}");
    assert_eq!(party.device.state(), "awaiting release");
}

#[test]
fn data_of_one_user_for_an_application_of_a_third_party_meets_nobody_else_s() {
    let party = Party::new();
    let third_party = Owner::new();
    let ta = third_party.ta(1, &component::echo());
    assert!(deploy(&party.device, &party.tam, &party.to, &[&ta.envelope]).is_success());
    let to = attest(&party.device, &party.tam, &CHALLENGE);
    let data_of = |user: &Owner| {
        let sealed = party.seal(&to, user, &ta, Role::Ta, &[], b"data");
        let pd = Pd::new(Name::new("planner.pd").unwrap(), 1, here(), Payload::integrated(&sealed));
        pd.for_application_of(third_party.thumbprint()).sign(&user.key).unwrap()
    };

    let own = data_of(&party.owner);
    let verdict = deploy(&party.device, &party.tam, &to, &[&own.envelope]);
    assert!(verdict.is_success(), "{verdict:?}");
    let other = data_of(&Owner::new());
    let refused = deploy(&party.device, &party.tam, &to, &[&other.envelope]);

    assert!(cause(&refused).contains("owner did not sign"), "{refused:?}");
    assert_eq!(party.device.state(), "released");
}

/// A device that was challenged, and runs nothing yet.
struct Party {
    tam: Tam,
    owner: Owner,
    device: Device,
    to: Enrolled,
}

impl Party {
    fn new() -> Self {
        let (tam, owner) = (Tam::new(), Owner::new());
        let device = Device::new(&tam);
        let to = attest(&device, &tam, &CHALLENGE);
        Self { tam, owner, device, to }
    }

    fn pd(&self, ta: &Built, role: Role, callers: &[Key]) -> Built {
        let sealed = self.seal(&self.to, &self.owner, ta, role, callers, b"data");
        self.owner.pd(1, &sealed)
    }

    fn seal(
        &self,
        to: &Enrolled,
        owner: &Owner,
        ta: &Built,
        role: Role,
        callers: &[Key],
        data: &[u8],
    ) -> Vec<u8> {
        let entry = to.claims.submods.ta(ta.manifest_component.parts());
        let receivers = entry.map_or(&to.claims.receivers, |entry| &entry.receivers);
        let receiver = &receivers[0];
        let binding = Binding {
            owner: owner.thumbprint(),
            manifest_digest: ta.digest.bytes().try_into().unwrap(),
            eat_digest: to.eat_digest,
            role,
        };
        let entropy = &mut SystemEntropy;
        release::seal(&owner.key, receiver, &binding, "edge-7", callers, data, entropy).unwrap().0
    }

    fn seal_to_agent(&self, to: &Enrolled, ta: &Built, callers: &[Key], data: &[u8]) -> Vec<u8> {
        let binding = Binding {
            owner: self.owner.thumbprint(),
            manifest_digest: ta.digest.bytes().try_into().unwrap(),
            eat_digest: to.eat_digest,
            role: Role::Agent,
        };
        let (receiver, entropy) = (&to.claims.receivers[0], &mut SystemEntropy);
        let owner = &self.owner.key;
        release::seal(owner, receiver, &binding, "edge-7", callers, data, entropy).unwrap().0
    }

    fn install(
        &self,
        package: &Built,
        broker: &mut dyn FnMut(&Action) -> Result<Vec<u8>, String>,
    ) -> Verdict {
        self.install_in(&self.to, package, broker)
    }

    fn install_in(
        &self,
        to: &Enrolled,
        package: &Built,
        broker: &mut dyn FnMut(&Action) -> Result<Vec<u8>, String>,
    ) -> Verdict {
        let (token, update) = self.tam.update(&[&package.envelope]);
        let answer = self.device.tell(to.session, update);
        verdict(&self.device, to, token, answer, broker)
    }

    fn call(&self, caller: &PrivateKey, key: Key, ta: &Built) -> Vec<u8> {
        self.call_as(caller, 1, key, ta)
    }

    fn call_as(&self, caller: &PrivateKey, counter: u64, key: Key, ta: &Built) -> Vec<u8> {
        let manifest_digest = ta.digest.bytes().try_into().unwrap();
        let service = Service { key, manifest_digest };
        let (request, awaiting) =
            call::request(&service, caller, counter, b"?", &mut SystemEntropy).unwrap();
        let component = for_broker(&self.owner.planner());
        match self.device.ask(Request::CallTa { component, request }) {
            Reply::TaAnswer(answer) => awaiting.open(&answer).unwrap().expose().to_vec(),
            other => panic!("{other:?}"),
        }
    }
}

fn named(owner: &Owner, name: &str, sequence: u64, content: &[u8]) -> Built {
    let pd = Pd::new(Name::new(name).unwrap(), sequence, here(), Payload::integrated(content));
    pd.sign(&owner.key).unwrap()
}

/// Why the Agent says that the first manifest failed.
fn cause(verdict: &Verdict) -> String {
    let Conclusion::Failure { record, .. } = verdict.failure() else { panic!() };
    match record.properties.find(agent::install::CAUSE) {
        Some(Parameter::Custom(_, CustomValue::Text(text))) => text.to_owned(),
        other => panic!("{other:?}"),
    }
}

/// Which of these things the first report tells, in order.
fn told(verdict: &Verdict, keys: &[i64]) -> Vec<i64> {
    let entries = verdict.reports()[0].records.iter();
    let found = entries.filter_map(|entry| match entry {
        Entry::Properties(_, properties) => {
            keys.iter().copied().find(|key| properties.find(*key).is_some())
        }
        Entry::Record(_) => None,
    });
    found.collect()
}

fn bytes(verdict: &Verdict, key: i64) -> Vec<u8> {
    let found = verdict.reports()[0].records.iter().find_map(|entry| match entry {
        Entry::Properties(_, properties) => properties.find(key),
        Entry::Record(_) => None,
    });
    match found {
        Some(Parameter::Custom(_, CustomValue::Bytes(bytes))) => bytes.to_vec(),
        other => panic!("{other:?}"),
    }
}

/// A Broker that never says what became of the UA gets no application that holds data of which
/// the device does not know.
#[test]
fn a_broker_that_leaves_before_the_ua_is_placed_leaves_no_data_behind() {
    let party = Party::new();
    let ta = party.owner.ta(1, &component::echo());
    assert!(deploy(&party.device, &party.tam, &party.to, &[&ta.envelope]).is_success());
    let to = attest(&party.device, &party.tam, &CHALLENGE);
    let ua = party.owner.ua(1, b"program");
    let content = Bundle::encode(&ua.envelope, b"data");
    let sealed = party.seal(&to, &party.owner, &ta, Role::Ta, &[], content.expose());
    let package = named(&party.owner, "planner.ua-pd", 1, &sealed);
    let (_, update) = party.tam.update(&[&package.envelope]);
    let answer = party.device.tell(to.session, update);
    assert!(matches!(&answer.actions[..], [Action::InstallUa { .. }]), "{answer:?}");
    assert_eq!(party.device.state(), "released");

    party.device.left(to.session);

    assert_eq!(party.device.state(), "awaiting release");
}

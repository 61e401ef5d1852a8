//! Personalization Data from its owner to a Trusted Application, and what the application then
//! answers to whom.

use channel::PrivateKey;
use channel::call::{self, Service};
use channel::receipt::Receipt;
use channel::release::{self, Binding, Digests, Role};
use cose::Key;
use device::FailureCode;
use device::broker::{Reply, Request};
use keys::SystemEntropy;
use rats::eat::TaEntry;
use suit::build::Built;
use suit::parameter::{CustomValue, Parameter};
use suit::report::{Conclusion, Entry, Reason};

use crate::component;
use crate::support::*;

#[test]
fn a_release_reaches_the_application_alone_and_comes_back_as_a_receipt() {
    let party = Party::new(&component::echo());
    let caller = PrivateKey::generate(&mut SystemEntropy);

    let (pd, digests) = party.seal(&party.owner, &[caller.public().clone()], b"secret");
    let verdict = deploy(&party.device, &party.tam, &party.to, &[&party.owner.pd(1, &pd).envelope]);

    assert!(verdict.is_success(), "{verdict:?}");
    let keys = party.to.claims.session_keys.as_ref().unwrap();
    let receipt = Receipt::verify(&receipt(&verdict), &keys.receipt).unwrap();
    assert_eq!(receipt.digests, digests);
    assert_eq!(receipt.eat_digest, party.to.eat_digest);
    assert_eq!(receipt.deployment, "edge-7");
    assert_eq!(party.device.state(), "released");
    assert_eq!(party.call(&caller, 1, b"?").unwrap(), b"secret?");
    assert_eq!(party.call(&caller, 2, b"!").unwrap(), b"secret!");
}

//= teep 14.74 (M): personalization data is decrypted inside the TEE boundary only
#[test]
fn neither_data_nor_answers_are_on_the_disk_of_the_ree() {
    let party = Party::new(&component::echo());
    let (pd, _) = party.seal(&party.owner, &[], CANARY);

    let pd = party.owner.pd(1, &pd);
    assert!(deploy(&party.device, &party.tam, &party.to, &[&pd.envelope]).is_success());

    for entry in std::fs::read_dir(party.device.storage.path()).unwrap() {
        let entry = entry.unwrap();
        let content = std::fs::read(entry.path()).unwrap();
        let found = content.windows(CANARY.len()).any(|window| window == CANARY);
        assert!(!found, "{:?}", entry.file_name());
    }
}

#[test]
fn a_stranger_and_a_replay_are_not_served() {
    let party = Party::new(&component::echo());
    let [caller, stranger] = [(); 2].map(|()| PrivateKey::generate(&mut SystemEntropy));
    let early = party.call(&caller, 1, b"?").unwrap_err();
    assert_eq!(early, FailureCode::Busy);
    party.release(&[caller.public().clone()], b"data");

    assert_eq!(party.call(&stranger, 1, b"?").unwrap_err(), FailureCode::Untrusted);
    assert_eq!(party.call(&caller, 1, b"?").unwrap(), b"data?");
    assert_eq!(party.call(&caller, 1, b"?").unwrap_err(), FailureCode::Untrusted);
}

#[test]
fn data_for_another_exchange_another_owner_or_another_key_is_refused() {
    let party = Party::new(&component::echo());
    let before = party.to.eat_digest;
    let thief = Owner::new();
    let other_exchange = party.seal_as(&party.owner, &party.receiver(), [1; 32], b"data").0;
    let other_owner = party.seal_as(&thief, &party.receiver(), before, b"data").0;
    let stranger = PrivateKey::generate(&mut SystemEntropy);
    let other_key = party.seal_as(&party.owner, stranger.public(), before, b"data").0;

    for (pd, check, cause) in [
        (other_exchange, "release.binding", "owner did not sign"),
        (other_owner, "release.binding", "owner did not sign"),
        (other_key, "release.receiver", "does not open"),
        (vec![0; 40], "release.format", "malformed"),
    ] {
        let pd = party.owner.pd(1, &pd);
        let verdict = deploy(&party.device, &party.tam, &party.to, &[&pd.envelope]);

        let Conclusion::Failure { reason, record, .. } = verdict.failure() else { panic!() };
        assert_eq!(*reason, Reason::OperationFailed);
        let said = record.properties.find(agent::install::CAUSE);
        let Some(Parameter::Custom(_, CustomValue::Text(said))) = said else { panic!() };
        assert!(said.contains(cause), "{said}");
        let named = record.properties.find(agent::install::CHECK);
        assert_eq!(named, Some(Parameter::Custom(agent::install::CHECK, CustomValue::Text(check))));
        assert_eq!(party.device.state(), "awaiting release");
    }
    party.release(&[], b"data");
    assert_eq!(party.device.state(), "released");
}

#[test]
fn data_without_an_exchange_or_without_its_application_is_refused() {
    let (tam, owner) = (Tam::new(), Owner::new());
    let device = Device::new(&tam);
    let to = attest(&device, &tam, &CHALLENGE);
    let pd = owner.pd(1, b"ciphertext");
    let refused = deploy(&device, &tam, &to, &[&pd.envelope]);
    assert!(matches!(refused.failure(), Conclusion::Failure { .. }));

    let ta = owner.ta(1, &component::echo());
    assert!(deploy(&device, &tam, &to, &[&ta.envelope]).is_success());

    let refused = deploy(&device, &tam, &to, &[&pd.envelope]);
    assert!(matches!(refused.failure(), Conclusion::Failure { .. }));
    assert_eq!(device.state(), "awaiting release");
}

#[test]
fn the_same_ciphertext_does_not_open_twice() {
    let party = Party::new(&component::echo());
    let (pd, _) = party.seal(&party.owner, &[], b"data");
    let pd = party.owner.pd(1, &pd);
    assert!(deploy(&party.device, &party.tam, &party.to, &[&pd.envelope]).is_success());

    let again = deploy(&party.device, &party.tam, &party.to, &[&pd.envelope]);

    assert!(matches!(again.failure(), Conclusion::Failure { .. }));
    assert_eq!(party.device.state(), "released");
}

#[test]
fn a_restart_of_the_agent_is_a_new_epoch_without_data() {
    let mut party = Party::new(&component::echo());
    let caller = PrivateKey::generate(&mut SystemEntropy);
    let (pd, _) = party.seal(&party.owner, &[], b"data");
    party.release(&[caller.public().clone()], b"data");

    party.device = party.device.restarted();

    assert_eq!(party.device.state(), "awaiting release");
    assert_eq!(party.call(&caller, 9, b"?").unwrap_err(), FailureCode::Busy);
    party.to = attest(&party.device, &party.tam, &CHALLENGE);
    let old = party.owner.pd(2, &pd);
    let refused = deploy(&party.device, &party.tam, &party.to, &[&old.envelope]);
    assert!(matches!(refused.failure(), Conclusion::Failure { .. }));
    party.release(&[caller.public().clone()], b"again");
    assert_eq!(party.call(&caller, 1, b"?").unwrap(), b"again?");
}

#[test]
fn removing_the_data_takes_it_from_the_application() {
    let party = Party::new(&component::echo());
    party.release(&[], b"data");
    let manifest = party.owner.pd(1, b"x").manifest_component;

    let unneeded_manifest_list = vec![manifest];
    let update = teep::message::Update { unneeded_manifest_list, ..Default::default() };
    let (token, update) = party.tam.update_of(update);
    let answer = party.device.tell(party.to.session, update);
    let removed = verdict(&party.device, &party.to, token, answer, &mut |_| panic!());

    assert!(removed.is_success());
    assert_eq!(party.device.state(), "awaiting release");
}

#[test]
fn a_new_version_of_the_application_does_not_inherit_the_data() {
    let party = Party::new(&component::echo());
    party.release(&[], b"data");

    let newer = party.owner.ta(2, &component::echo());
    assert!(deploy(&party.device, &party.tam, &party.to, &[&newer.envelope]).is_success());

    assert_eq!(party.device.state(), "awaiting release");
}

#[test]
fn an_application_that_refuses_its_data_awaits_another_release() {
    let party = Party::new(&component::refusing());
    let (pd, _) = party.seal(&party.owner, &[], b"data");

    let pd = party.owner.pd(1, &pd);
    let refused = deploy(&party.device, &party.tam, &party.to, &[&pd.envelope]);

    assert!(matches!(refused.failure(), Conclusion::Failure { .. }));
    assert_eq!(party.device.state(), "awaiting release");
}

#[test]
fn an_application_that_traps_loses_its_data_and_waits_before_it_comes_back() {
    for module in [component::trapping(), component::recursing()] {
        let party = Party::new(&module);
        let caller = PrivateKey::generate(&mut SystemEntropy);
        party.release(&[caller.public().clone()], b"data");

        assert_eq!(party.call(&caller, 1, b"?").unwrap_err(), FailureCode::Busy);

        assert_eq!(party.device.state(), "crashed");
        let to = attest(&party.device, &party.tam, &CHALLENGE);
        assert!(to.claims.submods.is_empty(), "what does not run is not in evidence");
    }
}

#[test]
fn an_application_that_never_answers_is_ended() {
    let party = Party::new(&component::looping());
    let caller = PrivateKey::generate(&mut SystemEntropy);
    party.release(&[caller.public().clone()], b"data");

    assert_eq!(party.call(&caller, 1, b"?").unwrap_err(), FailureCode::Busy);

    let description = party.device.description();
    let cause = description["applications"][0]["cause"].as_str().unwrap();
    assert_eq!(cause, "a call took longer than allowed");
}

#[test]
fn an_application_gets_no_more_memory_than_the_settings_say() {
    let party = Party::new(&component::growing());
    let caller = PrivateKey::generate(&mut SystemEntropy);
    party.release(&[caller.public().clone()], b"data");

    let pages = party.call(&caller, 1, b"?").unwrap();

    assert_eq!(u32::from_le_bytes(pages.try_into().unwrap()) * 65536, 4 << 20);
}

#[test]
fn a_large_release_goes_through() {
    let party = Party::new(&component::echo());
    let caller = PrivateKey::generate(&mut SystemEntropy);
    let data = vec![b'd'; 700_000];

    party.release(&[caller.public().clone()], &data);

    assert_eq!(party.call(&caller, 1, b"?").unwrap().len(), data.len() + 1);
}

/// A device with one application that was challenged.
struct Party {
    tam: Tam,
    owner: Owner,
    device: Device,
    ta: Built,
    to: Enrolled,
}

impl Party {
    fn new(module: &[u8]) -> Self {
        let (tam, owner) = (Tam::new(), Owner::new());
        let device = Device::new(&tam);
        let first = attest(&device, &tam, &CHALLENGE);
        let ta = owner.ta(1, module);
        let deployed = deploy(&device, &tam, &first, &[&ta.envelope]);
        assert!(deployed.is_success(), "{deployed:?}");
        let to = attest(&device, &tam, &CHALLENGE);
        Self { tam, owner, device, ta, to }
    }

    fn entry(&self) -> &TaEntry {
        self.to.claims.submods.ta(self.ta.manifest_component.parts()).unwrap()
    }

    fn receiver(&self) -> Key {
        self.entry().receivers[0].clone()
    }

    fn seal(&self, owner: &Owner, callers: &[Key], data: &[u8]) -> (Vec<u8>, Digests) {
        let binding = self.binding(owner, self.to.eat_digest);
        let entropy = &mut SystemEntropy;
        let receiver = self.receiver();
        release::seal(&owner.key, &receiver, &binding, "edge-7", callers, data, entropy).unwrap()
    }

    fn seal_as(
        &self,
        owner: &Owner,
        receiver: &Key,
        eat_digest: [u8; 32],
        data: &[u8],
    ) -> (Vec<u8>, Digests) {
        let binding = self.binding(owner, eat_digest);
        let entropy = &mut SystemEntropy;
        release::seal(&owner.key, receiver, &binding, "edge-7", &[], data, entropy).unwrap()
    }

    fn binding(&self, owner: &Owner, eat_digest: [u8; 32]) -> Binding {
        Binding {
            owner: owner.thumbprint(),
            manifest_digest: self.entry().manifest.digest,
            eat_digest,
            role: Role::Ta,
        }
    }

    fn release(&self, callers: &[Key], data: &[u8]) {
        let (pd, _) = self.seal(&self.owner, callers, data);
        let pd = self.owner.pd(2, &pd);
        let verdict = deploy(&self.device, &self.tam, &self.to, &[&pd.envelope]);
        assert!(verdict.is_success(), "{verdict:?}");
    }

    fn call(
        &self,
        caller: &PrivateKey,
        counter: u64,
        payload: &[u8],
    ) -> Result<Vec<u8>, FailureCode> {
        let entry = self.entry();
        let service =
            Service { key: entry.service_key.clone(), manifest_digest: entry.manifest.digest };
        let (request, awaiting) =
            call::request(&service, caller, counter, payload, &mut SystemEntropy).unwrap();
        let component = for_broker(&self.owner.planner());
        match self.device.ask(Request::CallTa { component, request }) {
            Reply::TaAnswer(answer) => Ok(awaiting.open(&answer).unwrap().expose().to_vec()),
            Reply::Failed(failure) => Err(failure.code),
            other => panic!("{other:?}"),
        }
    }
}

/// The receipt in the report of a release.
fn receipt(verdict: &Verdict) -> Vec<u8> {
    let entries = &verdict.reports()[0].records;
    let receipts = entries.iter().filter_map(|entry| match entry {
        Entry::Properties(_, properties) => properties.find(agent::install::RECEIPT),
        Entry::Record(_) => None,
    });
    match receipts.collect::<Vec<_>>().as_slice() {
        [Parameter::Custom(_, CustomValue::Bytes(receipt))] => receipt.to_vec(),
        other => panic!("{other:?}"),
    }
}

const CANARY: &[u8] = b"CANARY-7f3a-PERSONALIZATION";

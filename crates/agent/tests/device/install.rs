//! Manifests of an owner, carried by a TAM, on a whole agent with real workers.

use agent::install::CAUSE;
use channel::Suite;
use cose::{Header, Payload, Signer as _};
use device::FailureCode;
use device::broker::{Action, Cause, Reply, Request};
use rats::eat::InstanceType;
use suit::Parameter;
use suit::parameter::CustomValue;
use suit::report::{Conclusion, Reason};

use teep::message::{DataItems, Update};
use teep::{ErrCode, Message};

use crate::component;
use crate::support::*;

//= teep 14.55 (M): the challenge is copied into eat_nonce bit for bit
#[test]
fn evidence_names_the_running_application_with_keys_of_this_exchange() {
    let (tam, owner) = (Tam::new(), Owner::new());
    let device = Device::new(&tam);
    let first = attest(&device, &tam, &CHALLENGE);
    assert!(first.claims.submods.is_empty());
    assert_eq!(first.claims.eat_nonce.as_ref().unwrap().as_bytes(), CHALLENGE);
    let ta = owner.ta(1, &component::echo());

    assert!(deploy(&device, &tam, &first, &[&ta.envelope]).is_success());
    let second = attest(&device, &tam, &CHALLENGE);
    let third = attest(&device, &tam, &[0x5b; 64]);

    let entry = second.claims.submods.ta(ta.manifest_component.parts()).unwrap();
    assert_eq!(entry.manifest.digest, ta.digest.bytes());
    assert_eq!(entry.manifest.sequence_number, 1);
    assert_eq!(entry.instance.kind.name(), "process");
    assert_eq!(entry.swname.as_deref(), Some("planner"));
    let again = third.claims.submods.ta(ta.manifest_component.parts()).unwrap();
    assert_eq!(entry.service_key, again.service_key);
    assert_eq!(entry.receivers.len(), Suite::ALL.len());
    for (key, other) in entry.receivers.iter().zip(&again.receivers) {
        assert_ne!(key, other);
    }
    assert_eq!(second.teep, third.teep);
}

#[test]
fn a_restart_keeps_keys_and_applications() {
    let (tam, owner) = (Tam::new(), Owner::new());
    let device = Device::new(&tam);
    let before = attest(&device, &tam, &CHALLENGE);
    let ta = owner.ta(1, &component::echo());
    assert!(deploy(&device, &tam, &before, &[&ta.envelope]).is_success());

    let device = device.restarted();

    let after = attest(&device, &tam, &CHALLENGE);
    assert_eq!(after.teep, before.teep);
    assert_eq!(after.claims.session_keys, before.claims.session_keys);
    assert!(after.claims.submods.ta(ta.manifest_component.parts()).is_some());
    assert_eq!(device.state(), "awaiting release");
}

#[test]
fn an_application_with_one_byte_changed_is_refused_with_both_digests() {
    let (tam, owner) = (Tam::new(), Owner::new());
    let device = Device::new(&tam);
    let to = attest(&device, &tam, &CHALLENGE);
    let module = component::echo();
    let ta = owner.ta(1, &module);
    let at = position(&ta.envelope, &module);
    let mut changed = ta.envelope;
    changed[at + 100] ^= 1;

    let verdict = deploy(&device, &tam, &to, &[&changed]);

    let Conclusion::Failure { reason, record, .. } = verdict.failure() else { panic!() };
    assert_eq!(*reason, Reason::ConditionFailed);
    assert!(!record.properties.is_empty(), "what was measured is reported");
    assert_eq!(device.state(), "none");
}

#[test]
fn an_instance_type_that_the_device_has_not_is_refused_and_both_are_named() {
    let (tam, owner) = (Tam::new(), Owner::new());
    let device = Device::new(&tam);
    let to = attest(&device, &tam, &CHALLENGE);
    let ta = owner.ta_of(InstanceType::Container, 1, &component::echo());

    let verdict = deploy(&device, &tam, &to, &[&ta.envelope]);

    let Conclusion::Failure { reason, record, .. } = verdict.failure() else { panic!() };
    assert_eq!(*reason, Reason::ConditionFailed);
    let cause = "the package asks for a container instance; this device has process";
    let Some(Parameter::Custom(CAUSE, CustomValue::Text(text))) = record.properties.find(CAUSE)
    else {
        panic!("{record:?}")
    };
    assert_eq!(text, cause);
    assert_eq!(device.state(), "none");
}

#[test]
fn a_package_of_an_instance_type_runs_on_a_device_of_another_class_that_has_it() {
    let (tam, owner) = (Tam::new(), Owner::new());
    let device = Device::new(&tam);
    let to = attest(&device, &tam, &CHALLENGE);
    let ta = owner.ta_of(InstanceType::Process, 1, &component::echo());

    assert!(deploy(&device, &tam, &to, &[&ta.envelope]).is_success());

    let device = device.restarted();
    assert_eq!(device.state(), "awaiting release");
}

//= teep 14.67 (M): an older sequence number is refused even in a validly signed Update
#[test]
fn a_lower_sequence_number_is_refused_and_the_newer_application_stays() {
    let (tam, owner) = (Tam::new(), Owner::new());
    let device = Device::new(&tam);
    let to = attest(&device, &tam, &CHALLENGE);
    let (older, newer) = (owner.ta(4, &component::refusing()), owner.ta(5, &component::echo()));
    assert!(deploy(&device, &tam, &to, &[&newer.envelope]).is_success());

    let verdict = deploy(&device, &tam, &to, &[&older.envelope]);

    assert!(matches!(verdict.failure(), Conclusion::Failure { .. }));
    let now = attest(&device, &tam, &CHALLENGE);
    let entry = now.claims.submods.ta(newer.manifest_component.parts()).unwrap();
    assert_eq!(entry.manifest.sequence_number, 5);
}

#[test]
fn an_older_application_is_refused_after_removal_and_restart_too() {
    let (tam, owner) = (Tam::new(), Owner::new());
    let device = Device::new(&tam);
    let to = attest(&device, &tam, &CHALLENGE);
    let (older, newer) = (owner.ta(4, &component::echo()), owner.ta(5, &component::echo()));
    assert!(deploy(&device, &tam, &to, &[&newer.envelope]).is_success());
    let unneeded_manifest_list = vec![newer.manifest_component.clone()];
    let (token, update) = tam.update_of(Update { unneeded_manifest_list, ..Update::default() });
    let answer = device.tell(to.session, update);
    assert!(verdict(&device, &to, token, answer, &mut |_| panic!()).is_success());
    assert_eq!(device.state(), "none");

    let device = device.restarted();

    let to = attest(&device, &tam, &CHALLENGE);
    let verdict = deploy(&device, &tam, &to, &[&older.envelope]);
    assert!(matches!(verdict.failure(), Conclusion::Failure { .. }));
}

//= teep 14.66 (M): the manifest's signer is checked independently of the TAM's signature
#[test]
fn an_owner_cannot_touch_the_component_of_another() {
    let (tam, owner, thief) = (Tam::new(), Owner::new(), Owner::new());
    let device = Device::new(&tam);
    let to = attest(&device, &tam, &CHALLENGE);
    let ta = owner.ta(1, &component::echo());
    let forged = signed_again(&ta, &thief);

    let verdict = deploy(&device, &tam, &to, &[&forged]);

    let Conclusion::Failure { reason, .. } = verdict.failure() else { panic!() };
    assert_eq!(*reason, Reason::ComponentUnauthorised);
    assert_eq!(device.state(), "none");
}

#[test]
fn one_bad_manifest_does_not_stop_the_others_and_the_update_fails() {
    let (tam, owner, other) = (Tam::new(), Owner::new(), Owner::new());
    let device = Device::new(&tam);
    let to = attest(&device, &tam, &CHALLENGE);
    let bad = other.ta(1, b"not wasm");
    let good = owner.ta(1, &component::echo());

    let verdict = deploy(&device, &tam, &to, &[&bad.envelope, &good.envelope]);

    assert!(matches!(verdict, Verdict::Failed(ErrCode::ManifestProcessingFailed, _)));
    assert!(!verdict.reports()[0].succeeded());
    assert!(verdict.reports()[1].succeeded());
    assert_eq!(device.state(), "awaiting release");
}

#[test]
fn a_version_that_does_not_start_leaves_the_old_one_running() {
    let (tam, owner) = (Tam::new(), Owner::new());
    let device = Device::new(&tam);
    let to = attest(&device, &tam, &CHALLENGE);
    let (good, bad) = (owner.ta(1, &component::echo()), owner.ta(2, &component::importing()));
    assert!(deploy(&device, &tam, &to, &[&good.envelope]).is_success());
    let before = attest(&device, &tam, &CHALLENGE);

    let verdict = deploy(&device, &tam, &before, &[&bad.envelope]);

    let Conclusion::Failure { reason, .. } = verdict.failure() else { panic!() };
    assert_eq!(*reason, Reason::OperationFailed);
    let after = attest(&device, &tam, &CHALLENGE);
    let key = |of: &Enrolled| {
        of.claims.submods.ta(good.manifest_component.parts()).unwrap().service_key.clone()
    };
    assert_eq!(key(&after), key(&before));
}

#[test]
fn a_payload_is_fetched_in_ranges_and_its_digest_decides() {
    let (tam, owner) = (Tam::new(), Owner::new());
    let device = Device::new(&tam);
    let to = attest(&device, &tam, &CHALLENGE);
    let module = component::echo();
    let ta = owner.ta_at("http://moc.example/blob", 1, &module);

    let (token, update) = tam.update(&[&ta.envelope]);
    let answer = device.tell(to.session, update);
    let installed = verdict(&device, &to, token, answer, &mut |action| match action {
        Action::Fetch { uri, offset, length, .. } => {
            assert_eq!(uri, "http://moc.example/blob");
            let from = usize::try_from(*offset).unwrap();
            let to = module.len().min(from + usize::try_from(*length).unwrap());
            Ok(module[from..to].to_vec())
        }
        other => panic!("{other:?}"),
    });
    assert!(installed.is_success(), "{installed:?}");

    let newer = owner.ta_at("http://moc.example/blob", 2, &component::refusing());
    for lie in [Ok(component::trapping()), Ok(Vec::new()), Err("404".to_owned())] {
        let (token, update) = tam.update(&[&newer.envelope]);
        let answer = device.tell(to.session, update);
        let refused = verdict(&device, &to, token, answer, &mut |_| lie.clone());
        assert!(matches!(refused.failure(), Conclusion::Failure { .. }), "{lie:?}");
    }
    let now = attest(&device, &tam, &CHALLENGE);
    let entry = now.claims.submods.ta(ta.manifest_component.parts()).unwrap();
    assert_eq!(entry.manifest.sequence_number, 1);
}

//= teep 14.69 (M): what is there already is installed after its digest matched
#[test]
fn a_newer_manifest_of_the_same_application_needs_no_payload() {
    let (tam, owner) = (Tam::new(), Owner::new());
    let device = Device::new(&tam);
    let to = attest(&device, &tam, &CHALLENGE);
    let module = component::echo();
    assert!(deploy(&device, &tam, &to, &[&owner.ta(1, &module).envelope]).is_success());
    let newer = owner.ta_at("http://moc.example/blob", 2, &module);

    // A Broker that is asked for anything fails the test.
    assert!(deploy(&device, &tam, &to, &[&newer.envelope]).is_success());

    let now = attest(&device, &tam, &CHALLENGE);
    let entry = now.claims.submods.ta(newer.manifest_component.parts()).unwrap();
    assert_eq!(entry.manifest.sequence_number, 2);
    assert_eq!(device.restarted().state(), "awaiting release");
}

#[test]
fn a_second_session_waits_for_the_one_that_installs_the_same_manifest() {
    let (tam, owner) = (Tam::new(), Owner::new());
    let device = Device::new(&tam);
    let ua = owner.ua(1, b"program");
    let (first, second) = (attest(&device, &tam, &CHALLENGE), attest(&device, &tam, &CHALLENGE));
    let mut placed = |action: &Action| match action {
        Action::InstallUa { .. } => Ok(Vec::new()),
        other => panic!("{other:?}"),
    };

    let (token, update) = tam.update(&[&ua.envelope]);
    let under_way = device.tell(first.session, update);
    let (later, update) = tam.update(&[&ua.envelope]);
    let refused = device.tell(second.session, update);
    let refused = verdict(&device, &second, later, refused, &mut placed);
    let other = owner.ua(2, b"another program");
    let (beside, update) = tam.update(&[&other.envelope]);
    let other = device.tell(second.session, update);

    assert!(matches!(refused, Verdict::Failed(ErrCode::TemporaryError, _)), "{refused:?}");
    assert!(verdict(&device, &second, beside, other, &mut placed).is_success());
    drop(verdict(&device, &first, token, under_way, &mut placed));
    let (again, update) = tam.update(&[&ua.envelope]);
    let answer = device.tell(second.session, update);
    let answer = verdict(&device, &second, again, answer, &mut placed);
    assert!(!matches!(answer, Verdict::Failed(ErrCode::TemporaryError, _)), "{answer:?}");
}

#[test]
fn a_session_that_its_broker_left_holds_nobody_up() {
    let (tam, owner) = (Tam::new(), Owner::new());
    let device = Device::new(&tam);
    let ua = owner.ua(1, b"program");
    let (first, second) = (attest(&device, &tam, &CHALLENGE), attest(&device, &tam, &CHALLENGE));
    let (_, update) = tam.update(&[&ua.envelope]);
    assert!(!device.tell(first.session, update).actions.is_empty());

    device.left(first.session);

    let (token, update) = tam.update(&[&ua.envelope]);
    let answer = device.tell(second.session, update);
    let installed = verdict(&device, &second, token, answer, &mut |action| match action {
        Action::InstallUa { .. } => Ok(Vec::new()),
        other => panic!("{other:?}"),
    });
    assert!(installed.is_success(), "{installed:?}");
}

#[test]
fn a_ua_is_handed_to_the_broker_and_reported_as_the_broker_s_word() {
    let (tam, owner) = (Tam::new(), Owner::new());
    let device = Device::new(&tam);
    let to = attest(&device, &tam, &CHALLENGE);
    let ua = owner.ua(1, b"program");

    let (token, update) = tam.update(&[&ua.envelope]);
    let answer = device.tell(to.session, update);
    let installed = verdict(&device, &to, token, answer, &mut |action| match action {
        Action::InstallUa { envelope, .. } if *envelope == ua.envelope => Ok(Vec::new()),
        other => panic!("{other:?}"),
    });

    assert!(installed.is_success());
    let suit::report::Entry::Properties(component, properties) = &installed.reports()[0].records[0]
    else {
        panic!()
    };
    assert!(component.is_in_ree());
    assert!(properties.find(agent::install::SAID_BY).is_some());

    let unneeded_manifest_list = vec![ua.manifest_component.clone()];
    let (token, update) = tam.update_of(Update { unneeded_manifest_list, ..Update::default() });
    let answer = device.tell(to.session, update);
    let removed = verdict(&device, &to, token, answer, &mut |action| match action {
        Action::RemoveUa { manifest, .. } => {
            assert_eq!(manifest.elements(), ua.manifest_component.parts());
            Ok(Vec::new())
        }
        other => panic!("{other:?}"),
    });
    assert!(removed.is_success());
}

#[test]
fn a_package_is_installed_whole_with_its_ua_before_its_application() {
    let (tam, owner) = (Tam::new(), Owner::new());
    let device = Device::new(&tam);
    let to = attest(&device, &tam, &CHALLENGE);
    let (ua, ta) = (owner.ua(1, b"program"), owner.ta(1, &component::echo()));
    let package = owner.package(1, &[&ua, &ta]);

    let (token, update) = tam.update(&[&package.envelope]);
    let answer = device.tell(to.session, update);
    let installed = verdict(&device, &to, token, answer, &mut |action| match action {
        Action::InstallUa { envelope, .. } if *envelope == ua.envelope => Ok(Vec::new()),
        other => panic!("{other:?}"),
    });

    assert!(installed.is_success(), "{installed:?}");
    let device = device.restarted();
    let to = attest(&device, &tam, &CHALLENGE);
    assert!(to.claims.submods.ta(ta.manifest_component.parts()).is_some());
    let older = owner.ta(0, &component::echo());
    assert!(!deploy(&device, &tam, &to, &[&older.envelope]).is_success());
}

#[test]
fn a_package_with_one_bad_part_changes_nothing() {
    let (tam, owner) = (Tam::new(), Owner::new());
    let device = Device::new(&tam);
    let to = attest(&device, &tam, &CHALLENGE);
    let (good, bad) = (owner.ta(1, &component::echo()), owner.other_ta(1, b"not wasm"));
    let package = owner.package(1, &[&good, &bad]);

    let refused = deploy(&device, &tam, &to, &[&package.envelope]);

    let Conclusion::Failure { reason, .. } = refused.failure() else { panic!() };
    assert_eq!(*reason, Reason::OperationFailed);
    assert_eq!(device.state(), "none");
    assert_eq!(device.description()["manifests"].as_array().unwrap().len(), 0);
}

#[test]
fn a_broker_that_fails_to_install_a_ua_fails_the_update() {
    let (tam, owner) = (Tam::new(), Owner::new());
    let device = Device::new(&tam);
    let to = attest(&device, &tam, &CHALLENGE);
    let ua = owner.ua(1, b"program");

    let (token, update) = tam.update(&[&ua.envelope]);
    let answer = device.tell(to.session, update);
    let refused = verdict(&device, &to, token, answer, &mut |_| Err("disk full".to_owned()));

    let Conclusion::Failure { record, .. } = refused.failure() else { panic!() };
    assert!(record.properties.find(CAUSE).is_some());
}

#[test]
fn answers_to_actions_that_nobody_asked_for_change_nothing() {
    let (tam, owner) = (Tam::new(), Owner::new());
    let device = Device::new(&tam);
    let to = attest(&device, &tam, &CHALLENGE);
    let (_, update) = tam.update(&[&owner.ta_at("http://a.example/b", 1, b"x").envelope]);
    let answer = device.tell(to.session, update);
    let asked = answer.actions[0].id();

    for (session, action) in [(to.session, asked + 1), (to.session + 7, asked)] {
        let outcome = Ok(Vec::new());
        let failure = device.failure(Request::ActionDone { session, action, outcome });
        assert_eq!(failure.code, FailureCode::Misbehaved);
    }
    let (_, another) = tam.update(&[]);
    let message = Request::ProcessTeepMessage { session: to.session, message: another };
    assert_eq!(device.failure(message).code, FailureCode::Misbehaved);
}

#[test]
fn a_truncated_message_and_an_unknown_tam_get_an_error_and_no_evidence() {
    let (tam, stranger) = (Tam::new(), Tam::new());
    let device = Device::new(&tam);
    let enrolled = attest(&device, &tam, &CHALLENGE);

    let (_, query) = tam.query(DataItems::ATTESTATION, Some(&CHALLENGE));
    let answer = device.tell(connect(&device), query[..query.len() - 5].to_vec());
    let Message::Error(error) = open(answer.message.as_deref().unwrap(), &enrolled.teep) else {
        panic!()
    };
    assert_eq!((error.err_code, error.token), (ErrCode::PermanentError, None));

    let (_, query) = stranger.query(DataItems::ATTESTATION, Some(&CHALLENGE));
    let answer = device.tell(connect(&device), query);
    let Message::Error(error) = open(answer.message.as_deref().unwrap(), &enrolled.teep) else {
        panic!()
    };
    assert_eq!(error.err_code, ErrCode::BadCertificate);
}

#[test]
fn an_application_asks_for_its_component_until_it_is_installed() {
    let (tam, owner) = (Tam::new(), Owner::new());
    let device = Device::new(&tam);
    let component = for_broker(&owner.planner());
    let request = || Request::RequestTa { component: component.clone(), tam_uri: None };

    let session = device.session(request());
    assert_eq!(session.uri.as_deref(), Some(URI));
    let (_, query) = tam.query(DataItems::TRUSTED_COMPONENTS, None);
    let answer = device.tell(session.session, query).message.unwrap();
    let enrolled = attest(&device, &tam, &CHALLENGE);
    let Message::QueryResponse(response) = open(&answer, &enrolled.teep) else { panic!() };
    assert_eq!(response.requested_tc_list[0].component, owner.planner());
    assert_eq!(response.attestation_payload, None);
    let ta = owner.ta(1, &component::echo());
    assert!(deploy(&device, &tam, &enrolled, &[&ta.envelope]).is_success());

    assert_eq!(device.ask(request()), Reply::Nothing);
}

#[test]
fn an_application_that_is_not_there_cannot_be_called() {
    let tam = Tam::new();
    let device = Device::new(&tam);
    let component = for_broker(&Owner::new().planner());

    let failure = device.failure(Request::CallTa { component, request: vec![1] });

    assert_eq!(failure.code, FailureCode::Absent);
}

#[test]
fn an_error_of_the_transport_ends_the_session_quietly() {
    let tam = Tam::new();
    let device = Device::new(&tam);
    let session = connect(&device);

    let reply = device.ask(Request::ProcessError { session, cause: Cause::Unreachable });

    assert_eq!(reply, Reply::Nothing);
    let (_, query) = tam.query(DataItems::TRUSTED_COMPONENTS, None);
    let failure = device.failure(Request::ProcessTeepMessage { session, message: query });
    assert_eq!(failure.code, FailureCode::Misbehaved);
}

#[test]
fn storage_that_was_set_back_stops_the_agent() {
    let (tam, owner) = (Tam::new(), Owner::new());
    let device = Device::new(&tam);
    let to = attest(&device, &tam, &CHALLENGE);
    let copy = tempfile::tempdir().unwrap();
    copy_files(device.storage.path(), copy.path());
    let ta = owner.ta(1, &component::echo());
    assert!(deploy(&device, &tam, &to, &[&ta.envelope]).is_success());

    copy_files(copy.path(), device.storage.path());
    for entry in std::fs::read_dir(device.storage.path()).unwrap() {
        let entry = entry.unwrap();
        if !copy.path().join(entry.file_name()).exists() {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }

    let error = device.try_restart().unwrap_err();
    assert!(format!("{error:#}").contains("set back"), "{error:#}");
}

fn copy_files(from: &std::path::Path, to: &std::path::Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn position(of: &[u8], part: &[u8]) -> usize {
    of.windows(part.len()).position(|window| window == part).unwrap()
}

/// The owner's manifest under the signature of somebody else, which is a valid one.
fn signed_again(built: &suit::build::Built, thief: &Owner) -> Vec<u8> {
    let digest = built.digest.encode();
    let header = Header { kccs: Some(thief.key.key().clone()), ..Header::default() };
    let detached = Payload::Detached(&digest);
    let signature = cose::sign1(&thief.key, Header::default(), header, &[], detached).unwrap();
    let mut wrapper = minicbor::Encoder::new(Vec::new());
    wrapper.array(2).unwrap().bytes(&digest).unwrap().bytes(&signature).unwrap();
    let mut authentication = minicbor::Encoder::new(Vec::new());
    authentication.bytes(&wrapper.into_writer()).unwrap();

    let mut d = minicbor::Decoder::new(&built.envelope);
    d.map().unwrap();
    assert_eq!(d.u8().unwrap(), 2, "the authentication wrapper comes first");
    let start = d.position();
    d.skip().unwrap();
    let end = d.position();
    [&built.envelope[..start], &authentication.into_writer(), &built.envelope[end..]].concat()
}

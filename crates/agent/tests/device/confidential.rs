//! What an agent tells its TAM alone: Evidence and SUIT reports, encrypted to the TAM's key.

use cose::Curve;
use keys::AgreementKey;
use suit::report::Conclusion;
use teep::message::DataItems;
use teep::{ErrCode, Message, SuitCoseProfile};

use crate::component;
use crate::support::*;

#[test]
fn evidence_and_every_report_are_for_the_tam_alone() {
    let (tam, owner) = (Tam::confidential(), Owner::new());
    let device = Device::new(&tam);
    let to = attest(&device, &tam, &CHALLENGE);
    let ta = owner.ta(2, &component::echo());

    // Each report is opened with the TAM's key, and nobody reads it without.
    let installed = deploy(&device, &tam, &to, &[&ta.envelope]);
    let refused = deploy(&device, &tam, &to, &[&owner.ta(1, &component::echo()).envelope]);
    let (token, query) = tam.query(DataItems::SUIT_REPORTS, None);
    let answer = device.tell(connect(&device), query).message.unwrap();

    assert!(installed.is_success());
    assert!(matches!(refused.failure(), Conclusion::Failure { .. }));
    let Message::QueryResponse(response) = open(&answer, &to.teep) else { panic!() };
    let [report] = &response.suit_reports[..] else { panic!("{response:?}") };
    let report = to.report(report);
    assert_eq!(report.reference.digest, ta.digest);
    assert_eq!(report.nonce.as_deref(), Some(token.as_bytes()));
}

#[test]
fn each_profile_of_the_tam_will_do() {
    for profile in SuitCoseProfile::MANDATORY {
        let tam = Tam { profiles: vec![profile], ..Tam::confidential() };
        let device = Device::new(&tam);
        let to = attest(&device, &tam, &CHALLENGE);

        let installed =
            deploy(&device, &tam, &to, &[&Owner::new().ta(1, &component::echo()).envelope]);

        assert!(installed.is_success(), "{profile:?}");
        assert_eq!(installed.reports().len(), 1);
    }
}

#[test]
fn what_no_common_profile_encrypts_is_not_given_out() {
    let tam = Tam::confidential();
    let device = Device::new(&tam);
    let mut to = attest(&device, &tam, &CHALLENGE);
    let unknown = SuitCoseProfile { key_exchange: -25, ..SuitCoseProfile::MANDATORY[0] };
    let other = Tam { profiles: vec![unknown], ..tam };
    to.session = connect(&device);

    let (_, query) = other.query(DataItems::ATTESTATION, Some(&CHALLENGE));
    let answer = device.tell(to.session, query).message.unwrap();
    let Message::Error(error) = open(&answer, &to.teep) else { panic!() };
    assert_eq!(error.err_code, ErrCode::TemporaryError);
    let (_, query) = other.query(DataItems::TRUSTED_COMPONENTS, None);
    device.tell(to.session, query).message.unwrap();
    let ta = Owner::new().ta(1, &component::echo());
    let installed = deploy(&device, &other, &to, &[&ta.envelope]);

    assert!(installed.is_success());
    assert_eq!(installed.reports(), []);
}

#[test]
fn a_key_that_is_not_the_tam_s_opens_nothing() {
    let tam = Tam::confidential();
    let device = Device::new(&tam);
    let session = connect(&device);
    let (_, query) = tam.query(DataItems::ATTESTATION, Some(&CHALLENGE));
    let answer = device.tell(session, query).message.unwrap();
    let payload = cose::Sign1::decode(&answer, cose::Tagging::Tagged).unwrap().payload.unwrap();
    let Message::QueryResponse(response) = Message::decode(payload, teep::Numbering::V26).unwrap()
    else {
        panic!()
    };
    let evidence = response.attestation_payload.unwrap().bytes;
    let other = AgreementKey::generate(Curve::P256).unwrap();

    assert!(rats::eat::decrypt(&evidence, &other).is_err());
    assert!(rats::eat::decrypt(&evidence, &**tam.confidant.as_ref().unwrap()).is_ok());
}

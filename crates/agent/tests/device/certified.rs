//! A TAM that the agent knows by an authority, which certifies its key.

use cose::Signer as _;
use teep::envelope::{Dialect, Sealed};
use teep::message::DataItems;
use teep::{ErrCode, Message, Numbering};

use crate::authority::{Authority, EARLY, EXPIRED, VALID};
use crate::component;
use crate::support::*;

#[test]
fn a_tam_whose_key_is_certified_is_served_like_one_whose_key_is_named() {
    let authority = Authority::new();
    let mut tam = Tam { root: Some(authority.anchor()), ..Tam::confidential() };
    tam.chain = vec![authority.certify(tam.key.key(), VALID)];
    let device = Device::new(&tam);

    // Whose key it is tells also whom Evidence and reports are encrypted to.
    let to = attest(&device, &tam, &CHALLENGE);
    let ta = Owner::new().ta(1, &component::echo());
    let installed = deploy(&device, &tam, &to, &[&ta.envelope]);

    assert!(installed.is_success());
}

//= teep 14.51 (M): a bad certificate gives Error 6, an expired one Error 9, and no attestation data
#[test]
fn a_tam_without_a_chain_to_the_authority_learns_nothing_but_why() {
    let (authority, other) = (Authority::new(), Authority::new());
    let mut tam = Tam { root: Some(authority.anchor()), ..Tam::new() };
    let device = Device::new(&tam);
    let own = tam.key.key().clone();
    let stranger = Owner::new().key.key().clone();

    for (chain, code) in [
        (vec![], ErrCode::BadCertificate),
        (vec![other.certify(&own, VALID)], ErrCode::BadCertificate),
        (vec![authority.certify(&stranger, VALID)], ErrCode::BadCertificate),
        (vec![authority.certify(&own, EXPIRED)], ErrCode::CertificateExpired),
        (vec![authority.certify(&own, EARLY)], ErrCode::CertificateExpired),
    ] {
        tam.chain = chain;
        let (_, query) = tam.query(DataItems::ATTESTATION, Some(&CHALLENGE));

        let answer = device.tell(connect(&device), query).message.unwrap();

        let sealed = Sealed::decode(&answer, &Dialect::default()).unwrap();
        let told = Message::decode(sealed.unverified_payload(), Numbering::V26).unwrap();
        let Message::Error(error) = told else { panic!("{told:?}") };
        assert_eq!((error.err_code, error.token), (code, None));
    }
}

/// What the Network M/OC owns holds no Personalization Data, however its key is known.
#[test]
fn a_certified_tam_s_own_package_with_data_is_refused() {
    let authority = Authority::new();
    let mut tam = Tam { root: Some(authority.anchor()), ..Tam::new() };
    tam.chain = vec![authority.certify(tam.key.key(), VALID)];
    let device = Device::new(&tam);
    let to = attest(&device, &tam, &CHALLENGE);
    let own =
        Owner { key: keys::SigningKey::from_pkcs8(tam.key.to_pkcs8().unwrap().expose()).unwrap() };

    let refused = deploy(&device, &tam, &to, &[&own.pd(1, b"sealed").envelope]);

    let suit::report::Conclusion::Failure { reason, .. } = refused.failure() else { panic!() };
    assert_eq!(*reason, suit::report::Reason::ComponentUnauthorised);
}

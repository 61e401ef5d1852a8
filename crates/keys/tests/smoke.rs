//! Keys of this crate sign and agree through the traits of `cose`.

use cose::{Accept, Algorithm, Header, Payload, Sign, Sign1, Signer, Tagging, Untrusted};
use keys::SigningKey;

const ALGORITHMS: [Algorithm; 3] = [Algorithm::Esp256, Algorithm::Ed25519, Algorithm::Esp384];

#[test]
fn what_one_key_signs_only_that_key_verifies() {
    for algorithm in ALGORITHMS {
        let key = SigningKey::generate(algorithm).unwrap();
        let other = SigningKey::generate(algorithm).unwrap();

        let bytes = cose::sign1(
            &key,
            Header::default(),
            Header::default(),
            b"aad",
            Payload::Attached(b"payload"),
        )
        .unwrap();

        let message = Sign1::decode(&bytes, Tagging::Tagged).unwrap();
        let verified = message.verify(key.key(), &Accept::CURRENT, b"aad").unwrap();
        assert_eq!(*verified.get(), b"payload");
        assert_eq!(verified.thumbprint(), key.key().thumbprint());
        assert_eq!(message.kid(), Some(key.key().thumbprint().as_ref()));
        assert_eq!(
            message.verify(other.key(), &Accept::CURRENT, b"aad"),
            Err(Untrusted::Signature)
        );
        assert_eq!(message.verify(key.key(), &Accept::CURRENT, b""), Err(Untrusted::Signature));
        assert_eq!(
            message.verify(key.key(), &Accept::NONE, b"aad"),
            Err(Untrusted::Algorithm { algorithm })
        );
    }
}

#[test]
fn every_signature_of_a_sign_verifies_with_its_own_key() {
    let all: Vec<SigningKey> =
        ALGORITHMS.iter().map(|algorithm| SigningKey::generate(*algorithm).unwrap()).collect();
    let signers: Vec<&dyn Signer> = all.iter().map(|key| key as &dyn Signer).collect();

    let bytes = cose::sign(&signers, &[], Payload::Detached(b"payload")).unwrap();

    let message = Sign::decode(&bytes, Tagging::Tagged).unwrap();
    for (index, key) in all.iter().enumerate() {
        let verified = message
            .verify_one_detached(index, key.key(), &Accept::CURRENT, &[], b"payload")
            .unwrap();
        assert_eq!(verified.thumbprint(), key.key().thumbprint());
    }
    assert_eq!(
        message.verify_one(0, all[0].key(), &Accept::CURRENT, &[]),
        Err(Untrusted::PayloadDetached)
    );
}

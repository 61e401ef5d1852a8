//! Signing and verifying: who, what, with which algorithm.

use cose::{
    Accept, Algorithm, Curve, Header, Key, KeyUnusable, Payload, Sign, Sign1, Signer, Tagging,
    Untrusted,
};

use crate::fixture::{CURRENT, TestAgreement, TestSigner};

#[test]
fn a_message_verifies_with_its_key_and_no_other() {
    for algorithm in CURRENT {
        let signer = TestSigner::new(algorithm, 1);
        let other = TestSigner::new(algorithm, 2);
        let bytes = sign1(&signer, b"aad", Payload::Attached(b"payload"));
        let message = Sign1::decode(&bytes, Tagging::Tagged).unwrap();

        let verified = message.verify(signer.key(), &Accept::CURRENT, b"aad").unwrap();

        assert_eq!(*verified.get(), b"payload");
        assert_eq!(verified.thumbprint(), signer.key().thumbprint());
        assert_eq!(refusal(&message, other.key(), b"aad"), Untrusted::Signature);
        assert_eq!(refusal(&message, signer.key(), b""), Untrusted::Signature);
    }
}

#[test]
fn a_detached_payload_is_given_by_the_caller() {
    let signer = TestSigner::new(Algorithm::Esp256, 1);
    let detached = sign1(&signer, b"", Payload::Detached(b"payload"));
    let attached = sign1(&signer, b"", Payload::Attached(b"payload"));
    let detached = Sign1::decode(&detached, Tagging::Tagged).unwrap();
    let attached = Sign1::decode(&attached, Tagging::Tagged).unwrap();
    let over = |message: &Sign1<'_>, payload: &'static [u8]| {
        message
            .verify_detached(signer.key(), &Accept::CURRENT, &[], payload)
            .map(|verified| verified.into_inner())
    };

    assert_eq!(over(&detached, b"payload"), Ok(b"payload".as_slice()));
    assert_eq!(over(&detached, b"Payload"), Err(Untrusted::Signature));
    assert_eq!(over(&attached, b"payload"), Err(Untrusted::PayloadAttached));
    assert_eq!(refusal(&detached, signer.key(), b""), Untrusted::PayloadDetached);
}

//= teep 15.105, EV-CCA-8 (M): the algorithm must fit the key and be accepted
#[test]
fn the_algorithm_must_be_accepted_and_fit_the_key() {
    for algorithm in CURRENT {
        let signer = TestSigner::new(algorithm, 1);
        let bytes = sign1(&signer, b"", Payload::Attached(b""));
        let message = Sign1::decode(&bytes, Tagging::Tagged).unwrap();
        for other in CURRENT.into_iter().filter(|other| *other != algorithm) {
            assert_eq!(
                message.verify(signer.key(), &Accept::only(other), &[]),
                Err(Untrusted::Algorithm { algorithm })
            );
            assert_eq!(
                refusal(&message, TestSigner::new(other, 1).key(), b""),
                Untrusted::KeyMismatch
            );
        }
        let x25519 = TestAgreement::new(Curve::X25519, 1);
        assert_eq!(refusal(&message, agreement_key(&x25519), b""), Untrusted::KeyMismatch);
    }
}

//= teep 15.105 (M): ES256 in place of ESP256 with the same key is refused unless configured
#[test]
fn legacy_algorithms_verify_on_request_and_are_never_emitted() {
    let pairs = [
        (Algorithm::Esp256, Algorithm::Es256),
        (Algorithm::Ed25519, Algorithm::EdDsa),
        (Algorithm::Esp384, Algorithm::Es384),
    ];
    for (current, legacy) in pairs {
        let signer = TestSigner::new(current, 1);
        let bytes = by_hand(&signer, legacy);
        let message = Sign1::decode(&bytes, Tagging::Tagged).unwrap();

        assert_eq!(message.protected.algorithm, Some(legacy));
        assert!(message.verify(signer.key(), &Accept::WITH_LEGACY, &[]).is_ok());
        assert_eq!(
            message.verify(signer.key(), &Accept::CURRENT, &[]),
            Err(Untrusted::Algorithm { algorithm: legacy })
        );
        assert_eq!(emit(&TestSigner::new(legacy, 1)), Err(KeyUnusable));
    }
}

#[test]
fn a_signer_whose_key_does_not_fit_is_refused() {
    let pretender = Pretender(TestSigner::new(Algorithm::Ed25519, 1));

    assert_eq!(emit(&pretender), Err(KeyUnusable));
}

#[test]
fn an_unknown_algorithm_is_refused_by_its_number() {
    let signer = TestSigner::new(Algorithm::Esp256, 1);
    let bytes = by_hand(&signer, Algorithm::Other(-48));

    let message = Sign1::decode(&bytes, Tagging::Tagged).unwrap();

    assert_eq!(
        message.verify(signer.key(), &Accept::WITH_LEGACY, &[]),
        Err(Untrusted::Algorithm { algorithm: Algorithm::Other(-48) })
    );
}

//= EV-COM-12: r and s are of full length, big-endian, and not zero
#[test]
fn signatures_of_another_length_or_of_zeros_are_refused() {
    for algorithm in CURRENT {
        let signer = TestSigner::new(algorithm, 1);
        let bytes = sign1(&signer, b"", Payload::Attached(b"payload"));
        let message = Sign1::decode(&bytes, Tagging::Tagged).unwrap();
        let good = message.signature.to_vec();
        let half = good.len() / 2;
        let mut longer = good.clone();
        longer.push(0);
        let der = [&[0x30, 0x44, 0x02, 0x20], &good[..half], &[0x02, 0x20], &good[half..]].concat();
        let bad: [&[u8]; 7] = [
            &[],
            &good[1..],
            &longer,
            &vec![0; good.len()],
            &[&vec![0; half], &good[half..]].concat(),
            &[&good[..half], &vec![0xff; half]].concat(),
            &der,
        ];
        for signature in bad {
            let mut forged = message.clone();
            forged.signature = signature;
            assert_eq!(refusal(&forged, signer.key(), b""), Untrusted::Signature);
        }
    }
}

#[test]
fn untagged_messages_differ_by_the_tag_alone() {
    let signer = TestSigner::new(Algorithm::Ed25519, 1);
    let tagged = sign1(&signer, b"", Payload::Attached(b"payload"));

    let untagged = cose::sign1_untagged(
        &signer,
        Header::default(),
        Header::default(),
        &[],
        Payload::Attached(b"payload"),
    );

    assert_eq!(untagged.unwrap(), tagged[1..]);
}

#[test]
fn every_signature_of_a_sign_stands_alone() {
    let signers = CURRENT.map(|algorithm| TestSigner::new(algorithm, 1));
    let handles: Vec<&dyn Signer> = signers.iter().map(|one| one as &dyn Signer).collect();
    let bytes = cose::sign(&handles, b"aad", Payload::Detached(b"payload")).unwrap();

    let message = Sign::decode(&bytes, Tagging::Tagged).unwrap();

    for (index, signer) in signers.iter().enumerate() {
        let over = |payload| {
            message.verify_one_detached(index, signer.key(), &Accept::CURRENT, b"aad", payload)
        };
        assert_eq!(over(b"payload").unwrap().thumbprint(), signer.key().thumbprint());
        assert_eq!(over(b"other"), Err(Untrusted::Signature));
        assert_eq!(
            message.verify_one(index, signer.key(), &Accept::CURRENT, b"aad"),
            Err(Untrusted::PayloadDetached)
        );
    }
    assert_eq!(cose::sign(&[], b"", Payload::Attached(b"")), Err(KeyUnusable));
}

/// The context strings differ, so a signature cannot move between the two objects.
#[test]
fn a_signature_of_sign1_is_none_of_sign() {
    let signer = TestSigner::new(Algorithm::Esp256, 1);
    let bytes = sign1(&signer, b"", Payload::Attached(b"payload"));
    let single = Sign1::decode(&bytes, Tagging::Tagged).unwrap();
    let handles: [&dyn Signer; 1] = [&signer];
    let bytes = cose::sign(&handles, b"", Payload::Attached(b"payload")).unwrap();
    let mut several = Sign::decode(&bytes, Tagging::Tagged).unwrap();
    assert!(several.verify_one(0, signer.key(), &Accept::CURRENT, &[]).is_ok());

    several.signatures[0].signature = single.signature;

    assert_eq!(
        several.verify_one(0, signer.key(), &Accept::CURRENT, &[]),
        Err(Untrusted::Signature)
    );
}

#[test]
fn an_attached_payload_of_sign_is_not_replaced() {
    let signer = TestSigner::new(Algorithm::Esp256, 1);
    let handles: [&dyn Signer; 1] = [&signer];
    let bytes = cose::sign(&handles, b"", Payload::Attached(b"payload")).unwrap();
    let message = Sign::decode(&bytes, Tagging::Tagged).unwrap();

    assert_eq!(
        message.verify_one_detached(0, signer.key(), &Accept::CURRENT, &[], b"payload"),
        Err(Untrusted::PayloadAttached)
    );
}

/// RFC 9052 section 4.4: an empty map and an empty string are the same protected header.
#[test]
fn an_empty_protected_map_is_signed_as_an_empty_string() {
    let signer = TestSigner::new(Algorithm::Esp256, 1);
    let handles: [&dyn Signer; 1] = [&signer];
    let bytes = cose::sign(&handles, b"", Payload::Attached(b"payload")).unwrap();
    assert_eq!(bytes[..5], [0xd8, 0x62, 0x84, 0x40, 0xa0]);
    let with_map = [&bytes[..3], &[0x41, 0xa0], &bytes[4..]].concat();

    let message = Sign::decode(&with_map, Tagging::Tagged).unwrap();

    assert!(message.verify_one(0, signer.key(), &Accept::CURRENT, &[]).is_ok());
}

#[test]
fn a_critical_parameter_of_the_body_binds_every_signature() {
    let signer = TestSigner::new(Algorithm::Esp256, 1);
    let handles: [&dyn Signer; 1] = [&signer];
    let bytes = cose::sign(&handles, b"", Payload::Attached(b"payload")).unwrap();
    let critical = [0x48, 0xa2, 0x02, 0x81, 0x18, 0x63, 0x18, 0x63, 0x00];
    let forged = [&bytes[..3], &critical, &bytes[4..]].concat();

    let message = Sign::decode(&forged, Tagging::Tagged).unwrap();

    assert_eq!(
        message.verify_one(0, signer.key(), &Accept::CURRENT, &[]),
        Err(Untrusted::CriticalHeader(99))
    );
}

/// Claims an algorithm that its key does not have.
struct Pretender(TestSigner);

impl Signer for Pretender {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Esp256
    }

    fn key(&self) -> &Key {
        self.0.key()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyUnusable> {
        self.0.sign(message)
    }
}

/// A COSE_Sign1 with any algorithm in its header.
fn by_hand(signer: &TestSigner, algorithm: Algorithm) -> Vec<u8> {
    let protected = cose::cbor::encode(|e| e.map(1)?.u8(1)?.i64(algorithm.id())?.ok());
    let signed = cose::cbor::encode(|e| {
        e.array(4)?.str("Signature1")?.bytes(&protected)?.bytes(&[])?.bytes(b"payload")?.ok()
    });
    let signature = signer.sign(&signed).expect("the key signs");
    cose::cbor::encode(|e| {
        e.tag(cose::cbor::Tag::new(18))?.array(4)?.bytes(&protected)?.map(0)?;
        e.bytes(b"payload")?.bytes(&signature)?.ok()
    })
}

fn sign1(signer: &TestSigner, external_aad: &[u8], payload: Payload<'_>) -> Vec<u8> {
    cose::sign1(signer, Header::default(), Header::default(), external_aad, payload)
        .expect("the key signs")
}

fn emit(signer: &dyn Signer) -> Result<Vec<u8>, KeyUnusable> {
    cose::sign1(signer, Header::default(), Header::default(), &[], Payload::Attached(b""))
}

fn refusal(message: &Sign1<'_>, key: &Key, external_aad: &[u8]) -> Untrusted {
    message.verify(key, &Accept::CURRENT, external_aad).expect_err("the message is refused")
}

fn agreement_key(agreement: &TestAgreement) -> &Key {
    cose::Agreement::key(agreement)
}

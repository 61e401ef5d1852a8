//! COSE_Mac0 and COSE_Mac.

use cose::encrypt::{Opener, Recipient, other};
use cose::mac::{Mac, Mac0, mac, mac0};
use cose::{
    Agreement as _, Algorithm, Curve, Header, KeyUnusable, Malformed, Payload, Secret, Tagging,
    Untrusted,
};

use crate::fixture::{TestAgreement, Vectors, hex};
use crate::vectors::authentication;

#[test]
fn the_macs_of_the_draft_verify() {
    let Some(vectors) = Vectors::find() else { return };
    let key = vectors.secret("suit/keys/HMAC-1");
    for file in ["aes-kw-content", "aes-kw", "aes-kw-slot"] {
        let bytes = vectors.read(&format!("suit/firmware-encryption-24/suit-manifest-{file}.cbor"));
        let (digest, block) = authentication(&bytes).unwrap();

        let message = Mac0::decode(block, Tagging::Tagged).unwrap();

        assert_eq!(message.verify_detached(&key, &[], digest), Ok(digest));
        assert_eq!(
            message.verify_detached(&Secret::new(vec![0; 32]), &[], digest),
            Err(Untrusted::Authentication)
        );
        let ours = mac0(&key, Header::default(), Header::default(), &[], Payload::Detached(digest));
        assert_eq!(ours.unwrap(), block, "{file}");
    }
}

#[test]
fn a_mac0_verifies_with_its_key_payload_and_context_only() {
    let protected = Header { kid: Some(b"kid".to_vec()), ..Header::default() };
    let bytes =
        mac0(&key(), protected, Header::default(), b"aad", Payload::Attached(b"payload")).unwrap();

    let message = Mac0::decode(&bytes, Tagging::Tagged).unwrap();

    assert_eq!(message.kid(), Some(b"kid".as_slice()));
    assert_eq!(message.verify(&key(), b"aad"), Ok(b"payload".as_slice()));
    assert_eq!(message.verify(&key(), b""), Err(Untrusted::Authentication));
    assert_eq!(
        message.verify_detached(&key(), b"aad", b"payload"),
        Err(Untrusted::PayloadAttached)
    );
    assert_eq!(message.verify(&Secret::new(vec![1; 16]), b"aad"), Err(Untrusted::KeyMismatch));
}

#[test]
fn every_flipped_bit_of_a_mac0_is_refused() {
    let bytes =
        mac0(&key(), Header::default(), Header::default(), &[], Payload::Attached(b"payload"))
            .unwrap();
    for bit in 0..8 * bytes.len() {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);

        let accepted = Mac0::decode(&flipped, Tagging::Tagged)
            .is_ok_and(|message| message.verify(&key(), &[]).is_ok());

        assert!(!accepted, "bit {bit}");
    }
}

#[test]
fn another_algorithm_or_none_is_refused() {
    let cases = [
        ("d1 84 43a10104 a0 40 40", Untrusted::Algorithm { algorithm: Algorithm::Other(4) }),
        ("d1 84 43a10128 a0 40 40", Untrusted::Algorithm { algorithm: Algorithm::Esp256 }),
        ("d1 84 40 a10105 40 40", Untrusted::AlgorithmNotProtected),
        ("d1 84 43a10105 a0 f6 40", Untrusted::PayloadDetached),
        ("d1 84 43a10105 a0 40 40", Untrusted::Authentication),
        ("d1 84 4aa3010502811818 181800 a0 40 40", Untrusted::CriticalHeader(24)),
    ];
    for (bytes, fault) in cases {
        let bytes = hex(bytes);
        let message = match Mac0::decode(&bytes, Tagging::Tagged) {
            Ok(message) => message,
            Err(fault) => panic!("{bytes:02x?}: {fault}"),
        };
        assert_eq!(message.verify(&key(), &[]), Err(fault), "{bytes:02x?}");
    }
}

#[test]
fn keys_of_another_length_make_no_macs() {
    let short = Secret::new(vec![0; 31]);

    let refused = mac0(&short, Header::default(), Header::default(), &[], Payload::Attached(b""));

    assert_eq!(refused, Err(KeyUnusable));
    assert_eq!(mac(short, &[], "", &[], Payload::Attached(b"")), Err(KeyUnusable));
    assert_eq!(mac(key(), &[], "", &[], Payload::Attached(b"")), Err(KeyUnusable));
}

//= suit 13.8 (M): COSE_Mac is read
#[test]
fn a_mac_reaches_its_recipients() {
    let kek = Secret::new(vec![1; 16]);
    let receiver = TestAgreement::new(Curve::P256, 3);
    let ephemeral = TestAgreement::new(Curve::P256, 4);
    let recipients = [
        Recipient::KeyWrap { key: &kek, kid: Some(b"kek") },
        Recipient::Agreement { receiver: receiver.key(), ephemeral: &ephemeral },
    ];
    let payload = Payload::Attached(b"payload".as_slice());
    let bytes = mac(key(), &recipients, other::SUIT_PAYLOAD, b"aad", payload).unwrap();
    let message = Mac::decode(&bytes, Tagging::Tagged).unwrap();
    let shared = Opener::KeyWrap { key: &kek, kid: None };
    let private = Opener::Agreement(&receiver);

    for opener in [shared, private] {
        let verified = message.verify(&opener, other::SUIT_PAYLOAD, b"aad");
        assert_eq!(verified, Ok(b"payload".as_slice()));
        let refused = message.verify(&opener, other::SUIT_PAYLOAD, b"");
        assert_eq!(refused, Err(Untrusted::Authentication));
    }
    assert_eq!(message.verify(&private, other::EAT, b"aad"), Err(Untrusted::Authentication));
    assert_eq!(
        message.verify_detached(&shared, "", b"aad", b"payload"),
        Err(Untrusted::PayloadAttached)
    );
    assert_eq!(
        Mac0::decode(&bytes, Tagging::Tagged).err(),
        Some(Malformed::Expected("another COSE tag"))
    );
}

#[test]
fn a_mac_with_a_detached_payload_or_a_short_key_is_checked_too() {
    let kek = Secret::new(vec![1; 16]);
    let recipients = [Recipient::KeyWrap { key: &kek, kid: None }];
    let bytes = mac(key(), &recipients, "", &[], Payload::Detached(b"payload")).unwrap();
    let message = Mac::decode(&bytes, Tagging::Tagged).unwrap();
    let opener = Opener::KeyWrap { key: &kek, kid: None };

    assert_eq!(message.verify(&opener, "", &[]), Err(Untrusted::PayloadDetached));
    assert_eq!(message.verify_detached(&opener, "", &[], b"payload"), Ok(b"payload".as_slice()));
    assert_eq!(message.verify_detached(&opener, "", &[], b"other"), Err(Untrusted::Authentication));
}

fn key() -> Secret {
    Secret::new(vec![7; 32])
}

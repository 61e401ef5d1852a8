//! Keys in memory, through the traits of `cose`.

use std::path::PathBuf;

use cose::encrypt::{
    ContentAlgorithm, ContentKey, Encrypt, Integrity, Opener, Recipient, encrypt, other,
};
use cose::{
    Accept, Agreement as _, Algorithm, Curve, Header, Key, KeyUnusable, Payload, Sign, Sign1,
    Signer, Tagging, Untrusted,
};
use keys::{AgreementKey, KeyRejected, SigningKey, SystemEntropy};

const ALGORITHMS: [Algorithm; 3] = [Algorithm::Esp256, Algorithm::Ed25519, Algorithm::Esp384];
const CURVES: [Curve; 3] = [Curve::P256, Curve::P384, Curve::X25519];

#[test]
fn what_one_key_signs_only_that_key_verifies() {
    for algorithm in ALGORITHMS {
        let key = SigningKey::generate(algorithm).unwrap();
        let other = SigningKey::generate(algorithm).unwrap();

        let bytes = sign(&key);

        let message = Sign1::decode(&bytes, Tagging::Tagged).unwrap();
        let verified = message.verify(key.key(), &Accept::CURRENT, &[]).unwrap();
        assert_eq!(*verified.get(), b"payload");
        assert_eq!(verified.thumbprint(), key.key().thumbprint());
        assert_eq!(key.algorithm(), algorithm);
        assert_eq!(message.verify(other.key(), &Accept::CURRENT, &[]), Err(Untrusted::Signature));
    }
}

#[test]
fn every_signature_of_a_sign_verifies_with_its_own_key() {
    let all = ALGORITHMS.map(|algorithm| SigningKey::generate(algorithm).unwrap());
    let signers: Vec<&dyn Signer> = all.iter().map(|key| key as &dyn Signer).collect();

    let bytes = cose::sign(&signers, &[], Payload::Attached(b"payload")).unwrap();

    let message = Sign::decode(&bytes, Tagging::Tagged).unwrap();
    for (index, key) in all.iter().enumerate() {
        let verified = message.verify_one(index, key.key(), &Accept::CURRENT, &[]).unwrap();
        assert_eq!(verified.thumbprint(), key.key().thumbprint());
    }
}

#[test]
fn signature_keys_survive_the_way_through_pkcs8() {
    for algorithm in ALGORITHMS {
        let key = SigningKey::generate(algorithm).unwrap();
        let der = key.to_pkcs8().unwrap();

        let again = SigningKey::from_pkcs8(der.expose()).unwrap();

        assert_eq!(again.key(), key.key());
        assert_eq!(again.algorithm(), algorithm);
        let bytes = sign(&again);
        let message = Sign1::decode(&bytes, Tagging::Tagged).unwrap();
        assert!(message.verify(key.key(), &Accept::CURRENT, &[]).is_ok());
    }
}

#[test]
fn agreement_keys_survive_the_way_through_pkcs8_and_the_scalar() {
    for curve in CURVES {
        let key = AgreementKey::generate(curve).unwrap();
        let peer = AgreementKey::generate(curve).unwrap();
        let secret = key.agree(peer.key()).unwrap();

        let from_der = AgreementKey::from_pkcs8(key.to_pkcs8().unwrap().expose()).unwrap();
        let from_scalar =
            AgreementKey::from_scalar(curve, key.to_scalar().unwrap().expose()).unwrap();

        assert_eq!(peer.agree(key.key()), Ok(secret));
        assert_eq!(from_der.key(), key.key());
        assert_eq!(from_scalar.key(), key.key());
        assert_eq!(from_der.agree(peer.key()), peer.agree(key.key()));
        assert_eq!(from_scalar.agree(peer.key()), peer.agree(key.key()));
    }
}

/// RFC 7748 section 6.1.
#[test]
fn x25519_agrees_on_the_secret_of_the_rfc() {
    let bob = AgreementKey::from_scalar(
        Curve::X25519,
        &hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"),
    )
    .unwrap();
    let alice_public = Key::from_okp(
        Curve::X25519,
        &hex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"),
    )
    .unwrap();

    let secret = bob.agree(&alice_public).unwrap();

    assert_eq!(
        secret.expose(),
        hex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")
    );
    assert_eq!(
        bob.key().x(),
        hex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
    );
}

#[test]
fn a_key_of_another_curve_or_of_low_order_is_refused() {
    let x25519 = AgreementKey::generate(Curve::X25519).unwrap();
    let p256 = AgreementKey::generate(Curve::P256).unwrap();
    let low_order = Key::from_okp(Curve::X25519, &[0; 32]).unwrap();

    assert_eq!(x25519.agree(p256.key()), Err(KeyUnusable));
    assert_eq!(p256.agree(x25519.key()), Err(KeyUnusable));
    assert_eq!(x25519.agree(&low_order), Err(KeyUnusable));
}

#[test]
fn what_cannot_be_made_is_refused() {
    let legacy = [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Es384, Algorithm::Other(-48)];
    for algorithm in legacy {
        assert_eq!(SigningKey::generate(algorithm).err(), Some(KeyRejected::Unsupported));
    }
    assert_eq!(AgreementKey::generate(Curve::Ed25519).err(), Some(KeyRejected::Unsupported));
    assert_eq!(AgreementKey::from_scalar(Curve::P256, &[0; 32]).err(), Some(KeyRejected::Encoding));
    assert_eq!(
        AgreementKey::from_scalar(Curve::P256, &[0xff; 32]).err(),
        Some(KeyRejected::Encoding)
    );
    assert_eq!(AgreementKey::from_scalar(Curve::P256, &[1; 31]).err(), Some(KeyRejected::Encoding));
}

#[test]
fn other_bytes_are_no_keys() {
    let signing = SigningKey::generate(Algorithm::Ed25519).unwrap().to_pkcs8().unwrap();
    let agreement = AgreementKey::generate(Curve::X25519).unwrap().to_pkcs8().unwrap();
    let cut = &signing.expose()[..signing.expose().len() - 1];
    let longer = [agreement.expose(), &[0]].concat();

    for der in [&[], cut, agreement.expose()] {
        assert_eq!(SigningKey::from_pkcs8(der).err(), Some(KeyRejected::Encoding));
    }
    for der in [&[], signing.expose(), longer.as_slice()] {
        assert_eq!(AgreementKey::from_pkcs8(der).err(), Some(KeyRejected::Encoding));
    }
    assert_eq!(SigningKey::from_pem("").err(), Some(KeyRejected::Pem));
    assert_eq!(AgreementKey::from_pem("").err(), Some(KeyRejected::Pem));
}

#[test]
fn private_parts_are_not_printed() {
    let signing = SigningKey::generate(Algorithm::Esp256).unwrap();
    let agreement = AgreementKey::generate(Curve::P256).unwrap();

    let shown = format!("{signing:?}");

    assert_eq!(shown, format!("SigningKey {{ key: {}, private: … }}", signing.key().thumbprint()));
    assert!(format!("{agreement:?}").ends_with("private: … }"));
    assert_eq!(format!("{:?}", agreement.to_scalar().unwrap()), "…");
}

#[test]
fn the_keys_of_the_vectors_are_read_from_pem() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    if !folder.is_dir() {
        eprintln!("skipped: ../shared/vectors is absent");
        return;
    }
    for name in ["K1", "K2", "AGENT", "ATTESTER", "ED-TAM", "ED-AGENT", "RX"] {
        let file = folder.join("teep/keys").join(name);
        let pem = std::fs::read_to_string(file.with_extension("private.pem")).unwrap();
        let public = std::fs::read(file.with_extension("public.cosekey.cbor")).unwrap();
        let public = Key::decode(&public).unwrap();

        assert_eq!(SigningKey::from_pem(&pem).unwrap().key(), &public, "{name}");
        if public.curve() == Curve::P256 {
            assert_eq!(AgreementKey::from_pem(&pem).unwrap().key(), &public, "{name}");
        }
    }
}

#[test]
fn a_report_reaches_the_receiver_through_a_fresh_ephemeral_key() {
    for curve in CURVES {
        let receiver = AgreementKey::generate(curve).unwrap();
        let ephemeral = AgreementKey::generate(curve).unwrap();
        let content = ContentKey::draw(ContentAlgorithm::A128Gcm, &mut SystemEntropy);
        let recipient = Recipient::Agreement { receiver: receiver.key(), ephemeral: &ephemeral };
        let report = Payload::Attached(b"report".as_slice());

        let sealed = encrypt(content, &[recipient], other::SUIT_REPORT, &[], report).unwrap();

        let message = Encrypt::decode(&sealed.object, Tagging::Tagged).unwrap();
        let opener = Opener::Agreement(&receiver);
        let opened = message.decrypt(&opener, other::SUIT_REPORT, Integrity::Cipher, &[]);
        assert_eq!(opened.unwrap().expose(), b"report");
    }
}

fn sign(key: &SigningKey) -> Vec<u8> {
    let payload = Payload::Attached(b"payload".as_slice());
    cose::sign1(key, Header::default(), Header::default(), &[], payload).expect("the key signs")
}

fn hex(digits: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex digits");
    (0..digits.len()).step_by(2).map(byte).collect()
}

/// The algorithm is nobody's by default, on either side.
#[test]
fn ml_dsa_signs_where_both_sides_ask_for_it() {
    let key = SigningKey::generate(Algorithm::MlDsa65).unwrap();
    let other = SigningKey::generate(Algorithm::MlDsa65).unwrap();
    let accept = Accept::CURRENT.and(Algorithm::MlDsa65);
    let algorithm = Algorithm::MlDsa65;

    let bytes = sign(&key);

    let message = Sign1::decode(&bytes, Tagging::Tagged).unwrap();
    let verified = message.verify(key.key(), &accept, &[]).unwrap();
    assert_eq!(*verified.get(), b"payload");
    assert_eq!(verified.thumbprint(), key.key().thumbprint());
    let verify = |key: &Key, accept: &Accept| message.verify(key, accept, &[]).map(|_| ());
    assert_eq!(verify(other.key(), &accept), Err(Untrusted::Signature));
    for accept in [Accept::CURRENT, Accept::WITH_LEGACY] {
        assert_eq!(verify(key.key(), &accept), Err(Untrusted::Algorithm { algorithm }));
    }
    let p256 = SigningKey::generate(Algorithm::Esp256).unwrap();
    assert_eq!(verify(p256.key(), &accept), Err(Untrusted::KeyMismatch));
}

#[test]
fn no_changed_bit_of_an_ml_dsa_signature_verifies() {
    let key = SigningKey::generate(Algorithm::MlDsa65).unwrap();
    let bytes = sign(&key);
    let accept = Accept::CURRENT.and(Algorithm::MlDsa65);

    for bit in (0..bytes.len() * 8).step_by(61) {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let Ok(message) = Sign1::decode(&changed, Tagging::Tagged) else { continue };
        // The unprotected kid is not signed.
        if message.unprotected != Sign1::decode(&bytes, Tagging::Tagged).unwrap().unprotected {
            continue;
        }
        assert!(message.verify(key.key(), &accept, &[]).is_err(), "bit {bit}");
    }
}

/// draft-ietf-cose-dilithium: key type 7, the algorithm in place of a curve, the key under -1.
#[test]
fn an_ml_dsa_key_is_an_algorithm_key_pair() {
    let key = SigningKey::generate(Algorithm::MlDsa65).unwrap();
    let key = key.key();
    let head = b"\xa3\x01\x07\x03\x38\x30\x20\x59\x07\xa0";

    let encoded = key.encode();

    assert_eq!(encoded[..head.len()], *head);
    assert_eq!(encoded[head.len()..], *key.public());
    assert_eq!(key.thumbprint().0, cose::sha256(&encoded));
    assert_eq!(Key::decode(&encoded).as_ref(), Ok(key));
    assert_eq!(Key::from_spki(&key.to_spki()).as_ref(), Ok(key));
    let refused = [
        // Another algorithm, no algorithm, a short key.
        [b"\xa3\x01\x07\x03\x38\x2f", &encoded[6..]].concat(),
        [b"\xa2\x01\x07", &encoded[6..]].concat(),
        [b"\xa3\x01\x07\x03\x38\x30\x20\x59\x07\x9f", &encoded[11..]].concat(),
    ];
    for bytes in refused {
        assert!(matches!(Key::decode(&bytes), Err(cose::Malformed::Expected(_))));
    }
}

#[test]
fn an_ml_dsa_key_survives_the_way_through_pkcs8_and_a_file() {
    let key = SigningKey::generate(Algorithm::MlDsa65).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key.pem");

    let again = SigningKey::from_pkcs8(key.to_pkcs8().unwrap().expose()).unwrap();
    let made = keys::file::load_or_create(&path, Algorithm::MlDsa65).unwrap();

    assert_eq!((again.key(), again.algorithm()), (key.key(), Algorithm::MlDsa65));
    assert_eq!(keys::file::load(&path).unwrap().key(), made.key());
}

//! COSE objects and keys.

use cose::cbor::{Limits, check_deterministic};
use cose::encrypt::{Encrypt, Encrypt0, Integrity, Opener, other};
use cose::mac::{Mac, Mac0};
use cose::{Accept, Key, Sign, Sign1, Signer as _, Tagging, Untrusted, Verified};

use crate::known::{ED25519, ESP256, RECEIVER, SIGNED, SILENT, secret};

/// COSE_Sign1: nothing verifies but what was signed.
pub fn cose_sign1(bytes: &[u8]) {
    let either = Sign1::decode(bytes, Tagging::Either);
    let tagged = Sign1::decode(bytes, Tagging::Tagged).is_ok();
    let untagged = Sign1::decode(bytes, Tagging::Untagged).is_ok();
    assert_eq!(either.is_ok(), tagged || untagged, "tagging is not a choice of two");
    let Ok(object) = either else { return };
    assert!(object.payload.is_none_or(|payload| within(bytes, payload)), "the payload is copied");
    only_signed(|key, accept| object.verify(key, accept, &[]));
    only_signed(|key, accept| object.verify_detached(key, accept, &[], SIGNED));
    let other = object.verify_detached(ED25519.key(), &Accept::WITH_LEGACY, &[], b"another");
    assert!(other.is_err(), "another payload verifies");
}

/// COSE_Sign: no signature of it verifies but over what was signed.
pub fn cose_sign(bytes: &[u8]) {
    let Ok(object) = Sign::decode(bytes, Tagging::Either) else { return };
    assert!(!object.signatures.is_empty(), "a COSE_Sign without signature");
    for index in 0..object.signatures.len().min(4) {
        only_signed(|key, accept| object.verify_one(index, key, accept, &[]));
        only_signed(|key, accept| object.verify_one_detached(index, key, accept, &[], SIGNED));
    }
}

/// COSE_Encrypt: no authenticated cipher opens but what was sealed.
pub fn cose_encrypt(bytes: &[u8]) {
    let Ok(object) = Encrypt::decode(bytes, Tagging::Either) else { return };
    assert!((1..=64).contains(&object.recipients.len()), "recipients out of bounds");
    let (wrap, agreement) = (secret(), &*RECEIVER);
    let openers = [Opener::KeyWrap { key: &wrap, kid: Some(b"kek") }, Opener::Agreement(agreement)];
    for opener in &openers {
        for purpose in [other::SUIT_PAYLOAD, other::EAT] {
            let opened = object.decrypt(opener, purpose, Integrity::Cipher, &[]);
            assert!(opened.is_ok_and_signed(), "another plaintext opens");
            let _ = object.decrypt(opener, purpose, Integrity::Elsewhere, &[]);
            let _ = object.decrypt_detached(opener, purpose, Integrity::Elsewhere, &[], SIGNED);
        }
    }
}

/// COSE_Encrypt0: no authenticated cipher opens but what was sealed.
pub fn cose_encrypt0(bytes: &[u8]) {
    let Ok(object) = Encrypt0::decode(bytes, Tagging::Either) else { return };
    let key = secret();
    let opened = object.decrypt(&key, Integrity::Cipher, &[]);
    assert!(opened.is_ok_and_signed(), "another plaintext opens");
    let _ = object.decrypt(&key, Integrity::Elsewhere, &[]);
    let _ = object.decrypt_detached(&key, Integrity::Elsewhere, &[], SIGNED);
}

/// COSE_Mac0 and COSE_Mac: no tag holds but over what was authenticated.
pub fn cose_mac0(bytes: &[u8]) {
    let key = secret();
    if let Ok(object) = Mac0::decode(bytes, Tagging::Either)
        && let Ok(payload) = object.verify(&key, &[])
    {
        assert_eq!(payload, SIGNED, "another payload is authentic");
    }
    if let Ok(object) = Mac::decode(bytes, Tagging::Either) {
        let opener = Opener::KeyWrap { key: &key, kid: None };
        if let Ok(payload) = object.verify(&opener, other::SUIT_REPORT, &[]) {
            assert_eq!(payload, SIGNED, "another payload is authentic");
        }
    }
}

/// COSE_Key: what is read is written and read again.
pub fn cose_key(bytes: &[u8]) {
    if let Ok(key) = Key::decode(bytes) {
        key_is_stable(&key);
    }
}

/// SubjectPublicKeyInfo.
pub fn cose_spki(bytes: &[u8]) {
    if let Ok(key) = Key::from_spki(bytes) {
        key_is_stable(&key);
        assert_eq!(key.to_spki(), bytes, "a key has a second encoding");
    }
}

fn key_is_stable(key: &Key) {
    let encoded = key.encode();
    assert_eq!(check_deterministic(&encoded, Limits::DEFAULT), Ok(()));
    let again = Key::decode(&encoded).expect("an encoded key is a key");
    assert_eq!(again, *key);
    assert_eq!(again.encode(), encoded);
    assert_eq!(again.thumbprint(), key.thumbprint());
}

/// Only the known keys verify, and only what they signed.
fn only_signed<'p>(verify: impl Fn(&Key, &Accept) -> Result<Verified<&'p [u8]>, Untrusted>) {
    for key in &SILENT {
        assert!(verify(key, &Accept::WITH_LEGACY).is_err(), "a key that never signed verifies");
    }
    for key in [ED25519.key(), ESP256.key()] {
        assert!(verify(key, &Accept::NONE).is_err(), "no algorithm is accepted, and one is");
        if let Ok(verified) = verify(key, &Accept::WITH_LEGACY) {
            assert_eq!(*verified.get(), SIGNED, "a payload that was never signed verifies");
            assert_eq!(verified.thumbprint(), key.thumbprint());
        }
    }
}

/// Whether a slice lies inside another one.
fn within(outer: &[u8], inner: &[u8]) -> bool {
    inner.is_empty() || outer.as_ptr_range().contains(&inner.as_ptr())
}

trait Opened {
    /// An error, or exactly what was sealed.
    fn is_ok_and_signed(&self) -> bool;
}

impl Opened for Result<cose::Secret, Untrusted> {
    fn is_ok_and_signed(&self) -> bool {
        self.as_ref().map_or(true, |plaintext| plaintext.expose() == SIGNED)
    }
}

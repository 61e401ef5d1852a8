//! Properties over all inputs.

use std::collections::BTreeMap;

use cose::cbor::{self, Limits, MapReader, MapWriter};
use cose::encrypt::{Encrypt, Encrypt0};
use cose::mac::{Mac, Mac0};
use cose::{
    Accept, Algorithm, ContentType, Header, Key, Malformed, Payload, Sign, Sign1, Signer, Tagging,
};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use crate::fixture::{CURRENT, TestSigner};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    //= teep 15.112 (M): no input makes a decoder panic
    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in vec(any::<u8>(), 0..200)) {
        decode_all(&bytes);
    }

    #[test]
    fn no_changed_message_makes_a_decoder_panic(
        at in 0usize..400,
        with in vec(any::<u8>(), 0..4),
        removed in 0usize..4,
        which in 0usize..3,
    ) {
        let mut bytes = message(which);
        let at = at % bytes.len();
        let end = bytes.len().min(at + removed);
        bytes.splice(at..end, with);

        decode_all(&bytes);
    }

    #[test]
    fn what_is_signed_verifies_and_reads_back(
        which in 0usize..3,
        protected in header(),
        payload in vec(any::<u8>(), 0..100),
        aad in vec(any::<u8>(), 0..20),
        detached in any::<bool>(),
    ) {
        let signer = TestSigner::new(CURRENT[which], 1);
        let place = if detached { Payload::Detached } else { Payload::Attached };
        let given = place(&payload);

        let bytes =
            cose::sign1(&signer, protected.clone(), Header::default(), &aad, given).unwrap();

        prop_assert_eq!(cbor::check_deterministic(&bytes, Limits::DEFAULT), Ok(()));
        let message = Sign1::decode(&bytes, Tagging::Tagged).unwrap();
        let algorithm = Some(CURRENT[which]);
        prop_assert_eq!(&message.protected, &Header { algorithm, ..protected });
        let verified = if detached {
            message.verify_detached(signer.key(), &Accept::CURRENT, &aad, &payload)
        } else {
            message.verify(signer.key(), &Accept::CURRENT, &aad)
        };
        prop_assert_eq!(verified.unwrap().into_inner(), payload.as_slice());
    }

    #[test]
    fn the_order_in_which_a_map_is_written_does_not_matter(
        entries in btree_map(any::<i64>(), any::<u32>(), 0..20),
    ) {
        let mut forward = MapWriter::new();
        let mut backward = MapWriter::new();
        for (key, value) in &entries {
            forward.put(*key, |e| e.u32(*value)?.ok());
        }
        for (key, value) in entries.iter().rev() {
            backward.put(*key, |e| e.u32(*value)?.ok());
        }
        let bytes = forward.finish();

        prop_assert_eq!(&bytes, &backward.finish());
        prop_assert_eq!(cbor::check_deterministic(&bytes, Limits::DEFAULT), Ok(()));
        let read = cbor::whole(&bytes, |d| {
            let mut map = MapReader::new(d)?;
            let mut read = BTreeMap::new();
            while let Some(key) = map.key()? {
                read.insert(key, map.value().u32()?);
            }
            Ok(read)
        });
        prop_assert_eq!(read, Ok(entries));
    }

    /// The reference is a sort of all keys.
    #[test]
    fn a_map_passes_exactly_when_its_keys_allow_it(keys in vec(-40i64..40, 0..12)) {
        let bytes = cbor::encode(|e| {
            e.map(keys.len() as u64)?;
            keys.iter().try_for_each(|key| e.i64(*key)?.null()?.ok())
        });
        let encoded: Vec<Vec<u8>> =
            keys.iter().map(|key| cbor::encode(|e| e.i64(*key)?.ok())).collect();
        let mut sorted = encoded.clone();
        sorted.sort();
        sorted.dedup();
        let distinct = sorted.len() == encoded.len();

        let checked = cbor::check(&bytes, Limits::DEFAULT);
        let deterministic = cbor::check_deterministic(&bytes, Limits::DEFAULT);

        let expected = if distinct { Ok(()) } else { Err(Malformed::DuplicateKey) };
        prop_assert_eq!(checked, expected);
        prop_assert_eq!(deterministic.is_ok(), encoded == sorted);
    }

    /// What passes the check can be skipped to its end by the decoder underneath.
    #[test]
    fn what_is_well_formed_is_one_item_for_the_decoder(bytes in vec(any::<u8>(), 1..12)) {
        if cbor::check(&bytes, Limits::DEFAULT).is_ok() {
            prop_assert_eq!(cbor::whole(&bytes, cbor::item), Ok(bytes.as_slice()));
        }
    }
}

//= teep 14.4 (M): any change of what is signed is refused
#[test]
fn every_flipped_bit_of_a_signed_message_is_refused() {
    for (which, algorithm) in CURRENT.into_iter().enumerate() {
        let bytes = message(which);
        let key = TestSigner::new(algorithm, 1).key().clone();
        assert!(accepted(&bytes, &key));
        for bit in 0..8 * bytes.len() {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);

            assert!(!accepted(&flipped, &key), "{algorithm} bit {bit}");
        }
        for length in 0..bytes.len() {
            let cut = Sign1::decode(&bytes[..length], Tagging::Tagged);
            assert_eq!(cut.err(), Some(Malformed::Truncated));
        }
    }
}

#[test]
fn ed25519_output_is_the_same_in_every_run() {
    let index = CURRENT.iter().position(|algorithm| *algorithm == Algorithm::Ed25519).unwrap();

    assert_eq!(message(index), message(index));
}

/// A message with everything protected.
fn message(which: usize) -> Vec<u8> {
    let protected = Header {
        kid: Some(b"kid".to_vec()),
        content_type: Some(ContentType::Format(61)),
        ..Header::default()
    };
    let signer = TestSigner::new(CURRENT[which], 1);
    let payload = Payload::Attached(b"payload".as_slice());
    cose::sign1(&signer, protected, Header::default(), b"", payload).expect("the key signs")
}

fn accepted(bytes: &[u8], key: &Key) -> bool {
    Sign1::decode(bytes, Tagging::Tagged)
        .is_ok_and(|message| message.verify(key, &Accept::WITH_LEGACY, &[]).is_ok())
}

fn decode_all(bytes: &[u8]) {
    let limits = Limits::DEFAULT;
    let _ = cbor::check(bytes, limits);
    let _ = cbor::check_preferred(bytes, limits);
    let _ = cbor::check_deterministic(bytes, limits);
    let _ = Key::decode(bytes);
    let _ = Key::from_spki(bytes);
    for tagging in [Tagging::Tagged, Tagging::Either] {
        let _ = Sign1::decode(bytes, tagging);
        let _ = Sign::decode(bytes, tagging);
        let _ = Encrypt::decode(bytes, tagging);
        let _ = Encrypt0::decode(bytes, tagging);
        let _ = Mac0::decode(bytes, tagging);
        let _ = Mac::decode(bytes, tagging);
    }
}

fn header() -> impl Strategy<Value = Header> {
    let content_type = prop_oneof![
        any::<u64>().prop_map(ContentType::Format),
        "[a-z/+]{0,30}".prop_map(ContentType::Media),
    ];
    let integer = any::<i64>().prop_map(|value| cbor::encode(|e| e.i64(value)?.ok()));
    // Labels that have no field of their own, nor a meaning that is checked.
    let labels = prop_oneof![40i64..1000, -1000i64..-40];
    (
        option::of(content_type),
        vec(any::<u8>(), 0..40),
        option::of(vec(any::<u8>(), 0..20)),
        vec(vec(any::<u8>(), 0..20), 0..4),
        btree_map(labels, integer.clone(), 0..4),
        btree_map("[a-z]{0,5}", integer, 0..3),
    )
        .prop_map(|(content_type, kid, iv, x5chain, other, other_text)| Header {
            content_type,
            kid: Some(kid),
            iv,
            x5chain,
            other,
            other_text,
            ..Header::default()
        })
}

use proptest::prelude::*;

use super::*;
use crate::Untrusted;
use crate::testing::{KEY, OTHER, Software};

fn record(media_type: &str) -> Cmw {
    Cmw::Record(Record::new(media_type, *b"value", Indicator::EVIDENCE))
}

//= rats 11.27 (M): record, tag and collection are read, with a limit on nesting
#[test]
fn each_form_begins_with_its_byte_and_survives_the_round_trip() {
    let mut collection = Collection::new("eat", record("application/eat+cwt"));
    collection.kind = Some("tag:example.org,2026:set".to_owned());
    collection.insert(3, record("application/cbor")).unwrap();
    let bare =
        Record { media_type: MediaType::ContentFormat(263), value: vec![1], indicator: None };

    for (cmw, first) in [
        (Cmw::Record(bare), 0x82),
        (record("application/eat+cwt"), 0x83),
        (Cmw::Tag { content_format: 263, value: vec![1, 2] }, 0xda),
        (Cmw::Collection(collection), 0xa3),
    ] {
        let encoded = cmw.encode();

        assert_eq!(encoded[0], first);
        assert_eq!(Cmw::decode(&encoded), Ok(cmw));
    }
}

#[test]
fn the_tag_range_of_rfc_9277_is_one_to_one_and_has_holes() {
    assert_eq!(tag_number(0), 1_668_546_817);
    assert_eq!(tag_number(CONTENT_FORMAT_MAX), 1_668_612_095);
    for number in 0..=CONTENT_FORMAT_MAX {
        assert_eq!(content_format(tag_number(number)), Some(number));
    }
    assert_eq!(content_format(TAG_BASE + 255), None);
    assert_eq!(content_format(TAG_BASE - 1), None);
    assert_eq!(content_format(1_668_612_096), None);
    assert_eq!(content_format(u64::MAX), None);
}

//= rats 11.27 (M): an indicator without a bit is refused
#[test]
fn an_indicator_without_a_bit_is_refused() {
    let zero = [0x83, 0x01, 0x41, 0x00, 0x00];

    assert_eq!(Cmw::decode(&zero), Err(Malformed::Expected("a non-zero indicator")));
}

//= rats 11.27 (M): __cmwc_t is not an entry
#[test]
fn the_type_of_a_collection_is_not_one_of_its_messages() {
    let only_the_type = encode(|e| e.map(1)?.str(KIND)?.str("tag:x")?.ok());
    let mut collection = Collection::new("a", record("a/b"));

    assert_eq!(
        Cmw::decode(&only_the_type),
        Err(Malformed::Expected("a collection of one message or more"))
    );
    assert_eq!(collection.insert(KIND, record("a/b")), Err(Malformed::Value(Label::from(KIND))));
}

//= rats 11.27 (M): record, tag and collection are read, with a limit on nesting
#[test]
fn nesting_beyond_the_limit_is_refused() {
    let nested = |levels: u8| {
        let first = Cmw::Collection(Collection::new("c", record("a/b")));
        (1..levels).fold(first, |inner, _| Cmw::Collection(Collection::new("c", inner)))
    };

    assert_eq!(Cmw::decode(&nested(DEPTH_MAX).encode()), Ok(nested(DEPTH_MAX)));
    assert_eq!(Cmw::decode(&nested(DEPTH_MAX + 1).encode()), Err(Malformed::TooLarge));
}

#[test]
fn too_many_messages_and_duplicate_labels_are_refused() {
    let mut collection = Collection::new(0, record("a/b"));
    for label in 1..=ENTRIES_MAX as i64 {
        collection.insert(label, record("a/b")).unwrap();
    }
    let twice = encode(|e| {
        e.map(2)?.u8(1)?.array(2)?.u8(0)?.bytes(&[])?.u8(1)?.array(2)?.u8(0)?.bytes(&[])?.ok()
    });

    assert_eq!(Cmw::decode(&Cmw::Collection(collection).encode()), Err(Malformed::TooLarge));
    assert!(matches!(Cmw::decode(&twice), Err(Malformed::Cbor(_))));
}

//= rats 11.28 (M): a signed CMW without its content type is refused
#[test]
fn a_signed_wrapper_needs_its_content_type_and_a_known_signer() {
    let signer = Software::new(KEY);
    let signed = record("a/b").sign(&signer).unwrap();
    let bare = cose::sign1(
        &signer,
        Header::default(),
        Header::default(),
        &[],
        Payload::Attached(&record("a/b").encode()),
    )
    .unwrap();
    let verify = |bytes: &[u8], key: &Key| {
        Cmw::verify(bytes, std::slice::from_ref(key), &Accept::CURRENT).map(Verified::into_inner)
    };
    let other = Software::new(OTHER);

    assert_eq!(verify(&signed, signer.key()), Ok(record("a/b")));
    assert_eq!(verify(&bare, signer.key()), Err(Malformed::ContentType.into()));
    assert_eq!(verify(&signed, other.key()), Err(Untrusted::UnknownSigner.into()));
}

//= rats 11.13 (M): the media type parameter is compared without case
#[test]
fn the_profile_parameter_is_compared_without_case() {
    let own = MediaType::Name(
        "application/EAT+cwt; eat_profile=\"tag:ietf.org,2026:RATS/ear#03\"".to_owned(),
    );

    assert!(own.is("application/eat+cwt", None));
    assert!(own.is("application/eat+cwt", Some("tag:ietf.org,2026:rats/ear#03")));
    assert!(!own.is("application/eat+cwt", Some("tag:ietf.org,2026:rats/ear#04")));
    assert!(!own.is("application/eat+jwt", None));
    assert!(!MediaType::ContentFormat(263).is("application/eat+cwt", None));
}

proptest! {
    #[test]
    fn no_input_makes_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Cmw::decode(&bytes);
    }
}

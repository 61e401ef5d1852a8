//! Objects that must be refused, and where.

use cose::cbor::{self, Limits};
use cose::{Accept, Malformed, Sign, Sign1, Tagging, Untrusted};

use crate::fixture::{Vectors, hex};

//= teep 14.1, 14.2, 15.109, 15.110 (M): what is no tagged COSE object of sound CBOR is refused
#[test]
fn the_negative_vectors_that_are_no_cose_are_refused() {
    let Some(vectors) = Vectors::find() else { return };
    let cases = [
        ("trailing_byte.cbor.bin", Malformed::Trailing),
        ("truncated.cbor.bin", Malformed::Truncated),
        ("bare_payload_unsigned.cbor", Malformed::Expected("a COSE tag")),
        ("depth_bomb_100k_unsigned.cbor.bin", Malformed::Depth),
        ("length_bomb.cbor.bin", Malformed::Truncated),
    ];
    for (file, fault) in cases {
        let bytes = vectors.read(&format!("teep/negative/{file}"));

        assert_eq!(Sign1::decode(&bytes, Tagging::Tagged).err(), Some(fault.clone()), "{file}");
        assert_eq!(Sign::decode(&bytes, Tagging::Tagged).err(), Some(fault), "{file}");
    }
}

//= teep 14.3, 14.4, 15.105 (M): header tricks and bad signatures are refused
#[test]
fn the_negative_vectors_of_the_header_and_signature_are_refused() {
    let Some(vectors) = Vectors::find() else { return };
    let key = vectors.public("teep/keys/K2");
    let cases = [
        ("bad_signature.cbor", Untrusted::Signature),
        ("alg_in_unprotected_only.cbor", Untrusted::AlgorithmNotProtected),
    ];
    for (file, fault) in cases {
        let bytes = vectors.read(&format!("teep/negative/{file}"));

        let message = Sign1::decode(&bytes, Tagging::Tagged).unwrap();

        assert_eq!(message.verify(&key, &Accept::WITH_LEGACY, &[]), Err(fault), "{file}");
    }
    let bytes = vectors.read("teep/negative/unknown_crit_header.cbor");
    let message = Sign1::decode(&bytes, Tagging::Tagged).unwrap();
    let refused = message.verify(&key, &Accept::WITH_LEGACY, &[]);
    assert!(matches!(refused, Err(Untrusted::CriticalHeader(_) | Untrusted::CriticalText(_))));
}

/// The rest is well signed: its faults are of the layers above.
#[test]
fn the_other_negative_vectors_verify() {
    let Some(vectors) = Vectors::find() else { return };
    let keys = [vectors.public("teep/keys/K2"), vectors.public("teep/keys/AGENT")];
    let mut verified = 0;
    for (file, bytes) in vectors.folder("teep/negative") {
        let Ok(message) = Sign1::decode(&bytes, Tagging::Tagged) else { continue };
        let payload = keys.iter().find_map(|key| message.verify(key, &Accept::CURRENT, &[]).ok());
        let Some(payload) = payload else { continue };

        let sound = cbor::check(payload.get(), Limits::DEFAULT);

        let expected = match file.as_str() {
            "teep/negative/duplicate_option_label.cbor" => Err(Malformed::DuplicateKey),
            "teep/negative/depth_bomb_2000.cbor.bin" => Err(Malformed::Depth),
            _ => Ok(()),
        };
        assert_eq!(sound, expected, "{file}");
        verified += 1;
    }
    assert_eq!(verified, 18);
}

#[test]
fn tags_are_there_exactly_as_asked() {
    let tagged = hex("d2 84 40 a0 f6 40");
    let untagged = &tagged[1..];
    let foreign = hex("d1 84 40 a0 f6 40");
    let nested = hex("d2 d2 84 40 a0 f6 40");

    assert!(Sign1::decode(&tagged, Tagging::Tagged).is_ok());
    assert!(Sign1::decode(&tagged, Tagging::Either).is_ok());
    assert!(Sign1::decode(untagged, Tagging::Untagged).is_ok());
    assert!(Sign1::decode(untagged, Tagging::Either).is_ok());
    let refused = [
        (untagged, Tagging::Tagged, "a COSE tag"),
        (&tagged, Tagging::Untagged, "no tag"),
        (&foreign, Tagging::Tagged, "another COSE tag"),
        (&foreign, Tagging::Either, "another COSE tag"),
        (&nested, Tagging::Either, "a COSE_Sign1 of four elements"),
    ];
    for (bytes, tagging, expected) in refused {
        assert_eq!(
            Sign1::decode(bytes, tagging).err(),
            Some(Malformed::Expected(expected)),
            "{bytes:02x?}"
        );
    }
}

//= teep 15.112 (M): things of the wrong type are refused
#[test]
fn sign1_of_another_shape_is_refused() {
    let four = Malformed::Expected("a COSE_Sign1 of four elements");
    let cases = [
        ("d2 80", four.clone()),
        ("d2 83 40 a0 f6", four.clone()),
        ("d2 85 40 a0 f6 40 40", four.clone()),
        ("d2 a4 00 40 01 a0 02 f6 03 40", four),
        ("d2 84 a0 a0 f6 40", Malformed::Cbor(2)),
        ("d2 84 40 40 f6 40", Malformed::Expected("a header map")),
        ("d2 84 40 a0 a0 40", Malformed::Cbor(4)),
        ("d2 84 40 a0 f6 f6", Malformed::Cbor(5)),
        ("d2 84 40 a0 5f 40 ff 40", Malformed::Cbor(4)),
        ("d2 84 41 00 a0 f6 40", Malformed::Expected("a header map")),
        ("d2 84 42 a0 00 a0 f6 40", Malformed::Trailing),
        ("d2 84 41 a1 a0 f6 40", Malformed::Truncated),
        ("d2 84 45 a2 04 40 04 40 a0 f6 40", Malformed::DuplicateKey),
        ("d2 84 40 a2 04 40 04 40 f6 40", Malformed::DuplicateKey),
        ("d2 9f 40 a0 f6 ff", Malformed::Cbor(5)),
        ("d2 9f 40 a0 f6 40 40 ff", Malformed::Expected("a COSE_Sign1 of four elements")),
    ];
    for (bytes, fault) in cases {
        assert_eq!(Sign1::decode(&hex(bytes), Tagging::Tagged).err(), Some(fault), "{bytes}");
    }
    assert!(Sign1::decode(&hex("d2 9f 40 bf ff f6 40 ff"), Tagging::Tagged).is_ok());
}

#[test]
fn sign_of_another_shape_is_refused() {
    let cases = [
        ("d862 84 40 a0 f6 80", Malformed::Expected("one signature or more")),
        ("d862 84 40 a0 f6 9fff", Malformed::Expected("one signature or more")),
        ("d862 84 40 a0 f6 81 82 40 a0", Malformed::Expected("a COSE_Signature of three elements")),
        ("d862 84 40 a0 f6 40", Malformed::Cbor(6)),
        ("d862 83 40 a0 f6", Malformed::Expected("a COSE_Sign of four elements")),
        ("d862 84 40 a0 f6 81 83 41 a0 a0 f6", Malformed::Cbor(11)),
    ];
    for (bytes, fault) in cases {
        assert_eq!(Sign::decode(&hex(bytes), Tagging::Tagged).err(), Some(fault), "{bytes}");
    }
    let indefinite = hex("d862 84 40 a0 f6 9f 83 40 a0 40 83 40 a0 40 ff");
    assert_eq!(Sign::decode(&indefinite, Tagging::Tagged).unwrap().signatures.len(), 2);
}

#[test]
fn a_larger_object_needs_larger_limits() {
    let payload = vec![0; Limits::DEFAULT.bytes];
    let head = hex("d2 84 40 a0 5a 00100000");
    let bytes = [head, payload, vec![0x40]].concat();
    let wide = Limits { bytes: 1 << 21, ..Limits::DEFAULT };

    assert_eq!(Sign1::decode(&bytes, Tagging::Tagged).err(), Some(Malformed::TooLarge));
    assert!(Sign1::decode_within(&bytes, Tagging::Tagged, wide).is_ok());
}

//! Shapes and sizes of messages, one by one.

use cose::cbor::Malformed as Cbor;
use minicbor::encode::Encoder;
use teep::message::{DataItems, Message, QueryRequest, recover_token};
use teep::option::Label;
use teep::{Malformed, Numbering, Present, Token, limits};

type Writer = Encoder<Vec<u8>>;
type Written = Result<(), minicbor::encode::Error<std::convert::Infallible>>;

fn raw(write: impl FnOnce(&mut Writer) -> Written) -> Vec<u8> {
    let mut e = Encoder::new(Vec::new());
    write(&mut e).unwrap();
    e.into_writer()
}

/// A message of two elements with one option.
fn with(kind: u64, label: Label, write: impl FnOnce(&mut Writer) -> Written) -> Vec<u8> {
    raw(|e| {
        e.array(2)?.u64(kind)?.map(1)?.u64(label.number(Numbering::V26))?;
        write(e)
    })
}

/// A QueryRequest whose last three elements are these.
fn request(write: impl FnOnce(&mut Writer) -> Written) -> Vec<u8> {
    raw(|e| {
        e.array(5)?.u8(1)?.map(1)?.u8(19)?.bytes(&[7; 8])?;
        write(e)
    })
}

fn decode(bytes: &[u8]) -> Result<Message<'_>, Malformed> {
    Message::decode(bytes, Numbering::V26)
}

const QUERY_RESPONSE: u64 = 2;
const UPDATE: u64 = 3;
const SUCCESS: u64 = 4;

//= teep 14.5 (M): each message is validated against its shape
#[test]
fn each_message_has_its_number_of_elements() {
    let shapes = [
        (1_u64, "a QueryRequest of five elements"),
        (2, "a QueryResponse of two elements"),
        (3, "an Update of two elements"),
        (4, "a Success of two elements"),
        (5, "an Error of three elements"),
    ];
    for (kind, shape) in shapes {
        let right = match kind {
            1 => 5,
            5 => 3,
            _ => 2,
        };
        for elements in (1..7).filter(|elements| *elements != right) {
            let bytes = raw(|e| {
                e.array(elements)?.u64(kind)?;
                for _ in 1..elements {
                    e.map(0)?;
                }
                Ok(())
            });
            assert_eq!(decode(&bytes), Err(Malformed::Expected(shape)), "{kind} of {elements}");
        }
    }
    let open = raw(|e| e.begin_array()?.u8(2)?.map(0)?.u8(0)?.end()?.ok());
    assert_eq!(decode(&open), Err(Malformed::Expected("a QueryResponse of two elements")));
}

#[test]
fn indefinite_lengths_are_read_wherever_they_stand() {
    let bytes = raw(|e| {
        e.begin_array()?.u8(3)?.begin_map()?;
        e.u8(19)?.begin_bytes()?.bytes(&[1; 5])?.bytes(&[1; 5])?.end()?;
        e.u8(9)?.begin_array()?.begin_bytes()?.bytes(&[0x81])?.bytes(&[0x01])?.end()?.end()?;
        e.u8(11)?.begin_str()?.str("disk")?.str("-full")?.end()?;
        e.u8(14)?.begin_array()?.begin_array()?.bytes(b"id")?.end()?.end()?;
        e.end()?.end()?.ok()
    });

    let Ok(Message::Update(update)) = decode(&bytes) else { panic!("{:?}", decode(&bytes)) };

    assert_eq!(update.token, Token::new(&[1; 10]).ok());
    assert_eq!(update.manifest_list, [vec![0x81, 0x01]]);
    assert_eq!(update.err_msg.unwrap().as_str(), "disk-full");
    assert_eq!(update.unneeded_manifest_list[0].parts(), [b"id"]);
}

//= teep 14.15 (M): empty arrays are refused, except ext-list and tc-list
#[test]
fn empty_lists_are_refused_but_for_two() {
    for (kind, label) in [
        (QUERY_RESPONSE, Label::SuitReports),
        (QUERY_RESPONSE, Label::RequestedTcList),
        (QUERY_RESPONSE, Label::UnneededManifestList),
        (UPDATE, Label::UnneededManifestList),
        (UPDATE, Label::ManifestList),
        (SUCCESS, Label::SuitReports),
    ] {
        let bytes = with(kind, label, |e| e.array(0)?.ok());
        assert_eq!(decode(&bytes), Err(Malformed::Empty(label.name())));
    }
    for label in [Label::TcList, Label::ExtList] {
        let bytes = with(QUERY_RESPONSE, label, |e| e.array(0)?.ok());
        assert!(decode(&bytes).is_ok(), "{label:?}");
    }
    let profile = |e: &mut Writer| e.array(1)?.array(4)?.i8(-16)?.i8(-9)?.i8(-29)?.i8(1)?.ok();
    let suites = request(|e| {
        e.array(0)?;
        profile(e)?;
        e.u8(2)?.ok()
    });
    assert_eq!(decode(&suites), Err(Malformed::Empty("supported-teep-cipher-suites")));
    let profiles = request(|e| {
        e.array(1)?.array(1)?.array(2)?.u8(18)?.i8(-9)?;
        e.array(0)?.u8(2)?.ok()
    });
    assert_eq!(decode(&profiles), Err(Malformed::Empty("supported-suit-cose-profiles")));
}

//= teep 14.75 (S): size and number of manifests are limited
//= teep 15.111: lists beyond their limits are refused
#[test]
fn lists_beyond_their_limits_are_refused() {
    let cases: [(u64, Label, usize, &[u8]); 6] = [
        (QUERY_RESPONSE, Label::TcList, limits::COMPONENTS, &[0xa2, 0, 0x81, 0x40, 3, 0x40]),
        (QUERY_RESPONSE, Label::ExtList, limits::EXTENSIONS, &[0]),
        (QUERY_RESPONSE, Label::UnneededManifestList, limits::REQUESTS, &[0x81, 0x40]),
        (QUERY_RESPONSE, Label::RequestedTcList, limits::REQUESTS, &[0xa1, 15, 0x81, 0x40]),
        (UPDATE, Label::ManifestList, limits::MANIFESTS, &[0x41, 0xa0]),
        (SUCCESS, Label::SuitReports, limits::REPORTS, &[0x41, 0xa0]),
    ];
    for (kind, label, max, element) in cases {
        for (count, fine) in [(max, true), (max + 1, false)] {
            let bytes = with(kind, label, |e| {
                e.array(count as u64)?;
                for _ in 0..count {
                    e.writer_mut().extend_from_slice(element);
                }
                Ok(())
            });
            match fine {
                true => assert!(decode(&bytes).is_ok(), "{label:?}: {:?}", decode(&bytes)),
                false => assert_eq!(decode(&bytes), Err(Malformed::TooMany(label.name()))),
            }
        }
    }
    let huge = with(QUERY_RESPONSE, Label::ExtList, |e| {
        e.array(100_000)?;
        e.writer_mut().extend_from_slice(&[0; 100_000]);
        Ok(())
    });
    assert_eq!(decode(&huge), Err(Malformed::Cbor(Cbor::TooMany)));
    let many = raw(|e| {
        e.array(2)?.u8(2)?.map(100)?;
        for label in 1000..1100_u32 {
            e.u32(label)?.u8(0)?;
        }
        Ok(())
    });
    assert_eq!(decode(&many), Err(Malformed::TooMany("options")));
}

//= teep 15.111: an oversized message is refused
#[test]
fn a_message_beyond_its_size_is_refused_before_it_is_read() {
    let bytes = with(UPDATE, Label::ManifestList, |e| {
        e.array(1)?.bytes(&vec![0xa0; limits::MESSAGE_BYTES])?.ok()
    });

    assert_eq!(decode(&bytes), Err(Malformed::Cbor(Cbor::TooLarge)));
}

//= teep 14.19 (M): component identifiers are arrays of byte strings, never text
#[test]
fn a_component_identifier_is_an_array_of_byte_strings() {
    let of = |write: fn(&mut Writer) -> Written| {
        with(UPDATE, Label::UnneededManifestList, |e| {
            e.array(1)?;
            write(e)
        })
    };

    let text = of(|e| e.array(1)?.str("planner")?.ok());
    let plain = of(|e| e.bytes(b"planner")?.ok());
    let long = of(|e| {
        e.array(17)?;
        (0..17).try_for_each(|_| e.bytes(b"x")?.ok())
    });
    let big = of(|e| e.array(1)?.bytes(&[0; 256])?.ok());

    let parts = Malformed::Expected("a byte string in component-id");
    assert_eq!(decode(&text), Err(parts));
    assert_eq!(decode(&plain), Err(Malformed::Expected("component-id")));
    assert_eq!(decode(&long), Err(Malformed::TooMany("component-id")));
    assert_eq!(decode(&big), Err(Malformed::Expected("a component-id of usable size")));
}

//= teep 14.68 (M): have-binary true comes with the sequence number
#[test]
fn a_binary_at_hand_needs_its_sequence_number() {
    let of = |number: Option<u64>, binary: Option<bool>| {
        with(QUERY_RESPONSE, Label::RequestedTcList, |e| {
            let count = 1 + u64::from(number.is_some()) + u64::from(binary.is_some());
            e.array(1)?.map(count)?.u8(15)?.array(1)?.bytes(b"planner")?;
            if let Some(number) = number {
                e.u8(16)?.u64(number)?;
            }
            if let Some(binary) = binary {
                e.u8(17)?.bool(binary)?;
            }
            Ok(())
        })
    };
    let present = |bytes: &[u8]| match decode(bytes) {
        Ok(Message::QueryResponse(response)) => Ok(response.requested_tc_list[0].present),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error),
    };
    let sequence_number = u64::MAX;

    assert_eq!(present(&of(None, None)), Ok(Present::Nothing));
    assert_eq!(present(&of(None, Some(false))), Ok(Present::Nothing));
    assert_eq!(present(&of(Some(u64::MAX), None)), Ok(Present::Manifest { sequence_number }));
    assert_eq!(present(&of(Some(u64::MAX), Some(true))), Ok(Present::Binary { sequence_number }));
    let missing = Malformed::Missing("tc-manifest-sequence-number");
    assert_eq!(present(&of(None, Some(true))), Err(missing));
}

//= teep 15.113: integers at their limits do not wrap
#[test]
fn integers_beyond_their_width_are_refused() {
    let versions = |version: u64| {
        raw(|e| {
            e.array(5)?.u8(1)?.map(2)?.u8(3)?.array(1)?.u64(version)?;
            e.u8(19)?.bytes(&[7; 8])?;
            e.array(1)?.array(1)?.array(2)?.u8(18)?.i8(-9)?;
            e.array(1)?.array(4)?.i8(-16)?.i8(-9)?.i8(-29)?.i8(1)?;
            e.u64(!1)?.ok()
        })
    };

    let bytes = versions(u64::from(u32::MAX));
    let Ok(Message::QueryRequest(QueryRequest { versions: known, data_item_requested, .. })) =
        decode(&bytes)
    else {
        panic!("{:?}", decode(&bytes))
    };
    assert_eq!(known, Some(vec![u32::MAX]));
    assert_eq!(data_item_requested, DataItems(!1));
    let beyond = versions(u64::from(u32::MAX) + 1);
    assert_eq!(decode(&beyond), Err(Malformed::Expected("a version")));
    let negative = raw(|e| e.array(2)?.i8(-1)?.map(0)?.ok());
    let expected = Malformed::Expected("an unsigned integer as message type");
    assert_eq!(decode(&negative), Err(expected));
}

//= teep 15.112: keys of wrong type, negative labels, floats, tags and bad UTF-8 are errors
#[test]
fn items_of_another_type_are_refused_by_name() {
    let options = Malformed::Expected("an unsigned integer as option label");
    let label = |write: fn(&mut Writer) -> Written| {
        raw(|e| {
            e.array(2)?.u8(2)?.map(1)?;
            write(e)?;
            e.u8(0)?.ok()
        })
    };
    assert_eq!(decode(&label(|e| e.str("token")?.ok())), Err(options.clone()));
    assert_eq!(decode(&label(|e| e.i8(-19)?.ok())), Err(options.clone()));
    assert!(matches!(decode(&label(|e| e.f32(19.0)?.ok())), Err(Malformed::Cbor(_))));
    assert_eq!(decode(&label(|e| e.bytes(&[19])?.ok())), Err(options));

    let wrong: [(Label, &[u8]); 8] = [
        (Label::Token, &[0x68, b't', b'o', b'k', b'e', b'n', b't', b'o', b'k']),
        (Label::SelectedVersion, &[0x20]),
        (Label::AttestationPayload, &[0x60]),
        (Label::AttestationPayloadFormat, &[0x41, b'x']),
        (Label::TcList, &[0xa0]),
        (Label::ExtList, &[0x81, 0x20]),
        (Label::SuitReports, &[0x81, 0xa0]),
        (Label::Token, &[0xc2, 0x48, 0, 0, 0, 0, 0, 0, 0, 0]),
    ];
    for (label, value) in wrong {
        let bytes = with(QUERY_RESPONSE, label, |e| {
            e.writer_mut().extend_from_slice(value);
            Ok(())
        });
        assert!(matches!(decode(&bytes), Err(Malformed::Expected(_))), "{label:?}");
    }
    let utf8 = with(SUCCESS, Label::Msg, |e| {
        e.writer_mut().extend_from_slice(&[0x61, 0xff]);
        Ok(())
    });
    assert_eq!(decode(&utf8), Err(Malformed::Cbor(Cbor::Utf8)));
    let chunks = with(SUCCESS, Label::Token, |e| {
        e.writer_mut().extend_from_slice(&[0x5f, 0x61, b'x', 0xff]);
        Ok(())
    });
    assert!(matches!(decode(&chunks), Err(Malformed::Cbor(_))));
}

#[test]
fn what_is_wrapped_in_a_byte_string_has_to_be_cbor() {
    for (kind, label) in [(UPDATE, Label::ManifestList), (SUCCESS, Label::SuitReports)] {
        for content in [&[][..], &[0xa1], &[0xa0, 0x00]] {
            let bytes = with(kind, label, |e| e.array(1)?.bytes(content)?.ok());
            assert!(matches!(decode(&bytes), Err(Malformed::Cbor(_))), "{label:?} {content:?}");
        }
    }
}

#[test]
fn entries_of_a_list_of_components_say_which_and_what() {
    let of = |write: fn(&mut Writer) -> Written| {
        with(QUERY_RESPONSE, Label::TcList, |e| {
            e.array(1)?;
            write(e)
        })
    };

    let nameless = of(|e| e.map(1)?.u8(3)?.bytes(b"digest")?.ok());
    let silent = of(|e| e.map(1)?.u8(0)?.array(1)?.bytes(b"id")?.ok());
    let custom = of(|e| {
        e.map(3)?.i16(-300)?.bool(true)?.u8(0)?.array(1)?.bytes(b"id")?.u8(14)?.u32(400)?.ok()
    });

    let missing = Malformed::Missing("component-id of tc-list");
    assert_eq!(decode(&nameless), Err(missing));
    assert_eq!(decode(&silent), Err(Malformed::Empty("system-property-claims")));
    let message = decode(&custom).unwrap();
    let encoded = message.encode(Numbering::V26);
    assert_eq!(decode(&encoded).unwrap(), message);
    cose::cbor::check_deterministic(&encoded, limits::MESSAGE).unwrap();
}

//= teep 14.9 (M): err-lang has 1 to 35 characters
#[test]
fn an_unknown_language_does_not_stop_the_error() {
    let bytes = raw(|e| {
        e.array(3)?.u8(5)?.map(2)?.u8(11)?.str("voll")?.u8(21)?.str("x-klingon")?.u8(10)?.ok()
    });

    let Ok(Message::Error(error)) = decode(&bytes) else { panic!("{:?}", decode(&bytes)) };

    assert_eq!(error.err_lang.unwrap().as_str(), "x-klingon");
    let long = with(UPDATE, Label::ErrLang, |e| e.str(&"x".repeat(36))?.ok());
    assert_eq!(decode(&long), Err(Malformed::Length { what: "err-lang", got: 36 }));
    let zero = with(UPDATE, Label::ErrCode, |e| e.u8(0)?.ok());
    assert_eq!(decode(&zero), Err(Malformed::ErrCodeZero));
}

//= teep 14.18 (M): the format is present unless the payload is a TEEP-profile EAT
#[test]
fn a_payload_keeps_its_format_and_a_format_alone_says_nothing() {
    let both =
        raw(|e| e.array(2)?.u8(2)?.map(2)?.u8(6)?.bytes(b"evidence")?.u8(12)?.str("a/b")?.ok());
    let alone = with(QUERY_RESPONSE, Label::AttestationPayloadFormat, |e| e.str("a/b")?.ok());

    let message = decode(&both).unwrap();
    assert_eq!(message.encode(Numbering::V26), both);
    let Message::QueryResponse(response) = message else { panic!("not a QueryResponse") };
    assert_eq!(response.attestation_payload.unwrap().format.as_deref(), Some("a/b"));
    let Ok(Message::QueryResponse(response)) = decode(&alone) else { panic!("refused") };
    assert_eq!(response.attestation_payload, None);
}

#[test]
fn a_token_is_recovered_from_what_is_otherwise_wrong() {
    let token = Token::new(&[7; 8]).ok();
    let of = |write: fn(&mut Writer) -> Written| {
        raw(|e| {
            e.array(2)?.u8(99)?;
            write(e)
        })
    };
    let recover = |bytes: &[u8]| recover_token(bytes, Numbering::V26);

    assert_eq!(recover(&of(|e| e.map(1)?.u8(19)?.bytes(&[7; 8])?.ok())), token);
    let mixed = of(|e| e.map(2)?.str("odd")?.u8(0)?.u8(19)?.bytes(&[7; 8])?.ok());
    assert_eq!(recover(&mixed), token);
    assert_eq!(recover(&of(|e| e.map(1)?.u8(19)?.bytes(&[7; 7])?.ok())), None);
    assert_eq!(recover(&of(|e| e.u8(0)?.ok())), None);
    assert_eq!(recover(&[]), None);
    assert_eq!(recover(&[0xa0]), None);
}

use std::collections::BTreeMap;

use cose::{Accept, ContentType, Header, Key, Payload, Signer};
use proptest::prelude::*;

use super::*;
use crate::eat::Version;
use crate::testing::{KEY, OTHER, Software};

#[test]
fn a_signed_manifest_survives_the_round_trip() {
    let signer = Software::new(KEY);
    let signed = corim().sign(&meta(), &signer).unwrap();

    let read = Corim::verify(&signed, &expect(&[signer.key().clone()], 1_500)).unwrap();

    assert_eq!(read.into_inner(), corim());
}

#[test]
fn the_class_chooses_the_reference_values() {
    let agent = Class { id: None, ..class() };
    let component = ClassId::component(&[vec![7; 32], b"ta.suit".to_vec()]);
    let ta = Class { id: Some(component), ..Class::default() };
    let other = Class { model: Some("other".to_owned()), ..class() };

    assert_eq!(corim().reference_values(&agent).count(), 1);
    assert_eq!(corim().reference_values(&class()).count(), 1);
    assert_eq!(corim().reference_values(&ta).count(), 1);
    assert_eq!(corim().reference_values(&other).count(), 0);
    assert_eq!(corim().reference_values(&Class::default()).count(), 0);
}

//= rats 11.29 (M): min-svn not met, or a digest of another algorithm, is no match
#[test]
fn every_stated_value_must_match() {
    let reference = reference();
    let refused = |change: fn(&mut Observed)| {
        let mut observed = observed();
        change(&mut observed);
        reference.matches(&observed).unwrap_err()
    };

    assert_eq!(reference.matches(&observed()), Ok(()));
    assert_eq!(refused(|seen| seen.svn = Some(4)), Mismatch::Svn);
    assert_eq!(refused(|seen| seen.svn = None), Mismatch::Svn);
    assert_eq!(refused(|seen| seen.version = Some("2".to_owned())), Mismatch::Version);
    assert_eq!(refused(|seen| seen.name = None), Mismatch::Name);
    assert_eq!(refused(|seen| seen.digests = vec![Digest::sha256([8; 32])]), Mismatch::Digest);
    assert_eq!(
        refused(|seen| seen.digests = vec![Digest::sha512([9; 64])]),
        Mismatch::NoCommonAlgorithm
    );
    assert_eq!(refused(|seen| seen.digests.clear()), Mismatch::NoCommonAlgorithm);
    assert_eq!(refused(|seen| seen.raw = None), Mismatch::RawValue);
    assert_eq!(refused(|seen| seen.keys.truncate(1)), Mismatch::Keys);
    assert_eq!(refused(|seen| drop(seen.registers.remove(&Label::Int(0)))), Mismatch::Register);
    assert_eq!(
        refused(|seen| {
            seen.registers.insert(Label::Int(0), vec![Digest::sha384([4; 48])]);
        }),
        Mismatch::Digest
    );
}

#[test]
fn one_digest_that_disagrees_is_enough() {
    let mut observed = observed();
    observed.digests = vec![Digest::sha256([9; 32]), Digest::sha384([1; 48])];

    assert_eq!(reference().matches(&observed), Err(Mismatch::Digest));
}

#[test]
fn an_exact_svn_is_exact_and_a_minimum_is_a_minimum() {
    let matches = |svn, seen| {
        let reference = Measurement { svn: Some(svn), ..Measurement::default() };
        reference.matches(&Observed { svn: Some(seen), ..Observed::default() }).is_ok()
    };

    assert!(matches(Svn::Exact(5), 5) && !matches(Svn::Exact(5), 6));
    assert!(matches(Svn::Min(5), 5) && matches(Svn::Min(5), 6) && !matches(Svn::Min(5), 4));
}

#[test]
fn a_reference_value_that_states_nothing_or_something_unknown_matches_nothing() {
    let empty = Measurement::default();
    let restricted = Measurement { restrictions: vec![3], ..reference() };

    assert_eq!(empty.matches(&observed()), Err(Mismatch::NothingStated));
    assert_eq!(restricted.matches(&observed()), Err(Mismatch::Unsupported(3)));
}

#[test]
fn members_that_restrict_and_are_not_known_are_remembered() {
    let measurement = encode(|e| {
        e.map(2)?.u8(1)?.map(2)?.u8(1)?.u8(5)?.u8(3)?.map(0)?;
        e.u8(2)?.array(1)?.u8(0)?.ok()
    });
    let environment = encode(|e| {
        e.map(2)?.u8(0)?.map(2)?.u8(1)?.str("v")?.u8(3)?.u8(1)?;
        e.u8(1)?.tag(Tag::new(550))?.bytes(&[1; 17])?.ok()
    });

    let measurement = whole(&measurement, Measurement::decode).unwrap();
    let environment = whole(&environment, Environment::decode).unwrap();

    assert_eq!((measurement.svn, measurement.restrictions), (Some(Svn::Exact(5)), vec![3, 2]));
    assert_eq!(environment.restrictions, vec![3, 1]);
    assert!(!environment.matches(&environment.class));
}

#[test]
fn masked_bytes_and_keys_in_other_forms_are_remembered_as_not_understood() {
    let measurement = encode(|e| {
        e.map(1)?.u8(1)?.map(2)?;
        e.u8(4)?.tag(Tag::new(563))?.array(2)?.bytes(&[1])?.bytes(&[1])?;
        e.u8(13)?.array(1)?.tag(Tag::new(554))?.str("key")?.ok()
    });

    let measurement = whole(&measurement, Measurement::decode).unwrap();

    assert_eq!((measurement.raw, measurement.restrictions), (None, vec![4, 13]));
    assert!(measurement.keys.is_empty());
}

//= rats 11.29 (M): an expired CoRIM, or one of another signer, is refused
#[test]
fn a_manifest_outside_its_times_or_of_another_signer_is_refused() {
    let signer = Software::new(KEY);
    let keys = [signer.key().clone()];
    let strangers = [Software::new(OTHER).key().clone()];
    let verify = |corim: &Corim, meta: &Meta, keys: &[Key], now| {
        Corim::verify(&corim.sign(meta, &signer).unwrap(), &expect(keys, now)).map(|_| ())
    };
    let until = |not_after| Some(Validity { not_before: None, not_after: Timestamp(not_after) });
    let short = Corim { validity: until(1_200), ..corim() };
    let endless = Corim { validity: None, ..corim() };

    assert_eq!(verify(&corim(), &meta(), &keys, 2_000), Ok(()));
    assert_eq!(
        verify(&corim(), &meta(), &keys, 2_001),
        Err(Untrusted::Expired { exp: Timestamp(2_000), now: Timestamp(2_001) }.into())
    );
    assert_eq!(
        verify(&corim(), &meta(), &keys, 999),
        Err(Untrusted::FromTheFuture { iat: Timestamp(1_000), now: Timestamp(999) }.into())
    );
    assert_eq!(
        verify(&short, &meta(), &keys, 1_500),
        Err(Untrusted::Expired { exp: Timestamp(1_200), now: Timestamp(1_500) }.into())
    );
    assert_eq!(verify(&endless, &Meta { validity: None, ..meta() }, &keys, i64::MAX), Ok(()));
    assert_eq!(verify(&corim(), &meta(), &strangers, 1_500), Err(Untrusted::UnknownSigner.into()));
}

#[test]
fn a_manifest_without_content_type_or_signer_information_is_refused() {
    let refused = |protected: Header| {
        let signer = Software::new(KEY);
        let payload = corim().encode();
        let payload = Payload::Attached(&payload);
        let signed = cose::sign1(&signer, protected, Header::default(), &[], payload).unwrap();
        Corim::verify(&signed, &expect(&[signer.key().clone()], 1_500)).map(|_| ())
    };
    let typed = Header {
        content_type: Some(ContentType::Media("application/rim+cbor".to_owned())),
        ..Header::default()
    };
    let cwt = |exp: i64| {
        let claims = encode(|e| e.map(1)?.u8(4)?.i64(exp)?.ok());
        Header { other: BTreeMap::from([(15, claims)]), ..typed.clone() }
    };

    assert_eq!(refused(Header::default()), Err(Malformed::ContentType.into()));
    assert_eq!(refused(typed.clone()), Err(Malformed::Missing(8.into()).into()));
    assert_eq!(refused(cwt(1_501)), Ok(()));
    assert_eq!(
        refused(cwt(1_500)),
        Err(Untrusted::Expired { exp: Timestamp(1_500), now: Timestamp(1_500) }.into())
    );
}

#[test]
fn a_profile_is_refused_and_other_tags_are_passed_over() {
    let comid = corim().tags[0].encode();
    let map = |profile: bool| {
        encode(|e| {
            e.tag(Tag::new(TAG_CORIM))?.map(2 + u64::from(profile))?.u8(0)?.str("id")?;
            e.u8(1)?.array(2)?.tag(Tag::new(505))?.bytes(&[1, 2])?;
            e.tag(Tag::new(TAG_COMID))?.bytes(&comid)?;
            if profile {
                e.u8(3)?.tag(Tag::new(32))?.str("tag:x")?;
            }
            e.ok()
        })
    };

    assert_eq!(Corim::decode(&map(false)).unwrap().tags, corim().tags[..1]);
    assert_eq!(Corim::decode(&map(true)), Err(Unsupported::CorimProfile.into()));
}

#[test]
fn digests_of_a_wrong_length_and_floating_point_times_are_refused() {
    let measurement = encode(|e| {
        e.map(1)?.u8(1)?.map(1)?.u8(2)?.array(1)?.array(2)?.u8(1)?.bytes(&[0; 31])?.ok()
    });
    let validity = encode(|e| e.map(1)?.u8(1)?.tag(Tag::new(1))?.f32(1.0)?.ok());
    let untagged = encode(|e| e.map(1)?.u8(1)?.u8(1)?.ok());

    assert_eq!(whole(&measurement, Measurement::decode), Err(Malformed::Value(2.into())));
    assert_eq!(whole(&validity, Validity::decode), Err(Malformed::FloatTime(1.into())));
    assert!(whole(&untagged, Validity::decode).is_err());
}

proptest! {
    #[test]
    fn no_input_makes_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Corim::decode(&bytes);
    }

    #[test]
    fn a_changed_manifest_reads_to_itself_or_is_refused(at in 0usize..2_000, byte: u8) {
        let mut encoded = corim().encode();
        let at = at % encoded.len();
        encoded[at] = byte;

        if let Ok(read) = Corim::decode(&encoded) {
            let written = Corim::decode(&read.encode());
            prop_assert!(written.is_ok());
        }
    }
}

fn expect(signers: &[Key], now: i64) -> Expect<'_> {
    Expect { signers, accept: &Accept::CURRENT, now: Timestamp(now) }
}

fn meta() -> Meta {
    let validity = Validity { not_before: Some(Timestamp(1_000)), not_after: Timestamp(2_000) };
    Meta { signer: "provider".to_owned(), validity: Some(validity) }
}

fn class() -> Class {
    Class {
        id: Some(ClassId::Uuid([5; 16])),
        vendor: Some("maker".to_owned()),
        model: Some("agent".to_owned()),
    }
}

fn reference() -> Measurement {
    Measurement {
        key: Some(MeasurementKey::Text("agent".to_owned())),
        version: Some(Version::new("1")),
        svn: Some(Svn::Min(5)),
        digests: vec![Digest::sha256([9; 32]), Digest::sha384([9; 48])],
        raw: Some(vec![4; 5]),
        name: Some("agent".to_owned()),
        keys: vec![vec![6; 32]],
        registers: registers(),
        restrictions: Vec::new(),
    }
}

fn registers() -> BTreeMap<Label, Vec<Digest>> {
    BTreeMap::from([
        (Label::Int(0), vec![Digest::sha384([3; 48])]),
        (Label::Text("rem1".to_owned()), vec![Digest::sha256([2; 32])]),
    ])
}

fn observed() -> Observed {
    Observed {
        version: Some("1".to_owned()),
        svn: Some(7),
        digests: vec![Digest::sha256([9; 32])],
        raw: Some(vec![4; 5]),
        name: Some("agent".to_owned()),
        keys: vec![vec![5; 32], vec![6; 32]],
        registers: registers(),
    }
}

fn corim() -> Corim {
    let agent = Class { id: None, ..class() };
    let component = ClassId::component(&[vec![7; 32], b"ta.suit".to_vec()]);
    let ta = Class { id: Some(component), ..Class::default() };
    let triple = |class, measurement| ReferenceTriple {
        environment: Environment::of(class),
        measurements: vec![measurement],
    };
    let manifest = Measurement { digests: vec![Digest::sha256([1; 32])], ..Measurement::default() };
    Corim {
        id: TagId::Text("reference-values".to_owned()),
        tags: vec![
            Comid {
                id: TagId::Uuid([2; 16]),
                version: 1,
                reference_values: vec![triple(agent, reference())],
            },
            Comid {
                id: TagId::Text("ta".to_owned()),
                version: 0,
                reference_values: vec![triple(ta, manifest)],
            },
        ],
        validity: None,
    }
}

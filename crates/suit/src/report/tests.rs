use std::collections::BTreeMap;

use cose::{Accept, Algorithm, Signer};

use super::*;
use crate::error::Untrusted;
use crate::parameter::{CustomValue, Parameter};
use crate::sample::{digest_of, id};
use crate::testing::{device, new_key, public, vector};

//= suit 13.93 (M): Report validates the layout of section 10; digest equals wrapper digest; uri
//= equals reference-uri. R 4
#[test]
fn the_reports_of_the_vectors_are_read_and_written_again() {
    for name in ["report_success_current.cbor", "report_failure_current.cbor"] {
        let Some(bytes) = vector(&format!("teep/derived/{name}")) else { return };

        let report = Report::decode(&bytes).unwrap();

        assert_eq!(report.encode(), bytes, "{name}");
        assert_eq!(report.succeeded(), name.contains("success"));
    }
}

#[test]
fn the_failure_in_the_vector_is_the_one_that_it_tells() {
    let Some(bytes) = vector("teep/derived/report_failure_current.cbor") else { return };

    let report = Report::decode(&bytes).unwrap();

    let Conclusion::Failure { code, record, reason } = report.result else { panic!("a success") };
    assert_eq!((code, reason), (404, Reason::ConditionFailed));
    assert_eq!((record.section, record.offset, record.component_index), (15, 66, 0));
    assert_eq!(report.records, [Entry::Record(record)]);
}

//= suit 13.101 (M): Reader refuses reports of the old numbering (keys 1, 2, 4 without 99) or
//= flags them legacy.
#[test]
fn reports_of_the_old_numbering_are_flagged() {
    for name in ["report_f1_as_printed.cbor", "report_f2_as_printed.cbor"] {
        let Some(bytes) = vector(&format!("teep/derived/{name}")) else { return };

        let verdict = Report::decode(&bytes);

        assert_eq!(verdict, Err(Malformed::LegacyReport.into()), "{name}");
    }
}

//= suit 13.97 (M): Protected report verifies with its own key and not with the TEEP key. P 4.2
//= suit 13.99 (M): Policy "authenticated only": no bare report leaves. R 8
#[test]
fn a_protected_report_is_that_of_its_own_key_and_a_bare_one_is_refused() {
    let (report_key, teep_key) = (new_key(), new_key());
    let report = sample();

    let protected = protect(&report, &report_key).unwrap();

    let opened = unprotect(&protected, &public(&report_key), &Accept::CURRENT).unwrap();
    assert_eq!(opened, Protected { report, signer: report_key.key().thumbprint() });
    assert_eq!(
        unprotect(&protected, &public(&teep_key), &Accept::CURRENT),
        Err(Untrusted::Signature.into())
    );
    assert_eq!(
        unprotect(&protected, &public(&report_key), &Accept::only(Algorithm::Ed25519)),
        Err(crate::Unsupported::Algorithm(Algorithm::Esp256.id()).into())
    );
    assert!(matches!(
        unprotect(&sample().encode(), &public(&report_key), &Accept::CURRENT),
        Err(Error::Malformed(_))
    ));
}

//= suit 13.79 (M): KDF context byte-exact, all three `other` strings; mixing them fails. E
//= 5.2.4, P 8.2
#[test]
fn an_encrypted_report_is_read_by_its_receiver_only() {
    use cose::encrypt::{ContentAlgorithm, ContentKey, Opener, Recipient, encrypt0};
    let signer = new_key();
    let [receiver, stranger, ephemeral] =
        [(); 3].map(|()| keys::AgreementKey::generate(cose::Curve::P256).unwrap());
    let draw = || ContentKey::draw(ContentAlgorithm::A128Gcm, &mut keys::SystemEntropy);
    let to =
        Recipient::Agreement { receiver: cose::Agreement::key(&receiver), ephemeral: &ephemeral };
    let protected = protect_for(&sample(), &signer, draw(), &[to]).unwrap();
    let open = |bytes: &[u8], opening: &Opening<'_>| {
        let opened = unprotect_with(bytes, &public(&signer), &Accept::CURRENT, opening);
        opened.map(|protected| protected.report)
    };
    let own = Opening::Receiver(Opener::Agreement(&receiver));

    assert_eq!(open(&protected, &own), Ok(sample()));
    let other = Opening::Receiver(Opener::Agreement(&stranger));
    assert_eq!(open(&protected, &other), Err(Untrusted::Payload.into()));
    assert_eq!(open(&protected, &Opening::Readable), Err(Untrusted::Payload.into()));
    assert_eq!(open(&protect(&sample(), &signer).unwrap(), &own), Ok(sample()));
    let shared = cose::Secret::new(vec![7; 16]);
    let key =
        ContentKey::new(ContentAlgorithm::A128Gcm, cose::Secret::new(vec![7; 16]), vec![1; 12]);
    let inner = sample().encode();
    let inner = encrypt0(key.unwrap(), None, &[], cose::Payload::Attached(&inner)).unwrap();
    let header = cose::Header::default;
    let payload = cose::Payload::Attached(&inner.object);
    let outer = cose::sign1(&signer, header(), header(), &[], payload).unwrap();
    assert_eq!(open(&outer, &Opening::Shared(&shared)), Ok(sample()));
}

#[test]
fn a_report_between_those_who_share_a_secret_has_a_mac() {
    let (secret, other) = (cose::Secret::new(vec![7; 32]), cose::Secret::new(vec![8; 32]));

    let protected = protect_mac(&sample(), &secret).unwrap();

    assert_eq!(unprotect_mac(&protected, &secret, &Opening::Readable), Ok(sample()));
    assert_eq!(
        unprotect_mac(&protected, &other, &Opening::Readable),
        Err(Untrusted::Signature.into())
    );
}

//= suit 13.98 (M): Capability report lists all extensions implemented. R 6
#[test]
fn the_capabilities_of_a_device_are_all_that_it_runs() {
    let mut device = device();
    device.components = Some(vec![CapableComponent { prefix: id("fs"), any_below: true }]);

    let capability = device.capability();

    for label in (1..=8).chain([11, 12, 14, 15]).chain(18..=29).chain(31..=35) {
        assert!(capability.commands.contains(&label), "command {label}");
    }
    for key in (1..=5).chain([12, 13, 14, 18, 19]).chain(21..=30) {
        assert!(capability.parameters.contains(&key), "parameter {key}");
    }
    for algorithm in [-16, -9, -19, 5, -29, 1, 24, -65534] {
        assert!(capability.algorithms.contains(&algorithm), "algorithm {algorithm}");
    }
    let further = BTreeMap::from([(vec![1, 2], vec![3]), (vec![0], vec![4, -5])]);
    let others = BTreeMap::from([(5, vec![2, 3]), (10, vec![1])]);
    let capability = Capability { others, further, ..capability };
    let report = Report { capability: Some(capability), ..sample() };
    assert_eq!(Report::decode(&report.encode()), Ok(report));
}

#[test]
fn system_properties_carry_custom_parameters_of_every_type() {
    let properties = Properties::new()
        .with(&Parameter::ImageDigest(digest_of(b"x")))
        .with(&Parameter::Custom(-300, CustomValue::Int(-7)))
        .with(&Parameter::Custom(-301, CustomValue::Bool(true)))
        .with(&Parameter::Custom(-302, CustomValue::Text("words")))
        .with(&Parameter::Custom(-303, CustomValue::Bytes(b"bytes")));

    let encoded = properties.encode_system(&id("a"));

    assert_eq!(Properties::decode_system(&encoded), Ok((id("a"), properties.clone())));
    assert_eq!(properties.find(-301), Some(Parameter::Custom(-301, CustomValue::Bool(true))));
    let report = Report { records: vec![Entry::Properties(id("a"), properties)], ..sample() };
    assert_eq!(Report::decode(&report.encode()), Ok(report));
}

#[test]
fn a_report_without_a_part_or_with_an_unknown_reason_is_malformed() {
    let without = |key: i64| {
        let bytes = sample().encode();
        let mut reader = Reader::open(&bytes).unwrap();
        let count = reader.map().unwrap();
        crate::sample::encoded(|w| {
            w.map(count as usize - 1);
            for _ in 0..count {
                let own = reader.int().unwrap();
                let value = reader.raw().unwrap();
                if own != key {
                    w.int(own).raw(value);
                }
            }
        })
    };

    assert_eq!(Report::decode(&without(RECORDS)), Err(Malformed::Absent("report records").into()));
    assert_eq!(Report::decode(&without(RESULT)), Err(Malformed::Absent("report result").into()));
    assert_eq!(Report::decode(&without(REFERENCE)), Err(Malformed::LegacyReport.into()));
    assert_eq!(Reason::from_code(13), Err(Malformed::Reason(13)));
    for reason in Reason::ALL {
        assert_eq!(Reason::from_code(reason.code()), Ok(reason));
    }
}

fn sample() -> Report {
    Report {
        reference: Reference { uri: String::new(), digest: digest_of(b"manifest") },
        nonce: Some(vec![7; 16]),
        records: Vec::new(),
        result: Conclusion::Success,
        capability: None,
    }
}

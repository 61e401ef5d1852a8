//! What is written satisfies the documents' CDDL, as `spec/cddl/suit.cddl` has it.

#![cfg(test)]

use cddl::validate_cbor_from_slice;
use cose::encrypt::{ContentAlgorithm, ContentKey, Recipient};
use cose::{Agreement as _, Curve};
use keys::{AgreementKey, SystemEntropy};
use suit::build::Uri;
use suit::build::{Built, Compatibility, Delivery, Description, Name, Payload, Pd, Root, Ta, Ua};
use suit::command::Command;
use suit::encryption::{Sealed, seal};
use suit::report::Reference;
use suit::{Manifest, Place, Procedure, Processor, Report, Section, Sequence, Untrusted};
use testing::{Shell, authentic, device, new_key, owner_context, teep_class, teep_vendor};

#[path = "../src/testing.rs"]
mod testing;

const SUIT: &str = include_str!("../../../spec/cddl/suit.cddl");

#[test]
fn every_envelope_that_is_built_satisfies_the_cddl() {
    for (what, built) in everything() {
        let envelope = &built.envelope;

        assert_eq!(is("SUIT_Envelope", envelope), Ok(()), "{what}");

        let verified = authentic(envelope);
        let sequences = sequences(verified.manifest());
        assert!(!sequences.is_empty());
        for command in sequences.into_iter().flat_map(commands) {
            assert_eq!(is("SUIT_Command", &command), Ok(()), "{what}: {command:02x?}");
        }
        let severed = verified.envelope().clone().sever(23).encode();
        assert_eq!(is("SUIT_Envelope", &severed), Ok(()), "{what} without its text");
    }
}

//= suit 13.93 (M): Report validates the layout of section 10; digest equals wrapper digest; uri
//= equals reference-uri. R 4
#[test]
fn every_report_that_is_written_satisfies_the_cddl() {
    let (_, built) = everything().remove(0);
    let verified = authentic(&built.envelope);
    let run = |content: &[u8]| {
        let mut context = owner_context();
        context.nonce = Some(b"nonce".to_vec());
        let mut processor = Processor::new(&verified, context).unwrap();
        let mut shell = Shell::new().with_network(URI, content);
        shell.run(&mut processor, Procedure::Update).report
    };
    let reference = Reference { uri: String::new(), digest: built.digest };
    let refused = Report::refusal(reference, None, &Untrusted::Signature.into());
    let (good, bad) = (run(CONTENT), run(b"other"));
    assert!(good.succeeded() && !bad.succeeded() && !good.records.is_empty());
    let able = Report { capability: Some(device().capability()), ..good.clone() };

    for report in [good, bad, refused, able] {
        assert_eq!(is("SUIT_Report", &report.encode()), Ok(()), "{report:?}");
    }
}

/// The validation can fail: each rule, broken once.
#[test]
fn the_cddl_refuses_what_breaks_a_rule() {
    let (_, built) = everything().remove(0);
    let report = Report::refusal(
        Reference { uri: String::new(), digest: built.digest },
        None,
        &Untrusted::Signature.into(),
    )
    .encode();
    let changed = |bytes: &[u8], from: &[u8], to: &[u8]| {
        let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
        [&bytes[..at], to, &bytes[at + from.len()..]].concat()
    };
    let envelope = &built.envelope;
    for (why, rule, bytes) in [
        ("a report for an envelope", "SUIT_Envelope", report.clone()),
        ("an envelope for a report", "SUIT_Report", envelope.clone()),
        // The manifest begins with its version and its sequence number.
        ("version 2", "SUIT_Envelope", changed(envelope, &[1, 1, 2, 1], &[1, 2, 2, 1])),
        ("a negative number", "SUIT_Envelope", changed(envelope, &[1, 1, 2, 1], &[1, 1, 2, 0x21])),
        (
            "an unknown hash",
            "SUIT_Envelope",
            changed(envelope, &[0x82, 0x2f, 0x58], &[0x82, 0x2e, 0x58]),
        ),
        ("no authentication block", "SUIT_Authentication", vec![0x81, 0x43, 0x82, 0x2f, 0x40]),
        ("an unknown member", "SUIT_Manifest", changed_manifest(&built, 0x18, 99)),
        ("a policy above 15", "SUIT_Command", vec![0x82, 3, 16]),
        ("a text for a policy", "SUIT_Command", vec![0x82, 3, 0x61, b'x']),
        ("an unknown command", "SUIT_Command", vec![0x82, 13, 0]),
        ("one alternative", "SUIT_Command", vec![0x82, 15, 0x81, 0x43, 0x82, 3, 0]),
        ("a short vendor", "SUIT_Command", vec![0x82, 20, 0xa1, 1, 0x42, 1, 2]),
        ("a number for a uri", "SUIT_Command", vec![0x82, 20, 0xa1, 21, 1]),
        ("reason 13", "SUIT_Report", changed(&report, &[7, 4], &[7, 13])),
        (
            "a nonce of text",
            "SUIT_Report",
            vec![0xa4, 2, 0x61, b'x', 3, 0x80, 4, 0xf5, 0x18, 99, 0x80],
        ),
    ] {
        assert!(is(rule, &bytes).is_err(), "{why}");
    }
    assert_eq!(is("SUIT_Command", &[0x82, 3, 15]), Ok(()));
    assert_eq!(is("SUIT_Command", &[0x82, 20, 0xa1, 21, 0x61, b'x']), Ok(()));
}

/// The manifest with one member more: of two bytes, whose value is an empty string.
fn changed_manifest(built: &Built, head: u8, key: u8) -> Vec<u8> {
    let verified = authentic(&built.envelope);
    let mut manifest = verified.envelope().manifest_bytes().to_vec();
    manifest[0] += 1;
    manifest.extend([head, key, 0x40]);
    manifest
}

/// One of everything that the builders build.
fn everything() -> Vec<(String, Built)> {
    let owner = new_key();
    let uri = || Uri::new(URI).unwrap();
    let words = Description {
        language: "en",
        manifest: Some("what it does"),
        component: Some("plans routes"),
        vendor_name: Some("somebody"),
        vendor_domain: Some("example.org"),
        model_name: Some("model"),
        version: Some("1.2"),
    };
    let name = |text: &str| Name::new(text).unwrap();
    let ta = Ta::new(name("planner"), 1, compatibility(), Payload::at(uri(), CONTENT));
    let ta = ta.invocable(Some(b"arguments")).described(words).referenced_at(uri());
    let ta = ta.sign(&owner).unwrap();
    let ua = Ua::new(name("relay"), 2, compatibility(), Payload::integrated(CONTENT));
    let ua = ua.invocable(None).sign(&owner).unwrap();
    let pd = Pd::new(name("planner.pd"), 3, compatibility(), Payload::integrated(b"sealed"));
    let pd = pd.sign(&owner).unwrap();
    let root = Root::new(name("package"), 4, compatibility())
        .with(&ta, Delivery::At(uri()))
        .with(&ua, Delivery::Integrated)
        .described(Description { manifest: Some("a package"), ..Description::default() })
        .sign(&owner)
        .unwrap();
    let mut all: Vec<(String, Built)> = [("ta", ta), ("ua", ua), ("pd", pd), ("root", root)]
        .map(|(what, built)| (what.to_owned(), built))
        .into();
    for algorithm in ContentAlgorithm::ALL {
        let sealed = sealed(algorithm);
        assert_eq!(is("SUIT_Encryption_Info", &sealed.info), Ok(()), "{algorithm:?}");
        for payload in [Payload::at(uri(), CONTENT), Payload::integrated(CONTENT)] {
            let payload = payload.encrypted(&sealed);
            let built = Ta::new(name("sealed"), 5, compatibility(), payload).sign(&owner).unwrap();
            all.push((format!("{algorithm:?}"), built));
        }
    }
    all
}

fn sealed(algorithm: ContentAlgorithm) -> Sealed {
    let receiver = AgreementKey::generate(Curve::P256).unwrap();
    let ephemeral = AgreementKey::generate(Curve::P256).unwrap();
    let wrapping = cose::Secret::new(vec![7; 16]);
    let recipients = [
        Recipient::Agreement { receiver: receiver.key(), ephemeral: &ephemeral },
        Recipient::KeyWrap { key: &wrapping, kid: Some(b"kek") },
    ];
    seal(ContentKey::draw(algorithm, &mut SystemEntropy), &recipients, CONTENT).unwrap()
}

/// Every sequence of a manifest, with those inside others.
fn sequences<'b>(manifest: &Manifest<'b>) -> Vec<Sequence<'b>> {
    let sections = Section::ALL.into_iter().filter_map(|section| manifest.section(section));
    let mut found: Vec<Sequence<'b>> = manifest.common.shared.into_iter().collect();
    found.extend(sections.filter_map(|section| section.content().copied()));
    let mut at = 0;
    while let Some(sequence) = found.get(at).copied() {
        for (_, command) in sequence.commands() {
            match command {
                Command::TryEach(several) => found.extend(several.sequences),
                Command::RunSequence(inner) => found.push(inner),
                _ => {}
            }
        }
        at += 1;
    }
    found
}

/// Each command with its argument, as an array of two.
fn commands(sequence: Sequence<'_>) -> Vec<Vec<u8>> {
    let bytes = sequence.bytes();
    assert!(Sequence::decode(bytes, Place::Section).is_ok());
    let mut ends: Vec<usize> = sequence.commands().map(|(offset, _)| offset).collect();
    ends.push(bytes.len());
    ends.windows(2).map(|pair| [&[0x82], &bytes[pair[0]..pair[1]]].concat()).collect()
}

fn compatibility() -> Compatibility {
    Compatibility { vendor: teep_vendor(), class: teep_class() }
}

/// Whether bytes are one item of this rule.
fn is(rule: &str, bytes: &[u8]) -> Result<(), String> {
    let document = format!("start = {rule}\n{SUIT}");
    validate_cbor_from_slice(&document, bytes, None).map_err(|error| error.to_string())
}

const URI: &str = "https://example.org/planner";
const CONTENT: &[u8] = b"content";

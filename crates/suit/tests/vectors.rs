//! The drafts' own bytes: read, verified, written again and run.

#![cfg(test)]

use std::collections::BTreeMap;

use cose::Accept;
use suit::command::{Command, Name as CommandName};
use suit::process::Fault;
use suit::report::Conclusion;
use suit::{
    Anchors, ComponentId, Digest, DigestAlgorithm, Envelope, Error, Place, Procedure, Processor,
    Section, Sequence, Severable, Unsupported, Untrusted, Verified,
};
use testing::{Shell, authentic_by, open_context, vector, vector_key, vectors_in};

#[path = "../src/testing.rs"]
mod testing;

#[test]
fn every_envelope_is_read_and_written_again_to_the_same_bytes() {
    for (name, bytes) in every_envelope() {
        let envelope = Envelope::decode(&bytes).unwrap_or_else(|e| panic!("{name}: {e:?}"));

        assert_eq!(envelope.encode(), bytes, "{name}");
    }
}

#[test]
fn every_manifest_that_a_key_signed_is_written_again_to_the_same_bytes() {
    let Some(anchors) = anchors() else { return };
    let mut count = 0;
    for (name, bytes) in every_envelope() {
        let envelope = Envelope::decode(&bytes).unwrap();
        let Ok(verified) = envelope.clone().authenticate(&anchors, &Accept::WITH_LEGACY) else {
            continue;
        };
        count += 1;

        assert_eq!(verified.manifest().encode(), envelope.manifest_bytes(), "{name}");
        for (section, content) in &verified.manifest().sections {
            if let Some(sequence) = content.content() {
                assert_rewritten(sequence.bytes(), &format!("{name} {section}"));
            }
        }
        if let Some(shared) = verified.manifest().common.shared {
            assert_rewritten(shared.bytes(), &name);
        }
    }
    assert!(count >= 20, "only {count} manifests verified");
}

#[test]
fn the_examples_of_the_manifest_draft_verify_with_their_key_and_the_legacy_algorithm_only() {
    let Some(key) = vector_key("K1") else { return };
    let anchors = Anchors::none().with_key(key);
    for (name, bytes) in vectors_in("suit/manifest-37") {
        let legacy = authenticate(&bytes, &anchors, Accept::WITH_LEGACY);
        let current = authenticate(&bytes, &anchors, Accept::CURRENT);

        if name.contains("unsigned") {
            assert_eq!(legacy.err(), Some(Untrusted::Unsigned.into()), "{name}");
        } else {
            assert!(legacy.is_ok(), "{name}: {legacy:?}");
            assert_eq!(current.err(), Some(Unsupported::Algorithm(-7).into()), "{name}");
        }
    }
}

#[test]
fn the_resigned_examples_verify_and_the_one_with_a_foreign_signature_does_not() {
    let Some(key) = vector_key("K1") else { return };
    let anchors = Anchors::none().with_key(key);
    for (name, bytes) in vectors_in("suit/manifest-pr188") {
        let verdict = authenticate(&bytes, &anchors, Accept::CURRENT);

        match name.as_str() {
            "example0-secure-boot-signed.cbor" => {
                assert_eq!(verdict.err(), Some(Untrusted::Signature.into()));
            }
            name if name.contains("unsigned") => {
                assert_eq!(verdict.err(), Some(Untrusted::Unsigned.into()), "{name}");
            }
            name => assert!(verdict.is_ok(), "{name}: {verdict:?}"),
        }
    }
}

#[test]
fn severed_members_are_bound_by_their_digests() {
    let Some(key) = vector_key("K1") else { return };
    let full = vector("suit/manifest-37/example2-severed-fields-signed-full.cbor").unwrap();
    let severed = vector("suit/manifest-37/example2-severed-fields-signed-severed.cbor").unwrap();

    let with = authentic_by(&full, &key);
    let without = authentic_by(&severed, &key);
    let cut = Envelope::decode(&full).unwrap().sever(23).sever(20).encode();

    assert!(matches!(with.manifest().section(Section::Install), Some(Severable::Attached(..))));
    assert!(with.manifest().text.as_ref().is_some_and(|text| text.content().is_some()));
    assert!(matches!(without.manifest().section(Section::Install), Some(Severable::Severed(_))));
    assert_eq!(cut, severed);
}

#[test]
fn a_severed_install_section_cannot_run_and_says_so() {
    let Some(key) = vector_key("K1") else { return };
    let severed = vector("suit/manifest-37/example2-severed-fields-signed-severed.cbor").unwrap();
    let verified = authentic_by(&severed, &key);
    let mut processor = Processor::new(&verified, open_context(&[key])).unwrap();

    let ending = Shell::new().run(&mut processor, Procedure::Update);

    assert_eq!(ending.failure.unwrap().fault, Fault::Severed);
}

#[test]
fn secure_boot_validates_and_invokes() {
    let Some(verified) = example("example0-secure-boot-signed.cbor") else { return };
    let mut shell = sample_shell();
    shell.store.insert(id(&[&[0]]), vec![0; 34768]);
    let mut processor = processor(&verified);

    assert_eq!(shell.run(&mut processor, Procedure::Invocation).failure, None);
    assert_eq!(shell.trace, ["digest [h'00']", "invoke [h'00']"]);
}

#[test]
fn secure_boot_of_another_image_is_refused_with_the_measured_digest() {
    let Some(verified) = example("example0-secure-boot-signed.cbor") else { return };
    let mut shell = Shell::new();
    shell.store.insert(id(&[&[0]]), b"other".to_vec());

    let ending = shell.run(&mut processor(&verified), Procedure::Invocation);

    let failure = ending.failure.unwrap();
    let measured = Digest::of(DigestAlgorithm::Sha256, b"other").unwrap();
    let property = failure.record.properties.find(suit::parameter::key::IMAGE_DIGEST);
    assert_eq!(property, Some(suit::Parameter::ImageDigest(measured)));
    assert_eq!((failure.record.section, failure.record.offset), (7, 1));
    assert!(shell.invoked.is_empty());
}

#[test]
fn download_and_install_fetches_and_matches() {
    for name in ["example1-download-install-signed", "example2-severed-fields-signed-full"] {
        let Some(verified) = example(&format!("{name}.cbor")) else { return };
        let mut shell = sample_shell();

        let ending = shell.run(&mut processor(&verified), Procedure::Update);

        assert_eq!(ending.failure, None, "{name}");
        assert_eq!(shell.content(&id(&[&[0]])), Some(&vec![0; 34768][..]));
    }
}

#[test]
fn the_slot_decides_between_two_images() {
    let Some(verified) = example("example3-ab-images-signed.cbor") else { return };
    for (slot, size) in [(0, 34768), (1, 76834)] {
        let mut shell = sample_shell();
        let key = vector_key("K1").unwrap();
        let mut context = open_context(&[key]);
        context.device.slots.insert(id(&[&[0]]), slot);
        let mut processor = Processor::new(&verified, context).unwrap();

        let ending = shell.run(&mut processor, Procedure::Update);

        assert_eq!(ending.failure, None);
        assert_eq!(shell.content(&id(&[&[0]])).map(<[u8]>::len), Some(size));
    }
}

#[test]
fn no_slot_that_matches_fails_every_alternative() {
    let Some(verified) = example("example3-ab-images-signed.cbor") else { return };

    let ending = sample_shell().run(&mut processor(&verified), Procedure::Update);

    assert_eq!(ending.failure.unwrap().fault, Fault::NoAlternative);
}

#[test]
fn an_image_is_loaded_from_external_storage() {
    let Some(verified) = example("example4-load-external-signed.cbor") else { return };
    let mut shell = sample_shell();
    let mut processor = processor(&verified);

    assert_eq!(shell.run(&mut processor, Procedure::Update).failure, None);
    let installed = shell.content(&id(&[&[0]])).unwrap().to_vec();
    shell.pretended.push((installed.clone(), digest(1)));
    let ending = shell.run(&mut processor, Procedure::Invocation);

    // The sample's two digests are of one image, which is impossible: load has to refuse.
    assert!(matches!(ending.failure.unwrap().fault, Fault::Mismatch { .. }));
    assert_eq!(installed.len(), 34768);
}

#[test]
fn two_images_are_installed_one_after_the_other() {
    let Some(verified) = example("example5-two-images-signed.cbor") else { return };
    let mut shell = sample_shell();

    let ending = shell.run(&mut processor(&verified), Procedure::Update);

    assert_eq!(ending.failure, None);
    assert_eq!(
        shell.trace,
        [
            "digest [h'00']",
            "fetch [h'00'] http://example.com/file1.bin",
            "digest [h'00']",
            "digest [h'01']",
            "fetch [h'01'] http://example.com/file2.bin",
            "digest [h'01']",
            "digest [h'00']",
            "digest [h'01']",
        ]
    );
}

#[test]
fn a_dependency_is_fetched_checked_and_processed_before_its_dependent() {
    let Some(key) = vector_key("K1") else { return };
    let bytes = vector("suit/trust-domains-12/example1_process.cbor").unwrap();
    let dependency = vector("suit/trust-domains-12/example0_dependent.cbor").unwrap();
    let verified = authentic_by(&bytes, &key);
    let mut context = open_context(&[key]);
    context.limits.invoke_unvalidated = true;
    let mut processor = Processor::new(&verified, context).unwrap();
    let mut shell = Shell::new().with_network("http://example.com/dependent.suit", &dependency);

    assert_eq!(shell.run(&mut processor, Procedure::Update).failure, None);
    assert_eq!(shell.content(&id(&[b"00"])), Some(&b"hello world"[..]));
    assert_eq!(shell.content(&id(&[b"10"])), Some(&b" in multiple trust domains"[..]));
    assert_eq!(shell.run(&mut processor, Procedure::Invocation).failure, None);
    assert_eq!(shell.invoked, [(id(&[b"10"]), b"cat 00 10".to_vec())]);
}

#[test]
fn the_integrated_dependency_that_was_never_checked_is_refused() {
    let Some(key) = vector_key("K1") else { return };
    let bytes = vector("suit/trust-domains-12/example2_integrated.cbor").unwrap();
    let verified = authentic_by(&bytes, &key);
    let mut processor = Processor::new(&verified, open_context(&[key])).unwrap();

    let ending = Shell::new().run(&mut processor, Procedure::Update);

    assert_eq!(ending.failure.unwrap().fault, Fault::Unchecked);
}

#[test]
fn the_teep_example_with_a_uri_is_installed_and_removed() {
    install_teep_ta("suit_uri.cbor", Accept::CURRENT);
}

#[test]
fn the_teep_example_with_an_integrated_payload_is_installed_and_removed() {
    install_teep_ta("suit_integrated.cbor", Accept::CURRENT);
}

#[test]
fn the_personalization_example_is_refused_since_it_never_checks_its_dependency() {
    let Some(key) = vector_key("K1") else { return };
    let bytes = vector("teep/draft-26/suit_personalization.cbor").unwrap();
    let dependency = vector("teep/draft-26/suit_uri.cbor").unwrap();
    let verified = authentic_by(&bytes, &key);
    let mut processor = Processor::new(&verified, open_context(&[key])).unwrap();
    let uri = "https://example.org/8d82573a-926d-4754-9353-32dc29997f74.suit";

    let ending = Shell::new().with_network(uri, &dependency).run(&mut processor, Procedure::Update);

    assert_eq!(ending.failure.unwrap().fault, Fault::Unchecked);
}

#[test]
fn manifests_of_older_drafts_are_not_installable() {
    let Some(key) = vector_key("K1") else { return };
    let anchors = Anchors::none().with_key(key);
    for (file, expected) in [
        ("teep/draft-18/suit_uri.cbor", Unsupported::ManifestMember(17)),
        ("teep/draft-18/suit_integrated.cbor", Unsupported::ManifestMember(17)),
        ("teep/draft-18/suit_personalization.cbor", Unsupported::ManifestMember(17)),
    ] {
        let bytes = vector(file).unwrap();

        let verdict = authenticate(&bytes, &anchors, Accept::WITH_LEGACY);

        assert_eq!(verdict.err(), Some(expected.into()), "{file}");
    }
}

#[test]
fn the_manifest_in_the_update_message_has_its_install_commands_in_invoke_and_changes_nothing() {
    let Some(key) = vector_key("K1") else { return };
    let bytes = vector("teep/draft-26/update.embedded-manifest.cbor").unwrap();
    let verified = authentic_by(&bytes, &key);
    let mut shell = Shell::new();
    let mut processor = Processor::new(&verified, open_context(&[key])).unwrap();

    let update = shell.run(&mut processor, Procedure::Update);
    assert_eq!(update.failure, None);
    assert!(shell.trace.is_empty());
}

//= suit 13.94 (M): Failure record names section, offset and index of the failing command (compare
//= for each negative manifest). R 3
#[test]
fn every_vector_that_fails_names_its_command_its_component_what_was_expected_and_what_was_seen() {
    let Some(key) = vector_key("K1") else { return };
    let other = || Shell { store: [(id(&[&[0]]), b"other".to_vec())].into(), ..Shell::new() };
    let uri = "http://example.com/file.bin";
    let teep_uri = "https://example.org/8d82573a-926d-4754-9353-32dc29997f74.suit";
    let dependency = vector("teep/draft-26/suit_uri.cbor").unwrap();
    let seen = Digest::of(DigestAlgorithm::Sha256, b"other").unwrap();
    let mismatch = format!("expected {}, saw {seen}", digest(0));
    for (file, shell, procedure, words) in [
        (
            "suit/manifest-37/example0-secure-boot-signed.cbor",
            other(),
            Procedure::Invocation,
            ["condition-image-match in validate on [h'00']", &mismatch],
        ),
        (
            "suit/manifest-37/example1-download-install-signed.cbor",
            Shell::new().with_network(uri, b"other"),
            Procedure::Update,
            ["condition-image-match in install on [h'00']", &mismatch],
        ),
        (
            "suit/manifest-37/example1-download-install-signed.cbor",
            Shell::new(),
            Procedure::Update,
            ["directive-fetch in install on [h'00']", "nobody answered"],
        ),
        (
            "suit/manifest-37/example3-ab-images-signed.cbor",
            Shell::new(),
            Procedure::Update,
            ["directive-try-each in install on [h'00']", "every alternative failed"],
        ),
        (
            "suit/trust-domains-12/example2_integrated.cbor",
            Shell::new(),
            Procedure::Update,
            ["directive-process-dependency in", "dependency-integrity did not come first"],
        ),
        (
            "teep/draft-26/suit_personalization.cbor",
            Shell::new().with_network(teep_uri, &dependency),
            Procedure::Update,
            ["directive-process-dependency in", "dependency-integrity did not come first"],
        ),
    ] {
        let bytes = vector(file).unwrap();
        let verified = authentic_by(&bytes, &key);
        let mut processor =
            Processor::new(&verified, open_context(std::slice::from_ref(&key))).unwrap();

        let ending = { shell }.run(&mut processor, procedure);

        let failure = ending.failure.unwrap();
        let told = failure.to_string();
        assert!(words.iter().all(|words| told.contains(words)), "{file}: {told}");
        assert!(failure.component.is_some(), "{file}: {told}");
        let Conclusion::Failure { code, record, reason } = &ending.report.result else {
            panic!("{file}: a success")
        };
        assert_eq!(Some(CommandName(*code)), failure.command, "{file}");
        assert_eq!((record, *reason), (&failure.record, failure.reason()), "{file}");
        // Of the shared sequence, which is member 3, or of the section that it ran before.
        let sections = [Some(3), failure.section.map(Section::key)];
        assert!(sections.contains(&Some(record.section)), "{file}");
        let measured = told.contains("expected").then_some(suit::Parameter::ImageDigest(seen));
        assert_eq!(record.properties.find(suit::parameter::key::IMAGE_DIGEST), measured, "{file}");
    }
}

fn install_teep_ta(file: &str, accept: Accept) {
    let Some(key) = vector_key("K1") else { return };
    let bytes = vector(&format!("teep/draft-26/{file}")).unwrap();
    let ta = vector("teep/draft-26/8d82573a-926d-4754-9353-32dc29997f74.ta.bin").unwrap();
    let anchors = Anchors::none().with_key(key.clone());
    let verified = authenticate(&bytes, &anchors, accept).unwrap();
    let component = verified.manifest().common.components[0].clone();
    let mut processor = Processor::new(&verified, open_context(&[key])).unwrap();
    let uri = "https://example.org/8d82573a-926d-4754-9353-32dc29997f74.ta";
    let mut shell = Shell::new().with_network(uri, &ta);

    assert_eq!(shell.run(&mut processor, Procedure::Update).failure, None);
    assert_eq!(shell.content(&component), Some(&ta[..]));
    assert_eq!(shell.run(&mut processor, Procedure::Uninstall).failure, None);
    assert_eq!(shell.content(&component), None);
}

fn authenticate<'b>(
    bytes: &'b [u8],
    anchors: &Anchors,
    accept: Accept,
) -> Result<Verified<'b>, Error> {
    Envelope::decode(bytes).unwrap().authenticate(anchors, &accept)
}

fn assert_rewritten(bytes: &[u8], what: &str) {
    let sequence = Sequence::decode(bytes, Place::Section).unwrap();
    let commands: Vec<Command<'_>> = sequence.commands().map(|(_, command)| command).collect();

    assert_eq!(Sequence::encode(&commands), bytes, "{what}");
    for command in &commands {
        if let Command::TryEach(try_each) = command {
            for inner in &try_each.sequences {
                assert_rewritten(inner.bytes(), what);
            }
        } else if let Command::RunSequence(inner) = command {
            assert_rewritten(inner.bytes(), what);
        }
    }
}

/// A shell that has the drafts' sample images, whose printed digests are patterns.
fn sample_shell() -> Shell {
    let (small, large) = (vec![0; 34768], vec![1; 76834]);
    let mut shell = Shell::new()
        .with_network("http://example.com/file.bin", &small)
        .with_network("http://example.com/very/long/path/to/file/file.bin", &small)
        .with_network("http://example.com/file1.bin", &small)
        .with_network("http://example.com/file2.bin", &large);
    shell.pretended = vec![(small, digest(0)), (large, digest(1))];
    shell
}

/// The two sample digests of the manifest draft.
fn digest(which: usize) -> Digest {
    let printed = [
        "00112233445566778899aabbccddeeff0123456789abcdeffedcba9876543210",
        "0123456789abcdeffedcba987654321000112233445566778899aabbccddeeff",
    ];
    let bytes: Vec<u8> = hex::decode(printed[which]).unwrap();
    Digest::new(DigestAlgorithm::Sha256, &bytes).unwrap()
}

/// A verified example of the manifest draft; it lives as long as the test.
fn example(name: &str) -> Option<Verified<'static>> {
    let key = vector_key("K1")?;
    let bytes: &'static [u8] = vector(&format!("suit/manifest-37/{name}"))?.leak();
    Some(authentic_by(bytes, &key))
}

fn processor<'b>(verified: &Verified<'b>) -> Processor<'b> {
    Processor::new(verified, open_context(&[vector_key("K1").unwrap()])).unwrap()
}

fn anchors() -> Option<Anchors> {
    Some(Anchors::none().with_key(vector_key("K1")?).with_key(vector_key("K2")?))
}

/// Every envelope among the vectors by file name.
fn every_envelope() -> BTreeMap<String, Vec<u8>> {
    let directories = [
        "suit/manifest-37",
        "suit/manifest-pr188",
        "suit/trust-domains-12",
        "suit/firmware-encryption-24",
        "teep/draft-26",
        "teep/draft-18",
        "teep/repo-a9d2fad",
    ];
    let is_envelope = |name: &str| {
        name.contains("suit") && !name.contains("encryption-info")
            || name.contains("example")
            || name.contains("embedded")
    };
    let files = directories.into_iter().flat_map(|directory| {
        let files = vectors_in(directory).into_iter().filter(|(name, _)| is_envelope(name));
        files.map(move |(name, bytes)| (format!("{directory}/{name}"), bytes))
    });
    files.collect()
}

fn id(parts: &[&[u8]]) -> ComponentId {
    ComponentId::new(parts).unwrap()
}

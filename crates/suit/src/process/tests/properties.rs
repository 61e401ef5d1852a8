//! What holds for every input.

use proptest::prelude::*;

use crate::build::{Compatibility, Delivery, Name, Payload, Pd, Root, Ta, Ua};
use crate::command::{Condition, Directive, Selection};
use crate::sample::{Bench, digest_of, draft, sequence};
use crate::testing::{Shell, new_key, owner_context, teep_class, teep_vendor};
use crate::{Anchors, Envelope, Parameter, Place, Procedure, Processor, Report, Section, Sequence};

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        if let Ok(envelope) = Envelope::decode(&bytes) {
            let _ = envelope.authenticate(&anyone(), &cose::Accept::WITH_LEGACY);
        }
        let _ = Report::decode(&bytes);
        let _ = Sequence::decode(&bytes, Place::Section);
        let _ = crate::process::References::decode(&bytes);
        let _ = crate::encryption::Info::decode(&bytes);
    }

    #[test]
    fn a_flipped_bit_is_never_accepted(position in any::<prop::sample::Index>(), bit in 0..8u32) {
        let sample = envelope_of_sample();
        // Key and kid travel unprotected: the anchor, not the envelope, says whose key it is.
        let anchors = Anchors::none().with_key(sample_key());
        let mut flipped = sample.clone();
        let at = position.index(flipped.len());
        flipped[at] ^= 1 << bit;

        if let Ok(envelope) = Envelope::decode(&flipped)
            && let Ok(verified) = envelope.authenticate(&anchors, &cose::Accept::CURRENT)
        {
            // Only what is neither signed nor hashed may differ: the unprotected header and the
            // integrated payload, which its digest guards.
            let signed = crate::sample::opened(&sample);
            prop_assert_eq!(verified.manifest(), signed.manifest());
            let mut processor = Processor::new(&verified, owner_context()).unwrap();
            let mut shell = Shell::new();
            let ending = shell.run(&mut processor, Procedure::Update);
            let content = shell.store.into_values().next();
            prop_assert!(ending.failure.is_some() || content.as_deref() == Some(CONTENT));
        }
    }

    #[test]
    fn no_signed_manifest_makes_the_processor_panic(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        which in 0..3usize,
        failing in proptest::option::of(0..6usize),
    ) {
        let key = new_key();
        let mut manifest = manifests()[which].clone();
        for (position, byte) in changes {
            let at = position.index(manifest.len());
            manifest[at] = byte;
        }
        let digest = digest_of(&crate::sample::encoded(|w| {
            w.bytes(&manifest);
        }));
        let block = crate::build::sign_digest(&digest, &key).unwrap();
        let severed = std::collections::BTreeMap::new();
        let mut draft = draft(1);
        draft.payloads.insert("#x".to_owned(), b"payload".to_vec());
        let envelope = draft.envelope(&digest, &[block], &manifest, &severed);

        let envelope = Envelope::decode(&envelope).unwrap();
        if let Ok(verified) = envelope.authenticate(&anyone(), &cose::Accept::CURRENT) {
            let mut context = Bench::new().context;
            context.limits.commands = 200;
            prop_assert_eq!(verified.manifest().encode(), manifest);
            if let Ok(mut processor) = Processor::new(&verified, context) {
                let mut shell = Shell { fails_after: failing, ..Shell::new() };
                for procedure in [Procedure::Update, Procedure::Invocation, Procedure::Uninstall] {
                    let ending = shell.run(&mut processor, procedure);
                    prop_assert!(Report::decode(&ending.report.encode()).is_ok());
                }
            }
        }
    }

    #[test]
    fn what_is_built_is_read_verified_and_run(
        content in proptest::collection::vec(any::<u8>(), 0..512),
        number in any::<u64>(),
        words in "[a-zA-Z0-9_-]{1,64}",
        arguments in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..32)),
    ) {
        let owner = new_key();
        let compatibility = compatibility();
        let name = Name::new(&words).unwrap();
        let payload = || Payload::integrated(&content);
        let ta = Ta::new(name.clone(), number, compatibility, payload())
            .invocable(arguments.as_deref())
            .sign(&owner)
            .unwrap();
        let ua = Ua::new(name.clone(), number, compatibility, payload()).sign(&owner).unwrap();
        let pd_name = Name::new(&format!("{}-", &words[..words.len().min(63)])).unwrap();
        let pd = Pd::new(pd_name, number, compatibility, payload()).sign(&owner).unwrap();
        let root = Root::new(Name::new("root").unwrap(), number, compatibility)
            .with(&ta, Delivery::Integrated)
            .with(&ua, Delivery::Integrated)
            .with(&pd, Delivery::Integrated)
            .sign(&owner);
        // A part called `root` stands elsewhere than the root, unless it is stored there too.
        let Ok(root) = root else { return Ok(()) };
        for built in [&ta, &ua, &pd, &root] {
            let verified = crate::sample::opened(&built.envelope);
            prop_assert_eq!(verified.digest(), built.digest);
            prop_assert_eq!(crate::authority::owner_prefix(&verified), Ok(()));
            prop_assert_eq!(verified.manifest().encode(), verified.envelope().manifest_bytes());
            let mut processor = Processor::new(&verified, owner_context()).unwrap();
            let mut shell = Shell::new();
            prop_assert_eq!(shell.run(&mut processor, Procedure::Update).failure, None);
            if let Some(component) = &built.component {
                prop_assert_eq!(shell.content(component), Some(&content[..]));
            }
            prop_assert_eq!(shell.run(&mut processor, Procedure::Invocation).failure, None);
            prop_assert_eq!(shell.run(&mut processor, Procedure::Uninstall).failure, None);
            prop_assert!(shell.store.is_empty());
        }
    }

    #[test]
    fn every_program_ends_and_its_report_is_read_again(
        program in proptest::collection::vec((0..14u8, 0..3u64), 1..24),
        failing in proptest::option::of(0..8usize),
    ) {
        let mut bench = Bench::new();
        bench.shell.fails_after = failing;
        bench.context.limits.commands = 100;
        let mut draft = draft(3);
        draft.payloads.insert("#x".to_owned(), b"payload".to_vec());
        let commands = program.iter().fold(sequence().select(0), |commands, (what, number)| {
            commands.then(command(*what, *number))
        });
        draft.sections.insert(Section::Install, commands.clone());
        let looping = sequence().selection(&Selection::All).run_sequence(&commands);
        draft.sections.insert(Section::Validate, looping);

        if let Ok(ending) = bench.try_run(draft, Procedure::Update) {
            prop_assert_eq!(Report::decode(&ending.report.encode()), Ok(ending.report.clone()));
            prop_assert_eq!(ending.failure.is_none(), ending.report.succeeded());
        }
    }
}

/// Manifests to spoil.
fn manifests() -> [Vec<u8>; 3] {
    let encoded =
        |draft: crate::build::Draft| draft.manifest(&mut std::collections::BTreeMap::new());
    let mut one = draft(3);
    let commands = (0..14).fold(sequence().select(0), |commands, what| {
        commands.then(command(what, u64::from(what) % 3))
    });
    one.sections.insert(Section::Install, commands);
    one.shared = sequence().select(0).override_parameters(&[Parameter::ImageSize(7)]);
    let mut two = draft(1);
    two.dependencies.insert(1, crate::common::Dependency { prefix: Some(crate::sample::id("d")) });
    let fetch = sequence()
        .select(1)
        .override_parameters(&[Parameter::Uri("#x"), Parameter::ImageDigest(digest_of(b""))])
        .directive(Directive::Fetch)
        .condition(Condition::DependencyIntegrity)
        .directive(Directive::ProcessDependency);
    two.sections.insert(Section::DependencyResolution, fetch);
    let mut three = draft(2);
    let loops = sequence().selection(&Selection::All).run_sequence(
        &sequence()
            .set_parameters(&[Parameter::Content(b"x"), Parameter::SoftFailure(true)])
            .directive(Directive::Write)
            .abort(),
    );
    three.sections.insert(Section::Validate, loops.clone());
    three.sections.insert(Section::Invoke, sequence().select(1).directive(Directive::Invoke));
    three.sections.insert(Section::Uninstall, loops.directive(Directive::Unlink));
    [one, two, three].map(encoded)
}

/// One of many commands.
fn command(what: u8, number: u64) -> crate::build::SequenceWriter {
    let set = |parameter: Parameter<'_>| sequence().override_parameters(&[parameter]);
    match what {
        0 => sequence().select(number),
        1 => set(Parameter::Content(b"content")),
        2 => sequence().directive(Directive::Write),
        3 => set(Parameter::Uri("#x")),
        4 => sequence().directive(Directive::Fetch),
        5 => set(Parameter::SourceComponent(number)),
        6 => sequence().directive(Directive::Copy),
        7 => set(Parameter::ImageDigest(digest_of(b"content"))),
        8 => sequence().condition(Condition::ImageMatch),
        9 => sequence().directive(Directive::Swap),
        10 => set(Parameter::StrictOrder(number == 0)),
        11 => sequence().try_each(
            &[command(8, number).then(command(6, number)), command(2, number)],
            number == 1,
        ),
        12 => sequence().directive(Directive::Unlink),
        _ => sequence().selection(&Selection::Several(vec![number, 0])),
    }
}

fn sample_key() -> cose::Key {
    cose::Signer::key(SAMPLE_KEY.get_or_init(new_key)).clone()
}

fn envelope_of_sample() -> Vec<u8> {
    static SAMPLE: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    let make = || {
        let key = SAMPLE_KEY.get_or_init(new_key);
        let payload = Payload::integrated(CONTENT);
        let name = Name::new("ta").unwrap();
        Ta::new(name, 1, compatibility(), payload).sign(key).unwrap().envelope
    };
    SAMPLE.get_or_init(make).clone()
}

fn compatibility() -> Compatibility {
    Compatibility { vendor: teep_vendor(), class: teep_class() }
}

fn anyone() -> Anchors {
    Anchors::none().with_self_certified()
}

static SAMPLE_KEY: std::sync::OnceLock<keys::SigningKey> = std::sync::OnceLock::new();
const CONTENT: &[u8] = b"content of the sample";

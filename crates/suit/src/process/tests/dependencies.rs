//! Dependencies (spec/suit.md section 13.4).

use std::collections::BTreeSet;

use cose::Signer;

use crate::build::{Draft, SequenceWriter};
use crate::command::{Condition, Directive};
use crate::common::Dependency;
use crate::component::ComponentId;
use crate::digest::Digest;
use crate::process::{Fault, SecondProcessor, Value};
use crate::sample::{Bench, draft, id, opened, sequence, writing};
use crate::testing::{Shell, new_key};
use crate::{Error, Parameter, Procedure, Processor, Section, Untrusted};

//= suit 13.57 (M): process-dependency without prior dependency-integrity aborts. D 5.6.2
#[test]
fn a_dependency_is_processed_only_after_its_integrity_was_checked() {
    let mut bench = Bench::new();
    let part = part(&bench, writing(b"part"));
    let unchecked = sequence().select(1).directive(Directive::ProcessDependency);

    let ending = bench.run(dependent(&part, unchecked), Procedure::Update);
    let checked = Bench::with_key(&bench).run(dependent(&part, processing()), Procedure::Update);

    assert_eq!(ending.failure.unwrap().fault, Fault::Unchecked);
    assert_eq!(checked.failure, None);
}

//= suit 13.58 (M): process-dependency on a non-dependency aborts; in common aborts. D 5.6.2
//= suit 13.62 (M): is-dependency true/false right. D 5.6.3
#[test]
fn only_a_dependency_is_a_dependency() {
    let mut bench = Bench::new();
    let part = part(&bench, writing(b"part"));
    let mut fault = |commands: SequenceWriter| {
        let failure = bench.run(dependent(&part, commands), Procedure::Update).failure;
        failure.map(|failure| failure.fault)
    };
    let own = |condition| sequence().select(0).condition(condition);

    let process = sequence().select(0).directive(Directive::ProcessDependency);
    assert_eq!(fault(process), Some(Fault::NotDependency));
    assert_eq!(fault(own(Condition::DependencyIntegrity)), Some(Fault::NotDependency));
    assert_eq!(fault(own(Condition::IsDependency)), Some(Fault::NotDependency));
    assert_eq!(fault(processing().select(1).condition(Condition::IsDependency)), None);
}

//= suit 13.59 (M): dependency-integrity: three steps, each failure aborts, each tested alone. D
//= 5.6.4
#[test]
fn a_dependency_of_nobody_another_one_and_a_forged_one_are_refused_each_for_its_own_reason() {
    let bench = Bench::new();
    let good = part(&bench, writing(b"part"));
    let other = part(&bench, writing(b"other"));
    let stranger = part(&Bench::new(), writing(b"part"));
    let mut torn = good.clone();
    // The only byte string of 64 bytes is the signature.
    let at = torn.windows(2).position(|w| w == [0x58, 0x40]).unwrap();
    torn[at + 10] ^= 1;
    let stolen = crate::Envelope::decode(&other).unwrap();
    let forged = crate::Envelope::decode(&good).unwrap().with_manifest(stolen.manifest_bytes());
    let forged = forged.encode();
    let verdict = |delivered: &[u8]| {
        let mut bench = Bench::with_key(&bench);
        bench.context.anchors =
            std::sync::Arc::new(crate::Anchors::none().with_key(bench.key.key().clone()));
        // Even in an alternative that may fail.
        let mut root = dependent(&good, sequence());
        let tried = sequence().select(1).try_each(
            &[sequence().condition(Condition::DependencyIntegrity), sequence().abort()],
            true,
        );
        root.sections.insert(Section::Install, tried);
        root.payloads.insert("#part".to_owned(), delivered.to_vec());
        bench.run(root, Procedure::Update).failure.map(|failure| failure.fault)
    };

    assert_eq!(verdict(&torn), refused(Untrusted::Signature));
    assert_eq!(verdict(&stranger), refused(Untrusted::UnknownKey));
    assert_eq!(verdict(&other), refused(Untrusted::DependencyDigest));
    assert_eq!(verdict(&forged), refused(Untrusted::ManifestDigest));
    assert!(matches!(verdict(b"rubbish"), Some(Fault::Refused(Error::Malformed(_)))));
}

//= suit 13.60 (M): Cache dropped after fetch/copy to the dependency, abort, end. D 5.6.4
#[test]
fn what_was_checked_is_checked_again_after_it_was_changed() {
    let mut bench = Bench::new();
    let part = part(&bench, writing(b"part"));
    let commands = checking()
        .directive(Directive::ProcessDependency)
        .condition(Condition::DependencyIntegrity)
        .directive(Directive::Fetch)
        .directive(Directive::ProcessDependency);

    let ending = bench.run(dependent(&part, commands), Procedure::Update);

    assert_eq!(ending.failure.unwrap().fault, Fault::Unchecked);
    let loads = bench.shell.trace.iter().filter(|line| line.starts_with("load")).count();
    assert_eq!(loads, 1, "{:?}", bench.shell.trace);
}

//= suit 13.60 (M): Cache dropped after fetch/copy to the dependency, abort, end. D 5.6.4
#[test]
fn what_was_checked_in_one_procedure_is_unchecked_in_the_next() {
    let mut bench = Bench::new();
    let part = part(&bench, writing(b"part"));
    let mut root = dependent(&part, processing());
    root.sections
        .insert(Section::Uninstall, sequence().select(1).directive(Directive::ProcessDependency));
    let envelope = bench.sign(root);
    let mut processor = Processor::new(&opened(&envelope), bench.context.clone()).unwrap();

    assert_eq!(bench.shell.run(&mut processor, Procedure::Update).failure, None);
    let ending = bench.shell.run(&mut processor, Procedure::Uninstall);

    assert_eq!(ending.failure.unwrap().fault, Fault::Unchecked);
}

//= suit 13.61 (M): Cached result from another manifest not used. D 5.6.4
#[test]
fn each_manifest_checks_its_dependency_for_itself() {
    let mut bench = Bench::new();
    let leaf = part(&bench, writing(b"leaf"));
    // The middle manifest has the same dependency and never checks it.
    let mut middle = draft(0);
    middle.component_id = Some(id("middle.suit"));
    middle.dependencies.insert(0, Dependency { prefix: Some(id("part.suit")) });
    let trusting = sequence().directive(Directive::ProcessDependency);
    middle.sections.insert(Section::Install, trusting);
    let middle = bench.sign(middle);
    let mut root = dependent(&leaf, sequence());
    root.dependencies.insert(2, Dependency { prefix: Some(id("middle.suit")) });
    root.payloads.insert("#middle".to_owned(), middle.clone());
    let fetch_middle = sequence()
        .select(2)
        .override_parameters(&[
            Parameter::ImageDigest(manifest_digest(&middle)),
            Parameter::Uri("#middle"),
        ])
        .directive(Directive::Fetch)
        .condition(Condition::DependencyIntegrity);
    let resolution = resolution(&leaf).then(checking()).then(fetch_middle);
    root.sections.insert(Section::DependencyResolution, resolution);
    let both = processing().select(2).directive(Directive::ProcessDependency);
    root.sections.insert(Section::Install, both);

    let ending = bench.run(root, Procedure::Update);

    let failure = ending.failure.unwrap();
    assert_eq!(failure.fault, Fault::Unchecked);
    assert_eq!(failure.record.manifest, [2]);
}

//= suit 13.63 (M): Lockstep order recorded and equal to the expected trace for depth 2. D 5.3
#[test]
fn dependencies_finish_each_section_before_their_dependents_go_on() {
    let mut bench = Bench::new();
    let two_sections = |name: &str, inner: Option<(&str, &[u8])>| {
        let mut draft = draft(0);
        draft.components = vec![id(name)];
        draft.component_id = Some(id(&format!("{name}.suit")));
        let start = |words: &[u8]| match inner {
            None => writing(words),
            Some(_) => processing().select(0).then(writing(words)),
        };
        draft.sections.insert(Section::Install, start(b"1"));
        draft.sections.insert(Section::Validate, start(b"22"));
        if let Some((place, envelope)) = inner {
            draft.dependencies.insert(1, Dependency { prefix: Some(id(place)) });
            draft.payloads.insert("#part".to_owned(), envelope.to_vec());
            draft.sections.insert(Section::DependencyResolution, resolution(envelope));
        }
        draft
    };
    let leaf = bench.sign(two_sections("leaf", None));
    let middle = bench.sign(two_sections("middle", Some(("leaf.suit", &leaf))));
    let mut root = two_sections("root", Some(("middle.suit", &middle)));
    let resolve = resolution(&middle).then(processing());
    root.sections.insert(Section::DependencyResolution, resolve);

    assert_eq!(bench.run(root, Procedure::Update).failure, None);

    let order: Vec<String> = bench
        .shell
        .trace
        .iter()
        .filter(|line| line.starts_with("write") && !line.contains(".suit"))
        .cloned()
        .collect();
    assert_eq!(
        order,
        [
            "write ['leaf'] 1 bytes",
            "write ['middle'] 1 bytes",
            "write ['root'] 1 bytes",
            "write ['leaf'] 2 bytes",
            "write ['middle'] 2 bytes",
            "write ['root'] 2 bytes",
        ]
    );
}

//= suit 13.64 (M): Missing section in dependency: success; missing section in dependent although
//= dependency has it: abort before running. D 5.1
#[test]
fn a_dependent_has_every_section_that_its_dependency_needs() {
    let mut bench = Bench::new();
    let mut needy = draft(0);
    needy.components = vec![id("x")];
    needy.component_id = Some(id("part.suit"));
    needy.sections.insert(Section::Install, writing(b"part"));
    needy.sections.insert(Section::Validate, sequence().condition(Condition::ImageMatch));
    let needy = bench.sign(needy);
    let plain = part(&bench, writing(b"part"));
    let mut generous = dependent(&plain, processing());
    generous.sections.insert(Section::Validate, processing());

    let missing = bench.run(dependent(&needy, processing()), Procedure::Update);
    let unwritten = bench.shell.content(&id("x")).is_none();
    let present = Bench::with_key(&bench).run(generous, Procedure::Update);

    assert_eq!(missing.failure.unwrap().fault, Fault::SectionMissing(Section::Validate));
    assert!(unwritten);
    assert_eq!(present.failure, None);
}

#[test]
fn a_dependency_that_was_checked_and_not_processed_is_noticed_at_the_end_of_the_section() {
    let mut bench = Bench::new();
    let part = part(&bench, writing(b"part"));

    let ending = bench.run(dependent(&part, checking()), Procedure::Update);

    assert_eq!(ending.failure.unwrap().fault, Fault::NotProcessed(1, Section::Install));
}

#[test]
fn with_every_component_selected_only_dependencies_are_processed() {
    let mut bench = Bench::new();
    let part = part(&bench, writing(b"part"));
    let commands = checking()
        .selection(&crate::command::Selection::All)
        .directive(Directive::ProcessDependency);

    assert_eq!(bench.run(dependent(&part, commands), Procedure::Update).failure, None);
    assert_eq!(bench.shell.content(&id("part")), Some(&b"part"[..]));
}

//= suit 13.65 (M): Dependent cannot override values the dependency sets with
//= override-parameters; can replace those set with set-parameters. D 5.6.1
#[test]
fn a_dependency_decides_what_its_dependent_may_change() {
    let run = |dependency: SequenceWriter| {
        let mut bench = Bench::new();
        let part = part(&bench, dependency.directive(Directive::Write));
        let mut root = dependent(&part, sequence());
        root.components = vec![id("part")];
        let first = sequence().select(0).override_parameters(&[Parameter::Content(b"dependent")]);
        root.sections.insert(Section::Install, first.then(processing()));
        assert_eq!(bench.run(root, Procedure::Update).failure, None);
        bench.shell.store[&id("part")].clone()
    };
    let content = [Parameter::Content(b"dependency")];

    assert_eq!(run(sequence().set_parameters(&content)), b"dependent");
    assert_eq!(run(sequence().override_parameters(&content)), b"dependency");
}

//= suit 13.66 (M): Cyclic dependencies and depth over limit refused (R: 4).
#[test]
fn dependencies_nest_four_deep_and_no_deeper() {
    let chain = |depth: usize| {
        let mut bench = Bench::new();
        let mut envelope = part(&bench, writing(b"leaf"));
        for level in 0..depth {
            let mut draft = dependent(&envelope, processing());
            let place =
                if level == 0 { "part.suit".to_owned() } else { format!("{}.suit", level - 1) };
            draft.dependencies.insert(1, Dependency { prefix: Some(id(&place)) });
            draft.components = vec![id(&level.to_string())];
            draft.component_id = Some(id(&format!("{level}.suit")));
            let resolve = resolution(&envelope).then(processing());
            draft.sections.insert(Section::DependencyResolution, resolve);
            envelope = bench.sign(draft);
        }
        bench.try_run_envelope(&envelope, Procedure::Update).unwrap().failure
    };

    assert_eq!(chain(4), None);
    assert_eq!(chain(5).unwrap().fault, Fault::TooManyDependencies);
}

//= suit 13.66 (M): Cyclic dependencies and depth over limit refused (R: 4).
#[test]
fn a_manifest_is_not_its_own_dependency() {
    // No manifest can hold its own digest, so the device is given one that pretends to: the
    // digest parameter comes from a first processor, by way of set-parameters.
    let mut bench = Bench::new();
    let mut root = draft(1);
    root.dependencies.insert(1, Dependency { prefix: Some(id("a.suit")) });
    let commands = sequence().select(1).condition(Condition::DependencyIntegrity);
    root.sections.insert(Section::Install, commands);
    let envelope = bench.sign(root);
    let digest = opened(&envelope).digest();
    bench.shell.store.insert(id("a.suit"), envelope.clone());
    let context = bench.context.clone();
    let mut processor = Processor::new(&opened(&envelope), context).unwrap();
    processor.run(Procedure::Update).unwrap();
    processor.give(&id("a.suit"), &Parameter::ImageDigest(digest)).unwrap();

    let ending = bench.shell.finish(&mut processor);

    assert_eq!(ending.failure.unwrap().fault, Fault::Cycle);
}

//= suit 13.67 (M): Integrated dependency: text key equals uri. D 8.1.1
#[test]
fn an_integrated_dependency_is_found_by_its_uri() {
    let mut bench = Bench::new();
    let part = part(&bench, writing(b"part"));
    let mut misnamed = dependent(&part, processing());
    let envelope = misnamed.payloads.remove("#part").unwrap();
    misnamed.payloads.insert("#other".to_owned(), envelope);

    let ending = bench.run(misnamed, Procedure::Update);

    assert_eq!(ending.failure.unwrap().fault, Fault::NoPayload("#part".to_owned()));
}

//= suit 13.68 (M): Dependency prefix prepended to ids; ids outside the prefix are impossible. D
//= 5.2.2
#[test]
fn a_prefix_keeps_a_dependency_below_it() {
    let mut bench = Bench::new();
    let part = part(&bench, writing(b"part"));
    let mut root = dependent(&part, processing());
    // The dependency is in the list of components, so its prefix is a scope.
    root.components.push(id("part.suit"));
    root.dependencies.insert(1, Dependency { prefix: Some(id("jail")) });

    assert_eq!(bench.run(root, Procedure::Update).failure, None);

    let inside = ComponentId::new(["jail", "part"]).unwrap();
    assert_eq!(bench.shell.content(&inside), Some(&b"part"[..]));
    assert_eq!(bench.shell.content(&id("part")), None);
}

#[test]
fn a_dependency_of_another_signer_keeps_to_the_components_of_that_signer() {
    let (owner, other) = (new_key(), new_key());
    let place = |key: &keys::SigningKey, name: &str| {
        ComponentId::in_tee(key.key().thumbprint(), name).unwrap()
    };
    let run = |component: ComponentId| {
        let mut part = draft(0);
        part.components = vec![component];
        part.component_id = Some(place(&other, "part.suit"));
        part.sections.insert(Section::Install, writing(b"part"));
        let part = part.sign(&other).unwrap().envelope;
        let mut root = dependent(&part, processing());
        root.components = vec![place(&owner, "own")];
        root.dependencies.insert(1, Dependency { prefix: Some(place(&owner, "part.suit")) });
        root.component_id = Some(place(&owner, "root.suit"));
        let envelope = root.sign(&owner).unwrap().envelope;
        let context = crate::testing::owner_context();
        let mut processor = Processor::new(&opened(&envelope), context).unwrap();
        Shell::new().run(&mut processor, Procedure::Update).failure.map(|failure| failure.fault)
    };

    assert_eq!(run(place(&other, "part")), None);
    let stolen = place(&owner, "own");
    assert_eq!(run(stolen.clone()), refused(Untrusted::Component(stolen)));
}

//= suit 13.69 (M): manifest-component-id outside author's ACL refused; ignored inside
//= dependencies. D 5.2.1, 10
#[test]
fn a_dependency_that_claims_a_strangers_place_does_not_touch_the_strangers_state() {
    let (owner, other) = (new_key(), new_key());
    let place = |key: &keys::SigningKey, name: &str| {
        ComponentId::in_tee(key.key().thumbprint(), name).unwrap()
    };
    let victim = place(&owner, "victim.suit");
    let mut part = draft(0);
    part.sequence_number = u64::MAX;
    part.components = vec![place(&other, "part")];
    part.component_id = Some(victim.clone());
    part.sections.insert(Section::Install, writing(b"part"));
    let part = part.sign(&other).unwrap().envelope;
    let mut root = dependent(&part, processing());
    root.components = vec![place(&owner, "own")];
    root.dependencies.insert(1, Dependency { prefix: Some(place(&owner, "part.suit")) });
    root.component_id = Some(place(&owner, "root.suit"));
    let envelope = root.sign(&owner).unwrap().envelope;
    let context = crate::testing::owner_context();
    let mut processor = Processor::new(&opened(&envelope), context).unwrap();

    assert_eq!(Shell::new().run(&mut processor, Procedure::Update).failure, None);

    let numbers = &processor.installed().sequence_numbers;
    assert_eq!(numbers.get(&victim), None);
    assert_eq!(numbers.get(&place(&other, "part")), Some(&u64::MAX));
}

//= suit 13.70 (M): Shared dependency: count 2, first unlink keeps it, second removes it; a
//= second unlink by the same manifest does not count. D 5.6.5
//= suit 13.73 (M): Uninstall order: dependent's uninstall first, then dependency. D 6
//= suit 13.76 (M): unneeded-manifest-list of an unknown id: Error (P 7.2.2); of a still
//= referenced manifest: count lowered only.
#[test]
fn a_shared_dependency_goes_with_the_last_of_its_dependents() {
    let mut bench = Bench::new();
    let mut shared = draft(0);
    shared.components = vec![id("part")];
    shared.component_id = Some(id("part.suit"));
    shared.sections.insert(Section::Install, writing(b"part"));
    shared.sections.insert(Section::Uninstall, unlinking());
    let shared = bench.sign(shared);
    let root = |name: &str| {
        let mut root = dependent(&shared, processing());
        root.components = vec![id(name)];
        root.component_id = Some(id(&format!("{name}.suit")));
        // Whoever comes second finds the dependency in place.
        let absent = resolution(&shared);
        let here = sequence().condition(Condition::ImageMatch);
        let set = sequence().select(1).override_parameters(&[
            Parameter::ImageDigest(manifest_digest(&shared)),
            Parameter::Uri("#part"),
        ]);
        root.sections.insert(Section::DependencyResolution, set.try_each(&[here, absent], false));
        let set = sequence()
            .select(1)
            .override_parameters(&[Parameter::ImageDigest(manifest_digest(&shared))]);
        let own = sequence().select(0).then(unlinking());
        root.sections.insert(Section::Uninstall, own.then(set).then(unlinking()));
        root
    };

    assert_eq!(bench.run(root("one"), Procedure::Update).failure, None);
    assert_eq!(bench.run(root("two"), Procedure::Update).failure, None);
    assert_eq!(bench.context.installed.references.count(&id("part.suit")), 2);
    assert_eq!(bench.run(root("one"), Procedure::Uninstall).failure, None);
    assert_eq!(bench.run(root("one"), Procedure::Uninstall).failure, None);
    assert!(bench.shell.content(&id("part.suit")).is_some());
    assert!(bench.shell.content(&id("part")).is_some());
    bench.shell.trace.clear();
    assert_eq!(bench.run(root("two"), Procedure::Uninstall).failure, None);

    assert!(bench.shell.store.is_empty());
    assert_eq!(
        bench.shell.trace,
        ["remove ['two']", "load ['part.suit']", "remove ['part']", "remove ['part.suit']",]
    );
}

//= suit 13.72 (M): Write to a component with non-zero count aborts. D 5.6.5
#[test]
fn a_component_that_another_manifest_uses_is_not_changed() {
    let mut bench = Bench::new();
    let mut first = draft(1);
    first.sections.insert(Section::Install, writing(b"first"));
    let mut second = first.clone();
    second.component_id = Some(id("second.suit"));
    first.sections.insert(Section::Uninstall, unlinking());

    assert_eq!(bench.run(first.clone(), Procedure::Update).failure, None);
    assert_eq!(bench.run(first.clone(), Procedure::Update).failure, None);
    let refused = bench.run(second.clone(), Procedure::Update);
    assert_eq!(refused.failure.unwrap().fault, Fault::Referenced(1));
    assert_eq!(bench.run(first, Procedure::Uninstall).failure, None);
    assert_eq!(bench.run(second, Procedure::Update).failure, None);
}

//= suit 13.74 (M): Payload not fetched before all dependencies are. D 5.5
#[test]
fn no_payload_is_fetched_before_every_dependency() {
    let mut bench = Bench::new();
    let part = part(&bench, writing(b"part"));
    let mut root = dependent(&part, processing());
    let payload = sequence()
        .select(0)
        .override_parameters(&[Parameter::Uri("#payload")])
        .directive(Directive::Fetch);
    root.payloads.insert("#payload".to_owned(), b"payload".to_vec());
    root.sections.insert(Section::DependencyResolution, payload.clone().then(resolution(&part)));
    let early = bench.run(root.clone(), Procedure::Update);
    root.sections.insert(Section::DependencyResolution, resolution(&part).then(payload));
    let late = bench.run(root, Procedure::Update);

    assert_eq!(early.failure.unwrap().fault, Fault::DependencyFirst(1));
    assert_eq!(late.failure, None);
}

//= suit 13.75 (M): Second processor: parameter outside its allow list refused. D 5.4.1
#[test]
fn only_harmless_parameters_cross_into_the_second_processor() {
    let run = |parameter: Parameter<'_>, allowed: &[i64]| {
        let mut bench = Bench::new();
        let outside = ComponentId::new(["REE", "ua"]).unwrap();
        let mut part = draft(0);
        part.components = vec![outside.clone()];
        part.component_id = Some(id("part.suit"));
        part.sections.insert(Section::Install, writing(b"ua"));
        let part = bench.sign(part);
        let mut root = dependent(&part, sequence());
        root.components = vec![outside.clone()];
        let set = sequence().select(0).override_parameters(&[parameter]);
        root.sections.insert(Section::Install, set.then(processing()));
        let prefix = ComponentId::new(["REE"]).unwrap();
        let parameters: BTreeSet<i64> = allowed.iter().copied().collect();
        bench.context.device.second = Some(SecondProcessor { prefix, parameters });
        let ending = bench.run(root, Procedure::Update);
        let crossed = bench.shell.delegated.first().map(|each| each.parameters.clone());
        (ending.failure.map(|failure| failure.fault), crossed, outside)
    };

    let (fault, crossed, outside) = run(Parameter::Uri("https://example.org/mirror"), &[21]);
    assert_eq!((fault, crossed), (None, Some(vec![(outside, 21)])));
    let (fault, crossed, _) = run(Parameter::ImageSize(1), &[21]);
    assert_eq!((fault, crossed), (Some(Fault::Crossing(14)), None));
}

#[test]
fn the_same_dependency_matches_by_its_manifest_even_when_text_was_cut_off() {
    let mut bench = Bench::new();
    let mut part = draft(0);
    part.components = vec![id("part")];
    part.component_id = Some(id("part.suit"));
    part.text = Some(vec![0xa1, 0x62, b'e', b'n', 0xa1, 0x01, 0x61, b'x']);
    part.sections.insert(Section::Install, writing(b"part"));
    let full = bench.sign(part);
    let cut = crate::Envelope::decode(&full).unwrap().sever(23).encode();
    let mut root = dependent(&full, processing());
    root.payloads.insert("#part".to_owned(), cut.clone());
    let matching = sequence().select(1).condition(Condition::ImageMatch).then(processing());
    root.sections.insert(Section::Install, matching);

    assert_ne!(full, cut);
    assert_eq!(bench.run(root, Procedure::Update).failure, None);
    let mut other = dependent(&full, processing());
    other.payloads.insert("#part".to_owned(), b"rubbish".to_vec());
    let matching = sequence().select(1).condition(Condition::ImageMatch);
    other.sections.insert(Section::Install, matching);
    let failure = Bench::with_key(&bench).run(other, Procedure::Update).failure.unwrap();
    assert!(matches!(failure.fault, Fault::Mismatch { seen: Value::Word("no SUIT envelope"), .. }));
}

/// A manifest for the component `part`, stored at `part.suit`.
fn part(bench: &Bench, install: SequenceWriter) -> Vec<u8> {
    let mut draft = draft(0);
    draft.components = vec![id("part")];
    draft.component_id = Some(id("part.suit"));
    draft.sections.insert(Section::Install, install);
    bench.sign(draft)
}

/// A manifest with the component `a` and the dependency 1, integrated, at `part.suit`.
fn dependent(part: &[u8], install: SequenceWriter) -> Draft {
    let mut root = draft(1);
    root.dependencies.insert(1, Dependency { prefix: Some(id("part.suit")) });
    root.payloads.insert("#part".to_owned(), part.to_vec());
    root.sections.insert(Section::DependencyResolution, resolution(part));
    if !install.is_empty() {
        root.sections.insert(Section::Install, install);
    }
    root
}

/// Fetches the integrated dependency 1.
fn resolution(part: &[u8]) -> SequenceWriter {
    sequence()
        .select(1)
        .override_parameters(&[
            Parameter::ImageDigest(manifest_digest(part)),
            Parameter::Uri("#part"),
        ])
        .directive(Directive::Fetch)
}

fn checking() -> SequenceWriter {
    sequence().select(1).condition(Condition::DependencyIntegrity)
}

fn processing() -> SequenceWriter {
    checking().directive(Directive::ProcessDependency)
}

fn unlinking() -> SequenceWriter {
    sequence().directive(Directive::Unlink)
}

fn manifest_digest(envelope: &[u8]) -> Digest {
    crate::Envelope::decode(envelope).unwrap().claimed_digest().unwrap()
}

fn refused(fault: Untrusted) -> Option<Fault> {
    Some(Fault::Refused(fault.into()))
}

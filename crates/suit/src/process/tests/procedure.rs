//! Whole procedures: order, interruption, repetition, reports (spec/suit.md 13.3 and 13.6).

use crate::build::{
    Built, Compatibility, Delivery, Name, Payload, Pd, Root, SequenceWriter, Ta, Uri,
};
use crate::cbor::Reader;
use crate::command::{Condition, Directive, Name as CommandName, ReportingPolicy};
use crate::component::ComponentId;
use crate::process::{Fault, Misuse, Obstacle, Outcome, Request};
use crate::report::{Conclusion, Entry, Reason};
use crate::sample::{Bench, digest_of, draft, id, installing, opened, sequence, writing};
use crate::testing::{Shell, new_key, owner_context, teep_class, teep_vendor};
use crate::{Parameter, Procedure, Processor, Report, Section};

//= suit 13.49 (M): invoke only after successful validate in an Invocation procedure. M 8.4.6
#[test]
fn nothing_is_invoked_that_was_not_validated() {
    let invoking = |section, validate: Option<SequenceWriter>| {
        let mut draft = draft(1);
        draft.sections.insert(section, sequence().directive(Directive::Invoke));
        draft.sections.extend(validate.map(|commands| (Section::Validate, commands)));
        draft
    };
    let good = || Some(sequence().override_parameters(&[Parameter::InvokeArgs(b"x")]));
    let fault = |draft, procedure| {
        let mut bench = Bench::new();
        let failure = bench.run(draft, procedure).failure;
        assert_eq!(failure.is_none(), bench.shell.invoked == [(id("a"), b"x".to_vec())]);
        failure.map(|failure| failure.fault)
    };
    let invocation = Procedure::Invocation;

    assert_eq!(fault(invoking(Section::Invoke, good()), invocation), None);
    assert_eq!(fault(invoking(Section::Invoke, None), invocation), Some(Fault::Unvalidated));
    let aborted = invoking(Section::Invoke, Some(sequence().abort()));
    assert_eq!(fault(aborted, invocation), Some(Fault::Abort));
    let update = invoking(Section::Install, None);
    assert_eq!(fault(update, Procedure::Update), Some(Fault::Unvalidated));
    let early = invoking(Section::Validate, None);
    assert_eq!(fault(early, invocation), Some(Fault::Unvalidated));
}

//= suit 13.53 (M): Interrupted update can be re-applied with the same end state (kill at every
//= step). M 6.3.1
#[test]
fn an_update_that_was_cut_at_any_step_ends_the_same_when_it_is_repeated() {
    let built = package();
    let complete = installed(&built, Shell::new());
    let steps = complete.trace.len();

    assert!(steps > 8, "{:?}", complete.trace);
    for cut in 0..steps {
        let verified = opened(&built.envelope);
        let mut processor = Processor::new(&verified, owner_context()).unwrap();
        let mut shell = network();
        processor.run(Procedure::Update).unwrap();
        for _ in 0..cut {
            let outcome = shell.serve(&processor.step());
            processor.resume(outcome).unwrap();
        }
        drop(processor);

        let repeated = installed(&built, shell);

        assert_eq!(repeated.store, complete.store, "cut after {cut}");
    }
}

//= suit 13.54 (M): Two runs of the same manifest on equal devices give equal state. M 6.3
#[test]
fn equal_devices_end_equal() {
    let built = package();

    let (one, other) = (installed(&built, Shell::new()), installed(&built, Shell::new()));

    assert_eq!(one.store, other.store);
    assert_eq!(one.trace, other.trace);
}

//= suit 13.55 (M): A Fetch/Copy/Write failure leaves the old component usable (R: write to a
//= temporary place and rename).
#[test]
fn an_operation_that_failed_is_the_last_one_and_the_old_content_stays() {
    let (fetch, copy) = ("https://example.org/new", Parameter::SourceComponent(1));
    for (directive, parameter) in [
        (Directive::Fetch, Parameter::Uri(fetch)),
        (Directive::Write, Parameter::Content(b"new")),
        (Directive::Copy, copy.clone()),
        (Directive::Swap, copy),
    ] {
        let mut bench = Bench::new();
        bench.shell = bench.shell.with_network(fetch, b"new");
        bench.shell.store.insert(id("a"), b"old".to_vec());
        bench.shell.store.insert(id("b"), b"new".to_vec());
        bench.shell.fails_after = Some(0);
        let commands = sequence().select(0).override_parameters(&[parameter]).directive(directive);

        let ending = bench.install(2, commands);

        let failure = ending.failure.unwrap();
        assert_eq!(failure.fault, Fault::Operation(Obstacle::Storage));
        assert_eq!(failure.reason(), Reason::OperationFailed);
        assert_eq!(bench.shell.content(&id("a")), Some(&b"old"[..]));
        assert_eq!(bench.shell.trace.len(), 1);
    }
}

#[test]
fn sections_run_in_the_order_of_their_procedure() {
    let mut draft = draft(1);
    for (section, words) in [
        (Section::Validate, "55555"),
        (Section::Load, "x"),
        (Section::DependencyResolution, "1"),
        (Section::PayloadFetch, "22"),
        (Section::CandidateVerification, "333"),
        (Section::Install, "4444"),
        (Section::Uninstall, "x"),
    ] {
        draft.sections.insert(section, writing(words.as_bytes()));
    }
    let mut bench = Bench::new();

    assert_eq!(bench.run(draft, Procedure::Update).failure, None);
    let sizes: Vec<&str> = bench.shell.trace.iter().map(|line| &line[12..13]).collect();
    assert_eq!(sizes, ["1", "2", "3", "4", "5"]);
}

#[test]
fn a_payload_that_is_in_place_is_not_fetched_again() {
    let uri = "https://example.org/x";
    let commands = sequence()
        .override_parameters(&[
            Parameter::Uri(uri),
            Parameter::ImageDigest(digest_of(b"payload")),
            Parameter::ImageSize(7),
        ])
        .directive(Directive::Fetch);
    let mut bench = Bench::new();
    bench.shell.store.insert(id("a"), b"payload".to_vec());

    assert_eq!(bench.install(1, commands).failure, None);
    assert_eq!(bench.shell.trace, ["digest ['a']"]);
}

#[test]
fn a_request_stays_until_it_is_answered_with_what_it_asks_for() {
    let envelope = Bench::new().sign(installing(writing(b"x")));
    let verified = opened(&envelope);
    let mut context = owner_context();
    context.authority = std::sync::Arc::new(crate::authority::AnyComponent);
    let mut processor = Processor::new(&verified, context).unwrap().into_owned();

    assert_eq!(processor.resume(Outcome::Done), Err(Misuse::NothingAsked));
    assert_eq!(processor.run(Procedure::Update), Ok(()));
    assert_eq!(processor.run(Procedure::Update), Err(Misuse::Running));
    let first = format!("{:?}", processor.step());
    assert_eq!(format!("{:?}", processor.step()), first);
    assert_eq!(processor.resume(Outcome::Absent), Err(Misuse::WrongAnswer));
    assert_eq!(processor.resume(Outcome::Holds(true)), Err(Misuse::WrongAnswer));
    assert_eq!(format!("{:?}", processor.step()), first);
    assert_eq!(processor.resume(Outcome::Done), Ok(()));
    assert!(matches!(processor.step(), Request::Done(ending) if ending.failure.is_none()));
    assert_eq!(processor.resume(Outcome::Done), Err(Misuse::NothingAsked));
}

#[test]
fn a_processor_that_was_not_started_does_nothing_and_says_so() {
    let envelope = Bench::new().sign(installing(writing(b"x")));
    let mut context = owner_context();
    context.authority = std::sync::Arc::new(crate::authority::AnyComponent);
    let mut processor = Processor::new(&opened(&envelope), context).unwrap();

    let Request::Done(ending) = processor.step() else { panic!("something was asked for") };

    assert_eq!(ending.failure.as_ref().unwrap().fault, Fault::NotStarted);
}

//= suit 13.93 (M): Report validates the layout of section 10; digest equals wrapper digest; uri
//= equals reference-uri. R 4
//= suit 13.96 (M): Nonce copied. R 4, P 4.4
#[test]
fn the_report_names_its_manifest_and_repeats_the_nonce() {
    let compatibility = Compatibility { vendor: teep_vendor(), class: teep_class() };
    let ta = Ta::new(Name::new("ta").unwrap(), 1, compatibility, Payload::integrated(b"wasm"));
    let uri = Uri::new("https://example.org/ta.suit").unwrap();
    let built = ta.referenced_at(uri).sign(&new_key()).unwrap();
    let mut context = owner_context();
    context.nonce = Some(b"nonce-of-the-tam".to_vec());
    let mut processor = Processor::new(&opened(&built.envelope), context).unwrap();

    let report = Shell::new().run(&mut processor, Procedure::Update).report;

    assert_eq!(report.reference.uri, "https://example.org/ta.suit");
    assert_eq!(report.reference.digest, built.digest);
    assert_eq!(report.nonce.as_deref(), Some(&b"nonce-of-the-tam"[..]));
    assert_eq!(report.result, Conclusion::Success);
    assert_eq!(Report::decode(&report.encode()), Ok(report));
}

//= suit 13.94 (M): Failure record names section, offset and index of the failing command (compare
//= for each negative manifest). R 3
#[test]
fn the_record_of_a_failure_leads_to_its_command() {
    let digest = Parameter::ImageDigest(digest_of(b"x"));
    let wanting = || sequence().override_parameters(std::slice::from_ref(&digest));
    let pick = |index| sequence().select(index);
    let nested = wanting().condition(Condition::ImageMatch).then(writing(b"x"));
    for commands in [
        pick(1).abort(),
        pick(1).then(wanting()).condition(Condition::ImageMatch),
        pick(1).then(writing(b"12")).directive(Directive::Fetch),
        pick(1).directive(Directive::Copy),
        pick(1).directive(Directive::Invoke),
        pick(1).directive(Directive::ProcessDependency),
        pick(1).run_sequence(&nested),
        pick(1).try_each(&[sequence().abort(), sequence().run_sequence(&nested)], false),
        pick(1).try_each(&[sequence().abort(), sequence().abort()], false),
        pick(1).override_parameters(&[Parameter::SoftFailure(true)]),
        pick(1).command(99, |w| {
            w.null();
        }),
    ] {
        let bytes = commands.finish();

        let ending = Bench::new().install(2, commands);

        let failure = ending.failure.unwrap();
        let record = &failure.record;
        assert_eq!((record.section, record.component_index), (20, 1), "{failure}");
        assert!(record.manifest.is_empty());
        let at = usize::try_from(record.offset).unwrap();
        let label = Reader::trusted(&bytes[at..]).int().unwrap();
        assert_eq!(failure.command, Some(CommandName(label)), "{failure}");
        let Conclusion::Failure { code, record: told, reason } = ending.report.result else {
            panic!("a success")
        };
        assert_eq!((code, &told, reason), (label, record, failure.reason()));
    }
}

//= suit 13.95 (M): Each of the reasons 1..11 is produced by some test. R 4.2
#[test]
fn every_reason_for_a_failed_command_is_told() {
    let reason = |commands| Bench::new().install(1, commands).failure.unwrap().reason();
    let uri =
        |uri| sequence().override_parameters(&[Parameter::Uri(uri)]).directive(Directive::Fetch);
    let mut severed = installing(writing(b"x"));
    severed.severable.push(Section::Install);
    let mut bench = Bench::new();
    let cut = crate::Envelope::decode(&bench.sign(severed)).unwrap().sever(20).encode();
    let severed = bench.try_run_envelope(&cut, Procedure::Update).unwrap().failure.unwrap();

    assert_eq!(reason(sequence().directive(Directive::Invoke)), Reason::CommandUnsupported);
    assert_eq!(reason(sequence().select(9)), Reason::ComponentUnsupported);
    assert_eq!(reason(uri("gopher://x")), Reason::ParameterUnsupported);
    assert_eq!(severed.reason(), Reason::SeveringUnsupported);
    assert_eq!(reason(sequence().abort()), Reason::ConditionFailed);
    assert_eq!(reason(uri("#x")), Reason::OperationFailed);
    // Reasons 1 to 4, 6 and 7 are those of refused manifests; see the tests of envelope and setup.
}

//= suit 13.100 (S): invoke-pending used when reporting before an invoke that does not return. R
//= 4.2
#[test]
fn a_report_can_be_sent_before_an_invocation_that_does_not_return() {
    let mut draft = draft(1);
    let set = sequence().override_parameters(&[Parameter::InvokeArgs(b"x")]);
    draft.sections.insert(Section::Validate, set);
    draft.sections.insert(Section::Invoke, sequence().directive(Directive::Invoke));
    let bench = Bench::new();
    let envelope = bench.sign(draft);
    let mut processor = Processor::new(&opened(&envelope), bench.context.clone()).unwrap();
    processor.run(Procedure::Invocation).unwrap();

    assert!(matches!(processor.step(), Request::Invoke { .. }));
    let report = processor.invoke_pending();

    let Conclusion::Failure { record, reason, .. } = report.result else { panic!("a success") };
    assert_eq!((record.section, record.offset, reason), (9, 1, Reason::InvokePending));
}

#[test]
fn records_are_made_as_the_policies_of_the_commands_ask() {
    let matching = |policy: u64| {
        sequence().override_parameters(&[Parameter::ImageDigest(digest_of(b"x"))]).command(3, |w| {
            w.uint(policy);
        })
    };
    let run = |policy, content: &[u8]| {
        let mut bench = Bench::new();
        bench.shell.store.insert(id("a"), content.to_vec());
        let records = bench.install(1, matching(policy)).report.records;
        let kinds = records.iter().map(|entry| match entry {
            Entry::Record(record) => {
                assert_eq!(record.properties.find(14), Some(Parameter::ImageSize(1)));
                "record"
            }
            Entry::Properties(component, _) => {
                assert_eq!(component, &id("a"));
                "properties"
            }
        });
        kinds.collect::<Vec<_>>()
    };

    assert!(run(0, b"x").is_empty() && run(0, b"y").is_empty());
    assert_eq!((run(1, b"x"), run(1, b"y")), (vec!["record"], vec![]));
    assert_eq!((run(2, b"x"), run(2, b"y")), (vec![], vec!["record"]));
    assert_eq!((run(4, b"x"), run(4, b"y")), (vec!["properties"], vec![]));
    assert_eq!((run(8, b"x"), run(8, b"y")), (vec![], vec!["properties"]));
    let all = u64::from(ReportingPolicy::ALWAYS.bits());
    assert_eq!(run(all, b"x"), ["properties", "record"]);
}

#[test]
fn a_report_has_no_more_records_than_the_limit() {
    let mut bench = Bench::new();
    bench.context.limits.records = 2;
    let commands = (0..5).fold(sequence(), |commands, _| {
        commands.then(
            sequence()
                .override_parameters(&[Parameter::VendorId(crate::parameter::VendorId::Uuid(
                    teep_vendor(),
                ))])
                .condition(Condition::VendorIdentifier),
        )
    });

    assert_eq!(bench.install(1, commands).report.records.len(), 2);
}

#[test]
fn a_failure_explains_itself() {
    let mut bench = Bench::new();
    bench.shell.store.insert(id("a"), b"other".to_vec());
    let commands = sequence()
        .override_parameters(&[Parameter::ImageDigest(digest_of(b"x"))])
        .condition(Condition::ImageMatch);

    let failure = bench.install(1, commands).failure.unwrap();

    let (wanted, seen) = (digest_of(b"x"), digest_of(b"other"));
    assert_eq!(
        failure.to_string(),
        format!("condition-image-match in install on ['a'] failed: expected {wanted}, saw {seen}")
    );
}

fn package() -> Built {
    let owner = new_key();
    let compatibility = Compatibility { vendor: teep_vendor(), class: teep_class() };
    let name = |name| Name::new(name).unwrap();
    let uri = Uri::new("https://example.org/wasm").unwrap();
    let ta = Ta::new(name("ta"), 1, compatibility, Payload::at(uri, b"wasm"));
    let ta = ta.sign(&owner).unwrap();
    let pd = Pd::new(name("pd"), 1, compatibility, Payload::integrated(b"sealed"));
    let pd = pd.sign(&owner).unwrap();
    let root = Root::new(name("package"), 1, compatibility)
        .with(&ta, Delivery::Integrated)
        .with(&pd, Delivery::Integrated);
    root.sign(&owner).unwrap()
}

fn network() -> Shell {
    Shell::new().with_network("https://example.org/wasm", b"wasm")
}

/// The shell after a complete update.
fn installed(built: &Built, before: Shell) -> Shell {
    let mut shell = Shell { network: network().network, ..before };
    let verified = opened(&built.envelope);
    let mut processor = Processor::new(&verified, owner_context()).unwrap();
    let ending = shell.run(&mut processor, Procedure::Update);
    assert_eq!(ending.failure, None);
    let place = ComponentId::in_tee(built.owner, "ta").unwrap();
    assert_eq!(shell.content(&place), Some(&b"wasm"[..]));
    shell
}

//! The interpreter (spec/suit.md section 13.3), command by command.

use std::sync::Arc;

use crate::build::SequenceWriter;
use crate::command::{Condition, Directive, Selection};
use crate::parameter::{CustomValue, Uuid, VendorId};
use crate::process::{Ending, Fault, Obstacle, Value};
use crate::report::Reason;
use crate::sample::{Bench, digest_of, draft, id, installing, sequence, writing};
use crate::testing::{arm_vendor, teep_class, teep_vendor};
use crate::{Parameter, Procedure, Section};

//= suit 13.29 (M): Unknown condition: failure; unknown directive: abort, reason 5. M 8.4.9,
//= 8.4.10
#[test]
fn an_unknown_command_aborts_even_where_a_condition_may_fail() {
    for label in [99, -257] {
        let unknown = sequence().command(label, |w| {
            w.uint(0);
        });
        let tried = sequence().try_each(&[unknown.clone(), sequence().abort()], true);

        for commands in [unknown, tried] {
            let failure = Bench::new().install(1, commands).failure.unwrap();

            assert_eq!(failure.fault, Fault::Unknown);
            assert_eq!(failure.reason(), Reason::CommandUnsupported);
        }
    }
}

#[test]
fn a_custom_command_that_the_device_has_is_handed_to_it() {
    let mut bench = Bench::new();
    Arc::make_mut(&mut bench.context.device.commands).insert(-300);
    let custom = sequence().command(-300, |w| {
        w.text("words");
    });

    let ending = bench.install(1, custom);

    assert_eq!(ending.failure, None);
    assert_eq!(bench.shell.trace, ["custom ['a'] -300"]);
}

//= suit 13.30 (M): Condition whose parameter is unset fails. M 8.4.9
#[test]
fn a_condition_without_its_parameter_fails() {
    for (condition, key) in [
        (Condition::VendorIdentifier, 1),
        (Condition::ClassIdentifier, 2),
        (Condition::DeviceIdentifier, 24),
        (Condition::ImageMatch, 3),
        (Condition::ImageNotMatch, 3),
        (Condition::ComponentSlot, 5),
        (Condition::CheckContent, 18),
        (Condition::UseBefore, 4),
        (Condition::MinimumBattery, 26),
        (Condition::UpdateAuthorized, 27),
        (Condition::Version, 28),
    ] {
        let failure = Bench::new().install(1, sequence().condition(condition)).failure.unwrap();

        assert_eq!(failure.fault, Fault::ParameterUnset(key), "{condition:?}");
        assert_eq!(failure.reason(), Reason::ConditionFailed);
    }
}

//= suit 13.31 (M): Vendor/class mismatch fails; PEN form (tag 112) accepted. M 8.4.8
#[test]
fn a_device_answers_to_its_identifiers_and_tells_them_when_others_are_asked_for() {
    let other = Uuid::new([0x55; 16].map(|byte| byte | 0x80)).unwrap_or_else(|_| teep_class());
    let device_id = teep_class();
    let number: &[u8] = &[0x2a];
    let vendor = |id| Parameter::VendorId(id);
    let runs = |parameter: Parameter<'_>, condition| {
        let mut bench = Bench::new();
        bench.context.device.device = Some(device_id);
        bench.context.device.vendor_numbers.insert(number.to_vec());
        bench.install(1, sequence().override_parameters(&[parameter]).condition(condition))
    };
    let holds = |ending: Ending| ending.failure.is_none();

    assert!(holds(runs(vendor(VendorId::Uuid(teep_vendor())), Condition::VendorIdentifier)));
    assert!(holds(runs(vendor(VendorId::Uuid(arm_vendor())), Condition::VendorIdentifier)));
    assert!(holds(runs(vendor(VendorId::Pen(number)), Condition::VendorIdentifier)));
    assert!(!holds(runs(vendor(VendorId::Pen(b"x")), Condition::VendorIdentifier)));
    assert!(holds(runs(Parameter::ClassId(teep_class()), Condition::ClassIdentifier)));
    assert!(!holds(runs(Parameter::ClassId(teep_vendor()), Condition::ClassIdentifier)));
    assert!(holds(runs(Parameter::DeviceId(device_id), Condition::DeviceIdentifier)));
    assert!(!holds(runs(Parameter::DeviceId(teep_vendor()), Condition::DeviceIdentifier)));
    let failure = runs(vendor(VendorId::Uuid(other)), Condition::VendorIdentifier).failure;
    let measured = failure.unwrap().record.properties;
    assert!(matches!(measured.find(1), Some(Parameter::VendorId(VendorId::Uuid(_)))));
}

//= suit 13.32 (M): image-match compares digest and fails without parameter 3. M 8.4.9.2
//= suit 13.33 (R): image-match also compares image-size when set.
#[test]
fn an_image_matches_by_digest_and_size() {
    let matching = |parameters: &[Parameter<'_>], content: Option<&[u8]>| {
        let mut bench = Bench::new();
        if let Some(content) = content {
            bench.shell.store.insert(id("a"), content.to_vec());
        }
        let commands = sequence().override_parameters(parameters).condition(Condition::ImageMatch);
        bench.install(1, commands).failure.map(|failure| failure.fault)
    };
    let digest = digest_of(b"image");
    let wanted = Parameter::ImageDigest(digest);
    let other = Value::Digest(digest_of(b"other"));
    let expected = Value::Digest(digest);

    assert_eq!(matching(std::slice::from_ref(&wanted), Some(b"image")), None);
    assert_eq!(matching(&[wanted.clone(), Parameter::ImageSize(5)], Some(b"image")), None);
    assert_eq!(
        matching(&[wanted.clone(), Parameter::ImageSize(6)], Some(b"image")),
        Some(Fault::Mismatch { expected: Value::Size(6), seen: Value::Size(5) })
    );
    assert_eq!(
        matching(std::slice::from_ref(&wanted), Some(b"other")),
        Some(Fault::Mismatch { expected: expected.clone(), seen: other })
    );
    assert_eq!(matching(&[wanted], None), Some(Fault::Mismatch { expected, seen: Value::Nothing }));
    assert_eq!(matching(&[Parameter::ImageSize(5)], None), Some(Fault::ParameterUnset(3)));
}

//= suit 13.34 (M): check-content constant time and length-aware. M 8.4.9.3
#[test]
fn content_is_compared_whole() {
    for (content, holds) in [(&b"same"[..], true), (b"sam", false), (b"same!", false)] {
        let mut bench = Bench::new();
        bench.shell.store.insert(id("a"), content.to_vec());
        let commands = sequence()
            .override_parameters(&[Parameter::Content(b"same")])
            .condition(Condition::CheckContent);

        assert_eq!(bench.install(1, commands).failure.is_none(), holds);
    }
}

//= suit 13.35 (M): abort fails; inside try-each goes to the next sequence. M 8.4.9.5
#[test]
fn abort_ends_a_section_and_only_one_alternative() {
    let tried = sequence().try_each(&[sequence().abort(), writing(b"second")], false);
    let mut bench = Bench::new();

    assert_eq!(Bench::new().install(1, sequence().abort()).failure.unwrap().fault, Fault::Abort);
    assert_eq!(bench.install(1, tried).failure, None);
    assert_eq!(bench.shell.content(&id("a")), Some(&b"second"[..]));
}

//= suit 13.36 (M): Index out of range: abort. M 6.4
#[test]
fn an_index_that_does_not_exist_aborts_even_in_an_alternative() {
    let commands = sequence()
        .select(0)
        .try_each(&[sequence().select(2).then(writing(b"x")), sequence().abort()], true);

    let failure = Bench::new().install(2, commands).failure.unwrap();

    assert_eq!(failure.fault, Fault::Index(2));
    assert_eq!(failure.reason(), Reason::ComponentUnsupported);
}

//= suit 13.37 (M): Index true runs for every component in order; array runs listed ones. M 6.5
#[test]
fn a_selection_runs_each_command_for_each_of_its_components() {
    let written = |selection: Selection| {
        let mut bench = Bench::new();
        let commands = sequence()
            .selection(&selection)
            .override_parameters(&[Parameter::Content(b"x")])
            .directive(Directive::Write);
        assert_eq!(bench.install(3, commands).failure, None);
        bench.shell.trace
    };
    let write = |name: &str| format!("write ['{name}'] 1 bytes");

    assert_eq!(written(Selection::All), ["a", "b", "c"].map(write));
    assert_eq!(written(Selection::Several(vec![2, 0])), ["c", "a"].map(write));
    assert_eq!(written(Selection::One(1)), ["b"].map(write));
}

//= suit 13.37 (M): Index true runs for every component in order; array runs listed ones. M 6.5
#[test]
fn nested_sequences_see_one_component_at_a_time_and_leave_the_selection_alone() {
    let mut bench = Bench::new();
    let inner = sequence()
        .override_parameters(&[Parameter::Content(b"x")])
        .directive(Directive::Write)
        .directive(Directive::Write);
    let commands =
        sequence().selection(&Selection::All).run_sequence(&inner).directive(Directive::Write);

    assert_eq!(bench.install(2, commands).failure, None);
    let order: Vec<&str> = bench.shell.trace.iter().map(|line| &line[8..9]).collect();
    assert_eq!(order, ["a", "a", "b", "b", "a", "b"]);
}

//= suit 13.38 (M): try-each: first success ends; all fail: error; final nil: success; fewer
//= than two sequences malformed. M 8.4.10.2
#[test]
fn try_each_takes_the_first_that_succeeds() {
    let run = |alternatives: &[SequenceWriter], or_succeed| {
        let mut bench = Bench::new();
        let ending = bench.install(1, sequence().try_each(alternatives, or_succeed));
        (ending.failure.map(|failure| failure.fault), bench.shell.trace.len())
    };
    let fail = || sequence().abort();

    assert_eq!(run(&[writing(b"1"), writing(b"2")], false), (None, 1));
    assert_eq!(run(&[fail(), fail(), writing(b"3")], false), (None, 1));
    assert_eq!(run(&[fail(), fail()], false), (Some(Fault::NoAlternative), 0));
    assert_eq!(run(&[fail(), fail()], true), (None, 0));
}

//= suit 13.39 (M): soft-failure false inside a try-each sequence makes its condition failure
//= abort. M 8.4.8
//= suit 13.40 (M): soft-failure outside try-each/run-sequence aborts; value restored
//= afterwards. M 8.4.8
#[test]
fn soft_failure_belongs_to_the_sequence_that_sets_it() {
    let soft = |value| sequence().override_parameters(&[Parameter::SoftFailure(value)]);
    let fault = |commands| Bench::new().install(1, commands).failure.map(|failure| failure.fault);
    let hard_first = sequence().try_each(&[soft(false).abort(), writing(b"2")], false);
    let forgotten = sequence()
        .try_each(&[soft(false).then(writing(b"1")), sequence().abort()], false)
        .try_each(&[sequence().abort(), writing(b"2")], false);
    let not_inherited =
        sequence().try_each(&[sequence().run_sequence(&sequence().abort()), writing(b"2")], false);

    assert_eq!(fault(hard_first), Some(Fault::Abort));
    assert_eq!(fault(soft(true)), Some(Fault::SoftFailure));
    assert_eq!(fault(forgotten), None);
    assert_eq!(fault(not_inherited), Some(Fault::Abort));
}

//= suit 13.41 (M): Directive failure aborts even with soft-failure. M 6.4
#[test]
fn a_directive_that_fails_is_never_soft() {
    let commands =
        sequence().try_each(&[sequence().directive(Directive::Write), writing(b"2")], true);
    let unreachable = sequence()
        .override_parameters(&[Parameter::Uri("https://example.org/gone")])
        .directive(Directive::Fetch);
    let tried = sequence().try_each(&[unreachable, writing(b"2")], true);

    let unset = Bench::new().install(1, commands).failure.unwrap();
    let failed = Bench::new().install(1, tried).failure.unwrap();

    assert_eq!(unset.fault, Fault::ParameterUnset(18));
    assert_eq!(unset.reason(), Reason::OperationFailed);
    assert_eq!(failed.fault, Fault::Operation(Obstacle::Unreachable));
}

//= suit 13.42 (M): run-sequence stops at a failed condition; default soft-failure false. M
//= 8.4.10.8
#[test]
fn run_sequence_stops_hard_unless_it_says_otherwise() {
    let soft = sequence()
        .override_parameters(&[Parameter::SoftFailure(true)])
        .abort()
        .then(writing(b"never"));
    let mut bench = Bench::new();

    let hard = Bench::new().install(1, sequence().run_sequence(&sequence().abort()));
    let ending = bench.install(1, sequence().run_sequence(&soft).then(writing(b"after")));

    assert_eq!(hard.failure.unwrap().fault, Fault::Abort);
    assert_eq!(ending.failure, None);
    assert_eq!(bench.shell.trace, ["write ['a'] 5 bytes"]);
}

//= suit 13.43 (M): override replaces, set-parameters does not. M 8.4.10.3, D 5.6.1
#[test]
fn a_set_parameter_stays_until_it_is_overridden() {
    let mut bench = Bench::new();
    let content = |bytes: &'static [u8]| [Parameter::Content(bytes)];
    let commands = sequence()
        .set_parameters(&content(b"1"))
        .set_parameters(&content(b"22"))
        .directive(Directive::Write)
        .override_parameters(&content(b"333"))
        .set_parameters(&content(b"4444"))
        .directive(Directive::Write);

    assert_eq!(bench.install(1, commands).failure, None);
    assert_eq!(bench.shell.trace, ["write ['a'] 1 bytes", "write ['a'] 3 bytes"]);
}

//= suit 13.44 (M): Parameters belong to one component; strict-order and soft-failure are global.
//= M 8.4.8
//= suit 13.50 (M): Strict-order false with a component as both source and target aborts. M 6.7
#[test]
fn without_strict_order_no_component_is_source_and_target() {
    let order =
        |strict| sequence().select(0).override_parameters(&[Parameter::StrictOrder(strict)]);
    let copy = |target: u64, source: u64| {
        sequence()
            .select(target)
            .override_parameters(&[Parameter::SourceComponent(source)])
            .directive(Directive::Copy)
    };
    let fault = |commands| {
        let mut bench = Bench::new();
        bench.shell.store.insert(id("a"), b"x".to_vec());
        bench.install(3, commands).failure.map(|failure| failure.fault)
    };

    assert_eq!(fault(copy(1, 0).then(copy(2, 1))), None);
    assert_eq!(fault(order(false).then(copy(1, 0)).then(copy(2, 0))), None);
    assert_eq!(fault(order(false).then(copy(1, 0)).then(copy(2, 1))), Some(Fault::Order));
    let ended = order(false).then(copy(1, 0)).then(order(true)).then(copy(2, 1));
    assert_eq!(fault(ended), None);
}

//= suit 13.45 (M): fetch without uri fails; scheme not allowed fails. M 8.4.10.4
#[test]
fn fetch_needs_a_uri_of_an_allowed_scheme() {
    let fetch = |uri: Option<&str>| {
        let mut bench = Bench::new();
        let parameters: Vec<Parameter<'_>> = uri.map(Parameter::Uri).into_iter().collect();
        let start = match parameters.as_slice() {
            [] => sequence(),
            set => sequence().override_parameters(set),
        };
        let failure = bench.install(1, start.directive(Directive::Fetch)).failure.unwrap();
        assert!(bench.shell.trace.is_empty());
        failure.fault
    };

    assert_eq!(fetch(None), Fault::ParameterUnset(21));
    assert_eq!(fetch(Some("file:///etc/passwd")), Fault::Scheme("file".to_owned()));
    assert_eq!(fetch(Some("FILE:/x")), Fault::Scheme("file".to_owned()));
    assert_eq!(fetch(Some("relative")), Fault::Scheme(String::new()));
}

//= suit 13.46 (M): fetch of `#x` reads the envelope text key; missing key fails, no network
//= access for fragment-only references. M 7.5
#[test]
fn a_fragment_is_read_from_the_envelope_and_nowhere_else() {
    let fetch = |payload: &str| {
        let commands = sequence()
            .override_parameters(&[Parameter::Uri("#x"), Parameter::ImageSize(4)])
            .directive(Directive::Fetch);
        let mut draft = installing(commands);
        draft.payloads.insert(payload.to_owned(), b"load".to_vec());
        let mut bench = Bench::new();
        let ending = bench.run(draft, Procedure::Update);
        (ending.failure.map(|failure| failure.fault), bench.shell.trace)
    };

    assert_eq!(fetch("#x"), (None, vec!["write ['a'] 4 bytes".to_owned()]));
    assert_eq!(fetch("#y"), (Some(Fault::NoPayload("#x".to_owned())), vec![]));
    assert_eq!(fetch("x"), (Some(Fault::NoPayload("#x".to_owned())), vec![]));
}

//= suit 13.47 (R): fetch is bounded by image-size, else by a hard limit; more bytes abort early.
#[test]
fn a_payload_may_not_be_larger_than_announced() {
    let uri = "https://example.org/x";
    let fetch = |announced: Option<u64>, uri: &str| {
        let mut parameters = vec![Parameter::Uri(uri)];
        parameters.extend(announced.map(Parameter::ImageSize));
        let commands = sequence().override_parameters(&parameters).directive(Directive::Fetch);
        let mut draft = installing(commands);
        draft.payloads.insert("#x".to_owned(), b"12345".to_vec());
        let mut bench = Bench::new();
        bench.context.limits.payload_bytes = 5;
        bench.shell = bench.shell.with_network("https://example.org/x", b"12345");
        bench.run(draft, Procedure::Update).failure.map(|failure| failure.fault)
    };

    assert_eq!(fetch(Some(5), uri), None);
    assert_eq!(fetch(None, uri), None);
    assert_eq!(fetch(Some(4), uri), Some(Fault::Operation(Obstacle::TooLarge)));
    assert_eq!(fetch(Some(4), "#x"), Some(Fault::TooLarge { size: 5, limit: 4 }));
    assert_eq!(fetch(Some(u64::MAX), "#x"), None);
}

//= suit 13.48 (M): copy without source or with absent source fails; swap likewise. M 8.4.10.5,
//= 8.4.10.9
#[test]
fn copy_and_swap_need_a_source_that_is_there() {
    for directive in [Directive::Copy, Directive::Swap] {
        let run = |source: Option<u64>, present: bool| {
            let mut bench = Bench::new();
            bench.shell.store.insert(id("a"), b"old".to_vec());
            if present {
                bench.shell.store.insert(id("b"), b"new".to_vec());
            }
            let start = match source {
                Some(source) => {
                    sequence().select(0).override_parameters(&[Parameter::SourceComponent(source)])
                }
                None => sequence().select(0),
            };
            let ending = bench.install(2, start.directive(directive));
            (ending.failure.map(|failure| failure.fault), bench.shell.store[&id("a")].clone())
        };

        assert_eq!(run(Some(1), true), (None, b"new".to_vec()));
        assert_eq!(run(None, true).0, Some(Fault::ParameterUnset(22)));
        assert_eq!(run(Some(7), true).0, Some(Fault::Index(7)));
        let absent = (Some(Fault::Operation(Obstacle::Absent)), b"old".to_vec());
        assert_eq!(run(Some(1), false), absent);
    }
}

#[test]
fn swap_exchanges_both_contents() {
    let mut bench = Bench::new();
    bench.shell.store.insert(id("a"), b"one".to_vec());
    bench.shell.store.insert(id("b"), b"two".to_vec());
    let commands = sequence()
        .select(0)
        .override_parameters(&[Parameter::SourceComponent(1)])
        .directive(Directive::Swap);

    assert_eq!(bench.install(2, commands).failure, None);
    assert_eq!(bench.shell.content(&id("a")), Some(&b"two"[..]));
    assert_eq!(bench.shell.content(&id("b")), Some(&b"one"[..]));
}

#[test]
fn a_custom_parameter_is_kept_and_hurts_nobody() {
    let hint = Parameter::Custom(-300, CustomValue::Text("hint"));
    let commands = sequence().override_parameters(&[hint]).then(writing(b"x"));

    assert_eq!(Bench::new().install(1, commands).failure, None);
}

#[test]
fn a_run_is_bounded_by_its_fuel() {
    let mut bench = Bench::new();
    bench.context.limits.commands = 3;
    let commands = writing(b"1").then(writing(b"2"));
    let wide = sequence()
        .selection(&Selection::Several(vec![0; 1000]))
        .override_parameters(&[Parameter::Content(b"1")]);

    assert_eq!(bench.install(1, commands).failure.unwrap().fault, Fault::Fuel);
    assert_eq!(bench.install(1, wide).failure.unwrap().fault, Fault::Fuel);
}

//= suit 13.83 (M): CTR without digest of plaintext or ciphertext refused (except in-manifest
//= content). E 4.3, 7.2
//= suit 13.84 (S): CTR digest checked before decryption when present. E 7.2
#[test]
fn a_cipher_that_does_not_authenticate_needs_a_digest() {
    use cose::encrypt::{ContentAlgorithm, ContentKey, Recipient};
    let shared = cose::Secret::new(vec![7; 16]);
    let sealed = |algorithm| {
        let recipient = Recipient::KeyWrap { key: &shared, kid: None };
        let key = ContentKey::draw(algorithm, &mut keys::SystemEntropy);
        crate::encryption::seal(key, &[recipient], b"plaintext").unwrap()
    };
    let (ctr, gcm) = (sealed(ContentAlgorithm::A128Ctr), sealed(ContentAlgorithm::A128Gcm));
    let copy = |info: &[u8], source: &[Parameter<'_>], target: &[Parameter<'_>]| {
        let mut set = vec![Parameter::SourceComponent(1), Parameter::EncryptionInfo(info)];
        set.extend_from_slice(target);
        let start = match source {
            [] => sequence(),
            source => sequence().select(1).override_parameters(source),
        };
        let commands = start.select(0).override_parameters(&set).directive(Directive::Copy);
        let mut bench = Bench::new();
        bench.shell.store.insert(id("b"), ctr.ciphertext.clone());
        bench.shell.decrypt = Some(|_, _| Some(b"plaintext".to_vec()));
        let ending = bench.install(2, commands);
        (ending.failure.map(|failure| failure.fault), bench.shell.trace)
    };
    let digest = |content: &[u8]| [Parameter::ImageDigest(digest_of(content))];
    let copied = "copy ['a'] ['b']".to_owned();

    assert_eq!(copy(&ctr.info, &[], &[]), (Some(Fault::Unauthenticated), vec![]));
    assert_eq!(copy(&gcm.info, &[], &[]), (None, vec![copied.clone()]));
    assert_eq!(copy(&ctr.info, &[], &digest(b"plaintext")), (None, vec![copied.clone()]));
    let (fault, trace) = copy(&ctr.info, &digest(&ctr.ciphertext), &[]);
    assert_eq!((fault, trace), (None, vec!["digest ['b']".to_owned(), copied]));
    let (fault, trace) = copy(&ctr.info, &digest(b"another ciphertext"), &[]);
    assert!(matches!(fault, Some(Fault::Mismatch { .. })));
    assert_eq!(trace, ["digest ['b']"]);
    let write = sequence()
        .override_parameters(&[
            Parameter::Content(&ctr.ciphertext),
            Parameter::EncryptionInfo(&ctr.info),
        ])
        .directive(Directive::Write);
    let mut bench = Bench::new();
    bench.shell.decrypt = Some(|_, _| Some(b"plaintext".to_vec()));
    assert_eq!(bench.install(1, write).failure, None);
}

#[test]
fn a_component_slot_is_the_one_that_the_device_would_update() {
    let wants = |slot| {
        let mut bench = Bench::new();
        bench.context.device.slots.insert(id("a"), 1);
        let commands = sequence()
            .override_parameters(&[Parameter::ComponentSlot(slot)])
            .condition(Condition::ComponentSlot);
        bench.install(1, commands).failure.map(|failure| failure.fault)
    };

    assert_eq!(wants(1), None);
    assert_eq!(
        wants(0),
        Some(Fault::Mismatch { expected: Value::Number(0), seen: Value::Number(1) })
    );
}

#[test]
fn a_validate_section_alone_changes_nothing() {
    let mut draft = draft(1);
    let set = sequence().override_parameters(&[Parameter::ImageDigest(digest_of(b"x"))]);
    draft.sections.insert(Section::Validate, set.condition(Condition::ImageMatch));
    let mut bench = Bench::new();
    bench.shell.store.insert(id("a"), b"x".to_vec());

    assert_eq!(bench.run(draft, Procedure::Update).failure, None);
    assert_eq!(bench.shell.trace, ["digest ['a']"]);
}

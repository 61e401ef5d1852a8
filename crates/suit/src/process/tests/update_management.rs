//! Optional commands (spec/suit.md section 13.7).

use crate::build::SequenceWriter;
use crate::command::{Condition, Directive, label};
use crate::parameter::{Comparison, VersionMatch};
use crate::process::Fault;
use crate::sample::{Bench, digest_of, id, installing, sequence, writing};
use crate::{Parameter, Procedure, Unsupported};

//= suit 13.102 (M): Unimplemented U commands refuse the whole manifest. U 5
#[test]
fn a_manifest_with_a_command_that_the_device_lacks_is_refused_before_it_runs() {
    let wait = sequence()
        .override_parameters(&[Parameter::WaitInfo(&[0xa1, 0x01, 0x00])])
        .directive(Directive::Wait);
    let hidden = sequence().try_each(&[writing(b"x"), wait], false);
    let mut bench = Bench::new();

    assert!(bench.try_run(installing(hidden.clone()), Procedure::Update).is_ok());
    bench.shell.trace.clear();
    bench.context.device = bench.context.device.clone().without_commands([29]);
    assert_eq!(
        bench.try_run(installing(hidden), Procedure::Update),
        Err(Unsupported::Command(29).into())
    );
    assert!(bench.shell.trace.is_empty());
}

//= suit 13.103 (M): use-before in 64 bits. U 4.1
#[test]
fn use_before_compares_in_64_bits() {
    let holds = |now: Option<u64>, before: u64| {
        let mut bench = Bench::new();
        bench.context.device.now = now;
        let commands = sequence()
            .override_parameters(&[Parameter::UseBefore(before)])
            .condition(Condition::UseBefore);
        bench.install(1, commands).failure.is_none()
    };
    let after_2038 = 1 << 33;

    assert!(holds(Some(after_2038 - 1), after_2038));
    assert!(!holds(Some(after_2038), after_2038));
    assert!(holds(Some(u64::MAX - 1), u64::MAX));
    assert!(!holds(None, u64::MAX));
}

//= suit 13.104 (M): Version compare: prefix rule, pre-release negatives order alpha < beta < rc <
//= release. U 4.4
#[test]
fn versions_compare_by_prefix_and_with_pre_releases_first() {
    let holds = |installed: &[i64], comparison, wanted: &[i64]| {
        VersionMatch { comparison, version: wanted.to_vec() }.holds_for(installed)
    };
    use Comparison::{Equal, Greater, GreaterEqual, Lesser, LesserEqual};

    assert!(holds(&[1, 2, 3], Equal, &[1, 2]));
    assert!(holds(&[1, 2, 3], GreaterEqual, &[1, 2]));
    assert!(!holds(&[1, 2, 3], Greater, &[1, 2]));
    assert!(holds(&[1, 2, 3], Greater, &[1, 2, 2]));
    assert!(holds(&[1, 2], Lesser, &[1, 2, 1]));
    assert!(holds(&[1, 2], LesserEqual, &[1, 2, 0]));
    let (alpha, beta, candidate, release) = (-3, -2, -1, 0);
    for pair in [alpha, beta, candidate, release].windows(2) {
        assert!(holds(&[1, 0, pair[0]], Lesser, &[1, 0, pair[1]]));
    }
    assert!(holds(&[1, 0], Greater, &[1, 0, alpha, 7]));
}

#[test]
fn the_version_of_the_component_is_asked_for() {
    let run = |installed: Option<&[i64]>| {
        let mut bench = Bench::new();
        bench.shell.versions.extend(installed.map(|version| (id("a"), version.to_vec())));
        let version = VersionMatch { comparison: Comparison::GreaterEqual, version: vec![2, 0] };
        let commands = sequence()
            .override_parameters(&[Parameter::Version(version)])
            .condition(Condition::Version);
        bench.install(1, commands).failure
    };

    assert_eq!(run(Some(&[2, 1])), None);
    assert_eq!(run(Some(&[1, 9])).unwrap().fault.to_string(), "expected 2.0, saw 1.9");
    assert_eq!(run(None).unwrap().fault.to_string(), "expected 2.0, saw nothing");
}

#[test]
fn battery_and_authorization_decide() {
    let run = |charge: Option<u64>, authorized: bool, commands: SequenceWriter| {
        let mut bench = Bench::new();
        bench.context.device.battery = charge;
        bench.shell.authorized = authorized;
        bench.install(1, commands).failure.is_none()
    };
    let battery = || {
        sequence()
            .override_parameters(&[Parameter::MinimumBattery(50)])
            .condition(Condition::MinimumBattery)
    };
    let update = || {
        sequence()
            .override_parameters(&[Parameter::UpdatePriority(-1)])
            .condition(Condition::UpdateAuthorized)
    };

    assert!(run(Some(50), false, battery()));
    assert!(!run(Some(49), false, battery()));
    assert!(!run(None, false, battery()));
    assert!(run(None, true, update()));
    assert!(!run(None, false, update()));
}

#[test]
fn an_image_that_is_absent_or_another_one_does_not_match() {
    let run = |content: Option<&[u8]>| {
        let mut bench = Bench::new();
        bench.shell.store.extend(content.map(|content| (id("a"), content.to_vec())));
        let commands = sequence()
            .override_parameters(&[Parameter::ImageDigest(digest_of(b"x"))])
            .condition(Condition::ImageNotMatch);
        bench.install(1, commands).failure.is_none()
    };

    assert!(run(None));
    assert!(run(Some(b"y")));
    assert!(!run(Some(b"x")));
}

#[test]
fn parameters_of_several_components_are_set_and_copied_at_once() {
    let mut bench = Bench::new();
    let content = |bytes: &'static [u8]| [Parameter::Content(bytes)];
    let commands = sequence()
        .select(0)
        .command(label::OVERRIDE_MULTIPLE, |w| {
            w.map(2);
            w.uint(1);
            crate::parameter::write_parameters(w, &content(b"one"));
            w.uint(2);
            crate::parameter::write_parameters(w, &content(b"second"));
        })
        .command(label::COPY_PARAMS, |w| {
            w.map(1).uint(2).array(1).uint(18);
        })
        .selection(&crate::command::Selection::All)
        .directive(Directive::Write);

    assert_eq!(bench.install(3, commands).failure, None);
    assert_eq!(
        bench.shell.trace,
        ["write ['a'] 6 bytes", "write ['b'] 3 bytes", "write ['c'] 6 bytes"]
    );
    let missing = sequence().select(0).command(label::COPY_PARAMS, |w| {
        w.map(1).uint(1).array(1).uint(18);
    });
    let failure = Bench::new().install(2, missing).failure.unwrap();
    assert_eq!(failure.fault, Fault::ParameterUnset(18));
}

//! What is checked before a command runs (spec/suit.md section 13.2).

use crate::authority::{self, Authority, OwnerPrefix};
use crate::build::{Compatibility, Name, Payload, Ta};
use crate::command::{Condition, Directive};
use crate::component::ComponentId;
use crate::process::Fault;
use crate::report::{CapableComponent, Reason};
use crate::sample::{Bench, draft, id, installing, opened, sequence, writing};
use crate::testing::{new_key, owner_context, teep_class, teep_vendor};
use crate::{Error, Parameter, Procedure, Processor, Section, Signer, Unsupported, Untrusted};

//= suit 13.19 (M): Lower sequence number refused; equal accepted; higher accepted. M 8.4.2
#[test]
fn an_installed_manifest_may_be_repeated_and_replaced_and_never_rolled_back() {
    let mut bench = Bench::new();
    let numbered = |number: u64| {
        let mut draft = installing(writing(b"content"));
        draft.sequence_number = number;
        draft
    };

    assert!(bench.try_run(numbered(5), Procedure::Update).is_ok());
    assert!(bench.try_run(numbered(5), Procedure::Update).is_ok());
    assert_eq!(
        bench.try_run(numbered(4), Procedure::Update),
        Err(Untrusted::Rollback { offered: 4, stored: 5 }.into())
    );
    assert!(bench.try_run(numbered(6), Procedure::Update).is_ok());
    assert_eq!(bench.context.installed.sequence_numbers[&id("a.suit")], 6);
}

#[test]
fn a_failed_update_does_not_raise_the_stored_sequence_number() {
    let mut bench = Bench::new();

    let ending = bench.run(installing(sequence().abort()), Procedure::Update);

    assert!(ending.failure.is_some());
    assert!(bench.context.installed.sequence_numbers.is_empty());
}

#[test]
fn an_uninstalled_manifest_leaves_its_sequence_number_behind() {
    let mut bench = Bench::new();
    let mut draft = installing(writing(b"content"));
    draft.sequence_number = 3;
    draft.sections.insert(Section::Uninstall, sequence().directive(Directive::Unlink));

    assert_eq!(bench.run(draft.clone(), Procedure::Update).failure, None);
    assert_eq!(bench.run(draft, Procedure::Uninstall).failure, None);
    assert!(bench.shell.store.is_empty());
    assert_eq!(bench.context.installed.sequence_numbers[&id("a.suit")], 3);
}

//= suit 13.20 (M): Parameters cleared between manifests and between procedures. M 6.1
#[test]
fn no_parameter_survives_a_procedure() {
    let mut bench = Bench::new();
    let mut draft = draft(1);
    draft.sections.insert(Section::Install, writing(b"content"));
    let forgetful = sequence().directive(Directive::Write);
    draft.sections.insert(Section::Uninstall, forgetful);
    let envelope = bench.sign(draft);
    let verified = opened(&envelope);
    let mut processor = Processor::new(&verified, bench.context.clone()).unwrap();

    assert_eq!(bench.shell.run(&mut processor, Procedure::Update).failure, None);
    let ending = bench.shell.run(&mut processor, Procedure::Uninstall);

    assert_eq!(ending.failure.unwrap().fault, Fault::ParameterUnset(18));
}

//= suit 13.21 (M): More components than supported refused. M 6.2
#[test]
fn more_components_than_the_device_takes_are_refused() {
    let mut bench = Bench::new();
    bench.context.limits.components = 2;

    assert!(bench.try_run(draft(2), Procedure::Update).is_ok());
    assert_eq!(
        bench.try_run(draft(3), Procedure::Update),
        Err(Unsupported::Components { found: 3, most: 2 }.into())
    );
}

//= suit 13.22 (M): Unknown component id: reason 6; not allowed to signer: reason 7. R 4.2
#[test]
fn a_component_that_does_not_exist_and_one_of_somebody_else_have_different_reasons() {
    let mut bench = Bench::new();
    bench.context.device.components =
        Some(vec![CapableComponent { prefix: id("b"), any_below: false }]);
    let unknown = bench.try_run(draft(1), Procedure::Update).unwrap_err();
    bench.context.device.components = None;
    bench.context.authority = std::sync::Arc::new(OwnerPrefix);
    let foreign = bench.try_run(draft(1), Procedure::Update).unwrap_err();

    assert_eq!(unknown, Unsupported::Component(id("a")).into());
    assert_eq!(unknown.reason(), Reason::ComponentUnsupported);
    assert_eq!(foreign, Untrusted::Component(id("a")).into());
    assert_eq!(foreign.reason(), Reason::ComponentUnauthorised);
}

#[test]
fn a_component_below_a_place_that_the_device_has_exists() {
    let mut bench = Bench::new();
    let mut draft = draft(1);
    draft.components = vec![ComponentId::new(["fs", "file"]).unwrap()];
    let has = |any_below| Some(vec![CapableComponent { prefix: id("fs"), any_below }]);

    bench.context.device.components = has(true);
    assert!(bench.try_run(draft.clone(), Procedure::Update).is_ok());
    bench.context.device.components = has(false);
    assert!(bench.try_run(draft, Procedure::Update).is_err());
}

//= suit 13.23 (S): Shared sequence holds vendor and class checks; policy may demand. M 6.2
#[test]
fn what_is_built_checks_vendor_and_class_before_every_section() {
    let compatibility = Compatibility { vendor: teep_vendor(), class: teep_class() };
    let built = Ta::new(Name::new("ta").unwrap(), 1, compatibility, Payload::integrated(b"wasm"));
    let built = built.sign(&new_key()).unwrap();
    let verified = opened(&built.envelope);
    let mut context = owner_context();
    context.device.classes.remove(&teep_class());
    let mut processor = Processor::new(&verified, context).unwrap();

    let ending = crate::testing::Shell::new().run(&mut processor, Procedure::Update);

    let failure = ending.failure.unwrap();
    assert_eq!(failure.command.unwrap().to_string(), "condition-class-identifier");
    assert_eq!((failure.record.section, failure.reason()), (3, Reason::ConditionFailed));
}

//= suit 13.26 (M): Several components and a sequence not starting with 12: abort. M 6.2
#[test]
fn a_sequence_of_a_manifest_with_several_components_has_to_select_one_first() {
    let ending = Bench::new().install(2, writing(b"content"));
    let selecting = Bench::new().install(2, sequence().select(1).then(writing(b"content")));

    assert_eq!(ending.failure.unwrap().fault, Fault::NoSelection);
    assert_eq!(selecting.failure, None);
}

//= suit 13.27 (M): Dependencies declared while unsupported: abort. D 5.1
#[test]
fn dependencies_are_refused_where_the_device_has_none() {
    let mut bench = Bench::new();
    let mut draft = draft(1);
    draft.dependencies.insert(0, Default::default());
    let integrity = Condition::DependencyIntegrity.label();

    assert!(bench.try_run(draft.clone(), Procedure::Update).is_ok());
    bench.context.device = bench.context.device.clone().without_commands([integrity]);
    assert_eq!(bench.try_run(draft, Procedure::Update), Err(Unsupported::Dependencies.into()));
}

//= suit 13.69 (M): manifest-component-id outside author's ACL refused; ignored inside
//= dependencies. D 5.2.1, 10
#[test]
fn a_signer_owns_what_begins_with_its_thumbprint_wherever_it_is_named() {
    let key = new_key();
    let owner = cose::Signer::key(&key).thumbprint();
    let own = |name: &str| ComponentId::in_tee(owner, name).unwrap();
    let outside = ComponentId::in_ree(owner, "ua").unwrap();
    let foreign = ComponentId::in_tee(cose::Thumbprint([9; 32]), "ta").unwrap();
    let verdict =
        |components: &[&ComponentId], prefix: Option<&ComponentId>, place: &ComponentId| {
            let mut draft = draft(0);
            draft.components = components.iter().map(|each| (*each).clone()).collect();
            draft.component_id = Some(place.clone());
            if let Some(prefix) = prefix {
                let prefix = Some(prefix.clone());
                draft.dependencies.insert(9, crate::common::Dependency { prefix });
            }
            let envelope = draft.sign(&key).unwrap().envelope;
            authority::owner_prefix(&opened(&envelope))
        };
    let refused = Err(Untrusted::Component(foreign.clone()));

    assert_eq!(verdict(&[&own("a"), &outside], None, &own("a.suit")), Ok(()));
    assert_eq!(verdict(&[&own("a"), &foreign], None, &own("a.suit")), refused);
    assert_eq!(verdict(&[&own("a")], Some(&foreign), &own("a.suit")), refused);
    assert_eq!(verdict(&[&own("a")], None, &foreign), refused);
    assert!(!OwnerPrefix.permits(&Signer::Secret([0; 32]), &own("a")));
}

#[test]
fn a_text_thumbprint_or_a_shifted_one_gives_no_authority() {
    let owner = cose::Thumbprint([7; 32]);
    let signer = Signer::Key(owner);
    let parts: [&[&[u8]]; 4] =
        [&[b"x", &owner.0], &[b"REE", b"x", &owner.0], &[b"REE"], &[&owner.0[..31]]];

    for parts in parts {
        let component = ComponentId::new(parts).unwrap();

        assert!(!OwnerPrefix.permits(&signer, &component), "{component}");
    }
}

#[test]
fn the_error_of_a_refusal_is_told_in_a_report() {
    let error = Error::from(Untrusted::Rollback { offered: 1, stored: 2 });
    let reference =
        crate::report::Reference { uri: String::new(), digest: crate::sample::digest_of(b"") };

    let report = crate::Report::refusal(reference, Some(vec![1; 8]), &error);

    assert_eq!(crate::Report::decode(&report.encode()), Ok(report.clone()));
    assert!(!report.succeeded());
}

#[test]
fn parameters_of_two_components_are_not_mixed_up() {
    let commands = sequence()
        .select(0)
        .override_parameters(&[Parameter::Content(b"one")])
        .select(1)
        .directive(Directive::Write);

    let ending = Bench::new().install(2, commands);

    assert_eq!(ending.failure.unwrap().fault, Fault::ParameterUnset(18));
}

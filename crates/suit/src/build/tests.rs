use std::sync::Arc;

use super::*;
use crate::authority;
use crate::process::SecondProcessor;
use crate::testing::{Shell, authentic, new_key, owner_context, teep_class, teep_vendor};
use crate::{Anchors, Procedure, Processor, Section};

#[test]
fn an_integrated_ta_is_installed_started_and_removed() {
    let owner = new_key();
    let built = ta("planner", b"wasm").invocable(Some(b"args")).sign(&owner).unwrap();
    let component = built.component.clone().unwrap();
    let verified = authentic(&built.envelope);
    let mut processor = Processor::new(&verified, owner_context()).unwrap();
    let mut shell = Shell::new();

    assert_eq!(authority::owner_prefix(&verified), Ok(()));
    assert_eq!(shell.run(&mut processor, Procedure::Update).failure, None);
    assert_eq!(shell.content(&component), Some(&b"wasm"[..]));
    assert_eq!(shell.run(&mut processor, Procedure::Invocation).failure, None);
    assert_eq!(shell.invoked, [(component.clone(), b"args".to_vec())]);
    assert_eq!(shell.run(&mut processor, Procedure::Uninstall).failure, None);
    assert_eq!(shell.content(&component), None);
}

#[test]
fn a_ta_by_uri_is_fetched_once() {
    let owner = new_key();
    let uri = Uri::new("https://example.org/planner").unwrap();
    let payload = Payload::at(uri, b"wasm");
    let built = Ta::new(name("planner"), 1, compatibility(), payload).sign(&owner).unwrap();
    let verified = authentic(&built.envelope);
    let mut processor = Processor::new(&verified, owner_context()).unwrap();
    let mut shell = Shell::new().with_network("https://example.org/planner", b"wasm");

    assert_eq!(shell.run(&mut processor, Procedure::Update).failure, None);
    shell.network.clear();
    assert_eq!(shell.run(&mut processor, Procedure::Update).failure, None);
    assert_eq!(shell.content(built.component.as_ref().unwrap()), Some(&b"wasm"[..]));
}

#[test]
fn a_package_installs_its_parts_in_order_and_hands_the_ua_to_the_second_processor() {
    let owner = new_key();
    let ta = ta("planner", b"wasm").invocable(None).sign(&owner).unwrap();
    let pd = Pd::new(name("key"), 1, compatibility(), Payload::integrated(b"sealed"));
    let pd = pd.sign(&owner).unwrap();
    let ua = Ua::new(name("relay"), 1, compatibility(), Payload::integrated(b"elf"));
    let ua = ua.invocable(None).sign(&owner).unwrap();
    let root = Root::new(name("package"), 1, compatibility())
        .with(&ta, Delivery::Integrated)
        .with(&pd, Delivery::Integrated)
        .with(&ua, Delivery::Integrated)
        .sign(&owner)
        .unwrap();
    let verified = authentic(&root.envelope);
    let mut context = owner_context();
    context.anchors = Arc::new(Anchors::none().with_self_certified());
    context.device.second = Some(SecondProcessor {
        prefix: ComponentId::new(["REE"]).unwrap(),
        parameters: Default::default(),
    });
    let mut processor = Processor::new(&verified, context).unwrap();
    let mut shell = Shell::new();

    assert_eq!(shell.run(&mut processor, Procedure::Update).failure, None);
    assert_eq!(shell.content(ta.component.as_ref().unwrap()), Some(&b"wasm"[..]));
    assert_eq!(shell.content(pd.component.as_ref().unwrap()), Some(&b"sealed"[..]));
    let sections: Vec<Section> = shell.delegated.iter().map(|each| each.section).collect();
    assert_eq!(sections, [Section::Install, Section::Validate]);
    assert_eq!(shell.delegated[0].envelope, ua.envelope);

    let mut second = Processor::new(&authentic(&ua.envelope), owner_context()).unwrap();
    let mut outside = Shell::new();
    assert_eq!(outside.run(&mut second, Procedure::Only(Section::Install)).failure, None);
    assert_eq!(outside.content(ua.component.as_ref().unwrap()), Some(&b"elf"[..]));

    assert_eq!(shell.run(&mut processor, Procedure::Invocation).failure, None);
    assert_eq!(shell.invoked, [(ta.component.clone().unwrap(), Vec::new())]);
    assert_eq!(shell.run(&mut processor, Procedure::Uninstall).failure, None);
    assert!(shell.store.is_empty(), "{:?}", shell.store);
    assert_eq!(shell.delegated.last().map(|each| each.section), Some(Section::Uninstall));
}

fn ta<'a>(name_text: &str, content: &'a [u8]) -> Ta<'a> {
    Ta::new(name(name_text), 1, compatibility(), Payload::integrated(content))
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn compatibility() -> Compatibility {
    Compatibility { vendor: teep_vendor(), class: teep_class() }
}

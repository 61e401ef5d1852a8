//! Rows of the draft's figures, run by the same code as `tamarack matrix`.

use stage::{Flow, Hardware, Instance, Ran, Spec, Stage, User, flows};

use crate::troupe::open_stage;

#[test]
fn every_row_of_the_figures_on_sgx_runs_in_their_order() {
    let stage = open_stage!();
    on_a_shared_device(&stage, Hardware::Sgx);
}

#[test]
fn every_row_of_the_figures_on_trustzone_runs_in_their_order() {
    let stage = open_stage!();
    on_a_shared_device(&stage, Hardware::TrustZone);
}

#[test]
fn containers_in_a_confidential_vm_run_in_the_order_of_the_figures() {
    let stage = open_stage!();
    let Some(spec) = machine(&stage, "edge-1", Hardware::Tdx) else { return };
    let device = stage.device(&spec).unwrap();
    let user = stage.user("oda").unwrap();
    for flow in rows(|flow| flow.hardware == "TDX" && flow.instance == Instance::Container) {
        went(&flow, &flow.run(&stage, &user, &device).unwrap());
    }
}

#[test]
fn a_confidential_vm_runs_each_case_in_the_order_of_its_figure() {
    let stage = open_stage!();
    let user = stage.user("oda").unwrap();
    // A family for each case, so that all of them are seen.
    let families = ["SEV-SNP", "TDX", "SEV", "CCA", "TDX"];
    for (case, family) in (1..=5).zip(families) {
        let wanted = |flow: &Flow| {
            flow.case == case && flow.hardware == family && flow.instance == Instance::Vm
        };
        for flow in rows(wanted).into_iter().filter(|flow| flow.with_ua) {
            one_vm(&stage, &user, &flow);
        }
    }
}

fn one_vm(stage: &Stage, user: &User, flow: &Flow) {
    let name = format!("vm-{}", flow.case);
    let Some(spec) = machine(stage, &name, flow.ran_on().unwrap()) else { return };
    let device = stage.device(&spec).unwrap();

    went(flow, &flow.run(stage, user, &device).unwrap());
}

fn on_a_shared_device(stage: &Stage, hardware: Hardware) {
    let instances = [Instance::Process, Instance::Container];
    let spec = Spec::new("edge-1", hardware).with_instances(&instances);
    let device = stage.device(&spec).unwrap();
    let user = stage.user("oda").unwrap();
    let rows = rows(|flow| flow.hardware == hardware.as_str());
    assert_eq!(rows.len(), 14);
    for flow in rows {
        went(&flow, &flow.run(stage, &user, &device).unwrap());
    }
}

fn rows(wanted: impl Fn(&Flow) -> bool) -> Vec<Flow> {
    flows().into_iter().filter(|flow| wanted(flow)).collect()
}

/// The order is the figure's, the answer shows the data, and the operator holds none of it.
fn went(flow: &Flow, ran: &Ran) {
    assert_eq!(ran.load_sequence, flow.load_sequence, "{}: {:?}", flow.name(), ran.why);
    assert_eq!(ran.answered, flow.with_ua.then_some(true), "{}: {:?}", flow.name(), ran.why);
    assert_eq!(ran.canary, Vec::<String>::new(), "{}", flow.name());
    assert!(ran.ok, "{}: {:?}", flow.name(), ran.why);
    let linked =
        ran.events.as_array().unwrap().windows(2).all(|two| two[1]["cause"] == two[0]["digest"]);
    assert!(linked, "each event names the statement before: {:#}", ran.events);
}

/// The VM of a family, where its image could be built.
fn machine(stage: &Stage, name: &str, hardware: Hardware) -> Option<Spec> {
    if hardware.image(&stage.programs).is_none() {
        println!("skipped: VM on {}: its image is not built here", hardware.as_str());
        return None;
    }
    Some(Spec::vm(name, hardware))
}

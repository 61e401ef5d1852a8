use api::{EventName, Hardware, InstanceType, Need, Owner, State};
use proptest::prelude::*;

use super::*;

const UA: EventName = EventName::UaToRee;
const TA: EventName = EventName::TaTo(InstanceType::Process);
const ATT: EventName = EventName::AttestAgent;
const PD: EventName = EventName::PdToTa;

fn machine(with_ua: bool) -> Machine {
    Machine::new(plan(with_ua)).unwrap()
}

fn plan(with_ua: bool) -> Plan {
    Plan { case: 3, instance: InstanceType::Process, hardware: Hardware::Sgx, with_ua }
}

fn names(machine: &Machine) -> Vec<EventName> {
    machine.recorded().iter().map(|recorded| recorded.event).collect()
}

fn row(with_ua: bool) -> Vec<EventName> {
    plan(with_ua).steps().unwrap().iter().map(|step| step.event).collect()
}

#[test]
fn the_rows_are_those_of_figure_4() {
    assert_eq!(row(true), [UA, TA, ATT, PD]);
    assert_eq!(row(false), [TA, ATT, PD]);
}

#[test]
fn the_whole_of_case_3_runs_in_order_and_links_each_event_to_the_one_before() {
    let mut machine = machine(true);

    assert_eq!(machine.turn(), Turn::User(vec![Need::Ua, Need::Ta]));
    machine.bring(Need::Ta).unwrap();
    assert_eq!(machine.needs(), [Need::Ua]);
    machine.bring(Need::Ua).unwrap();
    assert_eq!(machine.state(), State::Deploying);
    assert_eq!(machine.record(UA, "1".into()), Ok(None));
    assert_eq!(
        machine.turn(),
        Turn::Device(Task::Install { package: PackageName::Ta, loaded_by_ua: true })
    );
    assert_eq!(machine.record(TA, "2".into()), Ok(Some("1".into())));
    assert_eq!(machine.needs(), [Need::Nonce]);
    machine.bring(Need::Nonce).unwrap();
    assert_eq!(machine.state(), State::Attesting);
    assert_eq!(machine.record(ATT, "3".into()), Ok(Some("2".into())));
    machine.bring(Need::Pd).unwrap();
    assert_eq!(machine.record(PD, "4".into()), Ok(Some("3".into())));

    assert_eq!(machine.state(), State::Running);
    assert_eq!(names(&machine), row(true));
    assert!(!machine.is_open());
}

#[test]
fn personalization_data_before_a_positive_result_is_refused() {
    let mut machine = machine(false);

    assert_eq!(machine.bring(Need::Pd), Err(NotNow::Before(TA)));
    machine.bring(Need::Ta).unwrap();
    machine.record(TA, "1".into()).unwrap();
    assert_eq!(machine.bring(Need::Pd), Err(NotNow::Before(ATT)));
    machine.bring(Need::Nonce).unwrap();
    assert_eq!(machine.bring(Need::Pd), Err(NotNow::Before(ATT)));

    assert_eq!(machine.state(), State::Attesting);
}

#[test]
fn a_package_that_the_row_has_no_place_for_is_refused() {
    assert_eq!(machine(false).bring(Need::Ua), Err(NotNow::NotInPlan));
}

#[test]
fn the_same_thing_twice_is_refused() {
    let mut machine = machine(true);
    machine.bring(Need::Ua).unwrap();

    assert_eq!(machine.bring(Need::Ua), Err(NotNow::AlreadyThere));
}

#[test]
fn an_attestation_may_be_repeated_until_the_data_is_there() {
    let mut machine = machine(false);
    machine.bring(Need::Ta).unwrap();
    machine.record(TA, "1".into()).unwrap();
    machine.bring(Need::Nonce).unwrap();
    machine.record(ATT, "2".into()).unwrap();

    machine.bring(Need::Nonce).unwrap();
    assert_eq!(machine.state(), State::Attesting);
    assert_eq!(machine.record(ATT, "3".into()), Ok(Some("2".into())));
    machine.bring(Need::Pd).unwrap();
    assert_eq!(machine.bring(Need::Nonce), Err(NotNow::AlreadyThere));
    machine.record(PD, "4".into()).unwrap();

    assert_eq!(names(&machine), [TA, ATT, ATT, PD]);
    assert_eq!(machine.state(), State::Running);
}

#[test]
fn a_step_out_of_its_turn_ends_the_deployment_with_an_explanation() {
    let mut machine = machine(true);
    machine.bring(Need::Ua).unwrap();
    machine.bring(Need::Ta).unwrap();

    assert_eq!(machine.record(TA, "1".into()), Err(NotNow::Ended));

    let failure = machine.failure().unwrap();
    assert_eq!(failure.check, "order");
    assert_eq!(failure.expected, "UA->REE");
    assert_eq!(failure.seen, "TA->ConfidentialProcess");
    assert_eq!(failure.owner, Owner::Device);
    assert_eq!(machine.bring(Need::Pd), Err(NotNow::Ended));
    assert!(names(&machine).is_empty());
}

#[test]
fn a_step_without_what_it_needs_ends_the_deployment() {
    let mut machine = machine(false);

    assert_eq!(machine.record(TA, "1".into()), Err(NotNow::Ended));
    assert_eq!(machine.state(), State::Failed);
}

#[test]
fn the_first_failure_stays() {
    let mut machine = machine(false);

    machine.fail(Failure::overdue("TA->ConfidentialProcess", 60_000));
    machine.fail(Failure::order("x".into(), PD));

    assert_eq!(machine.failure().unwrap().check, "time");
}

#[test]
fn what_the_figures_do_not_show_has_no_row() {
    let vm_on_sgx =
        Plan { case: 3, instance: InstanceType::Vm, hardware: Hardware::Sgx, with_ua: true };
    let case9 = Plan { case: 9, ..plan(true) };

    assert_eq!(
        vm_on_sgx.steps(),
        Err(NoSuchRow::Instance { instance: InstanceType::Vm, hardware: Hardware::Sgx })
    );
    assert_eq!(case9.steps(), Err(NoSuchRow::Case(9)));
}

#[test]
fn a_machine_comes_back_from_the_store_as_it_was() {
    let mut machine = machine(true);
    machine.bring(Need::Ua).unwrap();
    machine.bring(Need::Ta).unwrap();
    machine.record(UA, "1".into()).unwrap();

    let text = serde_json::to_string(&machine).unwrap();

    assert_eq!(serde_json::from_str::<Machine>(&text).unwrap(), machine);
}

#[derive(Clone, Debug)]
enum Input {
    Bring(Need),
    Record(EventName),
}

fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        3 => prop::sample::select(vec![Need::Ua, Need::Ta, Need::Nonce, Need::Pd])
            .prop_map(Input::Bring),
        2 => prop::sample::select(vec![UA, TA, ATT, PD]).prop_map(Input::Record),
    ]
}

proptest! {
    #[test]
    fn the_recorded_order_is_the_figures_row_or_the_deployment_fails(
        with_ua: bool,
        inputs in prop::collection::vec(input(), 0..40),
    ) {
        let mut machine = machine(with_ua);
        let mut wanted_pd_before_result = false;
        for (at, input) in inputs.into_iter().enumerate() {
            match input {
                Input::Bring(need) => {
                    let accepted = machine.bring(need).is_ok();
                    wanted_pd_before_result |=
                        accepted && need == Need::Pd && !names(&machine).contains(&ATT);
                }
                Input::Record(event) => {
                    let _outcome = machine.record(event, at.to_string());
                }
            }
        }

        let mut seen = names(&machine);
        seen.dedup();
        prop_assert!(row(with_ua).starts_with(&seen));
        prop_assert_eq!(machine.state() == State::Running, seen == row(with_ua)
            && machine.failure().is_none());
        prop_assert!(!wanted_pd_before_result);
    }
}

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
        Err(NoSuchRow::Instance { instance: InstanceType::Vm, hardware: Hardware::Sgx, figure: 4 })
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

#[test]
fn every_row_of_figures_2_to_6_is_a_row_of_steps() {
    #[derive(serde::Deserialize)]
    struct Matrix {
        flows: Vec<Flow>,
    }
    #[derive(serde::Deserialize)]
    struct Flow {
        case: u8,
        instance: InstanceType,
        hardware: Hardware,
        with_ua: bool,
        load_sequence: Vec<EventName>,
    }
    let text = include_str!("../../../../stage/src/matrix.json");
    let matrix: Matrix = serde_json::from_str(text).unwrap();

    assert_eq!(matrix.flows.len(), 70);
    for Flow { case, instance, hardware, with_ua, load_sequence } in matrix.flows {
        let plan = Plan { case, instance, hardware, with_ua };
        let steps = plan.steps().unwrap();
        let mut events: Vec<EventName> = steps.iter().map(|step| step.event).collect();
        if case == 5 {
            // What is sealed to the TA needs its key, which the figure's attestation cannot name.
            assert_eq!(events.remove(2), ATT, "{plan:?}");
        }
        assert_eq!(events, load_sequence, "{plan:?}");
    }
}

#[test]
fn a_package_with_a_ua_is_not_asked_for_without_one() {
    for case in [1, 2, 5] {
        let plan = Plan { case, with_ua: false, ..plan(true) };

        assert_eq!(plan.steps(), Err(NoSuchRow::Ua { case, figure: case + 1 }));
    }
}

#[test]
fn in_case_5_the_ta_comes_after_the_result_and_the_data_after_the_ta_s_own() {
    let mut machine = Machine::new(Plan { case: 5, ..plan(true) }).unwrap();

    assert_eq!(machine.bring(Need::Ta), Err(NotNow::Before(ATT)));
    machine.bring(Need::Nonce).unwrap();
    machine.record(ATT, "1".into()).unwrap();
    assert_eq!(machine.bring(Need::UaPd), Err(NotNow::Before(TA)));
    machine.bring(Need::Nonce).unwrap();
    machine.record(ATT, "2".into()).unwrap();
    machine.bring(Need::Ta).unwrap();
    machine.record(TA, "3".into()).unwrap();
    assert_eq!(machine.bring(Need::UaPd), Err(NotNow::Before(ATT)));
    machine.bring(Need::Nonce).unwrap();
    machine.record(ATT, "4".into()).unwrap();
    machine.bring(Need::UaPd).unwrap();
    machine.record(EventName::UaPdToTa, "5".into()).unwrap();

    assert_eq!(machine.state(), State::Running);
}

#[test]
fn in_case_1_the_ua_does_not_go_before_the_data() {
    let mut machine = Machine::new(Plan { case: 1, ..plan(true) }).unwrap();
    machine.bring(Need::Nonce).unwrap();
    machine.record(ATT, "1".into()).unwrap();
    machine.bring(Need::UaTaPd).unwrap();

    assert_eq!(machine.record(UA, "2".into()), Err(NotNow::Ended));

    let failure = machine.failure().unwrap();
    assert_eq!((failure.check.as_str(), failure.seen.as_str()), ("order", "UA->REE"));
}

#[derive(Clone, Debug)]
enum Input {
    Bring(Need),
    Record(EventName),
}

fn input() -> impl Strategy<Value = Input> {
    let process = |event: &EventName| {
        !event.to_string().ends_with("Container") && !event.to_string().ends_with("VM")
    };
    let events: Vec<EventName> = EventName::ALL.into_iter().filter(process).collect();
    prop_oneof![
        3 => prop::sample::select(NEEDS.to_vec()).prop_map(Input::Bring),
        2 => prop::sample::select(events).prop_map(Input::Record),
    ]
}

/// What goes on as the row says, so that long rows are reached too.
fn next(machine: &Machine) -> Input {
    match machine.turn() {
        Turn::User(needs) => Input::Bring(needs[0]),
        Turn::Device(_) | Turn::Done | Turn::Failed => {
            Input::Record(machine.next_event().unwrap_or(UA))
        }
    }
}

proptest! {
    //= teep 14.47 (M): only what belongs to the deployment's order is relayed
    #[test]
    fn the_recorded_order_is_the_figures_row_or_the_deployment_fails(
        case in 1_u8..=5,
        without_ua: bool,
        inputs in prop::collection::vec(prop::option::weighted(0.3, input()), 0..40),
    ) {
        let with_ua = !(without_ua && matches!(case, 3 | 4));
        let plan = Plan { case, with_ua, ..plan(true) };
        let row: Vec<EventName> = plan.steps().unwrap().iter().map(|step| step.event).collect();
        let mut machine = Machine::new(plan).unwrap();
        let mut data_before_result = false;
        for (at, input) in inputs.into_iter().enumerate() {
            match input.unwrap_or_else(|| next(&machine)) {
                Input::Bring(need) => {
                    let accepted = machine.bring(need).is_ok();
                    let holds_data =
                        matches!(need, Need::Pd | Need::UaPd | Need::TaPd | Need::UaTaPd);
                    // The event before data is always a result, for the end that opens it.
                    let last = names(&machine).last().copied();
                    data_before_result |= accepted && holds_data && last != Some(ATT);
                }
                Input::Record(event) => {
                    let _outcome = machine.record(event, at.to_string());
                }
            }
        }

        let mut seen = names(&machine);
        seen.dedup();
        prop_assert!(row.starts_with(&seen), "{seen:?}");
        prop_assert_eq!(machine.state() == State::Running, seen == row
            && machine.failure().is_none());
        prop_assert!(!data_before_result);
    }
}

const NEEDS: [Need; 8] =
    [Need::Ua, Need::Ta, Need::Nonce, Need::Pd, Need::UaTa, Need::UaTaPd, Need::TaPd, Need::UaPd];

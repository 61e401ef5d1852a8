//! Case 4, figure 5: TA and PD are bundled as a package, with or without UA.

use api::{Actor, EventName, Need, PackageName};

use super::{Plan, Step, Task, attestation};

/// The Network User deploys the UA itself; attestation of the Agent; TA and PD to it.
pub(super) fn steps(plan: &Plan) -> Vec<Step> {
    let ua = Step {
        event: EventName::UaToRee,
        actor: Actor::NetworkUser,
        needs: vec![Need::Ua],
        task: Task::Place,
    };
    let package = Step {
        event: EventName::TaPdTo(plan.instance),
        actor: Actor::Agent,
        needs: vec![Need::TaPd],
        task: Task::Install { package: PackageName::TaPd, loaded_by_ua: plan.ua_loads_ta() },
    };
    plan.with_ua.then_some(ua).into_iter().chain([attestation(), package]).collect()
}

//! Case 1, figure 2: UA, TA and PD are bundled as a package.

use api::{Actor, EventName, Need, PackageName};

use super::{Plan, Step, Task, attestation};

/// Attestation of the Agent, the package to it, and the UA last.
pub(super) fn steps(plan: &Plan) -> Vec<Step> {
    let package = |event, actor| Step {
        event,
        actor,
        needs: vec![Need::UaTaPd],
        task: Task::Install { package: PackageName::UaTaPd, loaded_by_ua: false },
    };
    vec![
        attestation(),
        package(EventName::UaTaPdTo(plan.instance), Actor::Agent),
        package(EventName::UaToRee, Actor::Broker),
    ]
}

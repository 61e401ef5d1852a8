//! Case 2, figure 3: PD is a separate package, TA and UA are integrated.

use api::{Actor, EventName, Need, PackageName};

use super::{Plan, Step, Task, attestation, pd_to_ta};

/// UA and TA in one package, attestation that names the TA, PD to the TA.
///
/// On SGX the UA loads the TA (section 4.2, step 3): both come in one Update, and the Agent waits
/// for the UA before it starts the TA.
pub(super) fn steps(plan: &Plan) -> Vec<Step> {
    let package = |event, actor| Step {
        event,
        actor,
        needs: vec![Need::UaTa],
        task: Task::Install { package: PackageName::UaTa, loaded_by_ua: false },
    };
    vec![
        package(EventName::UaToRee, Actor::Broker),
        package(EventName::TaTo(plan.instance), Actor::Agent),
        attestation(),
        pd_to_ta(),
    ]
}

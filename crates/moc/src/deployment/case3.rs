//! Case 3, figure 4: TA, PD and UA are packages of their own.

use api::{Actor, EventName, Need, PackageName};

use super::{Plan, Step, Task, attestation, pd_to_ta};

/// UA (if there is one), TA, attestation that names the TA, PD to the TA.
///
/// On SGX the UA is deployed first and loads the TA (section 4.2, step 3).
pub(super) fn steps(plan: &Plan) -> Vec<Step> {
    let ua = Step {
        event: EventName::UaToRee,
        actor: Actor::Broker,
        needs: vec![Need::Ua, Need::Ta],
        task: Task::Install { package: PackageName::Ua, loaded_by_ua: false },
    };
    let ta = Step {
        event: EventName::TaTo(plan.instance),
        actor: Actor::Agent,
        needs: vec![Need::Ta],
        task: Task::Install { package: PackageName::Ta, loaded_by_ua: plan.ua_loads_ta() },
    };

    plan.with_ua.then_some(ua).into_iter().chain([ta, attestation(), pd_to_ta()]).collect()
}

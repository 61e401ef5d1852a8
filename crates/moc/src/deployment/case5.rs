//! Case 5, figure 6: PD and UA are bundled as a package, TA is a separate package.

use api::{Actor, EventName, Need, PackageName};

use super::{Plan, Step, Task, attestation};

/// Attestation of the Agent, the TA, attestation that names the TA, then UA and PD to the TA.
///
/// The figure has one attestation. What is sealed to the TA needs the TA's key, which exists only
/// when the TA runs: hence the second one, on which the release rests.
pub(super) fn steps(plan: &Plan) -> Vec<Step> {
    let ta = Step {
        event: EventName::TaTo(plan.instance),
        actor: Actor::Agent,
        needs: vec![Need::Ta],
        task: Task::Install { package: PackageName::Ta, loaded_by_ua: false },
    };
    let package = Step {
        event: EventName::UaPdToTa,
        actor: Actor::TrustedApplication,
        needs: vec![Need::UaPd],
        task: Task::Install { package: PackageName::UaPd, loaded_by_ua: false },
    };
    vec![attestation(), ta, attestation(), package]
}

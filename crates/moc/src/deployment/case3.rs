//! Case 3, figure 4: TA, PD and UA are packages of their own.

use api::{Actor, EventName, Hardware, Need, PackageName};

use super::{Plan, Step, Task};

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
        task: Task::Install {
            package: PackageName::Ta,
            loaded_by_ua: plan.with_ua && plan.hardware == Hardware::Sgx,
        },
    };
    let attestation = Step {
        event: EventName::AttestAgent,
        actor: Actor::Tam,
        needs: vec![Need::Nonce],
        task: Task::Attest,
    };
    let pd = Step {
        event: EventName::PdToTa,
        actor: Actor::TrustedApplication,
        needs: vec![Need::Pd],
        task: Task::Install { package: PackageName::Pd, loaded_by_ua: false },
    };

    plan.with_ua.then_some(ua).into_iter().chain([ta, attestation, pd]).collect()
}

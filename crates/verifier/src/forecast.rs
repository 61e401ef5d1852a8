//! What will be said of a device when newer endorsements become mandatory.

use serde::ser::{Serialize, SerializeStruct, Serializer};

use crate::Tcb;
use crate::check::{Check, Failure, Owner, Reason};
use crate::evidence::{Endorsements, Kind, Prepared, Request, dcap};
use crate::value::{Octets, Value};

/// The TCB of one device by today's endorsements and by newer ones.
#[derive(Clone, Debug)]
pub struct Forecast {
    pub(crate) device: Option<Octets>,
    pub(crate) before: Option<Tcb>,
    pub(crate) after: Option<Tcb>,
    pub(crate) checks: Check,
}

/// Judges a device's TCB by newer endorsements, as if they were mandatory at the request's time.
///
/// Only Intel publishes what the status of firmware will be; for other hardware the policy says
/// what is too old, and replaying a stricter policy is the forecast.
#[must_use]
pub fn forecast(
    request: &Request<'_>,
    endorsements: &Endorsements,
    newer: &Endorsements,
) -> Forecast {
    match (request.kind, endorsements.prepared(), newer.prepared()) {
        (Kind::Sgx | Kind::Tdx, Prepared::Dcap(now), Prepared::Dcap(newer)) => {
            dcap::forecast(request, now, newer)
        }
        _ => {
            let check = Check::new("forecast.kind").seen(request.kind.as_str());
            let checks = check.expected("sgx or tdx").holds(false, || {
                Failure::new(
                    Reason::Unsupported,
                    Owner::PolicyOwner,
                    "replay a policy with a higher minimum: this vendor publishes no TCB status",
                )
            });
            Forecast { checks, ..Forecast::new() }
        }
    }
}

impl Forecast {
    pub(crate) fn new() -> Self {
        Self { device: None, before: None, after: None, checks: Check::new("forecast") }
    }

    /// The platform, as its vendor names it; unknown when the evidence is not authentic.
    #[must_use]
    pub const fn device(&self) -> Option<&Octets> {
        self.device.as_ref()
    }

    /// The TCB by today's endorsements.
    #[must_use]
    pub const fn before(&self) -> Option<&Tcb> {
        self.before.as_ref()
    }

    /// The TCB by the newer endorsements.
    #[must_use]
    pub const fn after(&self) -> Option<&Tcb> {
        self.after.as_ref()
    }

    /// Whether the policy will still accept the device's TCB.
    #[must_use]
    pub const fn passes(&self) -> bool {
        self.checks.ok && self.after.is_some()
    }

    /// The explanation.
    #[must_use]
    pub const fn checks(&self) -> &Check {
        &self.checks
    }
}

impl Serialize for Forecast {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Forecast", 5)?;
        object.serialize_field("device", &self.device.clone().map(Value::from))?;
        object.serialize_field("passes", &self.passes())?;
        object.serialize_field("before", &self.before)?;
        object.serialize_field("after", &self.after)?;
        object.serialize_field("checks", &self.checks)?;
        object.end()
    }
}

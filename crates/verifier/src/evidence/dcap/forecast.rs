//! What newer collateral will say of a platform once it is mandatory.
//!
//! The evidence is authenticated with the collateral and at the time that it came with. Only the
//! judgement of its TCB is made anew: a forecast asks what will be said of the platform, not
//! whether today's lists will still be valid then.

use super::authenticity::{Authentic, authenticate, check_newer};
use super::level::judge;
use super::quote::Quote;
use super::{Carried, Endorsements, State, not_a_quote};
use crate::check::{Check, Checks, Failure, Owner, Reason, Stop};
use crate::evidence::Request;
use crate::forecast::Forecast;

/// Judges the TCB of a quote's platform by the collateral of today and by newer one.
pub(crate) fn forecast(
    request: &Request<'_>,
    endorsements: &Endorsements,
    newer: &Endorsements,
) -> Forecast {
    let mut forecast = Forecast::new();
    let mut checks = Checks::default();
    let _stopped = look(request, endorsements, newer, &mut forecast, &mut checks);
    forecast.checks = checks.into_check("forecast");
    forecast
}

fn look(
    request: &Request<'_>,
    endorsements: &Endorsements,
    newer: &Endorsements,
    forecast: &mut Forecast,
    checks: &mut Checks,
) -> Result<(), Stop> {
    let carried =
        Carried::read(request.evidence).or_else(|error| checks.fail(not_a_quote(error)))?;
    let quote = Quote::decode(&carried.quote).or_else(|error| checks.fail(not_a_quote(error)))?;
    let authentic = checks.group("authenticity", |checks| {
        authenticate(&quote, endorsements, request, &mut None, checks)
    })?;
    forecast.device = Some(super::instance_id(&authentic));
    forecast.before = judge(&quote, &authentic, request, &mut Checks::default());
    let collateral = match &newer.collateral {
        State::Verified(collateral) => collateral,
        State::Refused(check) => return checks.fail((**check).clone()),
        State::Absent => return checks.fail(absent()),
    };
    checks.group("newer", |checks| check_newer(&quote, collateral, &authentic.platform, checks))?;
    let later = Authentic { collateral: Some(collateral), ..authentic };
    forecast.after = checks.group("tcb", |checks| judge(&quote, &later, request, checks));
    Ok(())
}

fn absent() -> Check {
    Check::new("dcap.collateral").seen("none supplied").holds(false, || {
        Failure::new(
            Reason::MissingEndorsement,
            Owner::EndorsementProvider,
            "supply the newer TCB info with its signature",
        )
    })
}

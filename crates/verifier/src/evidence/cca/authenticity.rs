//! Whether a token comes from where it claims: the platform's key, the binding of the realm's key
//! to the platform token, the realm's key.

use cose::Untrusted;

use super::Endorsements;
use super::token::Token;
use crate::anchor::{Anchor, Device, Vendor};
use crate::check::{Checks, Stop};
use crate::crypto::sha256_of;
use crate::evidence::arm::{DeviceKey, Enrolment, Scheme};
use crate::evidence::{Request, check_standing};
use crate::value::Octets;

/// Checks everything that makes a token authentic. The anchor is set as soon as it is known, so
/// that a refusal can still tell emulated from real.
pub(super) fn authenticate(
    token: &Token<'_>,
    endorsements: &Endorsements,
    request: &Request<'_>,
    anchor: &mut Option<Anchor>,
    checks: &mut Checks,
) -> Result<(), Stop> {
    //= EV-CCA-1: the platform signature by the CPAK of this instance
    let names = [Device::Instance(Octets::new(&token.platform_claims.instance_id))];
    let enrolment = Enrolment {
        check: "cca.platform.signature",
        vendor: Vendor::Arm,
        names: &names,
        anchors: request.anchors,
    };
    let (found, _) = endorsements
        .keys
        .find_signer(&enrolment, checks, |key| verify_platform(token, key, endorsements))?;
    *anchor = Some(found.clone());
    //= EV-CCA-3: the platform challenge is the digest of the RAK claim exactly as carried
    let check = token.realm_claims.check_binding("cca.realm.binding", &token.platform_claims);
    checks.need(check)?;
    //= EV-CCA-2: the realm signature by the RAK inside the realm token
    checks.need(token.realm.check(
        "cca.realm.signature",
        token.realm_claims.spki(),
        &[Scheme::Es384],
        "send the realm token as the realm management monitor signed it",
    ))?;
    checks.need(check_standing(found, request.policy))
}

/// Verifies the platform token, or remembers that this key signed these very bytes.
//= EV-PERF-1: keyed by the hash of the platform token and the key
fn verify_platform(
    token: &Token<'_>,
    key: &DeviceKey,
    endorsements: &Endorsements,
) -> Result<(), Untrusted> {
    let name = sha256_of(&[&key.spki_sha256, token.platform_bytes]);
    if endorsements.known.find(&name).is_some() {
        return Ok(());
    }
    token.platform.verify_device(key, &[Scheme::Es256, Scheme::Es384, Scheme::Es512])?;
    endorsements.known.insert(name, ());
    Ok(())
}

//! Arm CCA realms: the legacy profile and the profiles of 2023, in any combination.
//!
//! A platform token, signed by the machine's enrolled key (CPAK), names the digest of the realm's
//! key (RAK), which signed the realm token. There is no vendor-wide root: each CPAK is an anchor
//! for its instance id, and comes as JWK or PEM among the collateral.

mod authenticity;
mod token;

use serde::{Deserialize, Serialize};

use super::arm::component::{self, check_lengths, wrong_length};
use super::arm::lifecycle::check_lifecycle;
use super::arm::realm::REGISTERS;
use super::arm::{
    DeviceKeys, Lifecycle, PlatformClaims, PlatformReference, RealmClaims, RealmReference, rem,
};
use super::{Kind, Request, check_user_data, refuse};
use crate::cache::Bounded;
use crate::check::{Check, Checks};
use crate::claims::{Claims, Named};
use crate::reference::{Comparable, Row, check_reference};
use crate::trust::{self, Isolation, TrustClaim, TrustValue};
use crate::value::Octets;
use crate::{Anchors, Appraisal, Collateral, UserData};
use authenticity::authenticate;
use token::Token;

/// Rules for realms and their platforms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Which states of the platform's life cycle are accepted. Those that allow debugging need
    /// `debug_allowed` as well. Default: `["secured"]`.
    pub lifecycles: Vec<Lifecycle>,
    /// Refuse measurements that are not as long as the digests of the algorithm that the token
    /// names; early tools made such tokens. Default: `true`.
    pub digest_lengths_required: bool,
    /// Refuse a token without an event log that replays to REM0 to REM3. Default: `false`.
    pub event_log_required: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            lifecycles: vec![Lifecycle::Secured],
            digest_lengths_required: true,
            event_log_required: false,
        }
    }
}

/// A reference value for a realm on its platform.
///
/// ```toml
/// name = "edge realm 7"
/// [cca.platform]
/// implementation_id = "…"
/// components = [{ type = "RMM", measurement = "…", signer_id = "…" }]
/// [cca.realm]
/// rim = "…"
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// What people call it.
    pub name: String,
    /// The platform.
    pub platform: PlatformReference,
    /// The realm.
    pub realm: RealmReference,
}

impl Comparable for Reference {
    type Measured = (PlatformClaims, RealmClaims);

    fn name(&self) -> &str {
        &self.name
    }

    fn compare(&self, (platform, realm): &Self::Measured) -> Vec<Row> {
        let mut rows = self.platform.compare(platform);
        rows.extend(self.realm.compare(realm));
        rows
    }
}

/// The keys of platforms, and the platform tokens that were verified under them.
#[derive(Debug)]
pub(crate) struct Endorsements {
    keys: DeviceKeys,
    known: Bounded<()>,
}

impl Endorsements {
    pub(crate) fn prepare(collateral: &Collateral, _: &Anchors) -> Self {
        Self { keys: DeviceKeys::read(collateral), known: Bounded::new(MAX_KNOWN) }
    }
}

//= EV-COM-2: format, chain, life cycle, binding, appraisal
/// Appraises a CCA token.
pub(crate) fn appraise(request: &Request<'_>, endorsements: &Endorsements) -> Appraisal {
    let token = match Token::decode(request.evidence) {
        Ok(token) => token,
        Err(error) => return refuse(request, error.into_check(SUPPORTED)),
    };
    let mut appraisal = Appraisal::new(request.kind, request.now, &request.policy.id);
    appraisal.fields = token.fields();
    let mut checks = Checks::default();
    let authentic = checks.group("authenticity", |checks| {
        authenticate(&token, endorsements, request, &mut appraisal.anchor, checks)
    });
    if authentic.is_ok() {
        appraisal.authentic = true;
        checks.group("device", |checks| check_platform(&token.platform_claims, request, checks));
        //= EV-CCA-4: the realm challenge equals the expected 64 octets
        let binding = check_user_data(&token.realm_claims.challenge, request.user_data);
        appraisal.bound = binding.ok && matches!(request.user_data, UserData::Exactly(_));
        checks.note(binding);
        appraisal.claims = Some(claims(&token.platform_claims, &token.realm_claims));
        let Token { platform_claims, realm_claims, .. } = token;
        appraisal.reference = checks.group("instance", |checks| {
            check_realm(platform_claims, realm_claims, request, checks)
        });
    }
    appraisal.checks = checks.into_check("evidence");
    appraisal.trust = trust::vector(&appraisal, Isolation::Machine);
    if appraisal.accepted() && appraisal.reference.is_some() {
        // The reference value names the root of trust and all of its firmware.
        appraisal.trust.record(TrustClaim::Hardware, TrustValue::AFFIRMED);
    }
    appraisal
}

fn check_platform(claims: &PlatformClaims, request: &Request<'_>, checks: &mut Checks) {
    let policy = &request.policy.cca;
    check_lifecycle(claims.lifecycle, &policy.lifecycles, request.policy, checks);
    if policy.digest_lengths_required {
        checks.note(check_lengths(&claims.components, Some(&claims.hash_algorithm)));
    }
}

fn check_realm(
    platform: PlatformClaims,
    realm: RealmClaims,
    request: &Request<'_>,
    checks: &mut Checks,
) -> Option<String> {
    //= EV-CCA-6: hash length must match the declared algorithm
    let check = Check::new("cca.realm.length").seen(realm.hash_algorithm.clone());
    let ok = realm.has_declared_lengths() || !request.policy.cca.digest_lengths_required;
    checks.note(check.holds(ok, wrong_length));
    checks.note(rem::check(&realm, request.policy.cca.event_log_required, request));
    let measured = (platform, realm);
    let (check, name) =
        check_reference("instance.reference", &request.reference.cca, &measured, request.policy);
    checks.note(check);
    name
}

fn claims(platform: &PlatformClaims, realm: &RealmClaims) -> Claims {
    let mut claims = Claims::new(Kind::Cca, &realm.challenge);
    claims.generation = Some("CCA 1.0");
    claims.instance_id = Some(Octets::new(&platform.instance_id));
    claims.measurements.push(Named::new("rim", realm.rim.as_slice()));
    for (name, value) in REGISTERS.into_iter().zip(&realm.rems) {
        claims.registers.push(Named::new(name, value.as_slice()));
    }
    component::add_claims(&mut claims, &platform.implementation_id, &platform.components);
    if realm.rpv.iter().any(|&octet| octet != 0) {
        claims.signers.push(Named::new("rpv", &realm.rpv));
    }
    claims.debug = Lifecycle::of(platform.lifecycle).and_then(Lifecycle::debug);
    claims.lifecycle = Some(platform.lifecycle);
    claims
}

const SUPPORTED: &str = "a CCA token (CBOR tag 399) of the legacy or the 2023 profiles";
/// How many platform tokens are remembered.
const MAX_KNOWN: usize = 4096;

//! PSA tokens (RFC 9783), as TF-M makes them: the RFC's profile, `http://arm.com/psa/2.0.0` and
//! PSA_IOT_PROFILE_1.

use cose::Malformed;
use cose::cbor::{Decoder, Type};
use serde::{Deserialize, Serialize};

use super::{Endorsements, Format, Measured};
use crate::anchor::{Anchor, Device, Vendor};
use crate::check::{Check, Checks, Failure, Owner, Reason, Stop};
use crate::claims::{Claims, Named};
use crate::evidence::arm::component::{self, Component, check_lengths};
use crate::evidence::arm::lifecycle::check_lifecycle;
use crate::evidence::arm::{
    Claim, DeviceKey, Enrolment, Lifecycle, NotAToken, Scheme, Signed, SoftwareComponent, claims,
    missing,
};
use crate::evidence::{Kind, Request, check_standing, check_user_data};
use crate::reference::Row;
use crate::trust::Isolation;
use crate::value::{Hex, Octets, Value};

/// Rules for PSA tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Which states of the life cycle are accepted. Those that allow debugging need
    /// `debug_allowed` as well. Default: `["secured"]`.
    pub lifecycles: Vec<Lifecycle>,
    /// Refuse a token that was not asked for by a secure partition: the client id must be 1 or
    /// more. Default: `true`.
    pub secure_client_required: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self { lifecycles: vec![Lifecycle::Secured], secure_client_required: true }
    }
}

/// A reference value for a PSA device; what is optional and absent is not compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// The immutable root of trust.
    pub implementation_id: Hex<32>,
    /// All of the software that is measured.
    pub components: Vec<Component>,
    /// The certificate of the implementation.
    pub certification_reference: Option<String>,
}

/// The claims of a PSA token.
///
/// ```cddl
/// psa-token-claims = {
///   10 => nonce bstr, 256 => instance-id bstr .size 33, 265 => profile tstr,
///   2394 => client-id int, 2395 => lifecycle uint, 2396 => implementation-id bstr .size 32,
///   ? 2397 => boot-seed bstr, ? 2398 => certification-reference tstr,
///   2399 => [ + software-component ], ? 2400 => verification-service tstr, * int => any
/// }
/// ```
///
/// PSA_IOT_PROFILE_1 has the same claims under -75008, -75009, -75000 to -75006 and -75010, and
/// says with -75007 that nothing is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PsaClaims {
    /// Which published profile the token has.
    pub profile: Profile,
    /// What the caller bound.
    pub nonce: Octets,
    /// Which device it is.
    pub instance_id: [u8; 33],
    /// Who asked for the token: negative is a non-secure caller.
    pub client_id: i64,
    /// The security life cycle.
    pub lifecycle: u64,
    /// Which immutable root of trust it is.
    pub implementation_id: [u8; 32],
    /// What tells this boot from others.
    pub boot_seed: Option<Octets>,
    /// The certificate of the implementation.
    pub certification_reference: Option<String>,
    /// What was loaded.
    pub components: Vec<SoftwareComponent>,
    /// Where the maker verifies.
    pub verification_service: Option<String>,
}

/// The published profiles of PSA tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// `PSA_IOT_PROFILE_1`.
    Iot1,
    /// `http://arm.com/psa/2.0.0`.
    Psa2,
    /// `tag:psacertified.org,2023:psa#tfm` (RFC 9783).
    Rfc9783,
}

impl PsaClaims {
    /// Reads the claims; unknown ones are passed over, missing ones refused.
    pub fn decode(bytes: &[u8]) -> Result<Self, NotAToken> {
        let claims = claims(bytes)?;
        let mut profile = None;
        for (key, claim) in claims.iter().filter(|(key, _)| matches!(key, 265 | -75000)) {
            let named = Profile::of(claim.text()?).filter(|profile| profile.label() == *key);
            let known = named.ok_or_else(|| NotAToken::unsupported("another profile"))?;
            if profile.replace(known).is_some() {
                return Err(Malformed::Expected("one profile").into());
            }
        }
        Self::of_profile(&claims, missing(profile, "the claim profile")?)
    }

    fn of_profile(claims: &[(i64, Claim<'_>)], profile: Profile) -> Result<Self, NotAToken> {
        let (mut nonce, mut instance_id, mut client_id) = (None, None, None);
        let (mut lifecycle, mut implementation_id, mut boot_seed) = (None, None, None);
        let (mut certification, mut components, mut service) = (None, None, None);
        for &(key, claim) in claims {
            let Some(claimed) = profile.meaning(key) else { continue };
            match claimed {
                10 => nonce = Some(Octets::new(claim.digest("a nonce of 32, 48 or 64 octets")?)),
                256 => instance_id = Some(claim.fixed("an instance id of 33 octets")?),
                2394 => client_id = Some(claim.integer()?),
                2395 => lifecycle = Some(claim.unsigned()?),
                2396 => implementation_id = Some(claim.fixed("an implementation id of 32 octets")?),
                2397 => boot_seed = Some(Octets::new(claim.bytes()?)),
                2398 => certification = Some(claim.text()?.to_owned()),
                2399 => components = Some(SoftwareComponent::decode_list(claim)?),
                2400 => service = Some(claim.text()?.to_owned()),
                NOTHING_MEASURED => components = components.take().or(Some(Vec::new())),
                _ => (),
            }
        }
        let instance_id: [u8; 33] = missing(instance_id, "the claim instance id")?;
        let components = missing(components, "the claim software components")?;
        component::require_signers(&components)?;
        Ok(Self {
            profile,
            nonce: missing(nonce, "the claim nonce")?,
            instance_id: missing(
                Some(instance_id).filter(|id| id[0] == 0x01),
                "an instance id that begins with 0x01",
            )?,
            client_id: missing(client_id, "the claim client id")?,
            lifecycle: missing(lifecycle, "the claim lifecycle")?,
            implementation_id: missing(implementation_id, "the claim implementation id")?,
            boot_seed,
            certification_reference: certification,
            components,
            verification_service: service,
        })
    }

    /// Every claim for showing.
    #[must_use]
    pub fn fields(&self) -> Vec<(&'static str, Value)> {
        let components = self.components.iter().map(SoftwareComponent::show).collect();
        let members = [
            ("profile", Some(self.profile.text().into())),
            ("nonce", Some(self.nonce.clone().into())),
            ("instance_id", Some((&self.instance_id).into())),
            ("client_id", Some(self.client_id.into())),
            ("lifecycle", Some(self.lifecycle.into())),
            ("implementation_id", Some((&self.implementation_id).into())),
            ("boot_seed", self.boot_seed.clone().map(Value::from)),
            ("certification_reference", self.certification_reference.clone().map(Value::from)),
            ("sw_components", Some(Value::List(components))),
            ("vsi", self.verification_service.clone().map(Value::from)),
        ];
        members.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

impl Profile {
    fn of(text: &str) -> Option<Self> {
        [Self::Iot1, Self::Psa2, Self::Rfc9783].into_iter().find(|profile| profile.text() == text)
    }

    /// The text of the claim.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Iot1 => "PSA_IOT_PROFILE_1",
            Self::Psa2 => "http://arm.com/psa/2.0.0",
            Self::Rfc9783 => "tag:psacertified.org,2023:psa#tfm",
        }
    }

    const fn label(self) -> i64 {
        match self {
            Self::Iot1 => -75000,
            Self::Psa2 | Self::Rfc9783 => 265,
        }
    }

    /// The label that RFC 9783 has for a claim, if this profile has the claim.
    fn meaning(self, label: i64) -> Option<i64> {
        if !matches!(self, Self::Iot1) {
            return (label > 0).then_some(label);
        }
        Some(match label {
            -75008 => 10,
            -75009 => 256,
            -75001 => 2394,
            -75002 => 2395,
            -75003 => 2396,
            -75004 => 2397,
            -75005 => 2398,
            -75006 => 2399,
            -75010 => 2400,
            NOTHING_MEASURED => NOTHING_MEASURED,
            _ => return None,
        })
    }
}

/// A PSA token, read but not verified.
#[derive(Clone, Debug)]
pub(super) struct Token<'b> {
    signed: Signed<'b>,
    claims: PsaClaims,
}

impl<'b> Token<'b> {
    pub(super) fn decode(bytes: &'b [u8]) -> Result<Self, NotAToken> {
        let mut d = Decoder::new(bytes);
        let tag = match d.datatype() {
            Ok(Type::Tag) => d.tag().ok().map(|tag| tag.as_u64()),
            _ => None,
        };
        if tag == Some(MAC0) {
            let seen = "a token with a MAC: whoever verifies it could have made it";
            return Err(NotAToken::unsupported(seen));
        }
        let signed = Signed::decode(bytes)?;
        Ok(Self { claims: PsaClaims::decode(signed.payload())?, signed })
    }
}

impl Format for Token<'_> {
    const ISOLATION: Isolation = Isolation::Process;
    const ROOT_IS_NAMED: bool = true;

    fn fields(&self) -> Vec<(&'static str, Value)> {
        self.claims.fields()
    }

    //= EV-PSA-2: the anchor by instance id, or by implementation id and key id
    fn authenticate(
        &self,
        endorsements: &Endorsements,
        request: &Request<'_>,
        anchor: &mut Option<Anchor>,
        checks: &mut Checks,
    ) -> Result<Octets, Stop> {
        let mut names = vec![Device::Instance(Octets::new(&self.claims.instance_id))];
        names.extend(self.signed.key_id().map(|key_id| Device::Key {
            implementation_id: Hex(self.claims.implementation_id),
            key_id: Octets::new(key_id),
        }));
        let enrolment = Enrolment {
            check: "psa.signature",
            vendor: Vendor::Arm,
            names: &names,
            anchors: request.anchors,
        };
        let accept = [Scheme::Es256, Scheme::Es384, Scheme::Es512];
        let verify = |key: &DeviceKey| self.signed.verify_device(key, &accept);
        let (found, _) = endorsements.keys.find_signer(&enrolment, checks, verify)?;
        *anchor = Some(found.clone());
        checks.need(check_standing(found, request.policy))?;
        Ok(Octets::new(&self.claims.instance_id))
    }

    fn check_device(&self, request: &Request<'_>, checks: &mut Checks) {
        let policy = &request.policy.trustzone.psa;
        check_lifecycle(self.claims.lifecycle, &policy.lifecycles, request.policy, checks);
        checks.note(check_lengths(&self.claims.components, None));
        //= EV-PSA-1: a client id of 1 or more where a secure partition must be the caller
        let secure = self.claims.client_id >= 1;
        let check = Check::new("psa.client").seen(self.claims.client_id).expected("1 or more");
        let ok = secure || !policy.secure_client_required;
        checks.note(check.source("policy").holds(ok, || {
            Failure::new(
                Reason::ConfigurationNotAllowed,
                Owner::AgentProvider,
                "ask for the token from a secure partition: anything outside can ask as well",
            )
        }));
    }

    fn check_binding(&self, request: &Request<'_>) -> Check {
        check_user_data(self.claims.nonce.as_slice(), request.user_data)
    }

    fn claims(&self, device: Octets, _: &Request<'_>) -> Claims {
        let PsaClaims { nonce, implementation_id, components, .. } = &self.claims;
        let mut claims = Claims::new(Kind::TrustZone, nonce.as_slice());
        claims.generation = Some("PSA");
        claims.instance_id = Some(device);
        component::add_claims(&mut claims, implementation_id, components);
        if let Some(seed) = &self.claims.boot_seed {
            claims.registers.push(Named::new("boot-seed", seed.as_slice()));
        }
        claims.debug = Lifecycle::of(self.claims.lifecycle).and_then(Lifecycle::debug);
        claims.lifecycle = Some(self.claims.lifecycle);
        claims
    }

    fn measured(&self, _: &Request<'_>) -> Measured {
        Measured::Psa(Box::new(self.claims.clone()))
    }
}

impl Reference {
    pub(super) fn compare(&self, claims: &PsaClaims) -> Vec<Row> {
        let seen = Value::from(&claims.implementation_id);
        let expected = Value::from(self.implementation_id);
        let ok = self.implementation_id.0 == claims.implementation_id;
        let mut rows = vec![Row { field: "implementation_id", expected, seen, ok }];
        rows.extend(self.certification_reference.as_ref().map(|expected| {
            let seen = claims.certification_reference.clone();
            Row {
                field: "certification_reference",
                expected: expected.clone().into(),
                ok: seen.as_ref() == Some(expected),
                seen: seen.map_or_else(|| "none".into(), Value::from),
            }
        }));
        rows.extend(component::compare(&self.components, &claims.components));
        rows
    }
}

/// The CBOR tag of COSE_Mac0.
const MAC0: u64 = 17;
/// PSA_IOT_PROFILE_1: no software measurements.
const NOTHING_MEASURED: i64 = -75007;

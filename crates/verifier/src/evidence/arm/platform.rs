//! The claims of the platform token: what firmware made the machine what it is.

use serde::{Deserialize, Serialize};

use super::component::{self, Component};
use super::{NotAToken, SoftwareComponent, each_claim, missing};
use crate::reference::Row;
use crate::value::{Hex, Octets, Value};

/// The claims of a CCA platform.
///
/// ```cddl
/// cca-platform-claims = {
///   265 => profile tstr, 10 => challenge bstr, 2396 => implementation-id bstr .size 32,
///   256 => instance-id bstr .size 33, 2401 => config bstr, 2395 => lifecycle uint,
///   2399 => [ + software-component ], ? 2400 => verification-service tstr,
///   2402 => hash-algo-id tstr, * int => any
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlatformClaims {
    /// Which profile the token has.
    pub profile: String,
    /// The digest of the realm's attestation key.
    pub challenge: Octets,
    /// Which immutable root of trust it is.
    pub implementation_id: [u8; 32],
    /// Which machine it is.
    pub instance_id: [u8; 33],
    /// How the machine is configured, in its maker's words.
    pub config: Octets,
    /// The security life cycle.
    pub lifecycle: u64,
    /// What was loaded.
    pub components: Vec<SoftwareComponent>,
    /// Where the maker verifies.
    pub verification_service: Option<String>,
    /// The algorithm of measurements that name none.
    pub hash_algorithm: String,
}

/// A reference value for a platform; a configuration that is absent is not compared.
///
/// ```toml
/// implementation_id = "…"
/// components = [{ type = "RMM", measurement = "…", signer_id = "…" }]
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlatformReference {
    /// The platform's immutable root of trust.
    pub implementation_id: Hex<32>,
    /// The platform's configuration.
    pub configuration: Option<Octets>,
    /// All of the platform's firmware: HES, TF-A, RMM and what else is measured.
    pub components: Vec<Component>,
}

impl PlatformClaims {
    /// Reads the claims; unknown ones are passed over, missing ones refused.
    //= EV-CCA-6: unknown claims are ignored, missing mandatory ones refused
    pub fn decode(bytes: &[u8]) -> Result<Self, NotAToken> {
        let (mut profile, mut challenge, mut implementation_id) = (None, None, None);
        let (mut instance_id, mut config, mut lifecycle) = (None, None, None);
        let (mut components, mut verification_service, mut hash) = (None, None, None);
        each_claim(bytes, |key, claim| {
            match key {
                265 => profile = Some(claim.text()?.to_owned()),
                10 => challenge = Some(Octets::new(claim.digest("a platform challenge")?)),
                2396 => implementation_id = Some(claim.fixed("an implementation id of 32 octets")?),
                256 => instance_id = Some(claim.fixed("an instance id of 33 octets")?),
                2401 => config = Some(Octets::new(claim.bytes()?)),
                2395 => lifecycle = Some(claim.unsigned()?),
                2399 => components = Some(SoftwareComponent::decode_list(claim)?),
                2400 => verification_service = Some(claim.text()?.to_owned()),
                2402 => hash = Some(claim.text()?.to_owned()),
                _ => (),
            }
            Ok(())
        })?;
        let instance_id: [u8; 33] = missing(instance_id, "the claim instance id (256)")?;
        Ok(Self {
            profile: missing(profile, "the claim profile (265)")?,
            challenge: missing(challenge, "the claim challenge (10)")?,
            implementation_id: missing(implementation_id, "the claim implementation id (2396)")?,
            instance_id: missing(
                Some(instance_id).filter(|id| id[0] == 0x01),
                "an instance id that begins with 0x01",
            )?,
            config: missing(config, "the claim configuration (2401)")?,
            lifecycle: missing(lifecycle, "the claim lifecycle (2395)")?,
            components: missing(components, "the claim software components (2399)")?,
            verification_service,
            hash_algorithm: missing(hash, "the claim hash algorithm (2402)")?,
        })
    }

    /// For showing.
    #[must_use]
    pub fn show(&self) -> Value {
        let components = self.components.iter().map(SoftwareComponent::show).collect();
        let members = [
            ("profile", Some(self.profile.clone().into())),
            ("challenge", Some(self.challenge.clone().into())),
            ("implementation_id", Some((&self.implementation_id).into())),
            ("instance_id", Some((&self.instance_id).into())),
            ("config", Some(self.config.clone().into())),
            ("lifecycle", Some(self.lifecycle.into())),
            ("hash_algo", Some(self.hash_algorithm.clone().into())),
            ("vsi", self.verification_service.clone().map(Value::from)),
            ("sw_components", Some(Value::List(components))),
        ];
        let present = members.into_iter().filter_map(|(name, value)| Some((name.into(), value?)));
        Value::Map(present.collect())
    }
}

impl PlatformReference {
    //= EV-CCA-6: implementation id, configuration, every component
    pub(crate) fn compare(&self, claims: &PlatformClaims) -> Vec<Row> {
        let expected = self.implementation_id;
        let ok = expected.0 == claims.implementation_id;
        let seen = Value::from(&claims.implementation_id);
        let mut rows =
            vec![Row { field: "implementation_id", expected: expected.into(), seen, ok }];
        rows.extend(self.configuration.as_ref().map(|expected| Row {
            field: "configuration",
            ok: *expected == claims.config,
            expected: expected.clone().into(),
            seen: claims.config.clone().into(),
        }));
        rows.extend(component::compare(&self.components, &claims.components));
        rows
    }
}

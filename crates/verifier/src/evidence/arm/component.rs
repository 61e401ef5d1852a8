//! Measured software components (RFC 9783 section 4.4.1; CCA uses the same map).

use serde::{Deserialize, Serialize};

use super::{Claim, HashAlgorithm, NotAToken, each_checked, missing};
use crate::check::{Check, Failure, Owner, Reason};
use crate::claims::{Claims, Named};
use crate::reference::Row;
use crate::value::{Octets, Value};

/// One measured component.
///
/// ```cddl
/// software-component = {
///   ? 1 => tstr, 2 => measurement-value bstr, ? 4 => version tstr, ? 5 => signer-id bstr,
///   ? 6 => hash-algorithm tstr
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SoftwareComponent {
    /// What it is for.
    pub kind: Option<String>,
    /// The digest of what was loaded.
    pub measurement: Octets,
    /// The version that its maker gave it.
    pub version: Option<String>,
    /// The digest of the key that signed it; virtCCA states none.
    pub signer_id: Option<Octets>,
    /// The algorithm of the measurement; without, that of the token.
    pub algorithm: Option<String>,
}

/// A component as a reference value lists it.
///
/// ```toml
/// type = "RMM"
/// measurement = "…"
/// signer_id = "…"
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// What it is for, as the token says it; without, a component of any type fits.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The measurement.
    pub measurement: Octets,
    /// The digest of the key that signed it; without, none must be stated.
    pub signer_id: Option<Octets>,
    /// The version; without, any.
    pub version: Option<String>,
}

impl SoftwareComponent {
    pub(crate) fn decode_list(claim: Claim<'_>) -> Result<Vec<Self>, NotAToken> {
        claim.list()?.into_iter().map(Self::decode).collect()
    }

    fn decode(claim: Claim<'_>) -> Result<Self, NotAToken> {
        let (mut kind, mut measurement, mut version) = (None, None, None);
        let (mut signer_id, mut algorithm) = (None, None);
        each_checked(claim.encoded(), |key, value| {
            match key {
                1 => kind = Some(value.text()?.to_owned()),
                2 => measurement = Some(Octets::new(value.digest("a measurement value")?)),
                4 => version = Some(value.text()?.to_owned()),
                5 if value.bytes()?.is_empty() => (),
                5 => signer_id = Some(Octets::new(value.digest("a signer id")?)),
                6 => algorithm = Some(value.text()?.to_owned()),
                _ => (),
            }
            Ok(())
        })?;
        Ok(Self {
            kind,
            measurement: missing(measurement, "a component's measurement value (2)")?,
            version,
            signer_id,
            algorithm,
        })
    }

    /// For showing.
    #[must_use]
    pub fn show(&self) -> Value {
        let text = |text: &Option<String>| text.clone().map(Value::from);
        let members = [
            ("type", text(&self.kind)),
            ("measurement_value", Some(self.measurement.clone().into())),
            ("version", text(&self.version)),
            ("signer_id", self.signer_id.clone().map(Value::from)),
            ("hash_algo", text(&self.algorithm)),
        ];
        let present = members.into_iter().filter_map(|(name, value)| Some((name.into(), value?)));
        Value::Map(present.collect())
    }

    fn is(&self, component: &Component) -> bool {
        let any_or_same =
            |listed: &Option<String>, seen: &Option<String>| listed.is_none() || listed == seen;
        self.measurement == component.measurement
            && self.signer_id == component.signer_id
            && any_or_same(&component.kind, &self.kind)
            && any_or_same(&component.version, &self.version)
    }
}

impl Component {
    fn show(&self) -> Value {
        let component = self.clone();
        SoftwareComponent {
            kind: component.kind,
            measurement: component.measurement,
            version: component.version,
            signer_id: component.signer_id,
            algorithm: None,
        }
        .show()
    }
}

//= EV-CCA-6: every software component, measurement and signer id
/// Compares all that was loaded with all that is listed: nothing more, nothing less.
pub(crate) fn compare(listed: &[Component], loaded: &[SoftwareComponent]) -> Vec<Row> {
    let unlisted = loaded.iter().filter(|seen| !listed.iter().any(|it| seen.is(it)));
    let unlisted = unlisted.map(|seen| {
        let same_kind = listed.iter().find(|it| it.kind.is_some() && it.kind == seen.kind);
        let expected = same_kind.map_or_else(|| "no such component".into(), Component::show);
        Row { field: "component", expected, seen: seen.show(), ok: false }
    });
    let absent = listed.iter().filter(|it| !loaded.iter().any(|seen| seen.is(it)));
    let absent =
        absent.filter(|it| it.kind.is_none() || !loaded.iter().any(|seen| seen.kind == it.kind));
    let absent = absent.map(|it| {
        let seen = Value::from("no such component");
        Row { field: "component", expected: it.show(), seen, ok: false }
    });
    let mut rows = unlisted.chain(absent).collect::<Vec<_>>();
    if rows.is_empty() {
        let count = u64::try_from(loaded.len()).unwrap_or(u64::MAX);
        rows.push(Row {
            field: "components",
            expected: count.into(),
            seen: count.into(),
            ok: true,
        });
    }
    rows
}

/// CCA and PSA tokens say of every component who signed it.
pub(crate) fn require_signers(components: &[SoftwareComponent]) -> Result<(), NotAToken> {
    let unsigned = components.iter().any(|component| component.signer_id.is_none());
    missing((!unsigned).then_some(()), "a component's signer id (5)")
}

//= EV-CCA-6: hash length must match the declared algorithm
/// Whether every measurement is as long as the digest that it claims to be.
pub(crate) fn check_lengths(components: &[SoftwareComponent], default: Option<&str>) -> Check {
    let check = Check::new("device.components.length").source("declared hash algorithm");
    let wrong = components.iter().find(|component| {
        let name = component.algorithm.as_deref().or(default);
        let length = name.and_then(HashAlgorithm::from_name).map(HashAlgorithm::length);
        length != Some(component.measurement.as_slice().len())
    });
    let Some(wrong) = wrong else { return check };
    check.seen(wrong.show()).holds(false, wrong_length)
}

/// A digest that is not as long as its algorithm makes them.
pub(crate) fn wrong_length() -> Failure {
    Failure::new(
        Reason::Malformed,
        Owner::DeviceVendor,
        "make tokens whose digests have the length of the algorithm that they name",
    )
}

/// Root of trust, firmware and who signed it, each signer once.
pub(crate) fn add_claims(
    claims: &mut Claims,
    implementation_id: &[u8; 32],
    components: &[SoftwareComponent],
) {
    claims.measurements.push(Named::new("implementation-id", implementation_id));
    for component in components {
        claims.measurements.push(Named::new("component", component.measurement.as_slice()));
        let signer = component.signer_id.as_ref();
        let signer = signer.map(|id| Named::new("component-signer", id.as_slice()));
        claims.signers.extend(signer.filter(|signer| !claims.signers.contains(signer)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(kind: &str, octet: u8) -> SoftwareComponent {
        SoftwareComponent {
            kind: Some(kind.to_owned()),
            measurement: Octets::new(&[octet; 32]),
            version: Some("1".to_owned()),
            signer_id: Some(Octets::new(&[7; 32])),
            algorithm: None,
        }
    }

    fn listed(kind: &str, octet: u8) -> Component {
        Component {
            kind: Some(kind.to_owned()),
            measurement: Octets::new(&[octet; 32]),
            signer_id: Some(Octets::new(&[7; 32])),
            version: None,
        }
    }

    fn fits(expected: &[Component], seen: &[SoftwareComponent]) -> bool {
        compare(expected, seen).iter().all(|row| row.ok)
    }

    //= EV-CCA-6: every software component
    #[test]
    fn every_component_is_listed_and_every_listed_one_is_there() {
        let both = [loaded("RMM", 1), loaded("BL2", 2)];

        assert!(fits(&[listed("BL2", 2), listed("RMM", 1)], &both));
        assert!(!fits(&[listed("RMM", 1)], &both));
        assert!(!fits(&[listed("BL2", 2), listed("RMM", 1)], &both[..1]));
        assert!(!fits(&[listed("BL2", 3), listed("RMM", 1)], &both));
        assert!(!fits(&[], &both) && fits(&[], &[]));
    }

    #[test]
    fn a_component_of_another_signer_version_or_type_does_not_fit() {
        let seen = [loaded("RMM", 1)];
        let other_signer = Component { signer_id: Some(Octets::new(&[8; 32])), ..listed("RMM", 1) };
        let other_version = Component { version: Some("2".into()), ..listed("RMM", 1) };
        let any_type = Component { kind: None, ..listed("RMM", 1) };

        assert!(!fits(&[other_signer], &seen));
        assert!(!fits(&[other_version], &seen));
        assert!(!fits(&[listed("BL2", 1)], &seen));
        assert!(fits(&[any_type], &seen));
    }

    //= EV-CCA-6: hash length must match the declared algorithm
    #[test]
    fn a_measurement_of_another_length_is_not_of_the_declared_algorithm() {
        assert!(check_lengths(&[loaded("RMM", 1)], Some("sha-256")).ok);
        assert!(!check_lengths(&[loaded("RMM", 1)], Some("sha-512")).ok);
        assert!(!check_lengths(&[loaded("RMM", 1)], None).ok);
        let own = SoftwareComponent { algorithm: Some("SHA384".into()), ..loaded("RMM", 1) };
        assert!(!check_lengths(&[own], Some("sha-256")).ok);
    }
}

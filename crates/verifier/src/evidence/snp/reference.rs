//! Reference values: which guest is meant.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::container::Container;
use super::vtpm::register_name;
use crate::reference::{Comparable, Row};
use crate::value::{Hex, Value};

/// A reference value for a guest: its launch measurement, or who signed its identity block with
/// the image and a lowest security version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Spelling", into = "Spelling")]
pub struct Reference(Spelling);

/// A reference value as it is written in TOML.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spelling {
    /// What people call it.
    pub name: String,
    /// The launch digest of firmware, virtual processors and, where used, kernel hashes.
    pub measurement: Option<Hex<48>>,
    /// SHA-384 of the key that signed the identity block; without `measurement` it needs
    /// `image_id` and `guest_svn_min`.
    pub id_key_digest: Option<Hex<48>>,
    /// SHA-384 of the key that signed the identity key.
    pub author_key_digest: Option<Hex<48>>,
    /// The owner's identifier of the family of images.
    pub family_id: Option<Hex<16>>,
    /// The owner's identifier of the image.
    pub image_id: Option<Hex<16>>,
    /// The lowest security version of the image.
    pub guest_svn_min: Option<u32>,
    /// What the host stated at launch, for example the digest of a container policy.
    pub host_data: Option<Hex<32>>,
    /// Registers of the vTPM above a paravisor.
    #[serde(default)]
    pub pcrs: Vec<Register>,
}

/// One register of a vTPM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Register {
    /// Its number, 0 to 23.
    pub index: u8,
    /// Its value in the SHA-256 bank.
    pub sha256: Hex<32>,
}

/// A reference value names no guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an SEV-SNP reference value needs measurement, or id_key_digest or author_key_digest with \
     image_id and guest_svn_min"
)]
pub struct NoIdentity;

/// What one guest's report says of it.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    measurement: Hex<48>,
    id_key_digest: Hex<48>,
    author_key_digest: Option<Hex<48>>,
    family_id: Hex<16>,
    image_id: Hex<16>,
    guest_svn: u32,
    host_data: Hex<32>,
    pcrs: BTreeMap<u8, Hex<32>>,
}

impl Reference {
    /// Exactly one guest.
    #[must_use]
    pub fn guest(name: String, measurement: [u8; 48]) -> Self {
        Self(Spelling { name, measurement: Some(Hex(measurement)), ..Spelling::default() })
    }
}

impl TryFrom<Spelling> for Reference {
    type Error = NoIdentity;

    //= EV-SNP-9: the measurement, or an identity block's signer with image and version
    fn try_from(spelt: Spelling) -> Result<Self, NoIdentity> {
        let signer = spelt.id_key_digest.is_some() || spelt.author_key_digest.is_some();
        let signed = signer && spelt.image_id.is_some() && spelt.guest_svn_min.is_some();
        let zero = [spelt.id_key_digest, spelt.author_key_digest].contains(&Some(Hex([0; 48])));
        if (spelt.measurement.is_some() || signed) && !zero {
            Ok(Self(spelt))
        } else {
            Err(NoIdentity)
        }
    }
}

impl From<Reference> for Spelling {
    fn from(reference: Reference) -> Self {
        reference.0
    }
}

impl Comparable for Reference {
    type Measured = Measured;

    fn name(&self) -> &str {
        &self.0.name
    }

    fn compare(&self, measured: &Measured) -> Vec<Row> {
        let spelt = &self.0;
        let author = measured.author_key_digest.map_or(Value::from("none"), Value::from);
        let rows = [
            equal("measurement", spelt.measurement, measured.measurement.into()),
            equal("id_key_digest", spelt.id_key_digest, measured.id_key_digest.into()),
            equal("author_key_digest", spelt.author_key_digest, author),
            equal("family_id", spelt.family_id, measured.family_id.into()),
            equal("image_id", spelt.image_id, measured.image_id.into()),
            spelt.guest_svn_min.map(|min| Row {
                field: "guest_svn",
                expected: Value::from(format!("at least {min}")),
                seen: measured.guest_svn.into(),
                ok: measured.guest_svn >= min,
            }),
            equal("host_data", spelt.host_data, measured.host_data.into()),
        ];
        let pcrs = spelt.pcrs.iter().map(|Register { index, sha256 }| {
            let seen = measured.pcrs.get(index);
            Row {
                field: register_name(*index),
                expected: (*sha256).into(),
                seen: seen.map_or(Value::from("not quoted"), |value| (*value).into()),
                ok: seen == Some(sha256),
            }
        });
        rows.into_iter().flatten().chain(pcrs).collect()
    }
}

impl Measured {
    pub(crate) fn of(container: &Container<'_>) -> Self {
        let report = &container.report;
        let quoted = container.quote().into_iter().flat_map(|quote| &quote.registers);
        Self {
            measurement: Hex(*report.measurement()),
            id_key_digest: Hex(*report.id_key_digest()),
            author_key_digest: report.author_key_digest().map(|digest| Hex(*digest)),
            family_id: Hex(*report.family_id()),
            image_id: Hex(*report.image_id()),
            guest_svn: report.guest_svn(),
            host_data: Hex(*report.host_data()),
            pcrs: quoted.map(|(number, value)| (*number, Hex(**value))).collect(),
        }
    }
}

fn equal<const N: usize>(field: &'static str, own: Option<Hex<N>>, seen: Value) -> Option<Row> {
    let expected = Value::from(own?);
    let ok = expected == seen;
    Some(Row { field, expected, seen, ok })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_value_names_a_guest_or_its_signer_and_image() {
        let name = || Spelling { name: "guest".into(), ..Spelling::default() };
        let measured = Spelling { measurement: Some(Hex([1; 48])), ..name() };
        let signer = Spelling { id_key_digest: Some(Hex([2; 48])), ..name() };
        let image =
            Spelling { image_id: Some(Hex([3; 16])), guest_svn_min: Some(1), ..signer.clone() };
        let zero = Spelling { id_key_digest: Some(Hex([0; 48])), ..measured.clone() };

        assert_eq!(Reference::try_from(name()), Err(NoIdentity));
        assert!(Reference::try_from(measured).is_ok());
        assert_eq!(Reference::try_from(signer), Err(NoIdentity));
        assert!(Reference::try_from(image).is_ok());
        assert_eq!(Reference::try_from(zero), Err(NoIdentity));
    }
}

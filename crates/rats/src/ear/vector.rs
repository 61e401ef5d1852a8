//! AR4SI: trustworthiness claims, their tiers, and the vector of them.

use std::collections::BTreeMap;

use minicbor::decode::Decoder;

use crate::label::claim;
use crate::map::{Entries, Members, encode_int};
use crate::refusal::Malformed;

/// The trustworthiness claims, in the order of AR4SI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TrustClaim {
    /// 0: who the attester is.
    InstanceIdentity,
    /// 1: how it is configured.
    Configuration,
    /// 2: what it runs.
    Executables,
    /// 3: what its file system holds.
    FileSystem,
    /// 4: the hardware and firmware.
    Hardware,
    /// 5: whether memory is hidden from others.
    RuntimeOpaque,
    /// 6: whether storage is hidden from others.
    StorageOpaque,
    /// 7: where its data comes from.
    SourcedData,
}

impl TrustClaim {
    /// Every claim.
    pub const ALL: [Self; 8] = [
        Self::InstanceIdentity,
        Self::Configuration,
        Self::Executables,
        Self::FileSystem,
        Self::Hardware,
        Self::RuntimeOpaque,
        Self::StorageOpaque,
        Self::SourcedData,
    ];

    /// The label in CBOR.
    pub const fn label(self) -> i64 {
        match self {
            Self::InstanceIdentity => 0,
            Self::Configuration => 1,
            Self::Executables => 2,
            Self::FileSystem => 3,
            Self::Hardware => 4,
            Self::RuntimeOpaque => 5,
            Self::StorageOpaque => 6,
            Self::SourcedData => 7,
        }
    }

    /// The name in JSON, and for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InstanceIdentity => "instance-identity",
            Self::Configuration => "configuration",
            Self::Executables => "executables",
            Self::FileSystem => "file-system",
            Self::Hardware => "hardware",
            Self::RuntimeOpaque => "runtime-opaque",
            Self::StorageOpaque => "storage-opaque",
            Self::SourcedData => "sourced-data",
        }
    }
}

/// How far something can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// Nothing is said.
    None,
    /// The verifier vouches for it.
    Affirming,
    /// It works, with something to worry about.
    Warning,
    /// It must not be trusted.
    Contraindicated,
}

impl Tier {
    /// The number in CBOR.
    pub const fn code(self) -> i64 {
        match self {
            Self::None => 0,
            Self::Affirming => 2,
            Self::Warning => 32,
            Self::Contraindicated => 96,
        }
    }

    /// The name in JSON, and for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Affirming => "affirming",
            Self::Warning => "warning",
            Self::Contraindicated => "contraindicated",
        }
    }

    /// Reads the number.
    pub fn from_code(code: i64) -> Result<Self, Malformed> {
        match code {
            0 => Ok(Self::None),
            2 => Ok(Self::Affirming),
            32 => Ok(Self::Warning),
            96 => Ok(Self::Contraindicated),
            _ => Err(Malformed::Value(claim::EAR_STATUS.into())),
        }
    }

    /// Reads the name.
    pub fn from_name(name: &str) -> Result<Self, Malformed> {
        [Self::None, Self::Affirming, Self::Warning, Self::Contraindicated]
            .into_iter()
            .find(|tier| tier.name() == name)
            .ok_or(Malformed::Value(claim::EAR_STATUS.into()))
    }

    /// The one of the two that is trusted less.
    pub const fn worst(self, other: Self) -> Self {
        if self.distrust() < other.distrust() { other } else { self }
    }

    /// Whether this tier claims more trust than `limit` allows.
    pub const fn exceeds(self, limit: Self) -> bool {
        self.distrust() < limit.distrust()
    }

    /// Nothing said is worse than affirmed: a relying party cannot rely on it.
    const fn distrust(self) -> u8 {
        match self {
            Self::Affirming => 0,
            Self::None => 1,
            Self::Warning => 2,
            Self::Contraindicated => 3,
        }
    }
}

/// The value of a trustworthiness claim. An unknown value counts by its tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrustValue(pub i8);

impl TrustValue {
    /// No claim is made, the same as an absent one.
    pub const NO_CLAIM: Self = Self(0);
    /// The verifier met something that it does not know.
    pub const UNEXPECTED: Self = Self(1);
    /// The verifier could not do its work.
    pub const VERIFIER_MALFUNCTION: Self = Self(-1);
    /// Recognised, approved or genuine: the first affirming value of every claim.
    pub const AFFIRMED: Self = Self(2);
    /// Configuration without known vulnerability; executables approved at boot.
    pub const AFFIRMED_LESS: Self = Self(3);
    /// Vulnerable, known bugs, unrecognised files, isolated but not encrypted, no hardware keys.
    pub const WARNED: Self = Self(32);
    /// Executables: code that is not recognised.
    pub const UNRECOGNISED_CODE: Self = Self(33);
    /// Configuration: elements are not available to the verifier.
    pub const UNAVAILABLE: Self = Self(36);
    /// Known to be bad, or visible to others.
    pub const CONTRAINDICATED: Self = Self(96);
    /// Instance identity or hardware that is not recognised.
    pub const UNRECOGNISED: Self = Self(97);
    /// The cryptographic validation of the Evidence failed.
    //= rats 11.18 (M): Evidence that fails cryptography has value 99 and status 96
    pub const CRYPTO_FAILED: Self = Self(99);

    /// The tier that the value lies in.
    //= rats 11.19 (M): every one of the 256 values has a tier
    pub const fn tier(self) -> Tier {
        match self.0 {
            -1..=1 => Tier::None,
            2..=31 | -32..=-2 => Tier::Affirming,
            32..=95 | -96..=-33 => Tier::Warning,
            96..=127 | -128..=-97 => Tier::Contraindicated,
        }
    }

    /// The one of the two to report: the worse tier, then a standard value before an own one,
    /// then the larger number.
    pub const fn worst(self, other: Self) -> Self {
        if self.rank_below(other) { other } else { self }
    }

    const fn rank_below(self, other: Self) -> bool {
        let (mine, theirs) = (self.severity(), other.severity());
        if mine != theirs {
            return mine < theirs;
        }
        let (standard, other_standard) = (self.0 >= 0, other.0 >= 0);
        if standard != other_standard {
            return other_standard;
        }
        self.0.unsigned_abs() < other.0.unsigned_abs()
    }

    /// No claim gives way to every claim; what the verifier could not judge is worse than what it
    /// affirms.
    const fn severity(self) -> u8 {
        if self.0 == 0 { 0 } else { 1 + self.tier().distrust() }
    }
}

/// A trustworthiness vector: for each claim the worst value that was found.
///
/// ```cddl
/// trustworthiness-vector = { + 0..7 => -128..127 }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vector(BTreeMap<TrustClaim, TrustValue>);

impl Vector {
    /// Adds a finding; the worst one found for the claim stays.
    pub fn record(&mut self, claim: TrustClaim, value: TrustValue) {
        let entry = self.0.entry(claim).or_insert(value);
        *entry = entry.worst(value);
    }

    /// The value of a claim, `NO_CLAIM` when it is absent.
    pub fn value(&self, claim: TrustClaim) -> TrustValue {
        self.0.get(&claim).copied().unwrap_or(TrustValue::NO_CLAIM)
    }

    /// The claims that are made, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (TrustClaim, TrustValue)> {
        self.0.iter().map(|(claim, value)| (*claim, *value))
    }

    /// Whether no claim is there.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The best status that the claims allow: the tier of the worst one; none without a claim.
    //= rats 11.20 (M): a status is no better than the worst claim
    pub fn status(&self) -> Tier {
        self.0
            .values()
            .filter(|value| **value != TrustValue::NO_CLAIM)
            .map(|value| value.tier())
            .reduce(Tier::worst)
            .unwrap_or(Tier::None)
    }

    pub(crate) fn decode(d: &mut Decoder<'_>) -> Result<Self, Malformed> {
        let mut members = Entries::decode(d)?;
        let mut vector = Self::default();
        for claim in TrustClaim::ALL {
            let value = members.take(claim.label(), |d| {
                d.i8().map_err(|_| Malformed::Value(claim::EAR_VECTOR.into()))
            })?;
            if let Some(value) = value {
                vector.0.insert(claim, TrustValue(value));
            }
        }
        members.finish()?;
        if vector.is_empty() { Err(Malformed::Value(claim::EAR_VECTOR.into())) } else { Ok(vector) }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut members = Members::default();
        for (claim, value) in &self.0 {
            members.put(claim.label(), encode_int(value.0.into()));
        }
        members.encode()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::whole;

    //= rats 11.19 (M): every one of the 256 values has a tier
    #[test]
    fn every_value_has_the_tier_of_its_range() {
        for value in i8::MIN..=i8::MAX {
            let distance = i16::from(value);
            let expected = match distance {
                -1..=1 => Tier::None,
                d if (2..32).contains(&d) || (-32..-1).contains(&d) => Tier::Affirming,
                d if (32..96).contains(&d) || (-96..-32).contains(&d) => Tier::Warning,
                _ => Tier::Contraindicated,
            };

            assert_eq!(TrustValue(value).tier(), expected, "value {value}");
        }
    }

    #[test]
    fn the_worst_value_wins_and_a_standard_one_before_an_own_one() {
        let worst = |a, b| TrustValue(a).worst(TrustValue(b)).0;

        for (winner, loser) in [
            (96, 2),
            (96, 32),
            (99, 96),
            (32, 2),
            (3, 2),
            (2, -2),
            (32, -40),
            (-40, 2),
            (2, 0),
            (1, 2),
            (-1, 2),
            (32, -1),
            (-128, 95),
            (96, -128),
            (1, 0),
            (-97, 33),
        ] {
            assert_eq!(worst(winner, loser), winner);
            assert_eq!(worst(loser, winner), winner);
        }
    }

    //= rats 11.20 (M): a status is no better than the worst claim
    #[test]
    fn the_status_is_the_tier_of_the_worst_claim() {
        let status = |values: &[i8]| {
            let mut vector = Vector::default();
            for (claim, value) in TrustClaim::ALL.into_iter().zip(values) {
                vector.record(claim, TrustValue(*value));
            }
            vector.status()
        };

        assert_eq!(status(&[]), Tier::None);
        assert_eq!(status(&[0, 0]), Tier::None);
        assert_eq!(status(&[2, 3, 0]), Tier::Affirming);
        assert_eq!(status(&[2, -1]), Tier::None);
        assert_eq!(status(&[2, -1, 32]), Tier::Warning);
        assert_eq!(status(&[2, 32, 97]), Tier::Contraindicated);
        assert_eq!(status(&[-100, 2]), Tier::Contraindicated);
    }

    //= rats 11.18 (M): Evidence that fails cryptography has value 99 and status 96
    #[test]
    fn failed_cryptography_cannot_be_outweighed() {
        let mut vector = Vector::default();
        vector.record(TrustClaim::Hardware, TrustValue::CRYPTO_FAILED);
        vector.record(TrustClaim::Hardware, TrustValue::AFFIRMED);
        vector.record(TrustClaim::Hardware, TrustValue::UNRECOGNISED);

        assert_eq!(vector.value(TrustClaim::Hardware), TrustValue(99));
        assert_eq!(vector.status().code(), 96);
    }

    #[test]
    fn a_vector_is_not_empty_and_has_only_known_claims_and_small_values() {
        let refused = |bytes: &[u8]| whole(bytes, Vector::decode);

        assert_eq!(refused(&[0xa0]), Err(Malformed::Value(claim::EAR_VECTOR.into())));
        assert_eq!(refused(&[0xa1, 0x08, 0x02]), Err(Malformed::Value(8.into())));
        assert_eq!(
            refused(&[0xa1, 0x00, 0x18, 0x80]),
            Err(Malformed::Value(claim::EAR_VECTOR.into()))
        );
        assert_eq!(
            whole(&[0xa1, 0x04, 0x38, 0x7f], Vector::decode).unwrap().encode(),
            [0xa1, 0x04, 0x38, 0x7f]
        );
    }

    #[test]
    fn names_and_numbers_are_one_to_one() {
        for tier in [Tier::None, Tier::Affirming, Tier::Warning, Tier::Contraindicated] {
            assert_eq!(Tier::from_code(tier.code()), Ok(tier));
            assert_eq!(Tier::from_name(tier.name()), Ok(tier));
        }
        assert!(Tier::from_code(1).is_err() && Tier::from_name("Affirming").is_err());
    }
}

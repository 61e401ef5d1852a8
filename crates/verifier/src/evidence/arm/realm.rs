//! The claims of the realm token: what runs in the confidential machine.

use cose::{Curve, Key, Malformed};
use serde::{Deserialize, Serialize};

use super::{HashAlgorithm, NotAToken, PlatformClaims, each_claim, missing};
use crate::check::{Check, Failure, Owner, Reason};
use crate::crypto::equal;
use crate::reference::Row;
use crate::value::{Hex, Octets, Value};

/// The claims of a realm.
///
/// ```cddl
/// cca-realm-claims = {
///   ? 265 => profile tstr, 10 => challenge bstr .size 64, 44235 => rpv bstr .size 64,
///   44236 => hash-algo-id tstr, 44237 => public-key bstr, 44240 => public-key-hash-algo-id tstr,
///   44238 => initial-measurement bstr, 44239 => [ 4*4 extensible-measurement bstr ], * int => any
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RealmClaims {
    /// Which published profile the token has.
    pub profile: Profile,
    /// What the realm bound.
    pub challenge: [u8; 64],
    /// The realm personalization value: the owner's words.
    pub rpv: [u8; 64],
    /// The algorithm of the measurements, as spelt.
    pub hash_algorithm: String,
    /// The realm attestation key exactly as carried: its digest is the platform's challenge.
    pub public_key: Octets,
    /// The algorithm of that digest, as spelt.
    pub public_key_hash_algorithm: String,
    /// What the realm was made of.
    pub rim: Octets,
    /// What the realm has measured since.
    pub rems: [Octets; 4],
    /// The SubjectPublicKeyInfo of that key.
    spki: Vec<u8>,
}

/// The published profiles of realm tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// No profile claim; the key is an uncompressed point.
    Legacy,
    /// `tag:arm.com,2023:realm#1.0.0`; the key is a COSE_Key.
    Tag2023,
}

/// A reference value for a realm; of what is optional, what is absent is not compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RealmReference {
    /// What the realm was made of.
    pub rim: Octets,
    /// The realm personalization value, if the owner sets one.
    pub rpv: Option<Hex<64>>,
    /// What the realm measured into REM0.
    pub rem0: Option<Octets>,
    /// What the realm measured into REM1.
    pub rem1: Option<Octets>,
    /// What the realm measured into REM2.
    pub rem2: Option<Octets>,
    /// What the realm measured into REM3.
    pub rem3: Option<Octets>,
}

impl RealmClaims {
    /// Reads the claims of a CCA realm; unknown ones are passed over, missing ones refused.
    pub fn decode(bytes: &[u8]) -> Result<Self, NotAToken> {
        Self::decode_with(bytes, Profile::read_key)
    }

    /// Reads the claims; `read_key` makes the SubjectPublicKeyInfo of the key as carried.
    //= EV-CCA-6: REM count is exactly 4, unknown claims are ignored, missing ones refused
    pub(crate) fn decode_with(
        bytes: &[u8],
        read_key: impl FnOnce(Profile, &[u8]) -> Result<Vec<u8>, NotAToken>,
    ) -> Result<Self, NotAToken> {
        let (mut profile, mut challenge, mut rpv, mut hash) = (Profile::Legacy, None, None, None);
        let (mut public_key, mut key_hash, mut rim, mut rems) = (None, None, None, None);
        each_claim(bytes, |label, claim| {
            match label {
                265 => profile = Profile::of(claim.text()?)?,
                10 => challenge = Some(claim.fixed("a realm challenge of 64 octets")?),
                44235 => rpv = Some(claim.fixed("a personalization value of 64 octets")?),
                44236 => hash = Some(claim.text()?.to_owned()),
                44237 => public_key = Some(claim.bytes()?),
                44238 => rim = Some(Octets::new(claim.digest("an initial measurement")?)),
                44239 => {
                    let list = claim.list()?.into_iter();
                    let list = list.map(|rem| rem.digest("an extensible measurement"));
                    let list =
                        list.map(|rem| rem.map(Octets::new)).collect::<Result<Vec<_>, _>>()?;
                    let four = list.try_into();
                    rems = Some(four.map_err(|_| Malformed::Expected("four measurements"))?);
                }
                44240 => key_hash = Some(claim.text()?.to_owned()),
                _ => (),
            }
            Ok(())
        })?;
        let public_key = missing(public_key, "the claim public key (44237)")?;
        Ok(Self {
            profile,
            challenge: missing(challenge, "the claim challenge (10)")?,
            rpv: missing(rpv, "the claim personalization value (44235)")?,
            hash_algorithm: missing(hash, "the claim hash algorithm (44236)")?,
            spki: read_key(profile, public_key)?,
            public_key: Octets::new(public_key),
            public_key_hash_algorithm: missing(key_hash, "the claim key hash algorithm (44240)")?,
            rim: missing(rim, "the claim initial measurement (44238)")?,
            rems: missing(rems, "the claim extensible measurements (44239)")?,
        })
    }

    /// The SubjectPublicKeyInfo of the key that signed these claims.
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// The digest of the key as carried, by the algorithm that the token names for it.
    #[must_use]
    pub fn key_digest(&self) -> Option<Octets> {
        let algorithm = HashAlgorithm::from_name(&self.public_key_hash_algorithm)?;
        Some(algorithm.digest(&[self.public_key.as_slice()]))
    }

    /// Whether the platform names the digest of the key exactly as carried.
    //= EV-CCA-3: the platform challenge is the digest of the RAK claim, by the named algorithm
    pub(crate) fn check_binding(&self, name: &'static str, platform: &PlatformClaims) -> Check {
        let seen = &platform.challenge;
        let check = Check::new(name).seen(seen.clone()).source("realm token");
        let Some(expected) = self.key_digest() else {
            let named = self.public_key_hash_algorithm.clone();
            return check.expected(named).holds(false, || {
                let remedy = "hash the realm's key with sha-256, sha-384 or sha-512";
                Failure::new(Reason::Unsupported, Owner::DeviceVendor, remedy)
            });
        };
        let ok = equal(seen.as_slice(), expected.as_slice());
        check.expected(expected).holds(ok, || {
            Failure::new(
                Reason::BindingMismatch,
                Owner::Attester,
                "send the realm token with the platform token that was made for it: this \
                 platform vouches for another realm key",
            )
        })
    }

    /// Whether all measurements have the length of the declared algorithm.
    #[must_use]
    pub fn has_declared_lengths(&self) -> bool {
        let length = HashAlgorithm::from_name(&self.hash_algorithm).map(HashAlgorithm::length);
        let mut measurements = self.rems.iter().chain([&self.rim]);
        measurements.all(|measurement| Some(measurement.as_slice().len()) == length)
    }

    /// For showing.
    #[must_use]
    pub fn show(&self) -> Value {
        let profile = match self.profile {
            Profile::Legacy => None,
            Profile::Tag2023 => Some(TAG_2023.into()),
        };
        let members = [
            ("profile", profile),
            ("challenge", Some((&self.challenge).into())),
            ("hash_algo", Some(self.hash_algorithm.clone().into())),
            ("pubkey_hash_algo", Some(self.public_key_hash_algorithm.clone().into())),
            ("rpv", Some((&self.rpv).into())),
            ("pubkey", Some(self.public_key.clone().into())),
            ("rim", Some(self.rim.clone().into())),
            ("rems", Some(self.rems.to_vec().into())),
        ];
        let present = members.into_iter().filter_map(|(name, value)| Some((name.into(), value?)));
        Value::Map(present.collect())
    }
}

impl Profile {
    fn of(uri: &str) -> Result<Self, NotAToken> {
        if uri == TAG_2023 {
            return Ok(Self::Tag2023);
        }
        Err(NotAToken::unsupported(format!("realm profile `{uri}`")))
    }

    /// Reads the key in the profile's own form.
    //= EV-CCA-2: a raw uncompressed point of 97 octets, or a COSE_Key, on P-384
    fn read_key(self, bytes: &[u8]) -> Result<Vec<u8>, NotAToken> {
        const P384: NotAToken = NotAToken::Malformed(Malformed::Expected("a key on P-384"));
        let key = match self {
            Self::Legacy if bytes.first() == Some(&0x04) => Key::from_sec1(Curve::P384, bytes)?,
            Self::Legacy => return Err(P384),
            Self::Tag2023 => Key::decode(bytes)?,
        };
        if key.curve() == Curve::P384 { Ok(key.to_spki()) } else { Err(P384) }
    }
}

impl RealmReference {
    //= EV-CCA-6: RIM, RPV if the owner sets one, REMs
    pub(crate) fn compare(&self, claims: &RealmClaims) -> Vec<Row> {
        let [rem0, rem1, rem2, rem3] = &claims.rems;
        let rpv = Octets::new(&claims.rpv);
        let fields = [
            ("rim", Some(self.rim.clone()), &claims.rim),
            ("rpv", self.rpv.map(|rpv| Octets::new(&rpv.0)), &rpv),
            ("rem0", self.rem0.clone(), rem0),
            ("rem1", self.rem1.clone(), rem1),
            ("rem2", self.rem2.clone(), rem2),
            ("rem3", self.rem3.clone(), rem3),
        ];
        let rows = fields.into_iter().filter_map(|(field, expected, seen)| {
            let expected = expected?;
            let ok = expected == *seen;
            Some(Row { field, expected: expected.into(), seen: seen.clone().into(), ok })
        });
        rows.collect()
    }
}

/// The extensible measurements by name.
pub(crate) const REGISTERS: [&str; 4] = ["rem0", "rem1", "rem2", "rem3"];
const TAG_2023: &str = "tag:arm.com,2023:realm#1.0.0";

//! The claims of the realm token: what runs in the confidential machine.

use cose::{Curve, Key, Malformed};

use crate::evidence::arm::{HashAlgorithm, NotAToken, each_claim, missing};
use crate::value::{Octets, Value};

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
    key: Key,
}

/// The published profiles of realm tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// No profile claim; the key is an uncompressed point.
    Legacy,
    /// `tag:arm.com,2023:realm#1.0.0`; the key is a COSE_Key.
    Tag2023,
}

impl RealmClaims {
    /// Reads the claims; unknown ones are passed over, missing ones refused.
    //= EV-CCA-6: REM count is exactly 4, unknown claims are ignored, missing ones refused
    pub fn decode(bytes: &[u8]) -> Result<Self, NotAToken> {
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
            key: profile.read_key(public_key)?,
            public_key: Octets::new(public_key),
            public_key_hash_algorithm: missing(key_hash, "the claim key hash algorithm (44240)")?,
            rim: missing(rim, "the claim initial measurement (44238)")?,
            rems: missing(rems, "the claim extensible measurements (44239)")?,
        })
    }

    /// The realm attestation key, a point on P-384.
    #[must_use]
    pub const fn key(&self) -> &Key {
        &self.key
    }

    /// The digest of the key as carried, by the algorithm that the token names for it.
    #[must_use]
    pub fn key_digest(&self) -> Option<Octets> {
        let algorithm = HashAlgorithm::from_name(&self.public_key_hash_algorithm)?;
        Some(algorithm.digest(&[self.public_key.as_slice()]))
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
    fn read_key(self, bytes: &[u8]) -> Result<Key, NotAToken> {
        const P384: NotAToken = NotAToken::Malformed(Malformed::Expected("a key on P-384"));
        let key = match self {
            Self::Legacy if bytes.first() == Some(&0x04) => Key::from_sec1(Curve::P384, bytes)?,
            Self::Legacy => return Err(P384),
            Self::Tag2023 => Key::decode(bytes)?,
        };
        if key.curve() == Curve::P384 { Ok(key) } else { Err(P384) }
    }
}

const TAG_2023: &str = "tag:arm.com,2023:realm#1.0.0";

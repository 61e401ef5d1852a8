//! The CCA token (Arm CCA Security Model and RMM specification): a platform token that vouches for
//! the key of a realm token.

use cose::cbor::{MapWriter, Tag};
use cose::{Curve, Key};
use device::tee::REPORT_DATA_BYTES;

use super::measurement::{Measurement, Platform};
use crate::Error;
use crate::family::arm::{enrolment, token};
use crate::key::{P384Key, sha256};

/// How claims are spelt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// `http://arm.com/CCA-SSD/1.0.0`, and a realm token without profile.
    Legacy,
    /// `tag:arm.com,2023:cca_platform#1.0.0` and `tag:arm.com,2023:realm#1.0.0`.
    Tag2023,
}

/// What the platform signs.
///
/// ```cddl
/// cca-platform-claims = {
///   10 => challenge bstr, 256 => instance-id bstr .size 33, 265 => profile tstr,
///   2395 => lifecycle uint, 2396 => implementation-id bstr .size 32,
///   2399 => [ + software-component ], 2400 => verification-service tstr, 2401 => config bstr,
///   2402 => hash-algo-id tstr
/// }
/// ```
pub(super) struct PlatformToken<'a> {
    pub(super) profile: Profile,
    /// The realm's key, of which the challenge is the digest.
    pub(super) realm_key: &'a P384Key,
    pub(super) lifecycle: u64,
    pub(super) platform: &'a Platform,
    pub(super) key: &'a P384Key,
}

/// What the realm management monitor signs.
///
/// ```cddl
/// cca-realm-claims = {
///   10 => challenge bstr .size 64, ? 265 => profile tstr, 44235 => rpv bstr .size 64,
///   44236 => hash-algo-id tstr, 44237 => public-key bstr, 44238 => rim bstr,
///   44239 => [ 4*4 rem bstr ], 44240 => public-key-hash-algo-id tstr
/// }
/// ```
pub(super) struct RealmToken<'a> {
    pub(super) profile: Profile,
    pub(super) challenge: &'a [u8; REPORT_DATA_BYTES],
    pub(super) measurement: &'a Measurement,
    pub(super) registers: &'a [Vec<u8>; 4],
    pub(super) key: &'a P384Key,
}

impl PlatformToken<'_> {
    fn claims(&self) -> Vec<u8> {
        let challenge = sha256(&self.profile.realm_key(self.realm_key));
        let instance = enrolment::instance_id(&self.key.spki());
        let profile = match self.profile {
            Profile::Legacy => "http://arm.com/CCA-SSD/1.0.0",
            Profile::Tag2023 => "tag:arm.com,2023:cca_platform#1.0.0",
        };
        let components = &self.platform.components;
        let mut claims = MapWriter::new();
        claims.put(10, |e| e.bytes(&challenge)?.ok());
        claims.put(256, |e| e.bytes(&instance)?.ok());
        claims.put(265, |e| e.str(profile)?.ok());
        claims.put(2395, |e| e.u64(self.lifecycle)?.ok());
        claims.put(2396, |e| e.bytes(&self.platform.implementation_id)?.ok());
        claims.put(2399, |e| {
            e.array(components.len() as u64)?;
            components.iter().for_each(|one| e.writer_mut().extend(one.encode()));
            e.ok()
        });
        claims.put(2400, |e| e.str("https://vendor.invalid/cca")?.ok());
        claims.put(2401, |e| e.bytes(&[0; 4])?.ok());
        claims.put(2402, |e| e.str(SHA256)?.ok());
        claims.finish()
    }
}

impl RealmToken<'_> {
    fn claims(&self) -> Vec<u8> {
        let mut claims = MapWriter::new();
        claims.put(10, |e| e.bytes(self.challenge)?.ok());
        if self.profile == Profile::Tag2023 {
            claims.put(265, |e| e.str("tag:arm.com,2023:realm#1.0.0")?.ok());
        }
        claims.put(44235, |e| e.bytes(&self.measurement.rpv)?.ok());
        claims.put(44236, |e| e.str(SHA256)?.ok());
        claims.put(44237, |e| e.bytes(&self.profile.realm_key(self.key))?.ok());
        claims.put(44238, |e| e.bytes(&self.measurement.rim)?.ok());
        claims.put(44239, |e| {
            e.array(4)?;
            for register in self.registers {
                e.bytes(register)?;
            }
            e.ok()
        });
        claims.put(44240, |e| e.str(SHA256)?.ok());
        claims.finish()
    }
}

impl Profile {
    /// The realm's key as the claim carries it: a point, or a COSE_Key.
    fn realm_key(self, key: &P384Key) -> Vec<u8> {
        match self {
            Self::Legacy => key.point().to_vec(),
            Self::Tag2023 => {
                let key = Key::from_sec1(Curve::P384, key.point());
                key.expect("a key's own point is on its curve").encode()
            }
        }
    }
}

/// ```cddl
/// cca-token = #6.399({ 44234 => bstr .cbor platform-token, 44241 => bstr .cbor realm-token })
/// ```
pub(super) fn encode(
    platform: &PlatformToken<'_>,
    realm: &RealmToken<'_>,
) -> Result<Vec<u8>, Error> {
    let platform = token::sign(platform.key, &platform.claims())?;
    let realm = token::sign(realm.key, &realm.claims())?;
    Ok(cose::cbor::encode(|e| {
        e.tag(Tag::new(COLLECTION))?.map(2)?;
        e.i64(PLATFORM)?.bytes(&platform)?.i64(REALM)?.bytes(&realm)?.ok()
    }))
}

const COLLECTION: u64 = 399;
const PLATFORM: i64 = 44234;
const REALM: i64 = 44241;
const SHA256: &str = "sha-256";

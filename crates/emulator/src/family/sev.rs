//! AMD SEV and SEV-ES: a platform whose firmware measures a guest once, for the owner who opened a
//! session to it, and then takes one secret of the owner.
//!
//! There is no evidence on demand, so this is no device that a program runs in: the owner's session
//! comes before the launch, and what the guest ([`Machine`]) proves later it proves by the injected
//! secret.

mod certificate;
mod crypto;
mod machine;

use std::path::{Path, PathBuf};

use aws_lc_rs::rand;
use cose::hmac_sha256;
use zeroize::Zeroizing;

use self::certificate::{Signer, Usage};
pub use self::machine::{MEDIA_TYPE, Machine, launch_digest};
use crate::Error;
use crate::disk::{self, Access};
use crate::fuses::Fuses;
use crate::key::{P384Key, RsaKey, sha256};
use crate::misbehaviour::Misbehaviour;

/// What the hypervisor hands to LAUNCH_START.
#[derive(Clone, Copy, Debug)]
pub struct LaunchStart<'a> {
    /// The guest's policy.
    pub policy: u32,
    /// The certificate of the owner's ephemeral key.
    pub certificate: &'a [u8],
    /// Nonce, wrapped keys, IV, MAC over the wrapped keys, MAC over the policy.
    pub session: &'a [u8; 128],
}

/// What LAUNCH_MEASURE answers, with what it was made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    /// API major, API minor, build.
    pub firmware: [u8; 3],
    /// The guest's policy.
    pub policy: u32,
    /// The launch digest.
    pub digest: [u8; 32],
    /// HMAC by the transport integrity key.
    pub mac: [u8; 32],
    /// MNONCE.
    pub nonce: [u8; 16],
}

/// The firmware does not do what it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A MAC is wrong: the session is for another platform, or was changed.
    #[error("BAD_MEASUREMENT: a MAC of the session or secret is wrong")]
    BadMeasurement,
    /// The certificate is not one.
    #[error("INVALID_CERTIFICATE: not a certificate of an owner's key")]
    InvalidCertificate,
    /// The guest is not in the state for this command.
    #[error("INVALID_GUEST_STATE: this command comes at another time")]
    InvalidState,
}

/// A platform with its firmware.
pub struct Platform {
    dir: PathBuf,
    fuses: Fuses,
    ark: RsaKey,
    misbehaviour: Misbehaviour,
    pdh: Zeroizing<[u8; 48]>,
}

/// A guest that is being launched.
pub struct Guest {
    tek: Zeroizing<[u8; 16]>,
    tik: Zeroizing<[u8; 16]>,
    policy: u32,
    misbehaviour: Misbehaviour,
    digest: Vec<u8>,
    measured: Option<Measured>,
    injected: bool,
}

impl Platform {
    /// Starts the platform whose state is in `state_dir`, with certificates of the vendor in
    /// `vendor_dir`, which is made if absent.
    pub fn start(
        vendor_dir: &Path,
        state_dir: &Path,
        misbehaviour: Misbehaviour,
    ) -> Result<Self, Error> {
        if misbehaviour == Misbehaviour::Revoked {
            return Err(Error::Senseless {
                misbehaviour: "revoked",
                why: "platforms with SEV have no revocation list",
            });
        }
        let fuses = Fuses::open(state_dir)?;
        let dir = state_dir.join("sev");
        disk::create_dir(&dir, Access::Private)?;
        let foreign = dir.join("foreign-vendor");
        let vendor = if misbehaviour == Misbehaviour::ForeignRoot { &foreign } else { vendor_dir };
        let keys = vendor.join("keys");
        disk::create_dir(&keys, Access::Private)?;
        // Another device of the vendor may start at the same time.
        let lock = disk::lock_dir(vendor)?;
        let ark = RsaKey::load_or_create(&keys.join("sev-ark.pk8"))?;
        let ask = RsaKey::load_or_create(&keys.join("sev-ask.pk8"))?;
        drop(lock);
        let key = |label: &str| fuses.p384_key(label, &[]);
        let (cek, oca, pek) = (key("sev cek")?, key("sev oca")?, key("sev pek")?);
        let (pdh, pdh_point) = fuses.p384_agreement("sev pdh")?;
        let platform = Self { dir, fuses, ark, misbehaviour, pdh };
        platform.publish(&ask, [&cek, &oca, &pek], &pdh_point)?;
        Ok(platform)
    }

    /// SHA-256 of the SubjectPublicKeyInfo of the vendor's ARK, which is made if `wanted`.
    pub(crate) fn anchor_of(vendor_dir: &Path, wanted: bool) -> Result<Option<[u8; 32]>, Error> {
        let path = vendor_dir.join("keys/sev-ark.pk8");
        if !wanted && !path.exists() {
            return Ok(None);
        }
        disk::create_dir(&vendor_dir.join("keys"), Access::Private)?;
        let _lock = disk::lock_dir(vendor_dir)?;
        Ok(Some(sha256(RsaKey::load_or_create(&path)?.spki())))
    }

    /// SHA-256 of the ARK's SubjectPublicKeyInfo: what a Verifier pins.
    pub fn anchor(&self) -> [u8; 32] {
        sha256(self.ark.spki())
    }

    /// The platform's chain, as `sevctl export` writes it: ARK, ASK, CEK, OCA, PEK and PDH.
    pub fn collateral_dir(&self) -> PathBuf {
        self.dir.join("collateral")
    }

    fn publish(
        &self,
        ask: &RsaKey,
        [cek, oca, pek]: [&P384Key; 3],
        pdh: &[u8],
    ) -> Result<(), Error> {
        let dir = self.collateral_dir();
        disk::create_dir(&dir, Access::Public)?;
        let write = |name: &str, bytes: &[u8]| disk::write(&dir.join(name), bytes, Access::Public);
        write("ark.cert", &certificate::authority(&self.ark, Usage::Ark, &self.ark)?)?;
        write("ask.cert", &certificate::authority(ask, Usage::Ask, &self.ark)?)?;
        let platform = |usage, point: &[u8], signers: &[(Usage, Signer<'_>)]| {
            certificate::platform(self.api(), usage, point, signers)
        };
        let (by_oca, by_cek) = ((Usage::Oca, Signer::P384(oca)), (Usage::Cek, Signer::P384(cek)));
        let by_ask = (Usage::Ask, Signer::Rsa(ask));
        write("cek.cert", &platform(Usage::Cek, cek.point(), &[by_ask])?)?;
        write("oca.cert", &platform(Usage::Oca, oca.point(), &[by_oca])?)?;
        write("pek.cert", &platform(Usage::Pek, pek.point(), &[by_oca, by_cek])?)?;
        write("pdh.cert", &platform(Usage::Pdh, pdh, &[(Usage::Pek, Signer::P384(pek))])?)
    }

    const fn api(&self) -> [u8; 2] {
        let [major, minor, _] = firmware(self.misbehaviour);
        [major, minor]
    }

    /// LAUNCH_START: takes the owner's keys out of the session.
    //= EV-SEV-6: ECDH P-384, SP 800-108 in counter mode, MACs over keys and policy
    pub fn launch_start(&self, start: &LaunchStart<'_>) -> Result<Guest, Refused> {
        let owner = certificate::point(start.certificate).ok_or(Refused::InvalidCertificate)?;
        let shared = crypto::agree(&self.pdh, &owner).ok_or(Refused::InvalidCertificate)?;
        let (nonce, rest) = start.session.split_at(16);
        let (wrapped, rest) = rest.split_at(32);
        let (iv, rest) = rest.split_at(16);
        let (key_mac, policy_mac) = rest.split_at(32);
        let master = crypto::derive(&shared, "sev-master-secret", nonce);
        let integrity = crypto::derive(&*master, "sev-kik", &[]);
        if !cose::equal(&hmac_sha256(&*integrity, wrapped), key_mac) {
            return Err(Refused::BadMeasurement);
        }
        let encryption = crypto::derive(&*master, "sev-kek", &[]);
        let keys = crypto::crypt(&encryption, iv, wrapped).ok_or(Refused::BadMeasurement)?;
        let (tek, tik) = keys.split_at(16);
        if !cose::equal(&hmac_sha256(tik, &start.policy.to_le_bytes()), policy_mac) {
            return Err(Refused::BadMeasurement);
        }
        let array = |key: &[u8]| key.try_into().map(Zeroizing::new);
        let (Ok(tek), Ok(tik)) = (array(tek), array(tik)) else {
            return Err(Refused::BadMeasurement);
        };
        let (policy, misbehaviour) = (start.policy, self.misbehaviour);
        let digest = Vec::new();
        Ok(Guest { tek, tik, policy, misbehaviour, digest, measured: None, injected: false })
    }
}

impl Guest {
    /// LAUNCH_UPDATE_DATA and LAUNCH_UPDATE_VMSA: more of what the guest starts with.
    pub fn update(&mut self, contents: &[u8]) -> Result<(), Refused> {
        if self.measured.is_some() {
            return Err(Refused::InvalidState);
        }
        self.digest.extend_from_slice(contents);
        Ok(())
    }

    /// LAUNCH_MEASURE.
    //= EV-SEV-4: HMAC by TIK over version, policy, digest and nonce
    pub fn measure(&mut self) -> Result<Measured, Error> {
        if let Some(measured) = &self.measured {
            return Ok(measured.clone());
        }
        let mut nonce = [0; 16];
        rand::fill(&mut nonce).map_err(|_| Error::Crypto("give random bytes"))?;
        let mut digest = sha256(&self.digest);
        if self.misbehaviour == Misbehaviour::WrongMeasurement {
            digest[0] ^= 0xff;
        }
        let policy = match self.misbehaviour {
            Misbehaviour::Debug => self.policy & !NODBG,
            _ => self.policy,
        };
        let firmware = firmware(self.misbehaviour);
        let message = [&[4][..], &firmware, &policy.to_le_bytes(), &digest, &nonce].concat();
        let mac = match self.misbehaviour {
            Misbehaviour::OtherKey => hmac_sha256(&[0x5a; 16], &message),
            _ => hmac_sha256(&*self.tik, &message),
        };
        // What the guest shows is the nonce of another launch.
        if matches!(self.misbehaviour, Misbehaviour::Replay | Misbehaviour::WrongReportData) {
            nonce[0] ^= 0xff;
        }
        Ok(self.measured.insert(Measured { firmware, policy, digest, mac, nonce }).clone())
    }

    /// LAUNCH_SECRET: what lands in the guest's memory, once.
    //= EV-SEV-6: the secret packet and its HMAC
    pub fn inject(&mut self, header: &[u8; 52], ciphertext: &[u8]) -> Result<Vec<u8>, Refused> {
        let measured = self.measured.as_ref().ok_or(Refused::InvalidState)?;
        if self.injected {
            return Err(Refused::InvalidState);
        }
        let (flags, rest) = header.split_at(4);
        let (iv, mac) = rest.split_at(16);
        let length = u32::try_from(ciphertext.len()).map_err(|_| Refused::BadMeasurement)?;
        let length = length.to_le_bytes();
        let parts: [&[u8]; 7] = [&[1], flags, iv, &length, &length, ciphertext, &measured.mac];
        if !cose::equal(&hmac_sha256(&*self.tik, &parts.concat()), mac) {
            return Err(Refused::BadMeasurement);
        }
        self.injected = true;
        crypto::crypt(&self.tek, iv, ciphertext).ok_or(Refused::BadMeasurement)
    }
}

/// The version of the firmware: API major, API minor, build.
const fn firmware(misbehaviour: Misbehaviour) -> [u8; 3] {
    match misbehaviour {
        Misbehaviour::TcbOutOfDate => [1, 49, 3],
        _ => FIRMWARE,
    }
}

/// What the emulated platforms run: what a policy should ask for.
pub const FIRMWARE: [u8; 3] = [1, 55, 21];
const NODBG: u32 = 1;

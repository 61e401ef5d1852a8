//! Arm CCA: a realm on an emulated platform, tokens in the profiles of 2023 or in the legacy ones.

mod measurement;
mod token;

use std::path::{Path, PathBuf};

use aws_lc_rs::digest::SHA256;
use device::Failure;
use device::tee::{Description, Quote, REPORT_DATA_BYTES, SealingKey};
use jiff::Timestamp;

use crate::Error;
use crate::disk::{self, Access};
use crate::family::arm::{enrolment, lifecycle};
use crate::family::registers::Registers;
use crate::family::{Family, describe, evidence};
use crate::fuses::Fuses;
use crate::key::P384Key;
use crate::misbehaviour::Misbehaviour;

pub use measurement::{Measurement, Platform};
pub use token::Profile;

use token::{PlatformToken, RealmToken};

/// The media type of the hardware layer in the Agent's evidence.
pub const MEDIA_TYPE: &str = "application/vnd.tamarack.cca-token+cbor";

/// An emulated CCA platform with one program running as a realm.
pub struct Machine {
    dir: PathBuf,
    profile: Profile,
    fuses: Fuses,
    measurement: Measurement,
    misbehaviour: Misbehaviour,
    /// The platform's key: CPAK.
    platform_key: P384Key,
    /// The realm's key, RAK, which is new at each start.
    realm_key: P384Key,
    registers: Registers,
}

impl Machine {
    /// Starts a program with this measurement on the device whose state is in `state_dir`, which
    /// is enrolled with its maker in `vendor_dir`.
    pub fn start(
        vendor_dir: &Path,
        state_dir: &Path,
        profile: Profile,
        measurement: Measurement,
        misbehaviour: Misbehaviour,
    ) -> Result<Self, Error> {
        let fuses = Fuses::open(state_dir)?;
        let dir = state_dir.join("cca");
        disk::create_dir(&dir, Access::Private)?;
        let mut platform_key = fuses.p384_key("cca cpak", &[])?;
        let spki = platform_key.spki();
        enrolment::enrol(vendor_dir, "cca", enrolment::instance_id(&spki), &spki)?;
        let mut measurement = measurement;
        measurement.platform = Platform::current(misbehaviour);
        match misbehaviour {
            Misbehaviour::ForeignRoot => platform_key = fuses.p384_key("cca foreign cpak", &[])?,
            Misbehaviour::WrongMeasurement => measurement.rim[0] ^= 0xff,
            _ => {}
        }
        let registers = Registers::new(&SHA256, 32, 64);
        let realm_key = P384Key::generate()?;
        Ok(Self {
            dir,
            profile,
            fuses,
            measurement,
            misbehaviour,
            platform_key,
            realm_key,
            registers,
        })
    }

    /// Does what the realm management monitor does with the platform's root of trust: the one
    /// signs what it knows of the realm, the other vouches for its key.
    fn sign(&self, report_data: [u8; REPORT_DATA_BYTES]) -> Result<Vec<u8>, Error> {
        let has_other_key = self.misbehaviour == Misbehaviour::OtherKey;
        let other_key = if has_other_key { Some(P384Key::generate()?) } else { None };
        let realm = RealmToken {
            profile: self.profile,
            challenge: &report_data,
            measurement: &self.measurement,
            registers: self.registers.values(),
            key: other_key.as_ref().unwrap_or(&self.realm_key),
        };
        let platform = PlatformToken {
            profile: self.profile,
            realm_key: &self.realm_key,
            lifecycle: lifecycle(self.misbehaviour),
            platform: &self.measurement.platform,
            key: &self.platform_key,
        };
        token::encode(&platform, &realm)
    }
}

impl Family for Machine {
    fn quote(
        &mut self,
        _: Timestamp,
        report_data: &[u8; REPORT_DATA_BYTES],
    ) -> Result<Quote, Error> {
        let sign = |report_data| self.sign(report_data);
        evidence::quote(&self.dir, self.misbehaviour, MEDIA_TYPE, report_data, sign)
    }

    /// CCA itself has no such key yet; the emulated platform derives one as SGX does.
    fn sealing_key(&self, label: &str) -> SealingKey {
        let lifecycle = lifecycle(self.misbehaviour).to_be_bytes();
        let identity = [self.measurement.rim.as_slice(), &lifecycle].concat();
        self.fuses.sealing_key(&identity, label)
    }

    fn describe(&self) -> Description {
        describe(&self.fuses, "CCA", "Tamarack emulated CCA")
    }

    fn extend(&mut self, index: u64, digest: &[u8]) -> Result<(), Failure> {
        self.registers.extend(index, digest)
    }

    fn read(&self, index: u64) -> Result<Vec<u8>, Failure> {
        self.registers.read(index)
    }
}

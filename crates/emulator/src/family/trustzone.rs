//! Arm TrustZone: a secure partition on an emulated device, tokens of the PSA profile of RFC 9783.

use std::path::{Path, PathBuf};

use aws_lc_rs::rand;
use cose::cbor::MapWriter;
use device::tee::{Description, Quote, REPORT_DATA_BYTES, SealingKey};
use jiff::Timestamp;
use serde::Serialize;

use crate::Error;
use crate::disk::{self, Access};
use crate::family::arm::{CURRENT, Component, enrolment, lifecycle, token, version};
use crate::family::{Family, describe, evidence};
use crate::fuses::Fuses;
use crate::key::{SigningKey, sha256};
use crate::misbehaviour::Misbehaviour;

/// The media type of the hardware layer in the Agent's evidence.
pub const MEDIA_TYPE: &str = "application/vnd.tamarack.psa-token+cbor";

/// The identity of a program and its settings, on a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Measurement {
    /// The immutable root of trust.
    #[serde(serialize_with = "hex::serialize")]
    pub implementation_id: [u8; 32],
    /// Firmware, then the program (`ARoT`) and the settings (`CONFIG`), each by its SHA-256.
    pub components: Vec<Component>,
}

impl Measurement {
    /// Measures a program and its settings on a device that is up to date.
    pub fn of(program: &[u8], settings: &[u8]) -> Result<Self, Error> {
        if program.is_empty() {
            return Err(Error::EmptyProgram);
        }
        Ok(Self {
            implementation_id: sha256(b"tamarack emulated PSA device"),
            components: vec![
                Component::firmware("BL", CURRENT),
                Component::firmware("PRoT", CURRENT),
                Component::owned("ARoT", sha256(program)),
                Component::owned("CONFIG", sha256(settings)),
            ],
        })
    }

    /// Changes what is measured as the misbehaviour asks.
    fn misbehave(&mut self, misbehaviour: Misbehaviour) {
        for component in &mut self.components {
            match (component.kind, misbehaviour) {
                ("PRoT", Misbehaviour::TcbOutOfDate) => {
                    *component = Component::firmware("PRoT", version(misbehaviour));
                }
                ("ARoT", Misbehaviour::WrongMeasurement) => component.measurement[0] ^= 0xff,
                _ => {}
            }
        }
    }
}

/// An emulated device with one program running as a secure partition.
pub struct Machine {
    dir: PathBuf,
    fuses: Fuses,
    measurement: Measurement,
    misbehaviour: Misbehaviour,
    /// The device's key: IAK.
    key: SigningKey,
    boot_seed: [u8; 32],
}

impl Machine {
    /// Starts a program with this measurement on the device whose state is in `state_dir`, which
    /// is enrolled with its maker in `vendor_dir`.
    pub fn start(
        vendor_dir: &Path,
        state_dir: &Path,
        measurement: Measurement,
        misbehaviour: Misbehaviour,
    ) -> Result<Self, Error> {
        let fuses = Fuses::open(state_dir)?;
        let dir = state_dir.join("trustzone");
        disk::create_dir(&dir, Access::Private)?;
        let mut key = fuses.signing_key("psa iak")?;
        let spki = key.spki();
        enrolment::enrol(vendor_dir, "trustzone", enrolment::instance_id(&spki), &spki)?;
        if misbehaviour == Misbehaviour::ForeignRoot {
            key = fuses.signing_key("psa foreign iak")?;
        }
        let mut measurement = measurement;
        measurement.misbehave(misbehaviour);
        let mut boot_seed = [0; 32];
        rand::fill(&mut boot_seed).map_err(|_| Error::Crypto("give random bytes"))?;
        Ok(Self { dir, fuses, measurement, misbehaviour, key, boot_seed })
    }

    fn sign(&self, report_data: [u8; REPORT_DATA_BYTES]) -> Result<Vec<u8>, Error> {
        let claims = self.claims(&report_data);
        match self.misbehaviour {
            Misbehaviour::OtherKey => token::sign(&SigningKey::generate()?, &claims),
            _ => token::sign(&self.key, &claims),
        }
    }

    /// ```cddl
    /// psa-token-claims = {
    ///   10 => nonce bstr .size 64, 256 => instance-id bstr .size 33, 265 => profile tstr,
    ///   2394 => client-id int, 2395 => lifecycle uint, 2396 => implementation-id bstr .size 32,
    ///   2397 => boot-seed bstr, 2399 => [ + software-component ],
    ///   2400 => verification-service tstr
    /// }
    /// ```
    fn claims(&self, nonce: &[u8]) -> Vec<u8> {
        let instance = enrolment::instance_id(&self.key.spki());
        let components = &self.measurement.components;
        let mut claims = MapWriter::new();
        claims.put(10, |e| e.bytes(nonce)?.ok());
        claims.put(256, |e| e.bytes(&instance)?.ok());
        claims.put(265, |e| e.str("tag:psacertified.org,2023:psa#tfm")?.ok());
        claims.put(2394, |e| e.i64(SECURE_PARTITION)?.ok());
        claims.put(2395, |e| e.u64(lifecycle(self.misbehaviour))?.ok());
        claims.put(2396, |e| e.bytes(&self.measurement.implementation_id)?.ok());
        claims.put(2397, |e| e.bytes(&self.boot_seed)?.ok());
        claims.put(2399, |e| {
            e.array(components.len() as u64)?;
            components.iter().for_each(|one| e.writer_mut().extend(one.encode()));
            e.ok()
        });
        claims.put(2400, |e| e.str("https://vendor.invalid/psa")?.ok());
        claims.finish()
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

    fn sealing_key(&self, label: &str) -> SealingKey {
        let lifecycle = lifecycle(self.misbehaviour).to_be_bytes();
        let program = self.measurement.components.iter().find(|one| one.kind == "ARoT");
        let program = program.map(|one| one.measurement).unwrap_or_default();
        self.fuses.sealing_key(&[program.as_slice(), &lifecycle].concat(), label)
    }

    fn describe(&self) -> Description {
        describe(&self.fuses, "TrustZone", "Tamarack emulated PSA")
    }
}

/// The client id of the secure partition that asks for tokens.
const SECURE_PARTITION: i64 = 1;

//! OP-TEE: a trusted application that asks the attestation PTA for the digest of its memory.
//!
//! The PTA's key has no certificate: a Verifier knows it because the device was enrolled.

use std::path::{Path, PathBuf};

use aws_lc_rs::rsa::KeySize;
use cose::cbor::encode;
use device::tee::{Description, Quote, REPORT_DATA_BYTES, SealingKey};
use jiff::Timestamp;
use serde::Serialize;

use crate::Error;
use crate::disk::{self, Access};
use crate::family::arm::enrolment;
use crate::family::{Family, describe, evidence};
use crate::fuses::Fuses;
use crate::key::{RsaKey, sha256};
use crate::misbehaviour::Misbehaviour;

/// The media type of the hardware layer in the Agent's evidence.
pub const MEDIA_TYPE: &str = "application/vnd.tamarack.trustzone-report+cbor";

/// The identity of a program and its settings, as a reference value spells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Measurement {
    /// Which application.
    pub ta: &'static str,
    /// The PTA's command.
    pub command: &'static str,
    /// SHA-256 over the digests of the program and of its settings.
    #[serde(serialize_with = "hex::serialize")]
    pub digest: [u8; 32],
}

impl Measurement {
    /// Measures a program and its settings.
    pub fn of(program: &[u8], settings: &[u8]) -> Result<Self, Error> {
        if program.is_empty() {
            return Err(Error::EmptyProgram);
        }
        let digest = sha256(&[sha256(program), sha256(settings)].concat());
        Ok(Self { ta: "54616d61-7261-436b-8f01-4f5054454521", command: "ta-memory", digest })
    }
}

/// An emulated device with one program running as a trusted application.
pub struct Machine {
    dir: PathBuf,
    fuses: Fuses,
    digest: [u8; 32],
    misbehaviour: Misbehaviour,
    key: RsaKey,
    /// What the device was enrolled as.
    device: [u8; 33],
}

impl Machine {
    /// Starts a program with this measurement on the device whose state is in `state_dir`, which
    /// is enrolled in `vendor_dir`.
    pub fn start(
        vendor_dir: &Path,
        state_dir: &Path,
        measurement: &Measurement,
        misbehaviour: Misbehaviour,
    ) -> Result<Self, Error> {
        let fuses = Fuses::open(state_dir)?;
        let dir = state_dir.join("optee");
        disk::create_dir(&dir, Access::Private)?;
        let key = |name: &str| {
            RsaKey::load_or_create_sized(&dir.join(format!("{name}.pk8")), KeySize::Rsa3072)
        };
        let enrolled = key("pta")?;
        let device = enrolment::instance_id(enrolled.spki());
        enrolment::enrol(vendor_dir, "trustzone-optee", device, enrolled.spki())?;
        let key = match misbehaviour {
            Misbehaviour::ForeignRoot | Misbehaviour::OtherKey => key("other")?,
            _ => enrolled,
        };
        // Another device is one that nobody enrolled.
        let device = match misbehaviour {
            Misbehaviour::ForeignRoot => enrolment::instance_id(key.spki()),
            _ => device,
        };
        let mut digest = measurement.digest;
        if misbehaviour == Misbehaviour::WrongMeasurement {
            digest[0] ^= 0xff;
        }
        Ok(Self { dir, fuses, digest, misbehaviour, key, device })
    }

    /// `[format, device, ta, command, challenge, digest and signature]`
    fn evidence(&self, challenge: [u8; REPORT_DATA_BYTES]) -> Result<Vec<u8>, Error> {
        let command = TA_MEMORY.to_be_bytes();
        //= EV-OT-2: the nonce is SHA-256(challenge ‖ TA uuid ‖ command)
        let nonce = sha256(&[&challenge[..], &UUID, &command].concat());
        let signature = self.key.sign_pss_sha256(&[nonce, self.digest].concat())?;
        let output = [&self.digest[..], &signature].concat();
        Ok(encode(|e| {
            e.array(6)?.str("tamarack-optee-1")?.bytes(&self.device)?.bytes(&UUID)?;
            e.u32(TA_MEMORY)?.bytes(&challenge)?.bytes(&output)?.ok()
        }))
    }
}

impl Family for Machine {
    fn quote(
        &mut self,
        _: Timestamp,
        report_data: &[u8; REPORT_DATA_BYTES],
    ) -> Result<Quote, Error> {
        let sign = |report_data| self.evidence(report_data);
        evidence::quote(&self.dir, self.misbehaviour, MEDIA_TYPE, report_data, sign)
    }

    fn sealing_key(&self, label: &str) -> SealingKey {
        self.fuses.sealing_key(&self.digest, label)
    }

    fn describe(&self) -> Description {
        describe(&self.fuses, "TrustZone", "Tamarack emulated OP-TEE")
    }
}

/// HASH_TA_MEMORY: the read-only memory of the application that asks.
const TA_MEMORY: u32 = 2;
/// 54616d61-7261-436b-8f01-4f5054454521
const UUID: [u8; 16] = *b"Tamara\x43\x6b\x8f\x01OPTEE!";

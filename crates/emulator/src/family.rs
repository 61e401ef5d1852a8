//! The hardware families: what differs between them, behind one small trait.

pub mod arm;
pub mod cca;
mod evidence;
pub mod intel;
pub mod itrustee;
pub mod optee;
mod registers;
pub mod sev;
pub mod sgx;
pub mod snp;
pub mod tdx;
pub mod trustzone;

use std::path::Path;

use device::Failure;
use device::FailureCode;
use device::tee::{Description, Quote, REPORT_DATA_BYTES, SealingKey};
use jiff::Timestamp;
use serde_json::Value;

use crate::fuses::Fuses;
use crate::vm::{Architecture, Image};
use crate::{Error, Misbehaviour};

/// A device of one hardware family, with one program running in it.
pub trait Family: Send {
    /// Makes evidence over these bytes of the program.
    fn quote(
        &mut self,
        now: Timestamp,
        report_data: &[u8; REPORT_DATA_BYTES],
    ) -> Result<Quote, Error>;

    /// Derives the key of this program on this device for a label.
    fn sealing_key(&self, label: &str) -> SealingKey;

    /// Says what the device is.
    fn describe(&self) -> Description;

    /// Extends a measurement register.
    fn extend(&mut self, _index: u64, _digest: &[u8]) -> Result<(), Failure> {
        Err(no_registers())
    }

    /// Reads a measurement register.
    fn read(&self, _index: u64) -> Result<Vec<u8>, Failure> {
        Err(no_registers())
    }
}

/// The families that are emulated, by generation where the evidence differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum FamilyName {
    /// Arm CCA, profiles of 2023.
    Cca,
    /// Arm CCA, legacy profiles.
    CcaLegacy,
    /// AMD SEV-ES, attested by its owner at launch.
    Sev,
    /// AMD SEV-SNP on Genoa, report version 3.
    SevSnp,
    /// AMD SEV-SNP on Turin, report version 5.
    SevSnpTurin,
    /// Intel SGX, quote version 3.
    Sgx,
    /// Intel TDX 1.0, quote version 4.
    Tdx,
    /// Intel TDX 1.5, quote version 5.
    #[value(name = "tdx-1.5")]
    Tdx15,
    /// Arm TrustZone, PSA token of RFC 9783.
    #[value(name = "trustzone")]
    TrustZone,
    /// Arm TrustZone, report of Kunpeng iTrustee.
    #[value(name = "trustzone-itrustee")]
    TrustZoneItrustee,
    /// Arm TrustZone, digest of OP-TEE's attestation PTA.
    #[value(name = "trustzone-optee")]
    TrustZoneOptee,
}

/// What a device starts with.
#[derive(Clone, Copy)]
pub struct Start<'a> {
    /// The vendor, which is made if absent.
    pub vendor_dir: &'a Path,
    /// The device's own state.
    pub state_dir: &'a Path,
    /// What runs inside.
    pub software: Software<'a>,
    /// The settings that are measured with it.
    pub settings: &'a [u8],
    /// What is wrong with the device.
    pub misbehaviour: Misbehaviour,
    /// When it starts.
    pub now: Timestamp,
}

/// What runs inside a device.
#[derive(Clone, Copy, Debug)]
pub enum Software<'a> {
    /// One program's file.
    Program(&'a [u8]),
    /// A virtual machine.
    Machine(&'a Image),
}

impl FamilyName {
    /// Measures software and its settings; the members are named as in the family's evidence.
    pub fn measure(self, software: Software<'_>, settings: &[u8]) -> Result<Value, Error> {
        self.fits(software)?;
        let measured = match self {
            Self::Cca | Self::CcaLegacy => serde_json::to_value(measure_cca(software, settings)?),
            Self::Sev => Ok(measure_sev(software, settings)?),
            Self::SevSnp | Self::SevSnpTurin => {
                serde_json::to_value(measure_snp(software, settings)?)
            }
            Self::Sgx => serde_json::to_value(measure_sgx(software, settings)?),
            Self::Tdx | Self::Tdx15 => serde_json::to_value(measure_tdx(software, settings)?),
            Self::TrustZone => serde_json::to_value(measure_trustzone(software, settings)?),
            Self::TrustZoneItrustee => {
                let measured = itrustee::Measurement::of(program_of(software)?, settings)?;
                Ok(reference("itrustee", serde_json::to_value(measured)))
            }
            Self::TrustZoneOptee => {
                let measured = optee::Measurement::of(program_of(software)?, settings)?;
                Ok(reference("optee", serde_json::to_value(measured)))
            }
        };
        Ok(measured.expect("measurements have text keys only"))
    }

    /// Says why a device of the family cannot run this software, if it cannot.
    pub fn fits(self, software: Software<'_>) -> Result<(), Error> {
        let (family, expected) = match self {
            Self::Sgx => ("SGX", None),
            Self::TrustZone | Self::TrustZoneItrustee | Self::TrustZoneOptee => ("TrustZone", None),
            Self::Cca | Self::CcaLegacy => ("CCA", Some(Architecture::Aarch64)),
            Self::Sev if matches!(software, Software::Program(_)) => {
                return Err(Error::OnlyVm { family: "SEV" });
            }
            Self::Sev => ("SEV", Some(Architecture::X8664)),
            Self::SevSnp | Self::SevSnpTurin => ("SEV-SNP", Some(Architecture::X8664)),
            Self::Tdx | Self::Tdx15 => ("TDX", Some(Architecture::X8664)),
        };
        match (software, expected) {
            (Software::Machine(_), None) => Err(Error::NoVm { family }),
            (Software::Machine(image), Some(expected)) if image.architecture != expected => {
                let (expected, seen) = (expected.name(), image.architecture.name());
                Err(Error::WrongImage { family, expected, seen })
            }
            _ => Ok(()),
        }
    }

    /// Says why a misbehaviour makes no sense for the family, if it does not.
    pub fn can_misbehave(self, misbehaviour: Misbehaviour) -> Result<(), Error> {
        let why = match (self, misbehaviour) {
            (
                Self::Cca | Self::CcaLegacy | Self::TrustZone | Self::TrustZoneOptee,
                Misbehaviour::Revoked,
            ) => Some(
                "these devices have no revocation list; a Verifier ends its trust in one by \
                 removing its key from the anchors",
            ),
            (Self::TrustZoneItrustee | Self::TrustZoneOptee, Misbehaviour::Debug) => {
                Some("this format tells neither debugging nor a life cycle")
            }
            (Self::TrustZoneOptee, Misbehaviour::TcbOutOfDate) => {
                Some("the attestation PTA signs no version of anything")
            }
            _ => None,
        };
        match why {
            Some(why) => Err(Error::Senseless { misbehaviour: misbehaviour.name(), why }),
            None => Ok(()),
        }
    }

    /// Starts a device of the family with a program in it.
    pub fn start(self, start: Start<'_>) -> Result<Box<dyn Family>, Error> {
        let Start { vendor_dir, state_dir, software, settings, misbehaviour, now } = start;
        self.can_misbehave(misbehaviour)?;
        self.fits(software)?;
        let cca = |profile| {
            let measurement = measure_cca(software, settings)?;
            cca::Machine::start(vendor_dir, state_dir, profile, measurement, misbehaviour)
        };
        let snp = |product| {
            let measurement = measure_snp(software, settings)?;
            snp::Machine::start(vendor_dir, state_dir, product, measurement, misbehaviour, now)
        };
        let tdx = |generation| {
            let measurement = measure_tdx(software, settings)?;
            tdx::Machine::start(vendor_dir, state_dir, generation, measurement, misbehaviour, now)
        };
        Ok(match self {
            Self::Sev => return Err(Error::NoOwner),
            Self::Cca => Box::new(cca(cca::Profile::Tag2023)?),
            Self::CcaLegacy => Box::new(cca(cca::Profile::Legacy)?),
            Self::SevSnp => Box::new(snp(snp::Product::Genoa)?),
            Self::SevSnpTurin => Box::new(snp(snp::Product::Turin)?),
            Self::Sgx => {
                let measurement = measure_sgx(software, settings)?;
                let machine =
                    sgx::Machine::start(vendor_dir, state_dir, measurement, misbehaviour, now);
                Box::new(machine?)
            }
            Self::Tdx => Box::new(tdx(tdx::Generation::Td10)?),
            Self::Tdx15 => Box::new(tdx(tdx::Generation::Td15)?),
            Self::TrustZone => {
                let measurement = measure_trustzone(software, settings)?;
                let machine =
                    trustzone::Machine::start(vendor_dir, state_dir, measurement, misbehaviour);
                Box::new(machine?)
            }
            Self::TrustZoneItrustee => {
                let measurement = itrustee::Measurement::of(program_of(software)?, settings)?;
                let machine =
                    itrustee::Machine::start(vendor_dir, state_dir, measurement, misbehaviour, now);
                Box::new(machine?)
            }
            Self::TrustZoneOptee => {
                let measurement = optee::Measurement::of(program_of(software)?, settings)?;
                let machine =
                    optee::Machine::start(vendor_dir, state_dir, &measurement, misbehaviour);
                Box::new(machine?)
            }
        })
    }
}

fn measure_cca(software: Software<'_>, settings: &[u8]) -> Result<cca::Measurement, Error> {
    match software {
        Software::Machine(image) => cca::Measurement::of_machine(image, settings),
        Software::Program(program) => cca::Measurement::of(program, settings),
    }
}

fn measure_snp(software: Software<'_>, settings: &[u8]) -> Result<snp::Measurement, Error> {
    match software {
        Software::Machine(image) => snp::Measurement::of_machine(image, settings),
        Software::Program(program) => snp::Measurement::of(program, settings),
    }
}

fn measure_sev(software: Software<'_>, settings: &[u8]) -> Result<Value, Error> {
    let Software::Machine(image) = software else {
        return Err(Error::OnlyVm { family: "SEV" });
    };
    let launch_digest = hex::encode(sev::launch_digest(&image.with_settings(settings))?);
    let reference = serde_json::json!({ "name": "tamarack-agent", "launch_digest": launch_digest });
    Ok(serde_json::json!({ "sev": [reference] }))
}

fn measure_tdx(software: Software<'_>, settings: &[u8]) -> Result<tdx::Measurement, Error> {
    match software {
        Software::Machine(image) => tdx::Measurement::of_machine(image, settings),
        Software::Program(program) => tdx::Measurement::of(program, settings),
    }
}

fn measure_sgx(software: Software<'_>, settings: &[u8]) -> Result<sgx::Measurement, Error> {
    match software {
        Software::Machine(_) => Err(Error::NoVm { family: "SGX" }),
        Software::Program(program) => sgx::Measurement::of(program, settings),
    }
}

fn measure_trustzone(
    software: Software<'_>,
    settings: &[u8],
) -> Result<trustzone::Measurement, Error> {
    trustzone::Measurement::of(program_of(software)?, settings)
}

/// The software of a TrustZone device, which is no virtual machine.
fn program_of(software: Software<'_>) -> Result<&[u8], Error> {
    match software {
        Software::Machine(_) => Err(Error::NoVm { family: "TrustZone" }),
        Software::Program(program) => Ok(program),
    }
}

/// A measurement as the reference value of one format of TrustZone.
fn reference(format: &str, measured: serde_json::Result<Value>) -> Value {
    let measured = measured.expect("measurements have text keys only");
    serde_json::json!({ "trustzone": [{ "name": "tamarack-agent", (format): measured }] })
}

/// EAT claim 258 of every emulated device: 16 bytes, type RAND.
/// What a device of the emulator says of itself.
pub(crate) fn describe(fuses: &Fuses, family: &str, hwmodel: &str) -> Description {
    Description {
        family: family.to_owned(),
        hwmodel: hwmodel.into(),
        hwversion: "1".to_owned(),
        oemid: OEM_ID.to_vec(),
        ueid: fuses.ueid().to_vec(),
        interface: "emulator".to_owned(),
    }
}

const OEM_ID: [u8; 16] = *b"Tamarack Emulati";

fn no_registers() -> Failure {
    Failure::new(FailureCode::Unsupported, "this hardware has no measurement registers")
}

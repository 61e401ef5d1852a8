//! Intel TDX: a trust domain on an emulated platform, as TD 1.0 in quotes of version 4 or as
//! TD 1.5 in quotes of version 5.

mod measurement;
mod report;

use std::path::Path;

use aws_lc_rs::digest::SHA384;
use device::Failure;
use device::tee::{Description, Quote, REPORT_DATA_BYTES, SealingKey};
use jiff::Timestamp;

use crate::Error;
use crate::family::intel::Host;
use crate::family::intel::quote::Body;
use crate::family::registers::Registers;
use crate::family::{Family, describe};
use crate::misbehaviour::Misbehaviour;

pub use measurement::Measurement;

use report::{Attributes, Report};

/// The media type of the hardware layer in the Agent's evidence.
pub const MEDIA_TYPE: &str = "application/vnd.tamarack.tdx-quote+cbor";

/// Which generation of the TDX module runs the domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// TD 1.0: quote version 4.
    Td10,
    /// TD 1.5: quote version 5.
    Td15,
}

/// An emulated TDX platform with one program running as a trust domain.
pub struct Machine {
    host: Host,
    generation: Generation,
    measurement: Measurement,
    registers: Registers,
}

impl Machine {
    /// Starts a program with this measurement on the device whose state is in `state_dir`.
    ///
    /// The device's certificate comes from the vendor in `vendor_dir`, which is made if absent.
    pub fn start(
        vendor_dir: &Path,
        state_dir: &Path,
        generation: Generation,
        measurement: Measurement,
        misbehaviour: Misbehaviour,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let host = Host::start(vendor_dir, state_dir, "tdx", misbehaviour, now)?;
        let mut measurement = measurement;
        if misbehaviour == Misbehaviour::WrongMeasurement {
            measurement.mrtd[0] ^= 0xff;
        }
        let mut registers = Registers::new(&SHA384, 48, 48);
        for (index, value) in [(1, measurement.rtmr1), (2, measurement.rtmr2)] {
            value.into_iter().for_each(|value| registers.start_at(index, &value));
        }
        Ok(Self { host, generation, measurement, registers })
    }

    fn attributes(&self) -> Attributes {
        Attributes::domain(self.host.debug())
    }

    fn report(&self) -> Report {
        let register = |value: &Vec<u8>| value.as_slice().try_into();
        let registers = self.registers.values().each_ref().map(register);
        Report {
            tee_tcb_svn: self.host.tcb.tee_tcb_svn,
            attributes: self.attributes(),
            mrtd: self.measurement.mrtd,
            mrconfigid: self.measurement.mrconfigid,
            rtmrs: registers.map(|register| register.expect("SHA-384 has 48 bytes")),
            report_data: [0; REPORT_DATA_BYTES],
        }
    }
}

impl Family for Machine {
    fn quote(
        &mut self,
        now: Timestamp,
        report_data: &[u8; REPORT_DATA_BYTES],
    ) -> Result<Quote, Error> {
        let (report, generation) = (self.report(), self.generation);
        let evidence = self.host.evidence(now, report_data, |quoting, report_data| {
            let report = Report { report_data, ..report };
            match generation {
                Generation::Td10 => quoting.quote(Body::Domain10(&report.to_td10())),
                Generation::Td15 => quoting.quote(Body::Domain15(&report.to_td15())),
            }
        })?;
        Ok(Quote { media_type: MEDIA_TYPE.to_owned(), evidence, aux: None })
    }

    /// TDX itself has no such key; the emulated platform derives one as SGX does.
    fn sealing_key(&self, label: &str) -> SealingKey {
        let attributes = self.attributes().to_bytes();
        let identity = [self.measurement.identity().as_slice(), &attributes].concat();
        self.host.fuses.sealing_key(&identity, label)
    }

    fn describe(&self) -> Description {
        Description {
            hwversion: match self.generation {
                Generation::Td10 => "1.0".to_owned(),
                Generation::Td15 => "1.5".to_owned(),
            },
            ..describe(&self.host.fuses, "TDX", "Tamarack emulated TDX")
        }
    }

    fn extend(&mut self, index: u64, digest: &[u8]) -> Result<(), Failure> {
        self.registers.extend(index, digest)
    }

    fn read(&self, index: u64) -> Result<Vec<u8>, Failure> {
        self.registers.read(index)
    }
}

#[cfg(test)]
mod tests;

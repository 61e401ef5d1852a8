//! Intel SGX: an enclave on an emulated platform, quote version 3.

mod measurement;

use std::path::Path;

use device::tee::{Description, Quote, REPORT_DATA_BYTES, SealingKey};
use jiff::Timestamp;

use crate::Error;
use crate::family::intel::Host;
use crate::family::intel::quote::{Attributes, Body, ReportBody};
use crate::family::{Family, describe};
use crate::misbehaviour::Misbehaviour;

pub use crate::family::intel::{Freshness, Vendor};
pub use measurement::Measurement;

/// The media type of the hardware layer in the Agent's evidence.
pub const MEDIA_TYPE: &str = "application/vnd.tamarack.sgx-quote+cbor";

/// An emulated SGX platform with one program running in it.
pub struct Machine {
    host: Host,
    measurement: Measurement,
}

impl Machine {
    /// Starts a program with this measurement on the device whose state is in `state_dir`.
    ///
    /// The device's certificate comes from the vendor in `vendor_dir`, which is made if absent.
    pub fn start(
        vendor_dir: &Path,
        state_dir: &Path,
        measurement: Measurement,
        misbehaviour: Misbehaviour,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let host = Host::start(vendor_dir, state_dir, "sgx", misbehaviour, now)?;
        let mut measurement = measurement;
        if misbehaviour == Misbehaviour::WrongMeasurement {
            measurement.mrenclave[0] ^= 0xff;
        }
        Ok(Self { host, measurement })
    }

    fn attributes(&self) -> Attributes {
        Attributes::program(self.host.debug())
    }

    fn report(&self) -> ReportBody {
        ReportBody {
            cpu_svn: self.host.tcb.components,
            attributes: self.attributes(),
            mrenclave: self.measurement.mrenclave,
            mrsigner: self.measurement.mrsigner,
            config_id: self.measurement.config_id,
            isv_prod_id: self.measurement.isv_prod_id,
            isv_svn: self.measurement.isv_svn,
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
        let report = self.report();
        let evidence = self.host.evidence(now, report_data, |quoting, report_data| {
            let report = ReportBody { report_data, ..report };
            quoting.quote(Body::Enclave(&report.to_bytes()))
        })?;
        Ok(Quote { media_type: MEDIA_TYPE.to_owned(), evidence, aux: None })
    }

    fn sealing_key(&self, label: &str) -> SealingKey {
        let attributes = self.attributes().to_bytes();
        let identity = [self.measurement.mrenclave.as_slice(), &attributes].concat();
        self.host.fuses.sealing_key(&identity, label)
    }

    fn describe(&self) -> Description {
        describe(&self.host.fuses, "SGX", "Tamarack emulated SGX")
    }
}

#[cfg(test)]
mod tests;

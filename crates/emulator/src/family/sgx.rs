//! Intel SGX: an emulated platform with its quoting enclave, and the vendor behind it.

mod collateral;
mod measurement;
mod pck;
mod pki;
mod quote;
mod vendor;

use std::path::{Path, PathBuf};

use device::tee::{Description, Quote, REPORT_DATA_BYTES, SealingKey};
use jiff::Timestamp;

use crate::disk::{self, Access};
use crate::family::{Family, OEM_ID};
use crate::fuses::Fuses;
use crate::key::SigningKey;
use crate::misbehaviour::Misbehaviour;
use crate::{Error, pem};

pub use measurement::Measurement;
pub use vendor::{Freshness, Vendor};

use pck::{Platform, Tcb};
use quote::{Attributes, ReportBody};

/// The media type of the hardware layer in the Agent's evidence.
pub const MEDIA_TYPE: &str = "application/vnd.tamarack.sgx-quote+cbor";

/// An emulated SGX platform with one program running in it.
pub struct Machine {
    dir: PathBuf,
    vendor_dir: PathBuf,
    collateral_due: Timestamp,
    fuses: Fuses,
    platform: Platform,
    measurement: Measurement,
    misbehaviour: Misbehaviour,
    attestation_key: SigningKey,
    pck_key: SigningKey,
    pck_chain: String,
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
        let fuses = Fuses::open(state_dir)?;
        let dir = state_dir.join("sgx");
        disk::create_dir(&dir, Access::Private)?;
        let mut vendor = Vendor::open(vendor_dir, now)?;
        let foreign = if misbehaviour == Misbehaviour::ForeignRoot {
            Some(Vendor::open(&dir.join("foreign-vendor"), now)?)
        } else {
            None
        };

        let pck_key = fuses.signing_key("sgx pck key")?;
        let platform = Platform {
            ppid: fuses.identifier("sgx ppid"),
            instance: fuses.identifier("sgx platform instance"),
            tcb: if misbehaviour == Misbehaviour::TcbOutOfDate {
                Tcb::OUT_OF_DATE
            } else {
                Tcb::UP_TO_DATE
            },
        };
        let issuer = foreign.as_ref().unwrap_or(&vendor);
        let pck = issuer.pck_certificate(&dir, &pck_key, &platform, misbehaviour, now)?;
        let chain = [pck.der(), issuer.pck_ca(), issuer.root()];
        let pck_chain = pem::certificates(chain);
        if misbehaviour == Misbehaviour::Revoked {
            vendor.revoke(pck.serial(), now)?;
        }

        let mut measurement = measurement;
        if misbehaviour == Misbehaviour::WrongMeasurement {
            measurement.mrenclave[0] ^= 0xff;
        }
        Ok(Self {
            dir,
            vendor_dir: vendor_dir.to_owned(),
            collateral_due: vendor.collateral_due(),
            attestation_key: fuses.signing_key("sgx attestation key")?,
            fuses,
            platform,
            measurement,
            misbehaviour,
            pck_key,
            pck_chain,
        })
    }

    fn attributes(&self) -> Attributes {
        let debug = self.misbehaviour == Misbehaviour::Debug;
        Attributes::program(debug)
    }

    /// Does what the quoting enclave does: binds its attestation key, and signs.
    fn sign(&self, report_data: [u8; REPORT_DATA_BYTES]) -> Result<Vec<u8>, Error> {
        let body = ReportBody {
            cpu_svn: self.platform.tcb.components,
            attributes: self.attributes(),
            mrenclave: self.measurement.mrenclave,
            mrsigner: self.measurement.mrsigner,
            config_id: self.measurement.config_id,
            isv_prod_id: self.measurement.isv_prod_id,
            isv_svn: self.measurement.isv_svn,
            report_data,
        };
        let has_other_key = self.misbehaviour == Misbehaviour::OtherKey;
        let other_key = if has_other_key { Some(SigningKey::generate()?) } else { None };
        let quoting = quote::QuotingEnclave {
            id: self.fuses.identifier("sgx quoting enclave"),
            tcb: &self.platform.tcb,
            bound_key: &self.attestation_key,
            signing_key: other_key.as_ref().unwrap_or(&self.attestation_key),
            pck_key: &self.pck_key,
            pck_chain: &self.pck_chain,
        };
        quoting.quote(&body)
    }

    /// The quote that a replaying device gives: one made earlier.
    fn earlier(&self) -> Result<Vec<u8>, Error> {
        let path = self.dir.join(EARLIER);
        if let Some(quote) = disk::read_if_present(&path)? {
            return Ok(quote);
        }
        let quote = self.sign([0; REPORT_DATA_BYTES])?;
        disk::write(&path, &quote, Access::Private)?;
        Ok(quote)
    }
}

impl Family for Machine {
    fn quote(
        &mut self,
        now: Timestamp,
        report_data: &[u8; REPORT_DATA_BYTES],
    ) -> Result<Quote, Error> {
        if now >= self.collateral_due {
            self.collateral_due = Vendor::open(&self.vendor_dir, now)?.collateral_due();
        }
        let evidence = if self.misbehaviour == Misbehaviour::Replay {
            self.earlier()?
        } else {
            let mut report_data = *report_data;
            if self.misbehaviour == Misbehaviour::WrongReportData {
                report_data[0] ^= 0xff;
            }
            let quote = self.sign(report_data)?;
            disk::write(&self.dir.join(EARLIER), &quote, Access::Private)?;
            quote
        };
        Ok(Quote { media_type: MEDIA_TYPE.to_owned(), evidence, aux: None })
    }

    fn sealing_key(&self, label: &str) -> SealingKey {
        let attributes = self.attributes().to_bytes();
        let identity = [self.measurement.mrenclave.as_slice(), &attributes].concat();
        self.fuses.sealing_key(&identity, label)
    }

    fn describe(&self) -> Description {
        Description {
            family: "SGX".to_owned(),
            hwmodel: b"Tamarack emulated SGX".to_vec(),
            hwversion: "1".to_owned(),
            oemid: OEM_ID.to_vec(),
            ueid: self.fuses.ueid().to_vec(),
            interface: "emulator".to_owned(),
        }
    }
}

const EARLIER: &str = "earlier.quote";

#[cfg(test)]
mod tests;

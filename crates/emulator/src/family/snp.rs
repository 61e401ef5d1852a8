//! AMD SEV-SNP: a guest on an emulated secure processor, report version 3 on Genoa and version 5 on
//! Turin, and the vendor behind it.

mod measurement;
mod pki;
mod product;
mod report;
mod table;
mod vendor;

use std::path::{Path, PathBuf};

use aws_lc_rs::rand;
use device::tee::{Description, Quote, REPORT_DATA_BYTES, SealingKey};
use jiff::Timestamp;

use crate::Error;
use crate::disk::{self, Access};
use crate::family::{Family, describe, evidence};
use crate::fuses::Fuses;
use crate::key::P384Key;
use crate::misbehaviour::Misbehaviour;

pub use measurement::Measurement;
pub(super) use measurement::hash_table;
pub use product::{Product, Tcb};
pub use vendor::Vendor;

use report::{GuestPolicy, Report};
use vendor::Endorsement;

/// The media type of the hardware layer in the Agent's evidence.
pub const MEDIA_TYPE: &str = "application/vnd.tamarack.sev-snp-report+cbor";

/// An emulated secure processor with one program running as a guest.
pub struct Machine {
    dir: PathBuf,
    vendor_dir: PathBuf,
    collateral_due: Timestamp,
    product: Product,
    fuses: Fuses,
    chip_id: [u8; 64],
    tcb: Tcb,
    report_id: [u8; 32],
    measurement: Measurement,
    misbehaviour: Misbehaviour,
    vcek: P384Key,
    table: Vec<u8>,
}

impl Machine {
    /// Starts a program with this measurement on the device whose state is in `state_dir`.
    ///
    /// The certificate of the device's key comes from the vendor in `vendor_dir`, which is made if
    /// absent, and is put among its collateral, as the real vendor's service offers it.
    pub fn start(
        vendor_dir: &Path,
        state_dir: &Path,
        product: Product,
        measurement: Measurement,
        misbehaviour: Misbehaviour,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let fuses = Fuses::open(state_dir)?;
        let dir = state_dir.join("sev-snp");
        disk::create_dir(&dir, Access::Private)?;
        let mut chip_id = [0; 64];
        let length = product.chip_id_bytes();
        chip_id[..length].copy_from_slice(&fuses.show::<64>("amd chip id")[..length]);
        let tcb = match misbehaviour {
            Misbehaviour::TcbOutOfDate => Tcb::OUT_OF_DATE,
            _ => Tcb::UP_TO_DATE,
        };
        let context = [product.name().as_bytes(), &tcb.to_bytes(product)].concat();
        let vcek = fuses.p384_key("amd vcek", &context)?;

        let mut issuer = match misbehaviour {
            Misbehaviour::ForeignRoot => Vendor::open(&dir.join("foreign-vendor"), product, now)?,
            _ => Vendor::open(vendor_dir, product, now)?,
        };
        let endorsement = Endorsement { key: &vcek, chip_id: &chip_id[..length], tcb };
        let revoked = misbehaviour == Misbehaviour::Revoked;
        let chain = issuer.endorse(&dir, &endorsement, revoked, now)?;
        let mut measurement = measurement;
        if misbehaviour == Misbehaviour::WrongMeasurement {
            measurement.measurement[0] ^= 0xff;
        }
        let mut report_id = [0; 32];
        rand::fill(&mut report_id).map_err(|_| Error::Crypto("give random bytes"))?;
        Ok(Self {
            dir,
            vendor_dir: vendor_dir.to_owned(),
            collateral_due: issuer.collateral_due(),
            product,
            fuses,
            chip_id,
            tcb,
            report_id,
            measurement,
            misbehaviour,
            vcek,
            table: table::encode(&chain),
        })
    }

    fn guest_policy(&self) -> GuestPolicy {
        GuestPolicy::guest(self.misbehaviour == Misbehaviour::Debug)
    }

    /// Does what the secure processor does: reports, and signs.
    fn sign(&self, report_data: [u8; REPORT_DATA_BYTES]) -> Result<Vec<u8>, Error> {
        let report = Report {
            product: self.product,
            guest_policy: self.guest_policy(),
            tcb: self.tcb,
            report_data,
            measurement: self.measurement.measurement,
            host_data: self.measurement.host_data,
            report_id: self.report_id,
            chip_id: self.chip_id,
        };
        match self.misbehaviour {
            Misbehaviour::OtherKey => report.sign(&P384Key::generate()?),
            _ => report.sign(&self.vcek),
        }
    }
}

impl Family for Machine {
    /// The certificates beside the report are the host's: VCEK, ASK, ARK.
    fn quote(
        &mut self,
        now: Timestamp,
        report_data: &[u8; REPORT_DATA_BYTES],
    ) -> Result<Quote, Error> {
        if now >= self.collateral_due {
            let vendor = Vendor::open(&self.vendor_dir, self.product, now)?;
            self.collateral_due = vendor.collateral_due();
        }
        let sign = |report_data| self.sign(report_data);
        let evidence = evidence::make(&self.dir, self.misbehaviour, report_data, sign)?;
        let aux = Some(self.table.clone());
        Ok(Quote { media_type: MEDIA_TYPE.to_owned(), evidence, aux })
    }

    fn sealing_key(&self, label: &str) -> SealingKey {
        let policy = self.guest_policy().to_bytes();
        let identity = [self.measurement.measurement.as_slice(), &policy].concat();
        self.fuses.sealing_key(&identity, label)
    }

    fn describe(&self) -> Description {
        describe(&self.fuses, "SEV-SNP", &format!("Tamarack emulated {}", self.product.name()))
    }
}

#[cfg(test)]
mod tests;

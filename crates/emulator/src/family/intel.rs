//! What Intel SGX and TDX share: the platform with its certified key, its quoting enclaves, and the
//! vendor behind it. It does not know what is quoted.

mod collateral;
pub(super) mod pck;
mod pki;
pub(super) mod quote;
mod vendor;

use std::path::{Path, PathBuf};

use device::tee::REPORT_DATA_BYTES;
use jiff::Timestamp;

use super::evidence;
use crate::disk::{self, Access};
use crate::fuses::Fuses;
use crate::key::SigningKey;
use crate::misbehaviour::Misbehaviour;
use crate::{Error, pem};

pub use crate::x509::Freshness;
pub use vendor::Vendor;

use pck::{Platform, Tcb};
use quote::QuotingEnclave;

/// What a quoting enclave quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tee {
    /// Enclaves.
    Sgx,
    /// Trust domains.
    Tdx,
}

impl Tee {
    pub(crate) const ALL: [Self; 2] = [Self::Sgx, Self::Tdx];

    /// `id` in the TCB info.
    const fn name(self) -> &'static str {
        match self {
            Self::Sgx => "SGX",
            Self::Tdx => "TDX",
        }
    }

    /// TEE type in a quote's header.
    const fn number(self) -> u32 {
        match self {
            Self::Sgx => 0,
            Self::Tdx => 0x81,
        }
    }

    /// `id` in the identity of the quoting enclave.
    const fn qe_identity(self) -> &'static str {
        match self {
            Self::Sgx => "QE",
            Self::Tdx => "TD_QE",
        }
    }

    const fn qe_name(self) -> &'static str {
        match self {
            Self::Sgx => "tamarack emulated quoting enclave",
            Self::Tdx => "tamarack emulated TD quoting enclave",
        }
    }

    const fn qe_prod_id(self) -> u16 {
        match self {
            Self::Sgx => 1,
            Self::Tdx => 2,
        }
    }

    const fn qe_svn(self) -> u16 {
        match self {
            Self::Sgx => 8,
            Self::Tdx => 4,
        }
    }
}

/// An emulated platform that the vendor has certified.
pub(super) struct Host {
    dir: PathBuf,
    vendor_dir: PathBuf,
    collateral_due: Timestamp,
    pub(super) fuses: Fuses,
    pub(super) tcb: Tcb,
    pub(super) misbehaviour: Misbehaviour,
    attestation_key: SigningKey,
    pck_key: SigningKey,
    pck_chain: String,
}

impl Host {
    /// Starts the platform whose state is in `state_dir`, with files of its own under `name`.
    ///
    /// Its certificate comes from the vendor in `vendor_dir`, which is made if absent.
    pub(super) fn start(
        vendor_dir: &Path,
        state_dir: &Path,
        name: &str,
        misbehaviour: Misbehaviour,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let fuses = Fuses::open(state_dir)?;
        let dir = state_dir.join(name);
        disk::create_dir(&dir, Access::Private)?;
        let mut vendor = Vendor::open(vendor_dir, now)?;
        let foreign = if misbehaviour == Misbehaviour::ForeignRoot {
            Some(Vendor::open(&dir.join("foreign-vendor"), now)?)
        } else {
            None
        };

        let pck_key = fuses.signing_key("sgx pck key")?;
        let tcb = match misbehaviour {
            Misbehaviour::TcbOutOfDate => Tcb::OUT_OF_DATE,
            _ => Tcb::UP_TO_DATE,
        };
        let platform = Platform {
            ppid: fuses.show("sgx ppid"),
            instance: fuses.show("sgx platform instance"),
            tcb: tcb.clone(),
        };
        let issuer = foreign.as_ref().unwrap_or(&vendor);
        let pck = issuer.pck_certificate(&dir, &pck_key, &platform, misbehaviour, now)?;
        let chain = [pck.der(), issuer.pck_ca(), issuer.root()];
        let pck_chain = pem::certificates(chain);
        if misbehaviour == Misbehaviour::Revoked {
            vendor.revoke(pck.serial(), now)?;
        }
        Ok(Self {
            dir,
            vendor_dir: vendor_dir.to_owned(),
            collateral_due: vendor.collateral_due(),
            attestation_key: fuses.signing_key("sgx attestation key")?,
            fuses,
            tcb,
            misbehaviour,
            pck_key,
            pck_chain,
        })
    }

    /// Whether the platform runs what it runs in debug mode.
    pub(super) fn debug(&self) -> bool {
        self.misbehaviour == Misbehaviour::Debug
    }

    /// Gives evidence: what the quoting enclave makes of the caller's data.
    pub(super) fn evidence(
        &mut self,
        now: Timestamp,
        report_data: &[u8; REPORT_DATA_BYTES],
        quote: impl Fn(&QuotingEnclave<'_>, [u8; REPORT_DATA_BYTES]) -> Result<Vec<u8>, Error>,
    ) -> Result<Vec<u8>, Error> {
        if now >= self.collateral_due {
            self.collateral_due = Vendor::open(&self.vendor_dir, now)?.collateral_due();
        }
        evidence::make(&self.dir, self.misbehaviour, report_data, |report_data| {
            let has_other_key = self.misbehaviour == Misbehaviour::OtherKey;
            let other_key = if has_other_key { Some(SigningKey::generate()?) } else { None };
            let quoting = QuotingEnclave {
                id: self.fuses.show("sgx quoting enclave"),
                tcb: &self.tcb,
                bound_key: &self.attestation_key,
                signing_key: other_key.as_ref().unwrap_or(&self.attestation_key),
                pck_key: &self.pck_key,
                pck_chain: &self.pck_chain,
            };
            quote(&quoting, report_data)
        })
    }
}

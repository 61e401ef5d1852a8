//! Finds the TEE that the Agent runs in, and says what was tried when there is none.

use std::io::{Read, Write};
use std::path::Path;

use device::tee::{Description, Quote, REPORT_DATA_BYTES, SealingKey};

use super::{
    Attester, Channel, Family, Fault, Gramine, Itrustee, OpTee, SevGuest, SevSecret, TdxGuest, Tsm,
    Unavailable, gramine, itrustee, op_tee, sev_guest, sev_secret, tdx_guest, tsm,
};

/// A way to reach a TEE, in the order in which they are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// configfs-tsm.
    Tsm,
    /// `/dev/tdx_guest`.
    TdxGuest,
    /// `/dev/sev-guest`.
    SevGuest,
    /// The owner's secret, as efi_secret shows it.
    SevSecret,
    /// `/dev/attestation`.
    Gramine,
    /// `/dev/tee0`.
    OpTee,
    /// `libqca.so` over `/dev/tc_ns_client`.
    Itrustee,
}

impl Interface {
    /// Every way.
    pub const ALL: [Self; 7] = [
        Self::Tsm,
        Self::TdxGuest,
        Self::SevGuest,
        Self::SevSecret,
        Self::Gramine,
        Self::OpTee,
        Self::Itrustee,
    ];

    /// The ways that a confidential virtual machine has.
    const OF_MACHINES: [Self; 4] = [Self::Tsm, Self::TdxGuest, Self::SevGuest, Self::SevSecret];

    /// Where it is, below the root.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Tsm => tsm::REPORTS,
            Self::TdxGuest => tdx_guest::PATH,
            Self::SevGuest => sev_guest::PATH,
            Self::SevSecret => sev_secret::PATH,
            Self::Gramine => gramine::ATTESTATION,
            Self::OpTee => op_tee::PATH,
            Self::Itrustee => itrustee::PATH,
        }
    }

    fn open(self, root: &Path, level: Option<u8>) -> Result<Box<dyn Attester>, Fault> {
        Ok(match self {
            Self::Tsm => Box::new(Tsm::open(root, level)?),
            Self::TdxGuest => Box::new(TdxGuest::open(root)?),
            Self::SevGuest => Box::new(SevGuest::open(root, level)?),
            Self::SevSecret => Box::new(SevSecret::open(root)?),
            Self::Gramine => Box::new(Gramine::open(root)?),
            Self::OpTee => Box::new(OpTee::open(root)?),
            Self::Itrustee => Box::new(Itrustee::open(root)?),
        })
    }
}

/// Opens the first interface below `root` that gives evidence.
///
/// `privilege_level` is the VMPL that an SEV-SNP guest asks with.
pub fn detect(root: &Path, privilege_level: Option<u8>) -> Result<Box<dyn Attester>, Box<NoTee>> {
    among(&Interface::ALL, root, privilege_level)
}

/// Opens the TEE of a virtual machine whose settings came from its host.
///
/// Where the machine is confidential its hardware says so, and the settings have to be those that
/// were measured with it. Elsewhere whoever is behind the host's channel is the TEE; a Verifier
/// sees by the anchor which one it was, so nothing is gained by hiding the hardware.
pub fn reach(
    root: &Path,
    channel: impl Read + Write + Send + 'static,
    settings: &[u8],
) -> Result<Box<dyn Attester>, NotReached> {
    match among(&Interface::OF_MACHINES, root, None) {
        Ok(hardware) => {
            let quote = hardware.quote(super::sealing::chance())?;
            let family = Family::of_media_type(&quote.media_type);
            let covered = family.is_some_and(|it| it.covers_settings(&quote.evidence, settings));
            if covered || hardware.covers_settings(&quote.evidence, settings) {
                Ok(hardware)
            } else {
                Err(NotReached::Settings)
            }
        }
        Err(_) => Ok(Box::new(Channel::open(channel)?)),
    }
}

/// There is no TEE that an Agent in a virtual machine could rely on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReached {
    /// The host gave other settings than those that the hardware measured.
    #[error(
        "the settings are not those that were measured with this machine: \
         start it with their digest as MRCONFIGID, HOST_DATA or RPV, or on the command line (SEV)"
    )]
    Settings,
    /// The TEE does not do what it has to.
    #[error(transparent)]
    Tee(#[from] Unavailable),
}

fn among(
    interfaces: &[Interface],
    root: &Path,
    privilege_level: Option<u8>,
) -> Result<Box<dyn Attester>, Box<NoTee>> {
    let mut tried = Vec::new();
    for interface in interfaces {
        match interface.open(root, privilege_level) {
            Ok(attester) => return Ok(attester),
            Err(fault) => tried.push(fault),
        }
    }
    Err(Box::new(NoTee::new(tried)))
}

/// No interface gives evidence: an Agent with this stays up, and says why it cannot attest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no interface of a TEE gives evidence")]
pub struct NoTee {
    /// What was tried, with the reason of each.
    pub tried: Vec<Fault>,
    description: Description,
}

impl NoTee {
    fn new(tried: Vec<Fault>) -> Self {
        let description = Description {
            family: "none".to_owned(),
            hwmodel: b"none".to_vec(),
            hwversion: String::new(),
            oemid: vec![0; 3],
            ueid: [&[1][..], &super::sealing::chance::<32>()].concat(),
            interface: "none".to_owned(),
        };
        Self { tried, description }
    }

    /// The fault that is nearest to a TEE: something is there, and does not work.
    fn nearest(&self) -> Unavailable {
        let there = |fault: &&Fault| fault.problem != super::Problem::Absent;
        let fault = self.tried.iter().find(there).or(self.tried.first());
        fault.map_or_else(|| Unavailable::lacks("there is no TEE"), |f| f.clone().into())
    }
}

impl Attester for NoTee {
    fn description(&self) -> &Description {
        &self.description
    }

    fn quote(&self, _: [u8; REPORT_DATA_BYTES]) -> Result<Quote, Unavailable> {
        Err(self.nearest())
    }

    fn sealing_key(&self, _: &str) -> Result<SealingKey, Unavailable> {
        Err(Unavailable::lacks("there is no TEE that derives keys"))
    }

    fn trouble(&self) -> Option<Unavailable> {
        Some(self.nearest())
    }
}

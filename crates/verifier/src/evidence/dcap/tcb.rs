//! TCB info and QE identity: Intel's tables, and how a platform's level is found in them.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use crate::Timestamp;
use crate::trust::TrustValue;
use crate::value::{Hex, rfc3339};

/// TCB info of one FMSPC (version 3), levels sorted highest first.
#[derive(Clone, Debug)]
pub struct TcbInfo {
    /// For which TEE.
    pub tee: Tee,
    /// When it was issued.
    pub issued: Timestamp,
    /// When the next one is due.
    pub next_update: Timestamp,
    /// For which processors.
    pub fmspc: [u8; 6],
    /// For which provisioning certification enclave.
    pub pce_id: [u8; 2],
    /// The number of the TCB evaluation.
    pub evaluation: u32,
    /// The levels.
    pub levels: Vec<Level>,
    /// What stands behind each SGX component, as Intel labels it.
    pub sgx_labels: [Option<Box<str>>; 16],
    /// What stands behind each TDX component.
    pub tdx_labels: [Option<Box<str>>; 16],
    /// The TDX module of the first generation.
    pub module: Option<Module>,
    /// The TDX modules of later generations.
    pub module_identities: Vec<ModuleIdentity>,
}

/// QE identity: which quoting enclaves are Intel's, levels sorted highest first.
#[derive(Clone, Debug)]
pub struct QeIdentity {
    /// For which TEE.
    pub tee: Tee,
    /// When it was issued.
    pub issued: Timestamp,
    /// When the next one is due.
    pub next_update: Timestamp,
    /// The number of the TCB evaluation.
    pub evaluation: u32,
    /// MISCSELECT under its mask.
    pub misc_select: [u8; 4],
    /// Which bits of MISCSELECT count.
    pub misc_select_mask: [u8; 4],
    /// ATTRIBUTES under its mask.
    pub attributes: [u8; 16],
    /// Which bits of ATTRIBUTES count.
    pub attributes_mask: [u8; 16],
    /// MRSIGNER.
    pub mr_signer: [u8; 32],
    /// ISVPRODID.
    pub isv_prod_id: u16,
    /// The levels.
    pub levels: Vec<SvnLevel>,
}

/// For which TEE an object of Intel's is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tee {
    /// SGX enclaves.
    Sgx,
    /// TDX trust domains.
    Tdx,
}

/// One TCB level of a platform.
#[derive(Clone, Debug)]
pub struct Level {
    /// SVNs of the SGX components.
    pub sgx: [u8; 16],
    /// SVN of the provisioning certification enclave.
    pub pcesvn: u16,
    /// SVNs of the TDX components.
    pub tdx: Option<[u8; 16]>,
    /// What Intel says about it.
    pub verdict: Verdict,
}

/// One TCB level of a single piece of software.
#[derive(Clone, Debug)]
pub struct SvnLevel {
    /// The lowest SVN that has this level.
    pub isv_svn: u16,
    /// What Intel says about it.
    pub verdict: Verdict,
}

/// What Intel says about a TCB level.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The status.
    pub status: TcbStatus,
    /// The date of the level.
    pub date: Timestamp,
    /// Advisories that apply at this level.
    pub advisories: Vec<Arc<str>>,
}

/// Who signed a TDX module and with which attributes.
#[derive(Clone, Debug)]
pub struct Module {
    /// MRSIGNERSEAM.
    pub mr_signer: [u8; 48],
    /// SEAMATTRIBUTES under their mask.
    pub attributes: [u8; 8],
    /// Which bits of SEAMATTRIBUTES count.
    pub attributes_mask: [u8; 8],
}

/// A generation of TDX modules.
#[derive(Clone, Debug)]
pub struct ModuleIdentity {
    /// TEE_TCB_SVN[1] of this generation.
    pub generation: u8,
    /// Signer and attributes.
    pub module: Module,
    /// The levels, highest first.
    pub levels: Vec<SvnLevel>,
}

/// The status strings of Intel's tables, best to worst as the document lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TcbStatus {
    /// Nothing to do.
    UpToDate,
    /// Software needs a mitigation.
    #[serde(rename = "SWHardeningNeeded")]
    SwHardeningNeeded,
    /// A setting must change.
    ConfigurationNeeded,
    /// Both.
    #[serde(rename = "ConfigurationAndSWHardeningNeeded")]
    ConfigurationAndSwHardeningNeeded,
    /// An update is missing.
    OutOfDate,
    /// An update is missing and a setting must change.
    OutOfDateConfigurationNeeded,
    /// The platform is current; the domain was launched before the update.
    #[serde(rename = "TDRelaunchAdvised")]
    TdRelaunchAdvised,
    /// The same, and a setting must change.
    #[serde(rename = "TDRelaunchAdvisedConfigurationNeeded")]
    TdRelaunchAdvisedConfigurationNeeded,
    /// The level's keys are known to be lost.
    Revoked,
}

impl TcbStatus {
    //= EV-DCAP-11: the status strings
    /// Intel's string.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UpToDate => "UpToDate",
            Self::SwHardeningNeeded => "SWHardeningNeeded",
            Self::ConfigurationNeeded => "ConfigurationNeeded",
            Self::ConfigurationAndSwHardeningNeeded => "ConfigurationAndSWHardeningNeeded",
            Self::OutOfDate => "OutOfDate",
            Self::OutOfDateConfigurationNeeded => "OutOfDateConfigurationNeeded",
            Self::TdRelaunchAdvised => "TDRelaunchAdvised",
            Self::TdRelaunchAdvisedConfigurationNeeded => "TDRelaunchAdvisedConfigurationNeeded",
            Self::Revoked => "Revoked",
        }
    }

    //= EV-DCAP-10: other parts count only when they are out of date or revoked
    /// The platform's status after a part (quoting enclave, TDX module) is taken into account.
    #[must_use]
    pub const fn merge(self, part: Self) -> Self {
        match (self, part) {
            (_, Self::Revoked) | (Self::Revoked, _) => Self::Revoked,
            (
                Self::UpToDate | Self::SwHardeningNeeded | Self::TdRelaunchAdvised,
                Self::OutOfDate,
            ) => Self::OutOfDate,
            (
                Self::ConfigurationNeeded
                | Self::ConfigurationAndSwHardeningNeeded
                | Self::TdRelaunchAdvisedConfigurationNeeded,
                Self::OutOfDate,
            ) => Self::OutOfDateConfigurationNeeded,
            (platform, _) => platform,
        }
    }

    //= EV-DCAP-10: launch TCB out of date but current TCB fine
    /// The status of a domain that was launched on a TCB of this status and runs on `current`.
    #[must_use]
    pub const fn relaunched_as(self, current: Self) -> Self {
        match (self, current) {
            (Self::OutOfDate, Self::UpToDate | Self::SwHardeningNeeded) => Self::TdRelaunchAdvised,
            (
                Self::OutOfDate | Self::OutOfDateConfigurationNeeded,
                Self::ConfigurationNeeded | Self::ConfigurationAndSwHardeningNeeded,
            )
            | (Self::OutOfDateConfigurationNeeded, Self::UpToDate | Self::SwHardeningNeeded) => {
                Self::TdRelaunchAdvisedConfigurationNeeded
            }
            (launch, _) => launch,
        }
    }

    /// What the status says of the hardware, as AR4SI value.
    pub(super) const fn hardware(self) -> TrustValue {
        match self {
            Self::UpToDate | Self::ConfigurationNeeded => TrustValue::AFFIRMED,
            Self::SwHardeningNeeded
            | Self::ConfigurationAndSwHardeningNeeded
            | Self::OutOfDate
            | Self::OutOfDateConfigurationNeeded
            | Self::TdRelaunchAdvised
            | Self::TdRelaunchAdvisedConfigurationNeeded => TrustValue::WARNED,
            Self::Revoked => TrustValue::CONTRAINDICATED,
        }
    }

    /// What the status says of the configuration, as AR4SI value.
    pub(super) const fn configuration(self) -> TrustValue {
        match self {
            Self::UpToDate
            | Self::SwHardeningNeeded
            | Self::OutOfDate
            | Self::TdRelaunchAdvised
            | Self::Revoked => TrustValue::AFFIRMED,
            Self::ConfigurationNeeded
            | Self::ConfigurationAndSwHardeningNeeded
            | Self::OutOfDateConfigurationNeeded
            | Self::TdRelaunchAdvisedConfigurationNeeded => TrustValue::WARNED,
        }
    }
}

impl fmt::Display for TcbStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TcbInfo {
    //= EV-DCAP-7: TCB info version 3 with id SGX or TDX
    /// Reads the signed object.
    pub fn decode(json: &[u8]) -> Result<Self, String> {
        let raw: wire::TcbInfo<'_> =
            serde_json::from_slice(json).map_err(|error| error.to_string())?;
        let tee = match (raw.id, raw.version) {
            ("SGX", 3) => Tee::Sgx,
            ("TDX", 3) => Tee::Tdx,
            (id, version) => return Err(format!("TCB info `{id}` version {version}")),
        };
        let labels = raw.tcb_levels.first().map(|level| level.tcb.labels()).unwrap_or_default();
        let mut levels = raw.tcb_levels.into_iter().map(Level::from).collect::<Vec<_>>();
        if tee == Tee::Tdx && levels.iter().any(|level| level.tdx.is_none()) {
            return Err("TDX components are missing".to_owned());
        }
        levels.sort_by_key(|level| std::cmp::Reverse((level.sgx, level.pcesvn, level.tdx)));
        let module_identities = raw.tdx_module_identities.into_iter().map(ModuleIdentity::read);
        Ok(Self {
            tee,
            issued: raw.issue_date,
            next_update: raw.next_update,
            fmspc: raw.fmspc.0,
            pce_id: raw.pce_id.0,
            evaluation: raw.tcb_evaluation_data_number,
            levels,
            sgx_labels: labels.0,
            tdx_labels: labels.1,
            module: raw.tdx_module.map(Module::from),
            module_identities: module_identities.collect::<Result<_, _>>()?,
        })
    }

    //= EV-DCAP-9: the first level at or below the platform in every component
    /// The level of a platform. With `module_apart`, TDX components 0 and 1 are judged by the
    /// module's identity instead.
    #[must_use]
    pub fn level(
        &self,
        sgx: &[u8; 16],
        pcesvn: u16,
        tdx: Option<(&[u8; 16], bool)>,
    ) -> Option<&Level> {
        self.levels.iter().find(|level| {
            covers(sgx, &level.sgx)
                && pcesvn >= level.pcesvn
                && match (tdx, &level.tdx) {
                    (None, _) => true,
                    (Some((seen, module_apart)), Some(asked)) => {
                        let from = if module_apart { 2 } else { 0 };
                        covers(&seen[from..], &asked[from..])
                    }
                    (Some(_), None) => false,
                }
        })
    }
}

impl QeIdentity {
    //= EV-DCAP-7: QE identity QE version 2, TD_QE version 2 or 3
    /// Reads the signed object.
    pub fn decode(json: &[u8]) -> Result<Self, String> {
        let raw: wire::QeIdentity<'_> =
            serde_json::from_slice(json).map_err(|error| error.to_string())?;
        let tee = match (raw.id, raw.version) {
            ("QE", 2) => Tee::Sgx,
            ("TD_QE", 2 | 3) => Tee::Tdx,
            (id, version) => return Err(format!("enclave identity `{id}` version {version}")),
        };
        Ok(Self {
            tee,
            issued: raw.issue_date,
            next_update: raw.next_update,
            evaluation: raw.tcb_evaluation_data_number,
            misc_select: raw.miscselect.0,
            misc_select_mask: raw.miscselect_mask.0,
            attributes: raw.attributes.0,
            attributes_mask: raw.attributes_mask.0,
            mr_signer: raw.mrsigner.0,
            isv_prod_id: raw.isvprodid,
            levels: svn_levels(raw.tcb_levels),
        })
    }
}

impl ModuleIdentity {
    fn read(raw: wire::ModuleIdentity<'_>) -> Result<Self, String> {
        let generation = raw.id.strip_prefix("TDX_").filter(|digits| digits.len() == 2);
        let generation = generation.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        Ok(Self {
            generation: generation.ok_or_else(|| format!("TDX module `{}`", raw.id))?,
            module: Module {
                mr_signer: raw.mrsigner.0,
                attributes: raw.attributes.0,
                attributes_mask: raw.attributes_mask.0,
            },
            levels: svn_levels(raw.tcb_levels),
        })
    }
}

/// The first level at or below that SVN.
#[must_use]
pub fn svn_level(levels: &[SvnLevel], svn: u16) -> Option<&SvnLevel> {
    levels.iter().find(|level| level.isv_svn <= svn)
}

/// Whether every octet is at least what is asked.
pub(super) fn covers(seen: &[u8], asked: &[u8]) -> bool {
    seen.iter().zip(asked).all(|(seen, asked)| seen >= asked)
}

/// Whether `seen` under `mask` equals `asked`.
pub(super) fn equal_under<const N: usize>(seen: &[u8; N], mask: &[u8; N], asked: &[u8; N]) -> bool {
    (0..N).all(|at| seen[at] & mask[at] == asked[at])
}

fn svn_levels(raw: Vec<wire::SvnLevel<'_>>) -> Vec<SvnLevel> {
    let mut levels = raw
        .into_iter()
        .map(|level| SvnLevel {
            isv_svn: level.tcb.isvsvn,
            verdict: verdict(level.tcb_status, level.tcb_date, &level.advisories),
        })
        .collect::<Vec<_>>();
    levels.sort_by_key(|level| std::cmp::Reverse(level.isv_svn));
    levels
}

fn verdict(status: TcbStatus, date: Timestamp, advisories: &[&str]) -> Verdict {
    Verdict { status, date, advisories: advisories.iter().map(|&id| id.into()).collect() }
}

impl From<wire::Level<'_>> for Level {
    fn from(raw: wire::Level<'_>) -> Self {
        let svns =
            |components: &[wire::Component<'_>; 16]| std::array::from_fn(|at| components[at].svn);
        Self {
            sgx: svns(&raw.tcb.sgxtcbcomponents),
            pcesvn: raw.tcb.pcesvn,
            tdx: raw.tcb.tdxtcbcomponents.as_ref().map(svns),
            verdict: verdict(raw.tcb_status, raw.tcb_date, &raw.advisories),
        }
    }
}

impl From<wire::Module> for Module {
    fn from(raw: wire::Module) -> Self {
        Self {
            mr_signer: raw.mrsigner.0,
            attributes: raw.attributes.0,
            attributes_mask: raw.attributes_mask.0,
        }
    }
}

/// The JSON of Intel's provisioning certification service, version 4. Unknown members are
/// ignored, since Intel adds some; a member given twice is refused.
mod wire {
    use super::{Deserialize, Deserializer, Hex, TcbStatus, Timestamp, rfc3339};

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    pub(super) struct TcbInfo<'a> {
        pub(super) id: &'a str,
        pub(super) version: u32,
        #[serde(deserialize_with = "rfc3339")]
        pub(super) issue_date: Timestamp,
        #[serde(deserialize_with = "rfc3339")]
        pub(super) next_update: Timestamp,
        pub(super) fmspc: Hex<6>,
        pub(super) pce_id: Hex<2>,
        #[serde(rename = "tcbType", deserialize_with = "tcb_type")]
        pub(super) _tcb_type: (),
        pub(super) tcb_evaluation_data_number: u32,
        pub(super) tdx_module: Option<Module>,
        #[serde(default, borrow)]
        pub(super) tdx_module_identities: Vec<ModuleIdentity<'a>>,
        #[serde(borrow)]
        pub(super) tcb_levels: Vec<Level<'a>>,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    pub(super) struct Level<'a> {
        #[serde(borrow)]
        pub(super) tcb: Components<'a>,
        #[serde(deserialize_with = "rfc3339")]
        pub(super) tcb_date: Timestamp,
        pub(super) tcb_status: TcbStatus,
        #[serde(rename = "advisoryIDs", default, borrow)]
        pub(super) advisories: Vec<&'a str>,
    }

    #[derive(Deserialize)]
    pub(super) struct Components<'a> {
        #[serde(borrow)]
        pub(super) sgxtcbcomponents: [Component<'a>; 16],
        pub(super) pcesvn: u16,
        #[serde(borrow)]
        pub(super) tdxtcbcomponents: Option<[Component<'a>; 16]>,
    }

    #[derive(Deserialize)]
    pub(super) struct Component<'a> {
        pub(super) svn: u8,
        #[serde(borrow)]
        category: Option<&'a str>,
        #[serde(rename = "type", borrow)]
        kind: Option<&'a str>,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    pub(super) struct Module {
        pub(super) mrsigner: Hex<48>,
        pub(super) attributes: Hex<8>,
        pub(super) attributes_mask: Hex<8>,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    pub(super) struct ModuleIdentity<'a> {
        pub(super) id: &'a str,
        pub(super) mrsigner: Hex<48>,
        pub(super) attributes: Hex<8>,
        pub(super) attributes_mask: Hex<8>,
        #[serde(borrow)]
        pub(super) tcb_levels: Vec<SvnLevel<'a>>,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    pub(super) struct SvnLevel<'a> {
        pub(super) tcb: Svn,
        #[serde(deserialize_with = "rfc3339")]
        pub(super) tcb_date: Timestamp,
        pub(super) tcb_status: TcbStatus,
        #[serde(rename = "advisoryIDs", default, borrow)]
        pub(super) advisories: Vec<&'a str>,
    }

    #[derive(Deserialize)]
    pub(super) struct Svn {
        pub(super) isvsvn: u16,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    pub(super) struct QeIdentity<'a> {
        pub(super) id: &'a str,
        pub(super) version: u32,
        #[serde(deserialize_with = "rfc3339")]
        pub(super) issue_date: Timestamp,
        #[serde(deserialize_with = "rfc3339")]
        pub(super) next_update: Timestamp,
        pub(super) tcb_evaluation_data_number: u32,
        pub(super) miscselect: Hex<4>,
        pub(super) miscselect_mask: Hex<4>,
        pub(super) attributes: Hex<16>,
        pub(super) attributes_mask: Hex<16>,
        pub(super) mrsigner: Hex<32>,
        pub(super) isvprodid: u16,
        #[serde(borrow)]
        pub(super) tcb_levels: Vec<SvnLevel<'a>>,
    }

    type Labels = [Option<Box<str>>; 16];

    impl Components<'_> {
        pub(super) fn labels(&self) -> (Labels, Labels) {
            let tdx = self.tdxtcbcomponents.as_ref().map(labels).unwrap_or_default();
            (labels(&self.sgxtcbcomponents), tdx)
        }
    }

    fn labels(components: &[Component<'_>; 16]) -> Labels {
        std::array::from_fn(|at| match (components[at].kind, components[at].category) {
            (Some(kind), Some(category)) => Some(format!("{kind} ({category})").into()),
            (Some(only), None) | (None, Some(only)) => Some(only.into()),
            (None, None) => None,
        })
    }

    /// Only type 0, whose components compare as numbers, is defined.
    fn tcb_type<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
        match u32::deserialize(deserializer)? {
            0 => Ok(()),
            other => Err(serde::de::Error::custom(format!("TCB type {other}"))),
        }
    }
}

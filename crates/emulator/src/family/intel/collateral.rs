//! The vendor's signed lists as JSON: TCB info version 3 and QE identity version 2, compact, with
//! members in the vendor's order.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::Tee;
use super::pck::{FMSPC, PCE_ID, Tcb};
use super::quote::qe_mrsigner;
use crate::x509::Window;

/// The signed bytes of `tcbInfo`.
pub(crate) fn tcb_info(window: Window, tee: Tee) -> Vec<u8> {
    let domains = tee == Tee::Tdx;
    let level = |tcb: &Tcb, tcb_date, tcb_status, advisory_ids| PlatformLevel {
        tcb: PlatformTcb {
            sgxtcbcomponents: components(&tcb.components, &SGX_NAMES),
            pcesvn: tcb.pce_svn,
            tdxtcbcomponents: domains.then(|| {
                let mut svns = tcb.tee_tcb_svn;
                svns[1] = 0;
                components(&svns, &TDX_NAMES)
            }),
        },
        tcb_date,
        tcb_status,
        advisory_ids,
    };
    let out_of_date = &["EMULATED-SA-00001", "EMULATED-SA-00002"];
    json(&TcbInfo {
        id: tee.name(),
        version: 3,
        issue_date: date(window.from),
        next_update: date(window.to),
        fmspc: hex::encode(FMSPC),
        pce_id: hex::encode(PCE_ID),
        tcb_type: 0,
        tcb_evaluation_data_number: EVALUATION_DATA_NUMBER,
        tdx_module: domains.then(module),
        tdx_module_identities: domains.then(|| vec![module_identity()]),
        tcb_levels: vec![
            level(&Tcb::UP_TO_DATE, "2026-02-11T00:00:00Z", "UpToDate", &[]),
            level(&Tcb::OUT_OF_DATE, "2024-03-13T00:00:00Z", "OutOfDate", out_of_date),
        ],
    })
}

/// The signed bytes of `enclaveIdentity` of the quoting enclave.
pub(crate) fn qe_identity(window: Window, tee: Tee) -> Vec<u8> {
    json(&QeIdentity {
        id: tee.qe_identity(),
        version: 2,
        issue_date: date(window.from),
        next_update: date(window.to),
        tcb_evaluation_data_number: EVALUATION_DATA_NUMBER,
        miscselect: "00000000",
        miscselect_mask: "FFFFFFFF",
        attributes: "11000000000000000000000000000000",
        attributes_mask: "FBFFFFFFFFFFFFFF0000000000000000",
        mrsigner: hex::encode_upper(qe_mrsigner()),
        isvprodid: tee.qe_prod_id(),
        tcb_levels: vec![
            enclave_level(tee.qe_svn(), "2026-02-11T00:00:00Z", "UpToDate", &[]),
            enclave_level(1, "2024-03-13T00:00:00Z", "OutOfDate", &["EMULATED-SA-00001"]),
        ],
    })
}

/// The TDX module, as the vendor signs it: signer and attributes zero.
fn module() -> Module {
    Module {
        mrsigner: hex::encode_upper([0; 48]),
        attributes: "0000000000000000",
        attributes_mask: "FFFFFFFFFFFFFFFF",
    }
}

fn module_identity() -> ModuleIdentity {
    let revision = |tcb: &Tcb| u16::from(tcb.tee_tcb_svn[0]);
    ModuleIdentity {
        id: format!("TDX_{:02X}", Tcb::UP_TO_DATE.tee_tcb_svn[1]),
        module: module(),
        tcb_levels: vec![
            enclave_level(revision(&Tcb::UP_TO_DATE), "2026-02-11T00:00:00Z", "UpToDate", &[]),
            enclave_level(
                revision(&Tcb::OUT_OF_DATE),
                "2024-03-13T00:00:00Z",
                "OutOfDate",
                &["EMULATED-SA-00002"],
            ),
        ],
    }
}

const fn enclave_level(
    isvsvn: u16,
    tcb_date: &'static str,
    tcb_status: &'static str,
    advisory_ids: &'static [&'static str],
) -> EnclaveLevel {
    EnclaveLevel { tcb: EnclaveTcb { isvsvn }, tcb_date, tcb_status, advisory_ids }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TcbInfo {
    id: &'static str,
    version: u8,
    issue_date: String,
    next_update: String,
    fmspc: String,
    pce_id: String,
    tcb_type: u8,
    tcb_evaluation_data_number: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    tdx_module: Option<Module>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tdx_module_identities: Option<Vec<ModuleIdentity>>,
    tcb_levels: Vec<PlatformLevel>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Module {
    mrsigner: String,
    attributes: &'static str,
    attributes_mask: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ModuleIdentity {
    id: String,
    #[serde(flatten)]
    module: Module,
    tcb_levels: Vec<EnclaveLevel>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PlatformLevel {
    tcb: PlatformTcb,
    tcb_date: &'static str,
    tcb_status: &'static str,
    #[serde(rename = "advisoryIDs", skip_serializing_if = "<[_]>::is_empty")]
    advisory_ids: &'static [&'static str],
}

#[derive(Serialize)]
struct PlatformTcb {
    sgxtcbcomponents: Vec<Component>,
    pcesvn: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    tdxtcbcomponents: Option<Vec<Component>>,
}

#[derive(Serialize)]
struct Component {
    svn: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<&'static str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct QeIdentity {
    id: &'static str,
    version: u8,
    issue_date: String,
    next_update: String,
    tcb_evaluation_data_number: u32,
    miscselect: &'static str,
    miscselect_mask: &'static str,
    attributes: &'static str,
    attributes_mask: &'static str,
    mrsigner: String,
    isvprodid: u16,
    tcb_levels: Vec<EnclaveLevel>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EnclaveLevel {
    tcb: EnclaveTcb,
    tcb_date: &'static str,
    tcb_status: &'static str,
    #[serde(rename = "advisoryIDs", skip_serializing_if = "<[_]>::is_empty")]
    advisory_ids: &'static [&'static str],
}

#[derive(Serialize)]
struct EnclaveTcb {
    isvsvn: u16,
}

fn components(svns: &[u8; 16], names: &[Name]) -> Vec<Component> {
    let named = names.iter().map(|(category, kind)| (Some(*category), *kind));
    let names = named.chain(std::iter::repeat((None, None)));
    let components = svns.iter().zip(names);
    components.map(|(svn, (category, kind))| Component { svn: *svn, category, kind }).collect()
}

fn date(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("lists have text keys only")
}

const EVALUATION_DATA_NUMBER: u32 = 20;

/// Category and type of a component.
type Name = (&'static str, Option<&'static str>);

const SGX_NAMES: [Name; 4] = [
    ("BIOS", Some("Early Microcode Update")),
    ("OS/VMM", Some("SGX Late Microcode Update")),
    ("OS/VMM", Some("TXT SINIT")),
    ("BIOS", None),
];

const TDX_NAMES: [Name; 3] = [
    ("OS/VMM", Some("TDX Module")),
    ("OS/VMM", Some("TDX Module")),
    ("OS/VMM", Some("TDX Late Microcode Update")),
];

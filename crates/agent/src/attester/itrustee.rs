//! Kunpeng iTrustee: reports of the quoting TA (QTA), through Huawei's host library.
//!
//! The library is open source, and no part of Tamarack: where it is not installed, there is no
//! report. A report is about the application with the Agent's UUID, which has to be installed.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use device::tee::{Description, Quote, REPORT_DATA_BYTES, SealingKey};
use serde_json::{Value, json};

use super::{Attester, Family, Fault, Problem, Unavailable, sealing};
use crate::sys::qca::{Library, Qca};

/// The quoting TA of this machine.
pub struct Itrustee {
    qca: Mutex<Box<dyn Qca>>,
    path: PathBuf,
    description: Description,
}

impl Itrustee {
    /// Loads the library below `root`, has the QTA make its key and takes a first report.
    pub fn open(root: &Path) -> Result<Self, Fault> {
        let driver = root.join(PATH);
        if !driver.exists() {
            return Err(Fault::new(&driver, Problem::Absent));
        }
        let places = LIBRARIES.map(|place| root.join(place));
        let Some(path) = places.iter().find(|path| path.exists()) else {
            return Err(Fault::new(&places[0], Problem::NoLibrary));
        };
        let library = Library::load(path).ok_or_else(|| Fault::new(path, Problem::NoLibrary))?;
        Self::over(Box::new(library), path.clone())
    }

    fn over(qca: Box<dyn Qca>, path: PathBuf) -> Result<Self, Fault> {
        let scenario = json!({ "version": VERSION, "scenario": SCENARIO, "hash_alg": HASH });
        ask(&*qca, &path, "provisioning-input", &scenario)?;
        let report = report(&*qca, &path, &sealing::chance())?;
        let description = describe(&report);
        Ok(Self { qca: Mutex::new(qca), path, description })
    }
}

impl Attester for Itrustee {
    fn description(&self) -> &Description {
        &self.description
    }

    fn quote(&self, report_data: [u8; REPORT_DATA_BYTES]) -> Result<Quote, Unavailable> {
        let qca = self.qca.lock().unwrap_or_else(PoisonError::into_inner);
        let evidence = report(&**qca, &self.path, &report_data)?;
        Ok(Quote { media_type: FAMILY.media_type().to_owned(), evidence, aux: None })
    }

    fn sealing_key(&self, _: &str) -> Result<SealingKey, Unavailable> {
        Err(Unavailable::lacks("iTrustee derives keys for its own applications alone"))
    }
}

impl std::fmt::Debug for Itrustee {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Itrustee").field("path", &self.path).finish_non_exhaustive()
    }
}

fn report(
    qca: &dyn Qca,
    path: &Path,
    report_data: &[u8; REPORT_DATA_BYTES],
) -> Result<Vec<u8>, Fault> {
    let nonce = URL_SAFE_NO_PAD.encode(report_data);
    let payload = json!({
        "version": VERSION,
        "nonce": nonce,
        "uuid": AGENT,
        "hash_alg": HASH,
        "with_tcb": false,
    });
    let report = ask(qca, path, "report-input", &payload)?;
    let said: Value = serde_json::from_slice(&report)
        .map_err(|_| Fault::new(path, Problem::Malformed("report in JSON")))?;
    //= EV-IF-2 (M): the returned evidence carries the user data just written
    if said["payload"]["nonce"] != nonce.as_str() {
        return Err(Fault::new(path, Problem::OtherData));
    }
    Ok(report)
}

fn ask(qca: &dyn Qca, path: &Path, handler: &str, payload: &Value) -> Result<Vec<u8>, Fault> {
    let request = json!({ "handler": handler, "payload": payload }).to_string();
    let answer = qca.remote_attest(&request);
    answer.map_err(|code| Fault::new(path, Problem::Firmware(code.into())))
}

/// The device is named by the certificate of its root key, which every report has with it.
fn describe(report: &[u8]) -> Description {
    let said: Value = serde_json::from_slice(report).unwrap_or_default();
    let certificate = said["akcert"][SCENARIO]["signature"]["drk_cert"].as_str();
    let id = certificate.map_or_else(sealing::chance, |text| cose::sha256(text.as_bytes()));
    let ueid = [&[1][..], &id].concat();
    Description { ueid, ..FAMILY.describe(&[], "itrustee", [0; 32]) }
}

/// The driver of iTrustee, below the root.
pub(super) const PATH: &str = "dev/tc_ns_client";
const LIBRARIES: [&str; 2] = ["usr/lib64/libqca.so", "usr/lib/libqca.so"];
const FAMILY: Family = Family::TrustZone;
/// The Agent as an application.
const AGENT: &str = "7f3a1b52-9c0d-4e68-8a47-54616d617261";
const VERSION: &str = "TEE.RA.1.0";
/// The QTA's key is certified by the device's root key, and by nobody's service.
const SCENARIO: &str = "sce_no_as";
const HASH: &str = "HS256";

#[cfg(test)]
mod tests;

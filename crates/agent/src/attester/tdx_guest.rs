//! TDX through `/dev/tdx_guest`: the way of kernels before 6.7.
//!
//! The TDX module gives a report that nobody elsewhere can check. Intel's quoting service (qgs) on
//! the host turns it into a quote; the guest reaches it over vsock, and need not trust it: what it
//! changes, the Verifier refuses.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use device::tee::{Description, Quote, REPORT_DATA_BYTES, SealingKey};

use super::{Attester, Family, Fault, Problem, Registers, Unavailable, sealing};
use crate::sys::tdx::{Device, Module, Stream};

/// A TDX guest with its host's quoting service.
pub struct TdxGuest {
    module: Mutex<Box<dyn Module>>,
    path: PathBuf,
    port: u32,
    registers: Registers,
    description: Description,
}

impl TdxGuest {
    /// Opens the device below `root` and takes a first quote.
    pub fn open(root: &Path) -> Result<Self, Fault> {
        let path = root.join(PATH);
        let device = Device::open(&path).map_err(|error| Fault::os(&path, &error))?;
        Self::over(Box::new(device), root)
    }

    fn over(module: Box<dyn Module>, root: &Path) -> Result<Self, Fault> {
        let (path, port) = (root.join(PATH), port(&root.join(CONFIG))?);
        let evidence = quote(&*module, &path, port, &sealing::chance())?;
        let description = FAMILY.describe(&evidence, "tdx-guest", sealing::chance());
        let registers = Registers::below(root);
        Ok(Self { module: Mutex::new(module), path, port, registers, description })
    }
}

impl Attester for TdxGuest {
    fn description(&self) -> &Description {
        &self.description
    }

    fn quote(&self, report_data: [u8; REPORT_DATA_BYTES]) -> Result<Quote, Unavailable> {
        let module = self.module.lock().unwrap_or_else(PoisonError::into_inner);
        let evidence = quote(&**module, &self.path, self.port, &report_data)?;
        Ok(Quote { media_type: FAMILY.media_type().to_owned(), evidence, aux: None })
    }

    fn sealing_key(&self, _: &str) -> Result<SealingKey, Unavailable> {
        Err(Unavailable::lacks("this hardware derives no sealing keys"))
    }

    fn extend(&self, index: u64, digest: &[u8]) -> Result<(), Unavailable> {
        self.registers.extend(index, digest)
    }

    fn read(&self, index: u64) -> Result<Vec<u8>, Unavailable> {
        self.registers.read(index)
    }
}

impl std::fmt::Debug for TdxGuest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TdxGuest").field("path", &self.path).finish_non_exhaustive()
    }
}

fn quote(
    module: &dyn Module,
    path: &Path,
    port: u32,
    report_data: &[u8; REPORT_DATA_BYTES],
) -> Result<Vec<u8>, Fault> {
    let report = module.report(report_data).map_err(|error| Fault::os(path, &error))?;
    let service = || PathBuf::from(format!("vsock:2:{port}"));
    let absent = |_| Fault::new(&service(), Problem::NoQuotingService(port));
    let mut stream = module.quoting_service(port).map_err(absent)?;
    let quote = exchange(&mut *stream, &report[..]);
    let quote = quote.map_err(|problem| Fault::new(&service(), problem))?;
    FAMILY.check(&quote, report_data).map_err(|problem| Fault::new(&service(), problem))?;
    Ok(quote)
}

/// Asks the quoting service for a quote (`qgs_msg_get_quote_req_t`, version 1.0).
///
/// ```text
/// frame    = length: u32, big-endian; message
/// message  = major: u16, minor: u16, type: u32, size: u32, error: u32, ..., little-endian
/// request  = message of type 0: report size: u32, 0: u32, report
/// response = message of type 1: id size: u32, quote size: u32, id, quote
/// ```
fn exchange(stream: &mut dyn Stream, report: &[u8]) -> Result<Vec<u8>, Problem> {
    let report_bytes = u32::try_from(report.len()).unwrap_or(u32::MAX);
    let size = HEADER_BYTES + report_bytes;
    let mut request = size.to_be_bytes().to_vec();
    request.extend([1, 0, 0, 0]);
    for word in [GET_QUOTE_REQUEST, size, 0, report_bytes, 0] {
        request.extend(word.to_le_bytes());
    }
    request.extend(report);
    let failed = |error: io::Error| Problem::Os(error.kind());
    stream.write_all(&request).map_err(failed)?;
    stream.flush().map_err(failed)?;

    let mut length = [0; 4];
    stream.read_exact(&mut length).map_err(failed)?;
    let length = u32::from_be_bytes(length);
    if !(HEADER_BYTES..=RESPONSE_BYTES_MAX).contains(&length) {
        return Err(Problem::Malformed("response of a length that makes sense"));
    }
    let mut response = vec![0; length as usize];
    stream.read_exact(&mut response).map_err(failed)?;
    opened(&response)
}

/// The quote in a response.
fn opened(response: &[u8]) -> Result<Vec<u8>, Problem> {
    const MALFORMED: Problem = Problem::Malformed("response of the quoting service");
    let word = |index: usize| {
        let word = response.get(4 * index..4 * index + 4).and_then(|word| word.try_into().ok());
        word.map(u32::from_le_bytes).ok_or(MALFORMED)
    };
    if response.first_chunk() != Some(&1_u16.to_le_bytes()) || word(1)? != GET_QUOTE_RESPONSE {
        return Err(MALFORMED);
    }
    if word(3)? != 0 {
        return Err(Problem::QuotingService(word(3)?));
    }
    let (id, quote) = (word(4)? as usize, word(5)? as usize);
    let rest = response.get(HEADER_BYTES as usize..).and_then(|rest| rest.get(id..));
    match rest {
        Some(rest) if rest.len() == quote => Ok(rest.to_vec()),
        _ => Err(MALFORMED),
    }
}

/// The port of the quoting service: `port=` in Intel's configuration, or its usual one.
fn port(config: &Path) -> Result<u32, Fault> {
    let text = match fs::read_to_string(config) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(PORT),
        Err(error) => return Err(Fault::os(config, &error)),
    };
    let fields = text.lines().filter_map(|line| line.split_once('='));
    let port = fields.filter(|(name, _)| name.trim() == "port").map(|(_, port)| port.trim()).next();
    let malformed = |_| Fault::new(config, Problem::Malformed("port"));
    port.map_or(Ok(PORT), |port| port.parse().map_err(malformed))
}

/// The device, below the root.
pub(super) const PATH: &str = "dev/tdx_guest";
const CONFIG: &str = "etc/tdx-attest.conf";
const PORT: u32 = 4050;
const FAMILY: Family = Family::Tdx;
const GET_QUOTE_REQUEST: u32 = 0;
const GET_QUOTE_RESPONSE: u32 = 1;
/// The header of a message with the two sizes after it.
const HEADER_BYTES: u32 = 24;
/// A quote has about 5000 bytes.
const RESPONSE_BYTES_MAX: u32 = 64 * 1024;

#[cfg(test)]
mod tests;

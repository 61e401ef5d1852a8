//! Evidence as a device gives it: fresh and honest, or as it misbehaves.

use std::path::Path;

use device::tee::{Quote, REPORT_DATA_BYTES};

use crate::disk::{self, Access};
use crate::{Error, Misbehaviour};

/// Makes evidence over the caller's data, unless the device replays or lies about the data.
///
/// The directory keeps the evidence that was made last.
pub(super) fn make(
    dir: &Path,
    misbehaviour: Misbehaviour,
    report_data: &[u8; REPORT_DATA_BYTES],
    sign: impl Fn([u8; REPORT_DATA_BYTES]) -> Result<Vec<u8>, Error>,
) -> Result<Vec<u8>, Error> {
    let path = dir.join(EARLIER);
    if misbehaviour == Misbehaviour::Replay
        && let Some(earlier) = disk::read_if_present(&path)?
    {
        return Ok(earlier);
    }
    let mut report_data = *report_data;
    match misbehaviour {
        Misbehaviour::Replay => report_data = [0; REPORT_DATA_BYTES],
        Misbehaviour::WrongReportData => report_data[0] ^= 0xff,
        _ => {}
    }
    let evidence = sign(report_data)?;
    disk::write(&path, &evidence, Access::Private)?;
    Ok(evidence)
}

/// The same as a quote of this media type, with nothing beside it.
pub(super) fn quote(
    dir: &Path,
    misbehaviour: Misbehaviour,
    media_type: &str,
    report_data: &[u8; REPORT_DATA_BYTES],
    sign: impl Fn([u8; REPORT_DATA_BYTES]) -> Result<Vec<u8>, Error>,
) -> Result<Quote, Error> {
    let evidence = make(dir, misbehaviour, report_data, sign)?;
    Ok(Quote { media_type: media_type.to_owned(), evidence, aux: None })
}

const EARLIER: &str = "earlier.quote";

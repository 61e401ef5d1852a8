//! The microscope: recognises any artefact of this world and explains it.
//!
//! It shows; it does not judge. A signature is checked where a key is given, or where the object
//! carries its own; everything else is said to be unchecked.

mod cbor;
mod certificate;
mod channel;
mod cose;
mod document;
mod event_log;
mod evidence;
mod keyring;
mod part;
mod rats;
mod sealed;
mod suit;
mod teep;

use std::path::PathBuf;

use anstream::println;
use anyhow::Context as _;
use clap::Args;
use serde_json::json;

pub(crate) use evidence::kind as evidence_kind;
pub use keyring::Keyring;
pub use part::Part;
pub(crate) use suit::command as suit_command;

use crate::outcome::Failed;

/// `tamarack inspect`.
#[derive(Debug, Args)]
pub struct Inspect {
    /// The file
    file: PathBuf,
    /// Directory with public keys (COSE_Key) to check signatures with
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Inspect {
    /// Reads, recognises, prints.
    ///
    /// # Errors
    /// See [`Failed`].
    pub fn run(self) -> Result<(), Failed> {
        let bytes = std::fs::read(&self.file)
            .with_context(|| format!("reading {}", self.file.display()))?;
        let keys = self.keys.as_deref().map(Keyring::read).transpose()?.unwrap_or_default();
        let found = explain(&bytes, &keys).unwrap_or_else(|| document::opaque(&bytes));
        if self.json {
            println!("{:#}", json!({ "bytes": bytes.len(), "artefact": found.json() }));
        } else {
            println!("{}", found.lines(0).join("\n"));
        }
        Ok(())
    }
}

/// Explains an artefact; `None` when nothing recognises it.
#[must_use]
pub fn explain(bytes: &[u8], keys: &Keyring) -> Option<Part> {
    if bytes.len() > BYTES_MAX {
        return None;
    }
    if let Some(found) = evidence::evidence(bytes) {
        return Some(found);
    }
    if ::cose::cbor::check(bytes, LIMITS).is_ok() {
        return Some(known(bytes, keys).unwrap_or_else(|| rats::unknown(bytes)));
    }
    let text = std::str::from_utf8(bytes).ok();
    text.and_then(|text| document::document(text, keys))
        .or_else(|| certificate::der(bytes, keys))
        .or_else(|| certificate::amd(bytes))
        .or_else(|| event_log::ccel(bytes))
}

/// Explains what lies inside something else, or shows its bytes.
fn any(bytes: &[u8], keys: &Keyring) -> Part {
    explain(bytes, keys).unwrap_or_else(|| Part::bytes("bytes", bytes))
}

fn known(bytes: &[u8], keys: &Keyring) -> Option<Part> {
    signed(bytes, keys)
        .or_else(|| sealed::sealed(bytes, keys))
        .or_else(|| suit::envelope(bytes, keys))
        .or_else(|| teep::message(bytes, keys))
        .or_else(|| suit::report(bytes, keys))
        .or_else(|| rats::corim(bytes))
        .or_else(|| rats::cmw(bytes, keys))
        .or_else(|| channel::confirmation(bytes))
        .or_else(|| public_key(bytes, keys))
        .or_else(|| evidence::arm_claims(bytes))
        .or_else(|| rats::claims(bytes, keys))
        .or_else(|| teep::refused(bytes))
        .or_else(|| suit::refused(bytes))
        .or_else(|| rats::refused(bytes))
}

/// COSE_Sign1 and COSE_Sign with what they sign.
fn signed(bytes: &[u8], keys: &Keyring) -> Option<Part> {
    if let Some(object) = cose::as_sign1(bytes) {
        let mut parts = cose::sign1(&object, None, keys);
        parts.push(payload(object.payload, keys));
        return Some(Part::group("COSE_Sign1", "", parts));
    }
    let object = cose::as_sign(bytes)?;
    let mut parts = cose::sign(&object, keys);
    parts.push(payload(object.payload, keys));
    Some(Part::group("COSE_Sign", format!("{} signatures", object.signatures.len()), parts))
}

fn payload(payload: Option<&[u8]>, keys: &Keyring) -> Part {
    match payload {
        Some(payload) => {
            let inside = explain(payload, keys).unwrap_or_else(|| document::opaque(payload));
            Part::group("payload", "", vec![inside])
        }
        None => Part::new("payload", "detached"),
    }
}

fn public_key(bytes: &[u8], keys: &Keyring) -> Option<Part> {
    match ::cose::Key::decode(bytes) {
        Ok(key) => Some(cose::key("COSE_Key", &key, keys)),
        Err(_) => cose::secret_key(bytes),
    }
}

const BYTES_MAX: usize = 64 * 1024 * 1024;
const LIMITS: ::cose::cbor::Limits =
    ::cose::cbor::Limits { depth: 16, bytes: BYTES_MAX, items: 65_536 };

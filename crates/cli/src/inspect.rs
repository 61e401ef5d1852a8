//! The microscope: recognises any artefact of this world and explains it.
//!
//! It shows; it does not judge. A signature is checked where a key is given, or where the object
//! carries its own; everything else is said to be unchecked.

mod cbor;
mod cose;
mod keyring;
mod part;
mod quote;
mod rats;
mod suit;
mod teep;

use std::path::PathBuf;

use anstream::println;
use anyhow::Context as _;
use clap::Args;
use serde_json::json;

pub use keyring::Keyring;
pub use part::Part;
pub(crate) use quote::kind as quote_kind;
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
        let Some(found) = explain(&bytes, &keys) else {
            let shown = teep::head(&bytes);
            let file = self.file.display();
            return Err(Failed::Unusable(anyhow::anyhow!(
                "{file} is nothing that is known here: {} bytes, beginning with {shown}",
                bytes.len()
            )));
        };
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
    if let Some(quote) = quote::quote(bytes) {
        return Some(quote);
    }
    if bytes.len() > BYTES_MAX || ::cose::cbor::check(bytes, LIMITS).is_err() {
        return None;
    }
    Some(any(bytes, keys))
}

/// Explains well-formed CBOR, or shows what is not.
fn any(bytes: &[u8], keys: &Keyring) -> Part {
    known(bytes, keys).unwrap_or_else(|| match ::cose::cbor::check(bytes, LIMITS) {
        Ok(()) => rats::unknown(bytes),
        Err(_) => Part::bytes("bytes", bytes),
    })
}

fn known(bytes: &[u8], keys: &Keyring) -> Option<Part> {
    quote::quote(bytes)
        .or_else(|| signed(bytes, keys))
        .or_else(|| suit::envelope(bytes, keys))
        .or_else(|| teep::message(bytes, keys))
        .or_else(|| suit::report(bytes, keys))
        .or_else(|| rats::corim(bytes))
        .or_else(|| rats::cmw(bytes, keys))
        .or_else(|| public_key(bytes, keys))
        .or_else(|| rats::claims(bytes, keys))
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
        Some(payload) => Part::group("payload", "", vec![any(payload, keys)]),
        None => Part::new("payload", "detached"),
    }
}

fn public_key(bytes: &[u8], keys: &Keyring) -> Option<Part> {
    let key = ::cose::Key::decode(bytes).ok()?;
    Some(cose::key("COSE_Key", &key, keys))
}

const BYTES_MAX: usize = 64 * 1024 * 1024;
const LIMITS: ::cose::cbor::Limits =
    ::cose::cbor::Limits { depth: 16, bytes: BYTES_MAX, items: 65_536 };

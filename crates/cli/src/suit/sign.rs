//! `tamarack suit sign`: another signature over the same manifest.

use std::path::PathBuf;

use anstream::{eprintln, println};
use anyhow::{Context as _, Result};
use clap::Args;
use cose::{Header, Payload, Sign1, Signer, Tagging, cbor};
use serde_json::json;
use suit::{ComponentId, Digest, Envelope, Untrusted, authority::Authority as _};

use super::{
    read,
    refusal::{self, refused},
    signer, write,
};
use crate::outcome::Failed;

/// `tamarack suit sign`.
#[derive(Debug, Args)]
pub struct Sign {
    /// The envelope
    #[arg(long, value_name = "FILE")]
    envelope: PathBuf,
    /// The signing key: a file, or a `pkcs11:` URI
    #[arg(long, value_name = "KEY")]
    key: PathBuf,
    /// Where the signed envelope goes
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Drop the signatures that are there; without it, only one by the same key is replaced
    #[arg(long)]
    replace: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Sign {
    /// Runs the command.
    ///
    /// # Errors
    /// See [`Failed`].
    pub fn run(self) -> Result<(), Failed> {
        let bytes = read(&self.envelope, "the envelope")?;
        let signer = signer::load(&self.key)?;
        let signer = signer.as_ref();
        let what = self.envelope.display().to_string();
        let refuse = |error| refused(refusal::envelope(&what, &error), json!({}));
        let envelope = Envelope::decode(&bytes).map_err(refuse)?;
        let (digest, foreign) = examine(&envelope, signer).map_err(refuse)?;
        let blocks = signed(&envelope, &digest, signer, self.replace)?;
        write(&self.out, &with_wrapper(&bytes, &wrapper(&digest, &blocks))?)?;
        let thumbprint = signer.key().thumbprint();
        if self.json {
            let foreign: Vec<String> = foreign.iter().map(ToString::to_string).collect();
            println!(
                "{}",
                json!({ "signer": thumbprint.to_string(), "digest": digest.to_string(),
                    "signatures": blocks.len(), "without_authority_over": foreign })
            );
            return Ok(());
        }
        println!("{}: signed by {thumbprint}", self.out.display());
        println!("  manifest digest {digest}, {} signature(s)", blocks.len());
        for component in foreign {
            eprintln!("note: {component} does not begin with the signer's thumbprint:");
            eprintln!("      devices take this signature for it only from its owner");
        }
        Ok(())
    }
}

/// The digest to sign, and the components that the signer does not own. What cannot be read, or
/// does not have its digest, is not signed.
fn examine(
    envelope: &Envelope<'_>,
    signer: &dyn Signer,
) -> Result<(Digest, Vec<ComponentId>), suit::Error> {
    let manifest = envelope.unverified_manifest()?;
    let digest = envelope.claimed_digest()?;
    if Digest::of_member(digest.algorithm(), envelope.manifest_bytes())? != digest {
        return Err(Untrusted::ManifestDigest.into());
    }
    let signer = suit::Signer::Key(signer.key().thumbprint());
    let named = manifest.common.components.iter().chain(&manifest.component_id);
    let foreign = named.filter(|id| !suit::authority::OwnerPrefix.permits(&signer, id));
    Ok((digest, foreign.cloned().collect()))
}

/// The blocks that stay, and the new one behind them.
fn signed(
    envelope: &Envelope<'_>,
    digest: &Digest,
    signer: &dyn Signer,
    replace: bool,
) -> Result<Vec<Vec<u8>>> {
    let own = signer.key().thumbprint();
    let by_signer = |block: &[u8]| {
        Sign1::decode(block, Tagging::Tagged)
            .is_ok_and(|block| block.kid().is_some_and(|kid| kid == own.0))
    };
    let mut blocks: Vec<Vec<u8>> = if replace { Vec::new() } else { blocks(envelope)? };
    blocks.retain(|block| !by_signer(block));
    let unprotected = Header { kccs: Some(signer.key().clone()), ..Header::default() };
    let payload = digest.encode();
    let payload = Payload::Detached(&payload);
    let block = cose::sign1(signer, Header::default(), unprotected, &[], payload);
    blocks.push(block.context("signing")?);
    Ok(blocks)
}

/// The authentication blocks of an envelope.
fn blocks(envelope: &Envelope<'_>) -> Result<Vec<Vec<u8>>> {
    let read = cbor::whole(envelope.authentication(), |d| {
        let length = d.array()?.unwrap_or(0);
        (0..length).map(|_| Ok(d.bytes()?.to_vec())).collect::<Result<Vec<_>, cbor::Malformed>>()
    });
    let members = read.context("reading the authentication wrapper")?;
    Ok(members.into_iter().skip(1).collect())
}

/// ```cddl
/// SUIT_Authentication = [ bstr .cbor SUIT_Digest, * bstr .cbor SUIT_Authentication_Block ]
/// ```
fn wrapper(digest: &Digest, blocks: &[Vec<u8>]) -> Vec<u8> {
    cbor::encode(|e| {
        e.array(1 + blocks.len() as u64)?.bytes(&digest.encode())?;
        for block in blocks {
            e.bytes(block)?;
        }
        e.ok()
    })
}

/// The envelope with another authentication wrapper; every other byte stays. Its key is the
/// first of the map, since an envelope is deterministic.
fn with_wrapper(envelope: &[u8], wrapper: &[u8]) -> Result<Vec<u8>> {
    let place = cbor::whole(envelope, |d| {
        if d.datatype()? == minicbor::data::Type::Tag {
            d.tag()?;
        }
        let mut place = 0..0;
        for entry in 0..d.map()?.unwrap_or(0) {
            cbor::item(d)?;
            let start = d.position();
            cbor::item(d)?;
            if entry == 0 {
                place = start..d.position();
            }
        }
        Ok(place)
    });
    let place = place.context("reading the envelope")?;
    let (before, after) = (envelope.get(..place.start), envelope.get(place.end..));
    let (before, after) = before.zip(after).context("an envelope without its wrapper")?;
    Ok([before, &cbor::encode(|e| e.bytes(wrapper)?.ok()), after].concat())
}

//! How the commands reach a Network M/OC.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use sdk::MocClient;

use crate::outcome::Failed;

/// The Network M/OC at an address, in the name of a token's owner.
///
/// # Errors
/// A file does not read, or address or trust anchors are not usable.
pub(crate) fn moc(
    address: &str,
    token_file: &Path,
    roots: Option<&PathBuf>,
) -> Result<MocClient, Failed> {
    let token = std::fs::read_to_string(token_file)
        .with_context(|| format!("reading the token {}", token_file.display()))?;
    let roots = roots.map(anchors).transpose()?;
    Ok(MocClient::new(address, token.trim(), roots.as_deref())?)
}

/// Trust anchors for TLS: PEM text.
pub(crate) fn anchors(path: &PathBuf) -> Result<String> {
    std::fs::read_to_string(path)
        .with_context(|| format!("reading the trust anchors {}", path.display()))
}

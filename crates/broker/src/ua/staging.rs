//! Where a UA's program waits until every check has passed.

use std::{
    io,
    path::{Path, PathBuf},
};

use cose::Sha256;
use suit::{Digest, DigestAlgorithm};
use tokio::{
    fs::{File, OpenOptions},
    io::{AsyncReadExt as _, AsyncWriteExt as _},
};

use crate::{moc::MocClient, refusal::UaFailed};

/// The temporary file of one installation. It disappears with this value unless it was moved.
#[derive(Debug)]
pub(super) struct Staging {
    part: PathBuf,
    /// The program of the installed version, which may be the wanted one.
    installed: Option<PathBuf>,
    staged: bool,
}

impl Staging {
    /// Nothing staged yet; `part` is the name of the temporary file.
    pub(super) fn new(part: PathBuf, installed: Option<PathBuf>) -> Self {
        Self { part, installed, staged: false }
    }

    /// The temporary file, if the program is not the one that is installed.
    pub(super) fn staged(&self) -> Option<&Path> {
        self.staged.then_some(self.part.as_path())
    }

    /// Fetches at most `limit` bytes, range by range.
    pub(super) async fn fetch(
        &mut self,
        moc: &MocClient,
        uri: &str,
        limit: u64,
    ) -> Result<(), UaFailed> {
        let mut file = self.fresh().await?;
        let mut have = 0;
        loop {
            // One byte beyond the limit tells a payload that is too long.
            let wanted = (limit - have + 1).min(RANGE_BYTES);
            let part = moc.fetch(uri, have, wanted).await;
            let part = part.map_err(|source| UaFailed::Fetch { uri: uri.to_owned(), source })?;
            have += part.len() as u64;
            if have > limit {
                return Err(UaFailed::check(
                    "payload size",
                    format!("at most {limit} bytes"),
                    format!("more than {limit} bytes"),
                ));
            }
            file.write_all(&part).await.map_err(UaFailed::io("storing a UA's program"))?;
            if (part.len() as u64) < wanted {
                break;
            }
        }
        self.close(file).await
    }

    /// Stores bytes that came with the manifest.
    pub(super) async fn write(&mut self, content: &[u8]) -> Result<(), UaFailed> {
        let mut file = self.fresh().await?;
        file.write_all(content).await.map_err(UaFailed::io("storing a UA's program"))?;
        self.close(file).await
    }

    /// Digest and size of the program as it is on the disk; `None` when there is none.
    pub(super) async fn measure(
        &self,
        algorithm: DigestAlgorithm,
    ) -> Result<Option<(Digest, u64)>, UaFailed> {
        let Some(path) = self.program() else { return Ok(None) };
        let reading = UaFailed::io("reading a UA's program");
        if algorithm == DigestAlgorithm::Sha256 {
            let (digest, size) = sha256_of(path).await.map_err(reading)?;
            return Ok(Some((Digest::sha256(digest), size)));
        }
        let content = tokio::fs::read(path).await.map_err(reading)?;
        let digest = Digest::of(algorithm, &content);
        let digest = digest.map_err(|error| UaFailed::Manifest(error.into()))?;
        Ok(Some((digest, content.len() as u64)))
    }

    /// Whether the program consists of these bytes.
    pub(super) async fn equals(&self, content: &[u8]) -> Result<bool, UaFailed> {
        let Some(path) = self.program() else { return Ok(false) };
        let stored = tokio::fs::read(path).await.map_err(UaFailed::io("reading a UA's program"))?;
        Ok(cose::equal(&stored, content))
    }

    /// The program, wherever it is.
    pub(super) fn program(&self) -> Option<&Path> {
        self.staged().or(self.installed.as_deref())
    }

    /// A new file that only this account can read, write and run.
    async fn fresh(&mut self) -> Result<File, UaFailed> {
        self.staged = false;
        let making = UaFailed::io("making room for a UA's program");
        match tokio::fs::remove_file(&self.part).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(making(error)),
            Ok(()) | Err(_) => {}
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o700).open(&self.part).await.map_err(making)
    }

    async fn close(&mut self, mut file: File) -> Result<(), UaFailed> {
        let storing = UaFailed::io("storing a UA's program");
        let closed = async {
            file.flush().await?;
            file.sync_all().await
        };
        closed.await.map_err(storing)?;
        self.staged = true;
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Moved into place, never made, or of no use any more.
        let _gone = std::fs::remove_file(&self.part);
    }
}

/// SHA-256 and size of a file, in constant memory.
pub(super) async fn sha256_of(path: &Path) -> io::Result<([u8; 32], u64)> {
    let mut file = File::open(path).await?;
    let (mut hash, mut size) = (Sha256::new(), 0);
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let length = file.read(&mut chunk).await?;
        if length == 0 {
            return Ok((hash.finish(), size));
        }
        hash.update(&chunk[..length]);
        size += length as u64;
    }
}

/// What is asked for at once.
const RANGE_BYTES: u64 = 1024 * 1024;
const CHUNK_BYTES: usize = 256 * 1024;

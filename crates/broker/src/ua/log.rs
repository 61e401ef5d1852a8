//! What a UA says, in a file that cannot grow without end.

use std::{
    fs::{File, OpenOptions},
    io::{self, PipeReader, Write as _},
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use tokio::{io::AsyncReadExt as _, net::unix::pipe::Receiver};
use tracing::warn;

/// Writes what comes out of a pipe into a log until the pipe closes.
pub(super) async fn keep(from: PipeReader, log: PathBuf) {
    if let Err(error) = copy(from, &log).await {
        warn!(log = %log.display(), %error, "what a UA says is not kept");
    }
}

async fn copy(from: PipeReader, log: &Path) -> io::Result<()> {
    let mut from = Receiver::from_owned_fd(OwnedFd::from(from))?;
    let (mut file, mut size) = open(log)?;
    let mut chunk = vec![0; 8 * 1024];
    loop {
        let length = from.read(&mut chunk).await?;
        if length == 0 {
            return Ok(());
        }
        if size + length as u64 > LOG_BYTES_MAX {
            std::fs::rename(log, log.with_added_extension("1"))?;
            (file, size) = open(log)?;
        }
        file.write_all(&chunk[..length])?;
        size += length as u64;
    }
}

fn open(log: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(log)?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

/// The log begins anew at this size; the one before is kept beside it.
const LOG_BYTES_MAX: u64 = 4 * 1024 * 1024;

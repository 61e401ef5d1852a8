//! Byte strings in files that are named by their SHA-256: `ab/abcdef…`.
//!
//! A blob appears under its name only when all of it is on the disk and has that digest, so a
//! reader never sees half of one.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt, io,
    path::{Path, PathBuf},
    str::FromStr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use cose::Sha256;
use tokio::{
    fs::{self, File},
    io::AsyncWriteExt as _,
    sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock},
};

use super::{StoreFailed, create_dir};

/// The folder of blobs.
#[derive(Clone, Debug)]
pub struct Blobs {
    dir: PathBuf,
    recent: Arc<Mutex<Recent>>,
    gate: Arc<RwLock<()>>,
}

/// Small blobs that were read not long ago, at most [`RECENT_MAX`] of [`RECENT_BYTES_MAX`] each. A
/// digest names its bytes for good, so what is in here is never out of date.
#[derive(Debug, Default)]
struct Recent {
    blobs: BTreeMap<BlobDigest, Arc<[u8]>>,
    order: VecDeque<BlobDigest>,
}

/// SHA-256 that names a blob; written in lower-case hex.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlobDigest(pub [u8; 32]);

/// The text is not 64 lower-case hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not 64 lower-case hexadecimal digits")]
pub struct NotADigest;

/// A blob on its way in; dropping it forgets it.
#[derive(Debug)]
pub struct BlobUpload {
    blobs: Blobs,
    named: BlobDigest,
    temporary: Temporary,
    file: File,
    hash: Sha256,
    bytes: u64,
}

/// An upload did not become a blob.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UploadRefused {
    /// The bytes have another digest than the name.
    #[error("the bytes have another digest")]
    Digest {
        /// Digest of the bytes.
        seen: BlobDigest,
    },
    /// The disk.
    #[error(transparent)]
    Failed(#[from] StoreFailed),
}

impl BlobDigest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(cose::sha256(bytes))
    }
}

impl fmt::Display for BlobDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for BlobDigest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(NotADigest);
        }
        let mut digest = [0; 32];
        hex::decode_to_slice(text, &mut digest).map_err(|_| NotADigest)?;
        Ok(Self(digest))
    }
}

impl Blobs {
    pub(super) fn open(dir: &Path) -> Result<Self, StoreFailed> {
        let blobs = Self { dir: dir.to_owned(), recent: Arc::default(), gate: Arc::default() };
        let unfinished = blobs.unfinished();
        match std::fs::remove_dir_all(&unfinished) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(&unfinished)(error)),
        }
        create_dir(&unfinished)?;
        Ok(blobs)
    }

    /// Starts an upload that has to end up with this digest.
    pub async fn upload(&self, named: BlobDigest) -> Result<BlobUpload, StoreFailed> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let path = self.unfinished().join(name);
        let file = File::create_new(&path).await.map_err(failed(&path))?;
        let temporary = Temporary { path, renamed: false };
        let blobs = self.clone();
        Ok(BlobUpload { blobs, named, temporary, file, hash: Sha256::new(), bytes: 0 })
    }

    /// Stores bytes that are in memory.
    pub async fn put(&self, bytes: &[u8]) -> Result<BlobDigest, StoreFailed> {
        let digest = BlobDigest::of(bytes);
        let mut upload = self.upload(digest).await?;
        upload.write(bytes).await?;
        match upload.finish().await {
            Ok(_) => Ok(digest),
            Err(UploadRefused::Failed(failed)) => Err(failed),
            Err(UploadRefused::Digest { .. }) => Err(StoreFailed::Corrupt("blob")),
        }
    }

    /// Keeps files from being removed until the rows say whose they are.
    pub async fn hold(&self) -> OwnedRwLockReadGuard<()> {
        self.gate.clone().read_owned().await
    }

    /// Waits until nobody holds files, and lets nobody.
    pub(super) async fn alone(&self) -> OwnedRwLockWriteGuard<()> {
        self.gate.clone().write_owned().await
    }

    /// Every blob that is there.
    pub(super) async fn all(&self) -> Result<Vec<BlobDigest>, StoreFailed> {
        let mut found = Vec::new();
        let mut folders = fs::read_dir(&self.dir).await.map_err(failed(&self.dir))?;
        while let Some(folder) = folders.next_entry().await.map_err(failed(&self.dir))? {
            let path = folder.path();
            if !folder.file_type().await.map_err(failed(&path))?.is_dir() {
                continue;
            }
            let mut files = fs::read_dir(&path).await.map_err(failed(&path))?;
            while let Some(file) = files.next_entry().await.map_err(failed(&path))? {
                // What is unfinished has another name.
                found.extend(
                    file.file_name().to_str().and_then(|name| name.parse::<BlobDigest>().ok()),
                );
            }
        }
        Ok(found)
    }

    /// Removes a blob. Whoever reads it goes on.
    pub(super) async fn remove(&self, digest: BlobDigest) -> Result<(), StoreFailed> {
        let path = self.path(digest);
        fs::remove_file(&path).await.map_err(failed(&path))?;
        self.recent(|recent| recent.blobs.remove(&digest));
        Ok(())
    }

    /// How many bytes the blob has, when it is there.
    pub async fn len(&self, digest: BlobDigest) -> Result<Option<u64>, StoreFailed> {
        let path = self.path(digest);
        match fs::metadata(&path).await {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&path)(error)),
        }
    }

    /// Opens the blob for reading, when it is there, and tells its length.
    pub async fn reader(&self, digest: BlobDigest) -> Result<Option<(File, u64)>, StoreFailed> {
        let path = self.path(digest);
        match File::open(&path).await {
            Ok(file) => {
                let bytes = file.metadata().await.map_err(failed(&path))?.len();
                Ok(Some((file, bytes)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&path)(error)),
        }
    }

    /// All of a blob that is known to be small.
    pub async fn get(&self, digest: BlobDigest) -> Result<Option<Vec<u8>>, StoreFailed> {
        if let Some(bytes) = self.recent(|recent| recent.blobs.get(&digest).cloned()) {
            return Ok(Some(bytes.to_vec()));
        }
        let path = self.path(digest);
        match fs::read(&path).await {
            Ok(bytes) if BlobDigest::of(&bytes) == digest => {
                self.recent(|recent| recent.keep(digest, &bytes));
                Ok(Some(bytes))
            }
            Ok(_) => Err(StoreFailed::Corrupt("blob")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&path)(error)),
        }
    }

    /// A panic elsewhere leaves whole entries behind.
    fn recent<T>(&self, look: impl FnOnce(&mut Recent) -> T) -> T {
        look(&mut self.recent.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn path(&self, digest: BlobDigest) -> PathBuf {
        let name = digest.to_string();
        self.dir.join(&name[..2]).join(name)
    }

    fn unfinished(&self) -> PathBuf {
        self.dir.join("unfinished")
    }
}

impl Recent {
    fn keep(&mut self, digest: BlobDigest, bytes: &[u8]) {
        if bytes.len() > RECENT_BYTES_MAX || self.blobs.insert(digest, bytes.into()).is_some() {
            return;
        }
        self.order.push_back(digest);
        if self.order.len() > RECENT_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.blobs.remove(&oldest);
        }
    }
}

impl BlobUpload {
    /// Adds bytes at the end.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), StoreFailed> {
        self.file.write_all(bytes).await.map_err(failed(&self.temporary.path))?;
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// How many bytes have come so far.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Checks the digest, makes the blob durable and gives it its name.
    pub async fn finish(self) -> Result<u64, UploadRefused> {
        let Self { blobs, named, mut temporary, mut file, hash, bytes } = self;
        let seen = BlobDigest(hash.finish());
        if seen != named {
            return Err(UploadRefused::Digest { seen });
        }
        file.flush().await.map_err(failed(&temporary.path))?;
        file.sync_all().await.map_err(failed(&temporary.path))?;
        drop(file);
        let path = blobs.path(named);
        let dir = path.parent().unwrap_or(&blobs.dir).to_owned();
        fs::create_dir_all(&dir).await.map_err(failed(&dir))?;
        fs::rename(&temporary.path, &path).await.map_err(failed(&path))?;
        temporary.renamed = true;
        for dir in [&dir, &blobs.dir] {
            let handle = File::open(dir).await.map_err(failed(dir))?;
            handle.sync_all().await.map_err(failed(dir))?;
        }
        Ok(bytes)
    }
}

/// A file that goes away unless it was renamed.
#[derive(Debug)]
struct Temporary {
    path: PathBuf,
    renamed: bool,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.renamed {
            // What stays behind is removed at the next start.
            let _left = std::fs::remove_file(&self.path);
        }
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> StoreFailed {
    let path = path.to_owned();
    move |source| StoreFailed::File { path, source }
}

const RECENT_MAX: usize = 256;
const RECENT_BYTES_MAX: usize = 64 << 10;

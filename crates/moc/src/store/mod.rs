//! Durable state: rows in SQL, bytes in content-addressed files.
//!
//! There is one writer. A write is data, a list of [`Change`]s that are applied together or not at
//! all; the writer takes every list that waits and commits them in one transaction, each behind
//! its own savepoint. Reads are snapshots on their own connections. Whoever gets `Ok` from
//! [`Store::commit`] may tell the world: the rows are on the disk.
//!
//! SQL stays in this module, in the subset that SQLite and PostgreSQL share. It deliberately knows
//! no protocol: what is allowed to follow what is decided elsewhere, and arrives here as a version
//! that has to match.

mod backup;
mod blobs;
mod change;
mod deployments;
mod devices;
mod exchanges;
mod joining;
mod leases;
mod log;
mod own;
mod possession;
mod reservations;
mod results;
mod schema;
mod sql;
mod tenants;
mod writer;

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::sync::mpsc;

pub use self::{
    backup::{Backup, NotBackedUp, back_up, restore},
    blobs::{BlobDigest, BlobUpload, Blobs, NotADigest, UploadRefused},
    change::Change,
    deployments::{DeploymentRow, EventRow, PackageRow, ReceiptRow, RequestRow},
    devices::{DeviceRow, Duty},
    exchanges::{Errand, ExchangeRow, Purpose, TicketRow},
    joining::JoinTokenRow,
    leases::{LeaseRow, Quoted},
    log::{Leaf, NewDecision},
    own::{AnswerRow, Own},
    possession::{BlobRow, NamedBlobs},
    reservations::{InventoryRow, NewReservation, ReservationRow, Usage},
    results::{ResultRow, ResultState},
    tenants::{CERTIFICATE, Quota, TokenRow},
};

/// Handle to the store; cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    reads: sql::Pool,
    writer: mpsc::Sender<writer::Job>,
    blobs: Blobs,
    _lock: Arc<File>,
}

/// The store could not do its work: the disk, the database, or rows that nobody here wrote.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreFailed {
    /// A file operation.
    #[error("file {path}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The database.
    #[error("database")]
    Sql(#[from] sql::Error),
    /// The transaction that several writes shared was not committed.
    #[error("shared transaction: {0}")]
    Batch(String),
    /// Another process has the store open.
    #[error("{0} is in use by another process")]
    InUse(PathBuf),
    /// The schema is newer than this program.
    #[error("schema version {found} is newer than {known}")]
    Newer {
        /// Version in the database.
        found: i64,
        /// Newest version known here.
        known: i64,
    },
    /// A migration was changed after it had run.
    #[error("migration {0} differs from the one that ran")]
    Edited(i64),
    /// A column does not hold what this program writes there.
    #[error("column {0} does not hold what belongs there")]
    Corrupt(&'static str),
    /// More writes wait than there is room for.
    #[error("too many writes wait")]
    Busy,
    /// The writer has ended.
    #[error("the writer has ended")]
    Stopped,
}

/// Why a list of changes had no effect.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotCommitted {
    /// A row with this name is there already.
    #[error("{0} exists")]
    Exists(&'static str),
    /// The row has moved on since it was read.
    #[error("{0} has changed")]
    Stale(&'static str),
    /// It would lead beyond what a tenant may have at a time.
    #[error("more than {max} {what}")]
    Over {
        /// Of what.
        what: &'static str,
        /// The most.
        max: u64,
    },
    /// The token, challenge or ticket was consumed by an earlier decision.
    #[error("already used")]
    Used,
    /// The store could not do its work.
    #[error(transparent)]
    Failed(#[from] StoreFailed),
}

impl From<sql::Error> for NotCommitted {
    fn from(error: sql::Error) -> Self {
        Self::Failed(StoreFailed::Sql(error))
    }
}

impl Store {
    /// Opens the store in `dir`, creates it when it is not there, and migrates it forward.
    pub async fn open(dir: &Path) -> Result<Self, StoreFailed> {
        create_private_dir(dir)?;
        let lock = lock(&dir.join("moc.lock"))?;
        let database = dir.join("moc.db");
        let mut connection = connect_writer(&database)?;
        schema::migrate(&mut connection).await?;
        let reads = sql::Pool::open(&database, READER_SETTINGS, READERS_MAX)?;
        let blobs = Blobs::open(&dir.join("blobs"))?;
        // A file is found after a power cut when the folders on the way to it were synced, too.
        sync_dir(dir)?;
        if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            // One that may not be read is somebody else's, who made this folder.
            let _theirs = sync_dir(parent);
        }

        let writer = writer::start(connection).map_err(|_| StoreFailed::Stopped)?;
        Ok(Self { reads, writer, blobs, _lock: Arc::new(lock) })
    }

    /// Applies `changes` together or not at all; `Ok` means durable.
    pub async fn commit(&self, changes: Vec<Change>) -> Result<(), NotCommitted> {
        let (job, answer) = writer::Job::new(changes);
        self.writer.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreFailed::Busy,
            mpsc::error::TrySendError::Closed(_) => StoreFailed::Stopped,
        })?;
        answer.await.map_err(|_| StoreFailed::Stopped)?
    }

    /// Large byte strings.
    pub const fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// How many lists of changes wait for the writer.
    pub fn queued(&self) -> u64 {
        (self.writer.max_capacity() - self.writer.capacity()) as u64
    }

    /// How many devices there are by state and hardware family.
    pub async fn device_counts(&self) -> Result<Vec<(String, String, u64)>, StoreFailed> {
        sql::query(
            "SELECT state, hardware, COUNT(*) AS devices FROM (SELECT hardware, CASE \
             WHEN duty = 'pending' THEN 'pending' WHEN duty = 'retired' THEN 'retired' \
             WHEN duty = 'held' THEN 'quarantined' \
             WHEN duty = 'draining' AND state = 'attested' THEN 'draining' \
             ELSE state END AS state FROM devices) standing \
             GROUP BY state, hardware ORDER BY state, hardware",
        )
        .fetch_many(&self.reads)
        .await?
        .iter()
        .map(|row| Ok((text(row, "state")?, text(row, "hardware")?, uint(row, "devices")?)))
        .collect()
    }

    /// Whether a read succeeds.
    pub async fn ready(&self) -> Result<(), StoreFailed> {
        sql::query("SELECT 1").fetch_one(&self.reads).await?;
        Ok(())
    }
}

fn connect_writer(path: &Path) -> Result<sql::Connection, StoreFailed> {
    Ok(sql::Connection::open(path, WRITER_SETTINGS)?)
}

/// What devices and tenants told is nobody else's business.
fn create_private_dir(dir: &Path) -> Result<(), StoreFailed> {
    use std::os::unix::fs::DirBuilderExt as _;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|source| StoreFailed::File { path: dir.to_owned(), source })
}

fn create_dir(dir: &Path) -> Result<(), StoreFailed> {
    std::fs::create_dir_all(dir)
        .map_err(|source| StoreFailed::File { path: dir.to_owned(), source })
}

fn sync_dir(dir: &Path) -> Result<(), StoreFailed> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(|source| StoreFailed::File { path: dir.to_owned(), source })
}

fn lock(path: &Path) -> Result<File, StoreFailed> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(|source| StoreFailed::File { path: path.to_owned(), source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreFailed::InUse(path.to_owned())),
        Err(TryLockError::Error(source)) => {
            Err(StoreFailed::File { path: path.to_owned(), source })
        }
    }
}

/// An unsigned number as the database keeps it.
fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn text(row: &sql::Row, column: &'static str) -> Result<String, StoreFailed> {
    maybe_text(row, column)?.ok_or(StoreFailed::Corrupt(column))
}

fn maybe_text(row: &sql::Row, column: &'static str) -> Result<Option<String>, StoreFailed> {
    Ok(row.text(column)?.map(str::to_owned))
}

fn uint(row: &sql::Row, column: &'static str) -> Result<u64, StoreFailed> {
    maybe_uint(row, column)?.ok_or(StoreFailed::Corrupt(column))
}

fn maybe_int(row: &sql::Row, column: &'static str) -> Result<Option<i64>, StoreFailed> {
    row.int(column)
}

fn maybe_uint(row: &sql::Row, column: &'static str) -> Result<Option<u64>, StoreFailed> {
    let value = row.int(column)?;
    value.map(|value| u64::try_from(value).map_err(|_| StoreFailed::Corrupt(column))).transpose()
}

fn bytes(row: &sql::Row, column: &'static str) -> Result<Vec<u8>, StoreFailed> {
    maybe_bytes(row, column)?.ok_or(StoreFailed::Corrupt(column))
}

fn maybe_bytes(row: &sql::Row, column: &'static str) -> Result<Option<Vec<u8>>, StoreFailed> {
    Ok(row.bytes(column)?.map(<[u8]>::to_vec))
}

fn json<T: serde::de::DeserializeOwned>(
    row: &sql::Row,
    column: &'static str,
) -> Result<T, StoreFailed> {
    maybe_json(row, column)?.ok_or(StoreFailed::Corrupt(column))
}

fn maybe_json<T: serde::de::DeserializeOwned>(
    row: &sql::Row,
    column: &'static str,
) -> Result<Option<T>, StoreFailed> {
    row.text(column)?
        .map(|text| serde_json::from_str(text).map_err(|_| StoreFailed::Corrupt(column)))
        .transpose()
}

fn to_json<T: serde::Serialize>(value: &T, column: &'static str) -> Result<String, StoreFailed> {
    serde_json::to_string(value).map_err(|_| StoreFailed::Corrupt(column))
}

const READERS_MAX: usize = 8;
const WRITER_SETTINGS: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
     PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON; PRAGMA cache_size = -65536; \
     PRAGMA wal_autocheckpoint = 8192";
const READER_SETTINGS: &str = "PRAGMA busy_timeout = 5000; PRAGMA query_only = ON; \
     PRAGMA mmap_size = 1073741824";

#[cfg(test)]
mod tests;

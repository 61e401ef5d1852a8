//! A copy of everything that the M/OC keeps, made while it runs, and a store made from one.
//!
//! A backup holds the M/OC's private keys: whoever has it can be the M/OC.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use audit::tree::Range;

use super::{
    Store, StoreFailed, create_private_dir,
    sql::{self, Connection},
    uint,
};

/// What a backup says about itself: `backup.json` in its folder, written last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// SHA-256 of the database, hex.
    pub database: String,
    /// Version of its schema.
    pub schema: i64,
    /// How many entries the log of decisions has.
    pub log_size: u64,
    /// Root of the log, hex.
    pub log_root: String,
    /// How many blobs there are.
    pub blobs: u64,
}

/// A backup cannot be made or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotBackedUp {
    /// A file operation.
    #[error("file {path}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Something is there already.
    #[error("{0} is not empty: a backup and a restored store each start in a folder of their own")]
    NotEmpty(PathBuf),
    /// There is no complete backup.
    #[error("{0} holds no complete backup (backup.json)")]
    Incomplete(PathBuf),
    /// The database is not the one of the backup.
    #[error("{path} has SHA-256 {seen}, but the backup was made with {expected}")]
    Changed {
        /// Which file.
        path: PathBuf,
        /// What the backup says.
        expected: String,
        /// What is there.
        seen: String,
    },
    /// The store.
    #[error("the store cannot be used")]
    Store(#[from] StoreFailed),
}

/// Copies the store and the keys in `data` to the folder `to`; the M/OC may run meanwhile.
pub async fn back_up(data: &Path, to: &Path) -> Result<Backup, NotBackedUp> {
    must_be_empty(to)?;
    create_private_dir(to)?;
    let database = to.join("moc.db");
    copy_database(&data.join("moc.db"), &database).await?;
    // Rows name blobs that were there before them, so what the copy needs is there by now.
    let blobs = copy_tree(&data.join("blobs"), &to.join("blobs"))?;
    copy_tree(&data.join("keys"), &to.join("keys"))?;
    let described = describe(&database, blobs).await?;
    let text = serde_json::to_vec_pretty(&described).unwrap_or_default();
    write_synced(&to.join(MANIFEST), &text)?;
    Ok(described)
}

/// Makes a store in the empty folder `data` from a backup.
pub async fn restore(from: &Path, data: &Path) -> Result<Backup, NotBackedUp> {
    let text = fs::read(from.join(MANIFEST)).ok();
    let expected = text.and_then(|text| serde_json::from_slice::<Backup>(&text).ok());
    let expected = expected.ok_or_else(|| NotBackedUp::Incomplete(from.to_owned()))?;
    let path = from.join("moc.db");
    let seen = digest(&path)?;
    if seen != expected.database {
        return Err(NotBackedUp::Changed { path, expected: expected.database, seen });
    }
    must_be_empty(data)?;
    create_private_dir(data)?;
    copy_tree(&from.join("blobs"), &data.join("blobs"))?;
    copy_tree(&from.join("keys"), &data.join("keys"))?;
    // The database comes last: without it nothing here is a store.
    copy_file(&path, &data.join("moc.db"))?;
    drop(Store::open(data).await?);
    Ok(expected)
}

async fn copy_database(from: &Path, to: &Path) -> Result<(), NotBackedUp> {
    if !from.is_file() {
        return Err(NotBackedUp::Incomplete(from.to_owned()));
    }
    let target = to.to_string_lossy().into_owned();
    let work = async {
        let mut connection = Connection::open(from, "PRAGMA busy_timeout = 60000")?;
        sql::query("VACUUM INTO $1").bind(target).execute(&mut connection).await?;
        connection.close()
    };
    work.await.map_err(|error| NotBackedUp::Store(error.into()))?;
    let file = fs::File::open(to).map_err(failed(to))?;
    file.sync_all().map_err(failed(to))
}

async fn describe(database: &Path, blobs: u64) -> Result<Backup, NotBackedUp> {
    let digest = digest(database)?;
    let copy = tempdir_beside(database)?;
    let inside = copy.join("moc.db");
    copy_file(database, &inside)?;
    // The copy is opened elsewhere, because opening one may write to it.
    let outcome = async {
        let store = Store::open(&copy).await?;
        let log_size = store.log_size().await?;
        let root = store.log_hashes(&[Range::tree(log_size)]).await?;
        let row = sql::query("SELECT MAX(version) AS version FROM schema_versions")
            .fetch_one(&store.reads)
            .await?;
        let schema = i64::try_from(uint(&row, "version")?)
            .map_err(|_| StoreFailed::Corrupt("schema_versions.version"))?;
        Ok::<_, StoreFailed>((schema, log_size, hex::encode(root[0])))
    }
    .await;
    fs::remove_dir_all(&copy).map_err(failed(&copy))?;
    let (schema, log_size, log_root) = outcome?;
    Ok(Backup { database: digest, schema, log_size, log_root, blobs })
}

fn tempdir_beside(database: &Path) -> Result<PathBuf, NotBackedUp> {
    let dir = database.with_extension("look");
    create_private_dir(&dir)?;
    Ok(dir)
}

fn must_be_empty(dir: &Path) -> Result<(), NotBackedUp> {
    match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(dir)(error)),
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(NotBackedUp::NotEmpty(dir.to_owned())),
        },
    }
}

/// Copies files with their modes; how many there were.
fn copy_tree(from: &Path, to: &Path) -> Result<u64, NotBackedUp> {
    create_private_dir(to)?;
    let mut copied = 0;
    for entry in fs::read_dir(from).map_err(failed(from))? {
        let entry = entry.map_err(failed(from))?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            if entry.file_name() != "unfinished" {
                copied += copy_tree(&path, &target)?;
            }
        } else {
            copy_file(&path, &target)?;
            copied += 1;
        }
    }
    Ok(copied)
}

fn copy_file(from: &Path, to: &Path) -> Result<(), NotBackedUp> {
    fs::copy(from, to).map_err(failed(from))?;
    fs::File::open(to).and_then(|file| file.sync_all()).map_err(failed(to))
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), NotBackedUp> {
    fs::write(path, bytes).map_err(failed(path))?;
    fs::File::open(path).and_then(|file| file.sync_all()).map_err(failed(path))
}

fn digest(path: &Path) -> Result<String, NotBackedUp> {
    let mut file = fs::File::open(path).map_err(failed(path))?;
    let mut hash = cose::Sha256::new();
    let mut part = vec![0; 1 << 16];
    loop {
        let length = io::Read::read(&mut file, &mut part).map_err(failed(path))?;
        if length == 0 {
            return Ok(hex::encode(hash.finish()));
        }
        hash.update(&part[..length]);
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> NotBackedUp {
    let path = path.to_owned();
    move |source| NotBackedUp::File { path, source }
}

const MANIFEST: &str = "backup.json";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Change, NewDecision};

    fn decision() -> Change {
        Change::AddDecision(NewDecision {
            tenant: String::new(),
            at_ms: 1,
            subject: "device/edge".into(),
            decision: "attested".into(),
            reason: "why".into(),
        })
    }

    #[tokio::test]
    async fn a_backup_of_a_running_store_is_a_store_with_all_that_was_acknowledged() {
        let dir = tempfile::tempdir().unwrap();
        let (data, copy, again) =
            (dir.path().join("data"), dir.path().join("copy"), dir.path().join("again"));
        let store = Store::open(&data).await.unwrap();
        store.commit(vec![decision()]).await.unwrap();
        let blob = store.blobs().put(b"a payload").await.unwrap();
        fs::create_dir(data.join("keys")).unwrap();
        fs::write(data.join("keys/audit.pem"), "a key").unwrap();

        let made = back_up(&data, &copy).await.unwrap();
        store.commit(vec![decision()]).await.unwrap();
        let restored = restore(&copy, &again).await.unwrap();

        assert_eq!((made.log_size, made.blobs), (1, 1));
        assert_eq!(made, restored);
        assert_eq!(fs::read(again.join("keys/audit.pem")).unwrap(), b"a key");
        let other = loop {
            // The restored store is closed in the background.
            if let Ok(store) = Store::open(&again).await {
                break store;
            }
        };
        assert_eq!(other.log_size().await.unwrap(), 1);
        assert_eq!(other.blobs().get(blob).await.unwrap().unwrap(), b"a payload");
    }

    #[tokio::test]
    async fn a_backup_that_was_changed_cut_or_would_overwrite_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (data, copy, again) =
            (dir.path().join("data"), dir.path().join("copy"), dir.path().join("again"));
        drop(Store::open(&data).await.unwrap());
        fs::create_dir(data.join("keys")).unwrap();
        back_up(&data, &copy).await.unwrap();

        let onto = restore(&copy, &data).await;
        assert!(matches!(onto, Err(NotBackedUp::NotEmpty(path)) if path == data));
        let twice = back_up(&data, &copy).await;
        assert!(matches!(twice, Err(NotBackedUp::NotEmpty(path)) if path == copy));
        let mut bytes = fs::read(copy.join("moc.db")).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(copy.join("moc.db"), bytes).unwrap();
        assert!(matches!(restore(&copy, &again).await, Err(NotBackedUp::Changed { .. })));
        fs::remove_file(copy.join(MANIFEST)).unwrap();
        assert!(matches!(restore(&copy, &again).await, Err(NotBackedUp::Incomplete(_))));
        assert!(!again.exists());
    }
}

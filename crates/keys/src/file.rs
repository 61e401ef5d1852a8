//! Keys in files: private ones as PKCS#8 PEM with mode 0600, public ones as COSE_Key bytes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use cose::{Agreement as _, Algorithm, Curve, Entropy as _, Key, Secret, Signer as _};
use zeroize::Zeroizing;

use crate::agreement::AgreementKey;
use crate::entropy::SystemEntropy;
use crate::pem;
use crate::refusal::{Error, KeyRejected};
use crate::signing::SigningKey;

/// Loads a signature key; makes and keeps a new one when the file is absent.
///
/// A key for another algorithm is refused. When two processes create the file at once, both end
/// with the key of the first.
pub fn load_or_create(path: impl AsRef<Path>, algorithm: Algorithm) -> Result<SigningKey, Error> {
    let path = path.as_ref();
    if let Some(key) = load_if_there(path, SigningKey::from_pem)? {
        return expect_kind(path, key.algorithm() == algorithm, key);
    }
    let fresh = SigningKey::generate(algorithm).map_err(|reason| rejected(path, reason))?;
    create(path, fresh.to_pkcs8().map_err(|_| rejected(path, KeyRejected::Unsupported))?)?;
    let key = load(path)?;
    expect_kind(path, key.algorithm() == algorithm, key)
}

/// Loads a key agreement key; makes and keeps a new one when the file is absent.
pub fn load_or_create_agreement(
    path: impl AsRef<Path>,
    curve: Curve,
) -> Result<AgreementKey, Error> {
    let path = path.as_ref();
    if let Some(key) = load_if_there(path, AgreementKey::from_pem)? {
        return expect_kind(path, key.key().curve() == curve, key);
    }
    let fresh = AgreementKey::generate(curve).map_err(|reason| rejected(path, reason))?;
    create(path, fresh.to_pkcs8().map_err(|_| rejected(path, KeyRejected::Unsupported))?)?;
    let key = load_agreement(path)?;
    expect_kind(path, key.key().curve() == curve, key)
}

/// Loads a signature key.
pub fn load(path: impl AsRef<Path>) -> Result<SigningKey, Error> {
    let path = path.as_ref();
    load_if_there(path, SigningKey::from_pem)?.ok_or_else(|| absent(path))
}

/// Loads a key agreement key.
pub fn load_agreement(path: impl AsRef<Path>) -> Result<AgreementKey, Error> {
    let path = path.as_ref();
    load_if_there(path, AgreementKey::from_pem)?.ok_or_else(|| absent(path))
}

/// The file of the public key that belongs to a private key's file: `NAME.pub`.
pub fn public_path(path: impl AsRef<Path>) -> PathBuf {
    path.as_ref().with_extension("pub")
}

/// Writes a public key as COSE_Key bytes, in place of what is there.
pub fn save_public(path: impl AsRef<Path>, key: &Key) -> Result<(), Error> {
    let path = path.as_ref();
    let temporary = write_beside(path, &key.encode(), 0o644).map_err(|error| io(path, &error))?;
    fs::rename(&temporary, path).and_then(|()| sync_folder(path)).map_err(|error| io(path, &error))
}

/// Reads a public key from COSE_Key bytes.
pub fn load_public(path: impl AsRef<Path>) -> Result<Key, Error> {
    let path = path.as_ref();
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LENGTH_MAX).read_to_end(&mut bytes))
        .map_err(|error| io(path, &error))?;
    Key::decode(&bytes).map_err(|reason| Error::Malformed { path: path.to_owned(), reason })
}

fn load_if_there<T>(
    path: &Path,
    parse: impl FnOnce(&str) -> Result<T, KeyRejected>,
) -> Result<Option<T>, Error> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(path, &error)),
    };
    let mode = file.metadata().map_err(|error| io(path, &error))?.permissions().mode() & 0o777;
    if mode & OTHERS != 0 {
        return Err(Error::Open { path: path.to_owned(), mode });
    }
    // Full size at once: growing would leave copies of the key behind.
    let mut bytes = Zeroizing::new(vec![0; LENGTH_MAX as usize]);
    let mut length = 0;
    while length < bytes.len() {
        match file.read(&mut bytes[length..]).map_err(|error| io(path, &error))? {
            0 => break,
            read => length += read,
        }
    }
    let text =
        std::str::from_utf8(&bytes[..length]).map_err(|_| rejected(path, KeyRejected::Pem))?;
    parse(text).map(Some).map_err(|reason| rejected(path, reason))
}

/// Puts a new private key in place, complete or not at all; an existing file stays.
fn create(path: &Path, der: Secret) -> Result<(), Error> {
    let text = pem::encode(der.expose());
    let temporary = write_beside(path, text.as_bytes(), 0o600).map_err(|error| io(path, &error))?;
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary).map_err(|error| io(path, &error))?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(io(path, &error)),
        Ok(()) | Err(_) => sync_folder(path).map_err(|error| io(path, &error)),
    }
}

/// Writes a file next to `path`, under a name that nobody else has, durably.
fn write_beside(path: &Path, bytes: &[u8], mode: u32) -> io::Result<PathBuf> {
    let mut unique = [0; 8];
    SystemEntropy.fill(&mut unique);
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?.to_owned();
    name.push(format!(".{:016x}.new", u64::from_be_bytes(unique)));
    let temporary = path.with_file_name(name);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
    match file.write_all(bytes).and_then(|()| file.sync_all()) {
        Ok(()) => Ok(temporary),
        Err(error) => {
            fs::remove_file(&temporary)?;
            Err(error)
        }
    }
}

/// Makes the name of a new file durable.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn expect_kind<T>(path: &Path, right: bool, key: T) -> Result<T, Error> {
    if right { Ok(key) } else { Err(Error::OtherKind { path: path.to_owned() }) }
}

fn absent(path: &Path) -> Error {
    Error::Io { path: path.to_owned(), kind: io::ErrorKind::NotFound }
}

fn io(path: &Path, error: &io::Error) -> Error {
    Error::Io { path: path.to_owned(), kind: error.kind() }
}

fn rejected(path: &Path, reason: KeyRejected) -> Error {
    Error::Rejected { path: path.to_owned(), reason }
}

/// Permission bits that a private key must not have. Group access is left to the operator:
/// orchestrators mount secrets that way.
pub(crate) const OTHERS: u32 = 0o007;
/// Room for an ML-DSA key with its expansion.
const LENGTH_MAX: u64 = 16 * 1024;

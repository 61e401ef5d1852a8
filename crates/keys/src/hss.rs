//! HSS/LMS keys (RFC 8554) in files: two levels of trees, of which every leaf signs once.
//!
//! The file is the key's state. Its first lines are the key; behind them stands one dot for each
//! leaf that was given out, written and synced before the signature exists. A crash wastes a leaf
//! and never repeats one. **A copy of the file that comes back from a backup signs with leaves
//! that are used up, and gives the key away**: keep the file, back up only the public key.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use cose::hss::{Height, OneTime, Tree};
use cose::{Algorithm, Entropy as _, Key, KeyUnusable, Signer};
use zeroize::Zeroizing;

use crate::entropy::SystemEntropy;
use crate::file::{OTHERS, sync_folder};
use crate::refusal::{Error, KeyRejected};

/// A private key that signs with HSS/LMS, a leaf of its file at a time.
#[derive(Debug)]
pub struct HssKey {
    path: PathBuf,
    top: Tree,
    below: Height,
    key: Key,
}

/// How many signatures a key is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// 1024, from trees of 32 leaves: made at once.
    Thousand,
    /// 1048576, from trees of 1024 leaves: a second or two for the key and for each signature.
    Million,
}

impl Size {
    const ALL: [Self; 2] = [Self::Thousand, Self::Million];

    const fn height(self) -> Height {
        match self {
            Self::Thousand => Height::H5,
            Self::Million => Height::H10,
        }
    }

    /// The first line of the file.
    const fn title(self) -> &'static str {
        match self {
            Self::Thousand => "HSS-LMS private key, never to be copied: L2 H5 W8\n",
            Self::Million => "HSS-LMS private key, never to be copied: L2 H10 W8\n",
        }
    }
}

impl HssKey {
    /// Makes a new key. A file that is there stays as it is.
    pub fn create(path: impl AsRef<Path>, size: Size) -> Result<Self, Error> {
        let path = path.as_ref();
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        SystemEntropy.fill(&mut *secret);
        // Room for all of it at once: growing would leave copies behind.
        let mut text = Zeroizing::new(String::with_capacity(size.title().len() + SECRET_LINE));
        text.push_str(size.title());
        for byte in *secret {
            text.push(char::from(HEX[usize::from(byte >> 4)]));
            text.push(char::from(HEX[usize::from(byte & 0xf)]));
        }
        text.push('\n');
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
            .and_then(|()| sync_folder(path))
            .map_err(|error| Error::Io { path: path.to_owned(), kind: error.kind() })?;
        Ok(Self::new(path, size, &secret))
    }

    /// Opens a key; `None` when the file holds something else.
    pub fn open(path: impl AsRef<Path>) -> Result<Option<Self>, Error> {
        let path = path.as_ref();
        let io = |error: io::Error| Error::Io { path: path.to_owned(), kind: error.kind() };
        let mut file = File::open(path).map_err(io)?;
        let mut head = Zeroizing::new(vec![0; HEAD_MAX]);
        let mut length = 0;
        while length < head.len() {
            match file.read(&mut head[length..]).map_err(io)? {
                0 => break,
                read => length += read,
            }
        }
        let head = &head[..length];
        let found = Size::ALL.into_iter().find(|size| head.starts_with(size.title().as_bytes()));
        let Some(size) = found else { return Ok(None) };
        let mode = file.metadata().map_err(io)?.permissions().mode() & 0o777;
        if mode & OTHERS != 0 {
            return Err(Error::Open { path: path.to_owned(), mode });
        }
        let line = head.get(size.title().len()..size.title().len() + SECRET_LINE);
        let secret = line
            .and_then(secret)
            .ok_or(Error::Rejected { path: path.to_owned(), reason: KeyRejected::Encoding })?;
        Ok(Some(Self::new(path, size, &secret)))
    }

    fn new(path: &Path, size: Size, secret: &[u8; SECRET_BYTES]) -> Self {
        let (identifier, seed) = secret.split_at(cose::hss::IDENTIFIER_BYTES);
        let identifier = identifier.try_into().expect("so many bytes were split off");
        let seed = seed.try_into().expect("so many bytes are left");
        let top = Tree::new(size.height(), OneTime::W8, identifier, seed);
        let public = [&LEVELS.to_be_bytes()[..], &top.public()].concat();
        let key = Key::from_hss(&public).expect("the parameters are known");
        Self { path: path.to_owned(), top, below: size.height(), key }
    }

    /// How many signatures are left.
    pub fn left(&self) -> Result<u32, Error> {
        let io = |error: io::Error| Error::Io { path: self.path.clone(), kind: error.kind() };
        let length = File::open(&self.path).and_then(|file| file.metadata()).map_err(io)?.len();
        Ok(self.capacity().saturating_sub(self.used(length).unwrap_or(u32::MAX)))
    }

    const fn capacity(&self) -> u32 {
        self.below.leaves() * self.below.leaves()
    }

    /// The leaves that a file of this length has given out.
    fn used(&self, length: u64) -> Option<u32> {
        let size = Size::ALL.into_iter().find(|size| size.height() == self.below)?;
        let head = size.title().len() as u64 + SECRET_LINE as u64;
        length.checked_sub(head).and_then(|used| u32::try_from(used).ok())
    }

    /// Puts on record that a leaf is used, and gives its number.
    fn take(&self) -> io::Result<u32> {
        let mut file = OpenOptions::new().append(true).read(true).open(&self.path)?;
        file.lock()?;
        let used = self.used(file.seek(SeekFrom::End(0))?);
        let leaf =
            used.filter(|used| *used < self.capacity()).ok_or(io::ErrorKind::QuotaExceeded)?;
        file.write_all(b".")?;
        file.sync_all()?;
        Ok(leaf)
    }
}

impl Signer for HssKey {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HssLms
    }

    fn key(&self) -> &Key {
        &self.key
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyUnusable> {
        let leaf = self.take().map_err(|_| KeyUnusable)?;
        let (above, below) = (leaf / self.below.leaves(), leaf % self.below.leaves());
        let (identifier, seed) = self.top.below(above);
        let tree = Tree::new(self.below, OneTime::W8, identifier, *seed);
        let public = tree.public();
        // Every signature of a leaf of the top is over the same tree.
        let certified = self.top.sign(above, &public).ok_or(KeyUnusable)?;
        let signature = tree.sign(below, message).ok_or(KeyUnusable)?;
        Ok([&(LEVELS - 1).to_be_bytes()[..], &certified, &public, &signature].concat())
    }
}

/// Reads the line of the secret.
fn secret(line: &[u8]) -> Option<Zeroizing<[u8; SECRET_BYTES]>> {
    let digits = line.strip_suffix(b"\n")?;
    let mut secret = Zeroizing::new([0; SECRET_BYTES]);
    for (byte, pair) in secret.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: u8| HEX.iter().position(|known| *known == digit);
        *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
    }
    Some(secret)
}

const HEX: &[u8; 16] = b"0123456789abcdef";
const LEVELS: u32 = 2;
const SECRET_BYTES: usize = cose::hss::IDENTIFIER_BYTES + 32;
/// In hexadecimal, with the line's end.
const SECRET_LINE: usize = 2 * SECRET_BYTES + 1;
/// Room for the longest first line and the secret.
const HEAD_MAX: usize = 64 + SECRET_LINE;

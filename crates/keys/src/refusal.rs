//! Why a key was not taken.

use std::io;
use std::path::PathBuf;

/// Why bytes are not a private key that this crate can use.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRejected {
    /// Neither PKCS#8 nor one of the supported curves.
    #[error("not a PKCS#8 private key of a supported curve")]
    Encoding,
    /// Not PEM with exactly one `PRIVATE KEY`.
    #[error("not a PEM file with one private key")]
    Pem,
    /// No key of this kind can be made here.
    #[error("the algorithm or curve is not supported")]
    Unsupported,
}

/// Why a key file cannot be used.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The file system says no.
    #[error("cannot use the key file `{}`: {kind}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason.
        kind: io::ErrorKind,
    },
    /// The file does not hold a private key.
    #[error("the key file `{}` is not usable", path.display())]
    Rejected {
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        reason: KeyRejected,
    },
    /// The file does not hold a public COSE_Key.
    #[error("the key file `{}` is not a COSE_Key", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        reason: cose::Malformed,
    },
    /// Other users can read the private key.
    #[error("the key file `{}` is open to other users (mode {mode:o})", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file holds a key of another kind than asked for.
    #[error("the key file `{}` holds a key of another kind", path.display())]
    OtherKind {
        /// The file.
        path: PathBuf,
    },
}

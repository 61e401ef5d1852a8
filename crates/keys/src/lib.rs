//! Private keys in software, behind the traits of [`cose`].
//!
//! [`SigningKey`] and [`AgreementKey`] live in memory and, as PKCS#8 PEM, in [files](mod@file).
//! Hash-based keys ([`hss`]) keep in their file which of their leaves are used up.
//! With the feature `pkcs11`, keys that stay in an HSM implement the same traits. This crate does
//! not know what a key is used for. A private key leaves it only by `to_pkcs8`, `to_scalar` and
//! [`mod@file`].

mod agreement;
mod entropy;
pub mod file;
pub mod hss;
mod pem;
#[cfg(feature = "pkcs11")]
pub mod pkcs11;
mod refusal;
mod signing;

pub use agreement::AgreementKey;
pub use entropy::SystemEntropy;
pub use refusal::{Error, KeyRejected};
pub use signing::SigningKey;

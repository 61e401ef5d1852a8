//! Private keys in software, behind the traits of [`cose`].
//!
//! [`SigningKey`] and [`AgreementKey`] live in memory and, as PKCS#8 PEM, in [files](mod@file).
//! Hardware handles implement the same traits elsewhere. This crate does not know what a key is
//! used for. A private key leaves it only by `to_pkcs8`, `to_scalar` and [`mod@file`].

mod agreement;
mod entropy;
pub mod file;
mod pem;
mod refusal;
mod signing;

pub use agreement::AgreementKey;
pub use entropy::SystemEntropy;
pub use refusal::{Error, KeyRejected};
pub use signing::SigningKey;

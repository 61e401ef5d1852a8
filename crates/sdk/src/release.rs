//! TBD
use crate::appraisal::Accepted; use crate::package::{Package,Packager};
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct NotReleased;
pub struct Release { pub package: Package }
pub struct To<'a> { pub deployment: &'a str, pub accepted: &'a Accepted, pub callers: &'a [Vec<u8>], pub sequence: u64 }
pub fn seal(_: &dyn cose::Signer, _: &Packager<'_>, _: &str, _: &To<'_>, _: &[u8], _: &mut dyn cose::Entropy) -> Result<Release, NotReleased> { todo!() }
pub fn receipt(_: &[Vec<u8>], _: &Release, _: &Accepted) -> Result<Vec<u8>, NotReleased> { todo!() }

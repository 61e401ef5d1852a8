//! The rule of sequence numbers (suit-manifest sections 6.1 and 8.4.2).
//!
//! The caller keeps one number per manifest identity in tamper-resistant storage, writes it only
//! after a procedure has succeeded, and keeps it after uninstallation.

use crate::error::Untrusted;
use crate::manifest::Manifest;

//= suit 13.19 (M): Lower sequence number refused; equal accepted; higher accepted. M 8.4.2
/// Refuses a manifest that is older than the stored number; an equal one is installed again.
pub fn check(manifest: &Manifest<'_>, stored: Option<u64>) -> Result<(), Untrusted> {
    check_number(manifest.sequence_number, stored)
}

/// The same rule over the bare number.
pub fn check_number(offered: u64, stored: Option<u64>) -> Result<(), Untrusted> {
    match stored {
        Some(stored) if offered < stored => Err(Untrusted::Rollback { offered, stored }),
        _ => Ok(()),
    }
}

/// The number to keep after a procedure has succeeded.
pub fn next(offered: u64, stored: Option<u64>) -> u64 {
    offered.max(stored.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    //= suit 13.19 (M): Lower sequence number refused; equal accepted; higher accepted. M 8.4.2
    #[test]
    fn a_lower_sequence_number_is_refused_and_an_equal_or_higher_one_is_not() {
        assert_eq!(check_number(4, Some(5)), Err(Untrusted::Rollback { offered: 4, stored: 5 }));
        assert_eq!(check_number(5, Some(5)), Ok(()));
        assert_eq!(check_number(6, Some(5)), Ok(()));
        assert_eq!(check_number(0, None), Ok(()));
    }

    #[test]
    fn the_stored_number_never_falls() {
        assert_eq!(next(3, Some(5)), 5);
        assert_eq!(next(6, Some(5)), 6);
        assert_eq!(next(6, None), 6);
    }
}

//! Error codes (section 4.6).

use std::fmt;
use std::num::NonZero;

use crate::numbering::Numbering;

/// An err-code.
///
/// ```cddl
/// err-code = 1..23   ; 0 is reserved and never sent
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ErrCode {
    /// ERR_PERMANENT_ERROR: malformed or inconsistent fields.
    PermanentError,
    /// ERR_UNSUPPORTED_EXTENSION.
    UnsupportedExtension,
    /// ERR_UNSUPPORTED_FRESHNESS_MECHANISMS.
    UnsupportedFreshnessMechanisms,
    /// ERR_UNSUPPORTED_MSG_VERSION.
    UnsupportedMsgVersion,
    /// ERR_UNSUPPORTED_CIPHER_SUITES.
    UnsupportedCipherSuites,
    /// ERR_BAD_CERTIFICATE.
    BadCertificate,
    /// ERR_ATTESTATION_REQUIRED.
    AttestationRequired,
    /// ERR_UNSUPPORTED_SUIT_REPORT.
    UnsupportedSuitReport,
    /// ERR_CERTIFICATE_EXPIRED.
    CertificateExpired,
    /// ERR_TEMPORARY_ERROR.
    TemporaryError,
    /// ERR_MANIFEST_PROCESSING_FAILED.
    ManifestProcessingFailed,
    /// A code of no meaning here: an unknown error.
    Other(NonZero<u64>),
}

impl ErrCode {
    /// The number on the wire.
    pub const fn number(self, numbering: Numbering) -> u64 {
        match self {
            Self::PermanentError => 1,
            Self::UnsupportedExtension => 2,
            Self::UnsupportedFreshnessMechanisms => 3,
            Self::UnsupportedMsgVersion => 4,
            Self::UnsupportedCipherSuites => 5,
            Self::BadCertificate => 6,
            Self::AttestationRequired => 7,
            Self::UnsupportedSuitReport => 8,
            Self::CertificateExpired => 9,
            Self::TemporaryError => 10,
            Self::ManifestProcessingFailed => match numbering {
                Numbering::V26 => 11,
                Numbering::Legacy18 => 17,
            },
            Self::Other(number) => number.get(),
        }
    }

    /// The code with this number; nothing for 0.
    //= teep 14.10 (M): err-code 0 is never emitted, and malformed on receipt
    //= teep 14.11 (S): an unknown err-code is an unknown error
    pub const fn from_number(number: u64, numbering: Numbering) -> Option<Self> {
        let code = match (number, numbering) {
            (1, _) => Self::PermanentError,
            (2, _) => Self::UnsupportedExtension,
            (3, _) => Self::UnsupportedFreshnessMechanisms,
            (4, _) => Self::UnsupportedMsgVersion,
            (5, _) => Self::UnsupportedCipherSuites,
            (6, _) => Self::BadCertificate,
            (7, _) => Self::AttestationRequired,
            (8, _) => Self::UnsupportedSuitReport,
            (9, _) => Self::CertificateExpired,
            (10, _) => Self::TemporaryError,
            (11, Numbering::V26) | (17, Numbering::Legacy18) => Self::ManifestProcessingFailed,
            (other, _) => match NonZero::new(other) {
                Some(other) => Self::Other(other),
                None => return None,
            },
        };
        Some(code)
    }

    /// The code's name as the document spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PermanentError => "ERR_PERMANENT_ERROR",
            Self::UnsupportedExtension => "ERR_UNSUPPORTED_EXTENSION",
            Self::UnsupportedFreshnessMechanisms => "ERR_UNSUPPORTED_FRESHNESS_MECHANISMS",
            Self::UnsupportedMsgVersion => "ERR_UNSUPPORTED_MSG_VERSION",
            Self::UnsupportedCipherSuites => "ERR_UNSUPPORTED_CIPHER_SUITES",
            Self::BadCertificate => "ERR_BAD_CERTIFICATE",
            Self::AttestationRequired => "ERR_ATTESTATION_REQUIRED",
            Self::UnsupportedSuitReport => "ERR_UNSUPPORTED_SUIT_REPORT",
            Self::CertificateExpired => "ERR_CERTIFICATE_EXPIRED",
            Self::TemporaryError => "ERR_TEMPORARY_ERROR",
            Self::ManifestProcessingFailed => "ERR_MANIFEST_PROCESSING_FAILED",
            Self::Other(_) => "unknown error",
        }
    }
}

impl fmt::Display for ErrCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        if let Self::Other(number) = self { write!(f, " {number}") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= teep 14.10 (M): err-code 0 is never emitted, and malformed on receipt
    #[test]
    fn zero_is_no_error_code() {
        assert_eq!(ErrCode::from_number(0, Numbering::V26), None);
        assert_eq!(ErrCode::from_number(0, Numbering::Legacy18), None);
    }

    //= teep 14.11 (S): an unknown err-code is an unknown error
    #[test]
    fn every_other_number_is_a_code_and_comes_back() {
        for numbering in [Numbering::V26, Numbering::Legacy18] {
            for number in (1..=300).chain([u64::MAX]) {
                let code = ErrCode::from_number(number, numbering).unwrap();

                assert_eq!(code.number(numbering), number);
            }
        }
    }

    #[test]
    fn manifest_processing_failed_moved_from_17_to_11() {
        let code = |n, numbering| ErrCode::from_number(n, numbering);

        assert_eq!(code(11, Numbering::V26), Some(ErrCode::ManifestProcessingFailed));
        assert_eq!(code(17, Numbering::Legacy18), Some(ErrCode::ManifestProcessingFailed));
        assert_ne!(code(17, Numbering::V26), Some(ErrCode::ManifestProcessingFailed));
        assert_ne!(code(11, Numbering::Legacy18), Some(ErrCode::ManifestProcessingFailed));
    }
}

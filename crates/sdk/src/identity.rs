//! Why a server that answers is not taken for the Network M/OC.

use std::{error::Error, io};

use api::Owner;
use rustls::{AlertDescription, CertificateError, InvalidMessage};

use crate::Refusal;

/// A server's TLS identity does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unidentified {
    /// The chain ends at nobody who is trusted.
    #[error("its certificate comes from nobody who is trusted here")]
    UnknownRoot,
    /// The certificate is somebody else's.
    #[error("its certificate is for {}", listed(.names))]
    OtherName {
        /// Whom it is for.
        names: Vec<String>,
    },
    /// The certificate has expired.
    #[error("its certificate expired {} ago", duration(*.ago_s))]
    Expired {
        /// For how long, seconds.
        ago_s: u64,
    },
    /// The certificate begins later.
    #[error("its certificate begins in {}", duration(*.in_s))]
    NotYetValid {
        /// In how long, seconds.
        in_s: u64,
    },
    /// The certificate is bad in another way.
    #[error("its certificate is not valid: {0}")]
    Certificate(String),
    /// It does not speak TLS 1.3.
    #[error("it does not speak TLS 1.3")]
    Version,
    /// It does not speak TLS at all.
    #[error("it does not speak TLS")]
    Plain,
    /// The handshake failed in another way.
    #[error("the TLS handshake failed: {0}")]
    Handshake(String),
}

impl Unidentified {
    /// The TLS failure among the causes of an error, when there is one.
    pub(crate) fn among(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(failed) = error.downcast_ref::<rustls::Error>() {
                return Some(Self::from(failed));
            }
            next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
                // An I/O error names the causes of what it wraps, but not that itself.
                Some(wrapped) => Some(wrapped),
                None => error.source(),
            };
        }
        None
    }

    /// The refusal to talk to `base`, explained.
    #[must_use]
    pub fn refusal(&self, base: &str) -> Refusal {
        let (check, expected, owner, remedy) = match self {
            Self::UnknownRoot => (
                "moc.tls.root",
                "a certificate whose chain ends at a root of the platform or of --roots".to_owned(),
                Owner::NetworkUser,
                "get the operator's root certificate by a way that you trust, and give it with \
                 --roots FILE",
            ),
            Self::OtherName { .. } => (
                "moc.tls.name",
                format!("a certificate for the host of {base}"),
                Owner::Operator,
                "use the address for which the certificate is, or ask the operator for a \
                 certificate for this one",
            ),
            Self::Expired { .. } | Self::NotYetValid { .. } => (
                "moc.tls.validity",
                "a certificate that is valid at this time".to_owned(),
                Owner::Operator,
                "ask the operator to renew the certificate, and compare the clock of this machine",
            ),
            Self::Certificate(_) => (
                "moc.tls.certificate",
                "a valid certificate".to_owned(),
                Owner::Operator,
                "ask the operator for a certificate that is valid for TLS servers",
            ),
            Self::Version | Self::Plain | Self::Handshake(_) => (
                "moc.tls.version",
                "TLS 1.3".to_owned(),
                Owner::Operator,
                "compare host and port with what the operator gave",
            ),
        };
        Refusal {
            check: check.to_owned(),
            expected,
            seen: self.to_string(),
            owner: owner.to_string(),
            remedy: remedy.to_owned(),
        }
    }
}

impl From<&rustls::Error> for Unidentified {
    fn from(failed: &rustls::Error) -> Self {
        match failed {
            rustls::Error::InvalidCertificate(reason) => Self::from(reason),
            rustls::Error::PeerIncompatible(_)
            | rustls::Error::AlertReceived(AlertDescription::ProtocolVersion) => Self::Version,
            rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => Self::Plain,
            other => Self::Handshake(other.to_string()),
        }
    }
}

impl From<&CertificateError> for Unidentified {
    fn from(reason: &CertificateError) -> Self {
        match reason {
            // A root of the same name with another key leads to a bad signature.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownRoot,
            CertificateError::NotValidForName => Self::OtherName { names: Vec::new() },
            CertificateError::NotValidForNameContext { presented, .. } => {
                Self::OtherName { names: presented.iter().map(|name| bare(name)).collect() }
            }
            CertificateError::Expired => Self::Expired { ago_s: 0 },
            CertificateError::ExpiredContext { time, not_after } => {
                Self::Expired { ago_s: time.as_secs().saturating_sub(not_after.as_secs()) }
            }
            CertificateError::NotValidYet => Self::NotYetValid { in_s: 0 },
            CertificateError::NotValidYetContext { time, not_before } => {
                Self::NotYetValid { in_s: not_before.as_secs().saturating_sub(time.as_secs()) }
            }
            other => Self::Certificate(other.to_string()),
        }
    }
}

/// A name without the library's `DnsName("…")` around it.
fn bare(presented: &str) -> String {
    let inner = presented.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(presented).trim_matches('"').to_owned()
}

fn listed(names: &[String]) -> String {
    match names.is_empty() {
        true => "another name".to_owned(),
        false => names.join(", "),
    }
}

fn duration(seconds: u64) -> String {
    match seconds {
        0..7200 => format!("{} minutes", seconds / 60),
        7200..172_800 => format!("{} hours", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::UnixTime;
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_time_since_a_certificate_expired_is_told() {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let reason =
            CertificateError::ExpiredContext { time: at(1_000_000), not_after: at(136_000) };

        let unidentified = Unidentified::from(&reason);

        assert_eq!(unidentified, Unidentified::Expired { ago_s: 864_000 });
        assert_eq!(unidentified.to_string(), "its certificate expired 10 days ago");
    }

    #[test]
    fn an_error_inside_io_errors_is_found() {
        let inner = rustls::Error::AlertReceived(AlertDescription::ProtocolVersion);
        let error = io::Error::other(io::Error::other(inner));

        assert_eq!(Unidentified::among(&error), Some(Unidentified::Version));
        assert_eq!(Unidentified::among(&io::Error::other("reset")), None);
    }
}

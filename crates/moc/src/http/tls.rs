//! The identity of the interface and its TLS: version 1.3 (RFC 8446) alone, with the hybrid of
//! X25519 and ML-KEM-768 as the first choice of a key exchange.
//!
//! A new certificate counts for new connections; those that are open stay as they are. It does
//! not know where certificates come from.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{
        CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer,
        pem::{self, PemObject as _},
    },
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::{CertifiedKey, SingleCertAndKey},
    version::TLS13,
};
use zeroize::{Zeroize as _, Zeroizing};

use crate::config::Tls;

/// Who the interface is to those who connect by TLS.
#[derive(Debug)]
pub struct Identity {
    files: Tls,
    current: RwLock<Arc<ServerConfig>>,
}

/// A certificate or its key cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unusable {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Everybody on the machine can use the key.
    #[error("{path} has mode {mode:03o}: others must have no access (chmod o= {path})")]
    Open {
        /// The key's file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A file is not PEM, or is broken.
    #[error("{path} is not valid PEM")]
    Pem {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// There is no certificate.
    #[error("{0} holds no certificate in PEM (BEGIN CERTIFICATE)")]
    NoCertificate(PathBuf),
    /// There is no key in the one format that is taken.
    #[error(
        "{0} holds no private key as PKCS#8 in PEM (BEGIN PRIVATE KEY); \
         `openssl pkcs8 -topk8 -nodes` converts other formats"
    )]
    NoKey(PathBuf),
    /// The certificate is not one.
    #[error("the certificate in {path} cannot be used")]
    Certificate {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// The key is of no kind that TLS 1.3 signs with.
    #[error("the key in {path} cannot be used")]
    Key {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// The authorities of client certificates cannot be used.
    #[error("the authorities of client certificates in {path} cannot be used: {detail}")]
    ClientRoots {
        /// Which file.
        path: PathBuf,
        /// Why.
        detail: String,
    },
    /// Key and certificate do not belong together.
    #[error("{key} is not the key of the first certificate in {certificate}")]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
}

/// SHA-256 of the certificate (DER) that the client of a connection has shown the key of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClientCertificate(pub(super) [u8; 32]);

impl ClientCertificate {
    /// The certificate behind a connection, when the client has one of a configured authority.
    pub(super) fn of(connection: &rustls::ServerConnection) -> Option<Self> {
        let certificate = connection.peer_certificates()?.first()?;
        Some(Self(cose::sha256(certificate)))
    }
}

impl Identity {
    /// Reads certificate and key.
    pub fn open(files: &Tls) -> Result<Self, Unusable> {
        let current = RwLock::new(Arc::new(configuration(files)?));
        Ok(Self { files: files.clone(), current })
    }

    /// Reads certificate and key again; on error the old stay.
    pub fn reload(&self) -> Result<(), Unusable> {
        // A whole configuration of its own: sessions of the old certificate are not resumed.
        let fresh = Arc::new(configuration(&self.files)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// What the next handshake goes by.
    pub(super) fn current(&self) -> Arc<ServerConfig> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn configuration(files: &Tls) -> Result<ServerConfig, Unusable> {
    let certified = certified(files)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has cipher suites of TLS 1.3");
    let builder = match &files.client_roots {
        None => builder.with_no_client_auth(),
        Some(path) => builder.with_client_cert_verifier(clients(path, provider)?),
    };
    let mut configuration = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    configuration.alpn_protocols = vec![H2.to_vec(), HTTP_1_1.to_vec()];
    Ok(configuration)
}

/// Who may be a client by a certificate. One without any is still served: it may have a token.
fn clients(
    path: &Path,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, Unusable> {
    let unusable = |detail: String| Unusable::ClientRoots { path: path.to_owned(), detail };
    let mut roots = RootCertStore::empty();
    for root in chain(path)? {
        roots.add(root).map_err(|error| unusable(error.to_string()))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .allow_unauthenticated()
        .build()
        .map_err(|error| unusable(error.to_string()))
}

fn certified(files: &Tls) -> Result<CertifiedKey, Unusable> {
    let chain = chain(&files.certificate)?;
    let mut key = PrivateKeyDer::Pkcs8(key(&files.key)?);
    let signing = aws_lc_rs::sign::any_supported_type(&key);
    key.zeroize();
    let signing = signing.map_err(|source| Unusable::Key { path: files.key.clone(), source })?;
    let certified = CertifiedKey::new(chain, signing);
    match certified.keys_match() {
        Ok(()) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(_)) => Err(Unusable::Mismatch {
            certificate: files.certificate.clone(),
            key: files.key.clone(),
        }),
        Err(source) => Err(Unusable::Certificate { path: files.certificate.clone(), source }),
    }
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, Unusable> {
    let text = fs::read(path).map_err(unreadable(path))?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|source| Unusable::Pem { path: path.to_owned(), source })?;
    match chain.is_empty() {
        true => Err(Unusable::NoCertificate(path.to_owned())),
        false => Ok(chain),
    }
}

fn key(path: &Path) -> Result<PrivatePkcs8KeyDer<'static>, Unusable> {
    let file = File::open(path).map_err(unreadable(path))?;
    let metadata = file.metadata().map_err(unreadable(path))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & OTHERS != 0 {
        return Err(Unusable::Open { path: path.to_owned(), mode });
    }
    // Room for all of it at once: a buffer that grows leaves copies behind.
    let length = usize::try_from(metadata.len()).unwrap_or(usize::MAX).min(KEY_BYTES_MAX);
    let mut text = Zeroizing::new(Vec::with_capacity(length + 1));
    file.take(KEY_BYTES_MAX as u64).read_to_end(&mut text).map_err(unreadable(path))?;
    PrivatePkcs8KeyDer::from_pem_slice(&text).map_err(|source| match source {
        pem::Error::NoItemsFound => Unusable::NoKey(path.to_owned()),
        source => Unusable::Pem { path: path.to_owned(), source },
    })
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> Unusable {
    let path = path.to_owned();
    move |source| Unusable::Unreadable { path, source }
}

/// The names of the protocols that are spoken (RFC 7301).
pub(super) const H2: &[u8] = b"h2";
const HTTP_1_1: &[u8] = b"http/1.1";

const KEY_BYTES_MAX: usize = 64 << 10;

/// The permission bits of everybody but owner and group.
const OTHERS: u32 = 0o007;

//! Layer 0: the content, its key and its cipher.

use crate::algorithm::Algorithm;
use crate::crypto::{self, Aead};
use crate::handle::{Entropy, Secret};
use crate::header::Header;
use crate::structure::{Buckets, Structure};
use crate::verified::Untrusted;

/// A cipher for content (RFC 9053 section 4, RFC 9459).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ContentAlgorithm {
    /// AES-GCM with a 128-bit key (1).
    A128Gcm,
    /// AES-GCM with a 192-bit key (2).
    A192Gcm,
    /// AES-GCM with a 256-bit key (3).
    A256Gcm,
    /// ChaCha20/Poly1305 (24).
    ChaCha20Poly1305,
    /// AES-CTR with a 128-bit key (-65534): not authenticated.
    A128Ctr,
    /// AES-CTR with a 192-bit key (-65533): not authenticated.
    A192Ctr,
    /// AES-CTR with a 256-bit key (-65532): not authenticated.
    A256Ctr,
}

/// Where the integrity of a ciphertext comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Integrity {
    /// From the cipher: AES-CTR is refused.
    Cipher,
    /// From elsewhere: the caller compares the plaintext or the ciphertext with a digest, or
    /// checks a signature, that is itself trusted.
    Elsewhere,
}

/// A content key with its IV, for one message: encryption takes it away.
#[derive(Debug)]
pub struct ContentKey {
    pub(super) algorithm: ContentAlgorithm,
    pub(super) key: Secret,
    pub(super) iv: Vec<u8>,
}

impl ContentAlgorithm {
    /// All ciphers.
    pub const ALL: [Self; 7] = [
        Self::A128Gcm,
        Self::A192Gcm,
        Self::A256Gcm,
        Self::ChaCha20Poly1305,
        Self::A128Ctr,
        Self::A192Ctr,
        Self::A256Ctr,
    ];

    /// The registered number.
    pub const fn id(self) -> i64 {
        match self {
            Self::A128Gcm => 1,
            Self::A192Gcm => 2,
            Self::A256Gcm => 3,
            Self::ChaCha20Poly1305 => 24,
            Self::A128Ctr => -65534,
            Self::A192Ctr => -65533,
            Self::A256Ctr => -65532,
        }
    }

    /// The cipher of a registered number.
    pub fn from_id(id: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.id() == id)
    }

    /// The length of the key, in bytes.
    pub const fn key_len(self) -> usize {
        match self {
            Self::A128Gcm | Self::A128Ctr => 16,
            Self::A192Gcm | Self::A192Ctr => 24,
            Self::A256Gcm | Self::ChaCha20Poly1305 | Self::A256Ctr => 32,
        }
    }

    /// The length of the initialization vector, in bytes.
    pub const fn iv_len(self) -> usize {
        if self.is_authenticated() { 12 } else { 16 }
    }

    /// Whether the cipher detects a changed ciphertext.
    pub const fn is_authenticated(self) -> bool {
        self.aead().is_some()
    }

    pub(super) const fn aead(self) -> Option<Aead> {
        match self {
            Self::A128Gcm => Some(Aead::Aes128Gcm),
            Self::A192Gcm => Some(Aead::Aes192Gcm),
            Self::A256Gcm => Some(Aead::Aes256Gcm),
            Self::ChaCha20Poly1305 => Some(Aead::ChaCha20Poly1305),
            Self::A128Ctr | Self::A192Ctr | Self::A256Ctr => None,
        }
    }

    /// The cipher that the header names: protected if it is an authenticated one, else unprotected
    /// under an empty protected header.
    //= suit 13.82 (M): AES-CTR with alg in the protected header is refused
    pub(super) fn of(buckets: &Buckets<'_>, integrity: Integrity) -> Result<Self, Untrusted> {
        buckets.check_critical()?;
        let protected = buckets.protected.algorithm;
        let named = protected.or(buckets.unprotected.algorithm);
        let named = named.ok_or(Untrusted::AlgorithmNotProtected)?;
        let algorithm =
            Self::from_id(named.id()).ok_or(Untrusted::Algorithm { algorithm: named })?;
        match (algorithm.is_authenticated(), protected) {
            (true, None) => Err(Untrusted::AlgorithmNotProtected),
            (false, Some(_)) => Err(Untrusted::Algorithm { algorithm: named }),
            (false, None) if !buckets.protected_bytes.is_empty() => {
                Err(Untrusted::Algorithm { algorithm: named })
            }
            //= suit 13.83 (M): AES-CTR that nothing authenticates is refused
            (false, None) if integrity == Integrity::Cipher => Err(Untrusted::NotAuthenticated),
            (true, Some(_)) | (false, None) => Ok(algorithm),
        }
    }
}

impl ContentKey {
    /// Draws a fresh key and IV.
    pub fn draw(algorithm: ContentAlgorithm, entropy: &mut dyn Entropy) -> Self {
        let key = Secret::draw(entropy, algorithm.key_len());
        let mut iv = vec![0; algorithm.iv_len()];
        entropy.fill(&mut iv);
        Self { algorithm, key, iv }
    }

    /// Takes a key and an IV that must never have been used together; nothing if a length is
    /// wrong.
    pub fn new(algorithm: ContentAlgorithm, key: Secret, iv: Vec<u8>) -> Option<Self> {
        let fits = key.expose().len() == algorithm.key_len() && iv.len() == algorithm.iv_len();
        fits.then_some(Self { algorithm, key, iv })
    }

    /// The buckets of layer 0.
    pub(super) fn header(&self, kid: Option<&[u8]>) -> (Vec<u8>, Vec<u8>) {
        let algorithm = Some(Algorithm::from_id(self.algorithm.id()));
        let mut protected = Header::default();
        let mut unprotected =
            Header { iv: Some(self.iv.clone()), kid: kid.map(<[u8]>::to_vec), ..Header::default() };
        if self.algorithm.is_authenticated() {
            protected.algorithm = algorithm;
        } else {
            unprotected.algorithm = algorithm;
        }
        (protected.encode_protected(), unprotected.encode())
    }

    /// Encrypts; nothing only if the content is too long for the cipher.
    pub(super) fn seal(
        &self,
        context: &str,
        protected: &[u8],
        external_aad: &[u8],
        plaintext: &[u8],
    ) -> Option<Vec<u8>> {
        let mut text = Vec::with_capacity(plaintext.len() + TAG_LEN);
        text.extend_from_slice(plaintext);
        let sealed = match self.algorithm.aead() {
            Some(aead) => {
                let aad = enc_structure(context, protected, external_aad);
                aead.seal(self.key.expose(), &self.iv, &aad, &mut text)
            }
            None => {
                let iv = self.iv.as_slice().try_into().ok()?;
                crypto::aes_ctr(self.key.expose(), iv, &mut text)
            }
        };
        sealed.ok().map(|()| text)
    }
}

/// Decrypts with the key of layer 0.
pub(super) fn open(
    algorithm: ContentAlgorithm,
    key: &Secret,
    context: &str,
    buckets: &Buckets<'_>,
    external_aad: &[u8],
    ciphertext: &[u8],
) -> Result<Secret, Untrusted> {
    if key.expose().len() != algorithm.key_len() {
        return Err(Untrusted::ContentKey);
    }
    let iv = buckets.protected.iv.as_deref().or(buckets.unprotected.iv.as_deref());
    let iv = iv.filter(|iv| iv.len() == algorithm.iv_len()).ok_or(Untrusted::Iv)?;
    let mut text = Secret::new(ciphertext.to_vec());
    match algorithm.aead() {
        Some(aead) => {
            let aad = enc_structure(context, buckets.protected_bytes, external_aad);
            aead.open(key.expose(), iv, &aad, text.expose_vec())
        }
        // RFC 9459 section 4: without an AEAD there is no external AAD
        None if !external_aad.is_empty() => return Err(Untrusted::NotAuthenticated),
        None => {
            let iv = iv.try_into().map_err(|_| Untrusted::Iv)?;
            crypto::aes_ctr(key.expose(), iv, text.expose_mut())
        }
    }
    .map_err(|_| Untrusted::Authentication)?;
    Ok(text)
}

/// ```cddl
/// Enc_structure = [ context : tstr, protected : bstr, external_aad : bstr ]
/// ```
pub(super) fn enc_structure(context: &str, protected: &[u8], external_aad: &[u8]) -> Vec<u8> {
    Structure::new(context, &[protected, external_aad]).concat()
}

const TAG_LEN: usize = 16;

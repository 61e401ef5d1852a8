//! Layer 1: how the content key reaches a recipient (RFC 9053 sections 6.2 and 6.4).

use super::kdf;
use crate::algorithm::Algorithm;
use crate::cbor::{self, Decoder, Encoder, Malformed, Written};
use crate::crypto;
use crate::handle::{Agreement, KeyUnusable, Secret};
use crate::header::Header;
use crate::key::Key;
use crate::structure::Buckets;
use crate::verified::Untrusted;

/// AES Key Wrap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyWrap {
    /// With a 128-bit key (-3; -29 after ECDH-ES).
    A128Kw,
    /// With a 192-bit key (-4; -30 after ECDH-ES).
    A192Kw,
    /// With a 256-bit key (-5; -31 after ECDH-ES).
    A256Kw,
}

/// Somebody to encrypt for.
#[derive(Clone, Copy)]
pub enum Recipient<'a> {
    /// A holder of a shared key; its length chooses the algorithm.
    KeyWrap {
        /// The wrapping key: 16, 24 or 32 bytes.
        key: &'a Secret,
        /// The name of the key.
        kid: Option<&'a [u8]>,
    },
    /// A holder of a private key: ECDH-ES + A128KW (-29) with HKDF-SHA-256.
    Agreement {
        /// The receiver's public key. Its thumbprint becomes the `kid`.
        receiver: &'a Key,
        /// A key pair on the same curve, made for this recipient of this message.
        ephemeral: &'a dyn Agreement,
    },
}

/// The key that a receiver opens with.
#[derive(Clone, Copy)]
pub enum Opener<'a> {
    /// A shared wrapping key of 16, 24 or 32 bytes.
    KeyWrap {
        /// The key.
        key: &'a Secret,
        /// Its name: recipients with it are tried first.
        kid: Option<&'a [u8]>,
    },
    /// A private key; recipients with its thumbprint as `kid` are tried first.
    Agreement(&'a dyn Agreement),
}

/// A recipient as received.
///
/// ```cddl
/// COSE_recipient = [ Headers, ciphertext : bstr ]
/// ```
///
/// Recipients of recipients are refused: no supported algorithm has any.
#[derive(Clone, Debug)]
pub struct ReceivedRecipient<'b> {
    buckets: Buckets<'b>,
    wrapped: &'b [u8],
}

impl KeyWrap {
    const ALL: [Self; 3] = [Self::A128Kw, Self::A192Kw, Self::A256Kw];

    /// The registered number of plain key wrap.
    pub const fn id(self) -> i64 {
        match self {
            Self::A128Kw => -3,
            Self::A192Kw => -4,
            Self::A256Kw => -5,
        }
    }

    /// The registered number of ECDH-ES with HKDF-SHA-256 and this key wrap.
    pub const fn ecdh_es_id(self) -> i64 {
        match self {
            Self::A128Kw => -29,
            Self::A192Kw => -30,
            Self::A256Kw => -31,
        }
    }

    /// The length of the wrapping key, in bytes.
    pub const fn key_len(self) -> usize {
        match self {
            Self::A128Kw => 16,
            Self::A192Kw => 24,
            Self::A256Kw => 32,
        }
    }

    fn for_key(key: &Secret) -> Option<Self> {
        Self::ALL.into_iter().find(|wrap| wrap.key_len() == key.expose().len())
    }
}

impl Recipient<'_> {
    /// Writes the COSE_recipient with the wrapped content key.
    fn encode(&self, content_key: &Secret, other: &str) -> Result<Vec<u8>, KeyUnusable> {
        match self {
            Self::KeyWrap { key, kid } => {
                let algorithm = KeyWrap::for_key(key).ok_or(KeyUnusable)?;
                let wrapped = crypto::wrap(key.expose(), content_key).map_err(|_| KeyUnusable)?;
                let unprotected = Header {
                    algorithm: Some(Algorithm::from_id(algorithm.id())),
                    kid: kid.map(<[u8]>::to_vec),
                    ..Header::default()
                };
                Ok(encode_recipient(&[], &unprotected, &wrapped))
            }
            Self::Agreement { receiver, ephemeral } => {
                let algorithm = KeyWrap::A128Kw;
                let protected = Header {
                    algorithm: Some(Algorithm::from_id(algorithm.ecdh_es_id())),
                    ..Header::default()
                }
                .encode_protected();
                let agreed = ephemeral.agree(receiver)?;
                let key = kdf::derive(algorithm, &agreed, &[], &protected, other);
                let wrapped = crypto::wrap(key.expose(), content_key).map_err(|_| KeyUnusable)?;
                let mut unprotected =
                    Header { kid: Some(receiver.thumbprint().0.to_vec()), ..Header::default() };
                unprotected.other.insert(label::EPHEMERAL_KEY, ephemeral.key().encode());
                Ok(encode_recipient(&protected, &unprotected, &wrapped))
            }
        }
    }
}

impl<'b> ReceivedRecipient<'b> {
    /// Reads a recipient from input that passed [`cbor::check`].
    fn read(d: &mut Decoder<'b>) -> Result<Self, Malformed> {
        cbor::tuple(d, 3, "a COSE_recipient of three elements", |d| {
            let buckets = Buckets::read(d)?;
            let wrapped = d.bytes()?;
            Ok(Self { buckets, wrapped })
        })
    }

    /// The algorithm; for key wrap it is not protected.
    pub fn algorithm(&self) -> Option<Algorithm> {
        self.buckets.protected.algorithm.or(self.buckets.unprotected.algorithm)
    }

    /// The key identifier.
    pub fn kid(&self) -> Option<&[u8]> {
        self.buckets.protected.kid.as_deref().or(self.buckets.unprotected.kid.as_deref())
    }

    /// Whether the algorithm is one that this kind of key opens; public knowledge.
    pub(crate) fn suits(&self, opener: &Opener<'_>) -> bool {
        match opener {
            Opener::KeyWrap { key, .. } => {
                // RFC 9053 section 6.2.1: the protected header of key wrap is empty.
                let named = self.buckets.unprotected.algorithm.map(Algorithm::id);
                self.buckets.protected_bytes.is_empty()
                    && named.is_some_and(|id| KeyWrap::for_key(key).map(KeyWrap::id) == Some(id))
            }
            Opener::Agreement(_) => self.agreed_wrap().is_some(),
        }
    }

    /// Unwraps the key, or gives nothing, whatever the reason.
    //= suit 13.78, 13.89 (M): a foreign recipient and a bad ephemeral key fail alike
    pub(crate) fn open(&self, opener: &Opener<'_>, other: &str) -> Option<Secret> {
        self.buckets.check_critical().ok()?;
        match opener {
            Opener::KeyWrap { key, .. } => crypto::unwrap(key.expose(), self.wrapped).ok(),
            Opener::Agreement(private) => self.open_agreed(*private, other),
        }
    }

    fn open_agreed(&self, private: &dyn Agreement, other: &str) -> Option<Secret> {
        let wrap = self.agreed_wrap()?;
        // The KDF context would need parties that no profile has.
        if label::PARTIES.iter().any(|party| self.buckets.other(*party).is_some()) {
            return None;
        }
        let salt = match self.buckets.other(label::SALT) {
            Some(encoded) => cbor::whole(encoded, |d| Ok(d.bytes()?)).ok()?,
            None => &[],
        };
        let ephemeral = Key::decode(self.buckets.other(label::EPHEMERAL_KEY)?).ok()?;
        let agreed = private.agree(&ephemeral).ok()?;
        let key = kdf::derive(wrap, &agreed, salt, self.buckets.protected_bytes, other);
        crypto::unwrap(key.expose(), self.wrapped).ok()
    }

    fn agreed_wrap(&self) -> Option<KeyWrap> {
        let named = self.buckets.protected.algorithm?.id();
        KeyWrap::ALL.into_iter().find(|wrap| wrap.ecdh_es_id() == named)
    }
}

/// Reads the recipients of an object.
pub(crate) fn read_all<'b>(d: &mut Decoder<'b>) -> Result<Vec<ReceivedRecipient<'b>>, Malformed> {
    let mut recipients = Vec::new();
    let length = d.array()?;
    while cbor::more(d, length, recipients.len())? {
        if recipients.len() == RECIPIENTS_MAX {
            return Err(Malformed::TooMany);
        }
        recipients.push(ReceivedRecipient::read(d)?);
    }
    if recipients.is_empty() {
        return Err(Malformed::Expected("one recipient or more"));
    }
    Ok(recipients)
}

/// Finds the key in the recipients that suit: those that name it first, then all others.
///
/// That a recipient was wrapped for somebody else looks like any other failure to authenticate.
pub(crate) fn open_any(
    recipients: &[ReceivedRecipient<'_>],
    opener: &Opener<'_>,
    other: &str,
) -> Result<Secret, Untrusted> {
    let suitable = recipients.iter().filter(|recipient| recipient.suits(opener));
    let (named, unnamed): (Vec<_>, Vec<_>) = suitable.partition(|one| opener.is_named(one));
    if named.is_empty() && unnamed.is_empty() {
        return Err(Untrusted::NoRecipient);
    }
    let mut candidates = named.into_iter().chain(unnamed);
    candidates.find_map(|recipient| recipient.open(opener, other)).ok_or(Untrusted::Authentication)
}

/// Writes all recipients of an object.
pub(crate) fn encode_all(
    recipients: &[Recipient<'_>],
    key: &Secret,
    other: &str,
) -> Result<Vec<u8>, KeyUnusable> {
    if recipients.is_empty() || recipients.len() > RECIPIENTS_MAX {
        return Err(KeyUnusable);
    }
    let mut encoded = cbor::encode(|e| e.array(recipients.len() as u64)?.ok());
    for recipient in recipients {
        encoded.append(&mut recipient.encode(key, other)?);
    }
    Ok(encoded)
}

impl Opener<'_> {
    fn is_named(&self, recipient: &ReceivedRecipient<'_>) -> bool {
        let Some(kid) = recipient.kid() else { return false };
        match self {
            Self::KeyWrap { kid: own, .. } => *own == Some(kid),
            Self::Agreement(private) => kid == private.key().thumbprint().as_ref(),
        }
    }
}

fn encode_recipient(protected: &[u8], unprotected: &Header, wrapped: &[u8]) -> Vec<u8> {
    let unprotected = unprotected.encode();
    cbor::encode(|e: &mut Encoder<Vec<u8>>| -> Written {
        e.array(3)?.bytes(protected)?;
        e.writer_mut().extend_from_slice(&unprotected);
        e.bytes(wrapped)?.ok()
    })
}

/// Every recipient may cost a key agreement.
const RECIPIENTS_MAX: usize = 64;

/// IANA registry "COSE Header Algorithm Parameters".
mod label {
    pub(super) const EPHEMERAL_KEY: i64 = -1;
    pub(super) const SALT: i64 = -20;
    /// Identity, nonce and other of party U and party V.
    pub(super) const PARTIES: [i64; 6] = [-21, -22, -23, -24, -25, -26];
}

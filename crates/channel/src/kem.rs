//! Keys of the KEMs, and HPKE contexts.

use cose::{Curve, Entropy, Key, Secret};
use hpke::{
    Deserializable, HpkeError, Kem, OpModeR, OpModeS, Serializable,
    aead::{AeadCtxR, AeadCtxS, AesGcm256},
    kdf::HkdfSha256,
    kem::{DhP256HkdfSha256, X25519HkdfSha256, XWing},
    rand_core::{TryCryptoRng, TryRng},
};
use zeroize::Zeroize as _;

use crate::{Refused, Suite};

/// A sender's context.
pub(crate) type Sender = Box<dyn Seal>;
/// A receiver's context.
pub(crate) type Receiver = Box<dyn Open>;

/// What a sender's context does, whatever its KEM.
pub(crate) trait Seal: Send + Sync {
    fn seal(&mut self, plaintext: &[u8], aad: &[u8]) -> Result<Vec<u8>, HpkeError>;
    fn export(&self, context: &[u8], out: &mut [u8]) -> Result<(), HpkeError>;
}

/// What a receiver's context does, whatever its KEM.
pub(crate) trait Open: Send + Sync {
    fn open(&mut self, sealed: &[u8], aad: &[u8]) -> Result<Vec<u8>, HpkeError>;
    fn export(&self, context: &[u8], out: &mut [u8]) -> Result<(), HpkeError>;
}

/// A private key of a KEM. It lives in memory and is wiped when it is dropped.
pub struct PrivateKey {
    /// RFC 9180 section 7.1.2: a scalar, or the seed of X-Wing.
    private: Secret,
    suite: Suite,
    public: Key,
}

impl PrivateKey {
    /// Makes a key on P-256 from the caller's approved generator (RFC 9180 section 7.1.3).
    #[must_use]
    pub fn generate(entropy: &mut dyn Entropy) -> Self {
        Self::of_suite(Suite::P256, entropy)
    }

    /// Makes a key for a suite.
    #[must_use]
    pub fn of_suite(suite: Suite, entropy: &mut dyn Entropy) -> Self {
        let seed = Secret::draw(entropy, SEED_BYTES);
        match suite {
            Suite::P256 => Self::derived::<DhP256HkdfSha256>(&seed),
            Suite::X25519 => Self::derived::<X25519HkdfSha256>(&seed),
            Suite::XWing => Self::derived::<XWing>(&seed),
        }
    }

    /// Takes a scalar of P-256, for keys that outlive their process, such as a caller's.
    #[must_use]
    pub fn from_scalar(scalar: &[u8]) -> Option<Self> {
        let private = <DhP256HkdfSha256 as Kem>::PrivateKey::from_bytes(scalar).ok()?;
        let public = DhP256HkdfSha256::sk_to_pk(&private);
        Some(Self::of::<DhP256HkdfSha256>(&private, &public))
    }

    /// The scalar or seed, 32 bytes.
    #[must_use]
    pub fn to_scalar(&self) -> Secret {
        Secret::new(self.private.expose().to_vec())
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> &Key {
        &self.public
    }

    /// The suite that it is for.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    fn derived<K: Known>(seed: &Secret) -> Self {
        let (private, public) = K::derive_keypair(seed.expose());
        Self::of::<K>(&private, &public)
    }

    fn of<K: Known>(private: &K::PrivateKey, public: &K::PublicKey) -> Self {
        let mut bytes = private.to_bytes();
        let private = Secret::new(bytes.to_vec());
        bytes.as_mut_slice().zeroize();
        Self { private, suite: K::SUITE, public: K::key(&public.to_bytes()) }
    }

    fn as_hpke<K: Known>(&self) -> Result<K::PrivateKey, Refused> {
        if self.suite != K::SUITE {
            return Err(Refused::DoesNotOpen);
        }
        K::PrivateKey::from_bytes(self.private.expose()).map_err(|_| Refused::DoesNotOpen)
    }
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PrivateKey(… of {})", self.public.thumbprint())
    }
}

/// Encapsulates to a public key; with `caller`, in Auth mode, which X-Wing does not have.
pub(crate) fn sender(
    to: &Key,
    info: &[u8],
    caller: Option<&PrivateKey>,
    entropy: &mut dyn Entropy,
) -> Result<(Vec<u8>, Sender), Refused> {
    match Suite::of(to) {
        Some(Suite::P256) => send::<DhP256HkdfSha256>(to, info, caller, entropy),
        Some(Suite::X25519) => send::<X25519HkdfSha256>(to, info, caller, entropy),
        Some(Suite::XWing) if caller.is_none() => send::<XWing>(to, info, None, entropy),
        Some(Suite::XWing) | None => Err(NO_KEY),
    }
}

/// Decapsulates; with `caller`, in Auth mode.
pub(crate) fn receiver(
    own: &PrivateKey,
    enc: &[u8],
    info: &[u8],
    caller: Option<&Key>,
) -> Result<Receiver, Refused> {
    match own.suite {
        Suite::P256 => receive::<DhP256HkdfSha256>(own, enc, info, caller),
        Suite::X25519 => receive::<X25519HkdfSha256>(own, enc, info, caller),
        Suite::XWing if caller.is_none() => receive::<XWing>(own, enc, info, None),
        Suite::XWing => Err(NO_KEY),
    }
}

fn send<K: Known>(
    to: &Key,
    info: &[u8],
    caller: Option<&PrivateKey>,
    entropy: &mut dyn Entropy,
) -> Result<(Vec<u8>, Sender), Refused> {
    let to = hpke_key::<K>(to)?;
    let mode = match caller {
        Some(caller) => {
            let private = caller.as_hpke::<K>().map_err(|_| NO_KEY)?;
            let public = K::sk_to_pk(&private);
            OpModeS::Auth((private, public))
        }
        None => OpModeS::Base,
    };
    let mut entropy = Drawn(entropy);
    let (enc, context) =
        hpke::setup_sender_with_rng::<AesGcm256, HkdfSha256, K>(&mode, &to, info, &mut entropy)
            .map_err(|_| Refused::DoesNotOpen)?;
    Ok((enc.to_bytes().to_vec(), Box::new(context)))
}

fn receive<K: Known>(
    own: &PrivateKey,
    enc: &[u8],
    info: &[u8],
    caller: Option<&Key>,
) -> Result<Receiver, Refused> {
    let enc = K::EncappedKey::from_bytes(enc).map_err(|_| Refused::DoesNotOpen)?;
    let mode = match caller {
        Some(caller) => OpModeR::Auth(hpke_key::<K>(caller)?),
        None => OpModeR::Base,
    };
    let own = own.as_hpke::<K>()?;
    let context = hpke::setup_receiver::<AesGcm256, HkdfSha256, K>(&mode, &own, &enc, info)
        .map_err(|_| Refused::DoesNotOpen)?;
    Ok(Box::new(context))
}

fn hpke_key<K: Known>(key: &Key) -> Result<K::PublicKey, Refused> {
    if Suite::of(key) != Some(K::SUITE) {
        return Err(NO_KEY);
    }
    K::PublicKey::from_bytes(key.public()).map_err(|_| NO_KEY)
}

/// A KEM of a suite.
trait Known: Kem + Send + Sync + 'static {
    const SUITE: Suite;

    /// The COSE_Key of a public key.
    fn key(public: &[u8]) -> Key;
}

impl Known for DhP256HkdfSha256 {
    const SUITE: Suite = Suite::P256;

    fn key(public: &[u8]) -> Key {
        Key::from_sec1(Curve::P256, public).expect("the KEM gives points of its curve")
    }
}

impl Known for X25519HkdfSha256 {
    const SUITE: Suite = Suite::X25519;

    fn key(public: &[u8]) -> Key {
        Key::from_okp(Curve::X25519, public).expect("the KEM gives keys of its length")
    }
}

impl Known for XWing {
    const SUITE: Suite = Suite::XWing;

    fn key(public: &[u8]) -> Key {
        Key::from_akp(Curve::XWing, public).expect("the KEM gives keys of its length")
    }
}

impl<K: Known> Seal for AeadCtxS<AesGcm256, HkdfSha256, K> {
    fn seal(&mut self, plaintext: &[u8], aad: &[u8]) -> Result<Vec<u8>, HpkeError> {
        Self::seal(self, plaintext, aad)
    }

    fn export(&self, context: &[u8], out: &mut [u8]) -> Result<(), HpkeError> {
        Self::export(self, context, out)
    }
}

impl<K: Known> Open for AeadCtxR<AesGcm256, HkdfSha256, K> {
    fn open(&mut self, sealed: &[u8], aad: &[u8]) -> Result<Vec<u8>, HpkeError> {
        Self::open(self, sealed, aad)
    }

    fn export(&self, context: &[u8], out: &mut [u8]) -> Result<(), HpkeError> {
        Self::export(self, context, out)
    }
}

/// The shell's entropy as the HPKE library wants it.
struct Drawn<'e>(&'e mut dyn Entropy);

impl TryRng for Drawn<'_> {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        self.0.fill(out);
        Ok(())
    }
}

impl TryCryptoRng for Drawn<'_> {}

const SEED_BYTES: usize = 32;
const NO_KEY: Refused = Refused::Malformed("a key of a suite of the channel");

#[cfg(test)]
mod tests;

//! Keys of the KEM, and HPKE contexts.

use cose::{Curve, Entropy, Key, Secret};
use hpke::{
    Deserializable as _, Kem as _, OpModeR, OpModeS, Serializable as _,
    aead::{AeadCtxR, AeadCtxS, AesGcm256},
    kdf::HkdfSha256,
    kem::DhP256HkdfSha256,
    rand_core::{TryCryptoRng, TryRng},
};
use zeroize::Zeroize as _;

use crate::Refused;

type Kem = DhP256HkdfSha256;
type Private = <Kem as hpke::Kem>::PrivateKey;
type Public = <Kem as hpke::Kem>::PublicKey;

/// A sender's context.
pub(crate) type Sender = AeadCtxS<AesGcm256, HkdfSha256, Kem>;
/// A receiver's context.
pub(crate) type Receiver = AeadCtxR<AesGcm256, HkdfSha256, Kem>;

/// A private key of the KEM (P-256). It lives in memory and is wiped when it is dropped.
pub struct PrivateKey {
    private: Private,
    public: Key,
}

impl PrivateKey {
    /// Makes a key from the caller's approved generator (RFC 9180 section 7.1.3).
    #[must_use]
    pub fn generate(entropy: &mut dyn Entropy) -> Self {
        let seed = Secret::draw(entropy, SCALAR_BYTES);
        let (private, public) = Kem::derive_keypair(seed.expose());
        Self { private, public: cose_key(&public) }
    }

    /// Takes a scalar, for keys that outlive their process, such as a caller's.
    #[must_use]
    pub fn from_scalar(scalar: &[u8]) -> Option<Self> {
        let private = Private::from_bytes(scalar).ok()?;
        let public = cose_key(&Kem::sk_to_pk(&private));
        Some(Self { private, public })
    }

    /// The scalar, 32 bytes.
    #[must_use]
    pub fn to_scalar(&self) -> Secret {
        let mut scalar = self.private.to_bytes();
        let secret = Secret::new(scalar.to_vec());
        scalar.as_mut_slice().zeroize();
        secret
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> &Key {
        &self.public
    }
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PrivateKey(… of {})", self.public.thumbprint())
    }
}

/// Encapsulates to a public key; with `caller`, in Auth mode.
pub(crate) fn sender(
    to: &Key,
    info: &[u8],
    caller: Option<&PrivateKey>,
    entropy: &mut dyn Entropy,
) -> Result<(Vec<u8>, Sender), Refused> {
    let to = hpke_key(to)?;
    let mode = match caller {
        Some(caller) => OpModeS::Auth((caller.private.clone(), Kem::sk_to_pk(&caller.private))),
        None => OpModeS::Base,
    };
    let (enc, context) = hpke::setup_sender_with_rng::<AesGcm256, HkdfSha256, Kem>(
        &mode,
        &to,
        info,
        &mut Drawn(entropy),
    )
    .map_err(|_| Refused::DoesNotOpen)?;
    Ok((enc.to_bytes().to_vec(), context))
}

/// Decapsulates; with `caller`, in Auth mode.
pub(crate) fn receiver(
    own: &PrivateKey,
    enc: &[u8],
    info: &[u8],
    caller: Option<&Key>,
) -> Result<Receiver, Refused> {
    let enc = <Kem as hpke::Kem>::EncappedKey::from_bytes(enc).map_err(|_| Refused::DoesNotOpen)?;
    let mode = match caller {
        Some(caller) => OpModeR::Auth(hpke_key(caller)?),
        None => OpModeR::Base,
    };
    hpke::setup_receiver::<AesGcm256, HkdfSha256, Kem>(&mode, &own.private, &enc, info)
        .map_err(|_| Refused::DoesNotOpen)
}

fn hpke_key(key: &Key) -> Result<Public, Refused> {
    if key.curve() != Curve::P256 {
        return Err(Refused::Malformed("a key of P-256"));
    }
    Public::from_bytes(&key.sec1()).map_err(|_| Refused::Malformed("a key of P-256"))
}

fn cose_key(key: &Public) -> Key {
    Key::from_sec1(Curve::P256, &key.to_bytes()).expect("the KEM gives points of its curve")
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

const SCALAR_BYTES: usize = 32;

#[cfg(test)]
mod tests;

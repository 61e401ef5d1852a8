//! Keys that stay in a PKCS#11 token: an HSM, a smart card, or SoftHSM.
//!
//! A token is opened once; its keys are handles that use its one session in turn. No private key
//! leaves it: the token signs, and what it agrees on is read and forgotten.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cose::{Agreement, Algorithm, Curve, Key, KeyUnusable, Secret, Signer};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::mechanism::elliptic_curve::{EcKdf, Ecdh1DeriveParams};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;

/// A token with a session that is logged in.
#[derive(Clone)]
pub struct Token(Arc<Mutex<Session>>);

/// Why a token or one of its keys cannot be used.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The vendor's library does not load.
    #[error("cannot load the PKCS#11 module `{}`", .0.display())]
    Module(PathBuf),
    /// No token has this label.
    #[error("there is no token `{0}`")]
    NoToken(String),
    /// The PIN is wrong, or the token is locked.
    #[error("the token `{0}` does not take the PIN")]
    Login(String),
    /// The token has no key pair with this label, or several.
    #[error("there is not exactly one key pair `{0}` in the token")]
    NoKey(String),
    /// The key is of another kind than asked for.
    #[error("the key `{0}` is of another kind")]
    OtherKind(String),
    /// No key of this kind can be made or used here.
    #[error("the algorithm or curve is not supported")]
    Unsupported,
    /// The token refuses.
    #[error("the token fails")]
    Device,
}

impl Token {
    /// Loads the vendor's library, finds the token by its label and logs in.
    ///
    /// A process loads a library once; the second call for it gives [`TokenError::Module`].
    pub fn open(module: &Path, label: &str, pin: &str) -> Result<Self, TokenError> {
        let failed = |_| TokenError::Module(module.to_owned());
        let context = Pkcs11::new(module).map_err(failed)?;
        context
            .initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))
            .map_err(failed)?;
        let slots = context.get_slots_with_token().map_err(|_| TokenError::Device)?;
        let labelled = slots
            .into_iter()
            .find(|slot| context.get_token_info(*slot).is_ok_and(|token| token.label() == label));
        let slot = labelled.ok_or_else(|| TokenError::NoToken(label.to_owned()))?;
        let session = context.open_rw_session(slot).map_err(|_| TokenError::Device)?;
        let pin = AuthPin::new(pin.into());
        session
            .login(UserType::User, Some(&pin))
            .map_err(|_| TokenError::Login(label.to_owned()))?;
        Ok(Self(Arc::new(Mutex::new(session))))
    }

    /// The key pair with this label, as a signer.
    pub fn signing_key(
        &self,
        label: &str,
        algorithm: Algorithm,
    ) -> Result<TokenSigningKey, TokenError> {
        let curve = signing_curve(algorithm)?;
        let (private, key) = self.pair(label, curve)?;
        Ok(TokenSigningKey { token: self.clone(), private, key, algorithm })
    }

    /// The key pair with this label, for key agreement.
    pub fn agreement_key(
        &self,
        label: &str,
        curve: Curve,
    ) -> Result<TokenAgreementKey, TokenError> {
        if !matches!(curve, Curve::P256 | Curve::P384) {
            return Err(TokenError::Unsupported);
        }
        let (private, key) = self.pair(label, curve)?;
        Ok(TokenAgreementKey { token: self.clone(), private, key })
    }

    /// Makes a key pair for signatures in the token, never to be extracted.
    pub fn generate(&self, label: &str, algorithm: Algorithm) -> Result<(), TokenError> {
        self.make(label, signing_curve(algorithm)?, Attribute::Sign(true), Attribute::Verify(true))
    }

    /// Makes a key pair for key agreement in the token, never to be extracted.
    pub fn generate_agreement(&self, label: &str, curve: Curve) -> Result<(), TokenError> {
        if !matches!(curve, Curve::P256 | Curve::P384) {
            return Err(TokenError::Unsupported);
        }
        self.make(label, curve, Attribute::Derive(true), Attribute::Derive(true))
    }

    fn make(
        &self,
        label: &str,
        curve: Curve,
        private_use: Attribute,
        public_use: Attribute,
    ) -> Result<(), TokenError> {
        let named = || Attribute::Label(label.as_bytes().to_vec());
        let mechanism = match curve {
            Curve::Ed25519 => Mechanism::EccEdwardsKeyPairGen,
            Curve::P256
            | Curve::P384
            | Curve::X25519
            | Curve::MlDsa65
            | Curve::XWing
            | Curve::HssLms => Mechanism::EccKeyPairGen,
        };
        let public = [
            Attribute::Token(true),
            Attribute::Private(false),
            named(),
            public_use,
            Attribute::EcParams(parameters(curve)?.to_vec()),
        ];
        let private = [
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            named(),
            private_use,
        ];
        self.session()
            .generate_key_pair(&mechanism, &public, &private)
            .map_err(|_| TokenError::Device)?;
        Ok(())
    }

    /// The private handle and the public key of a pair.
    fn pair(&self, label: &str, curve: Curve) -> Result<(ObjectHandle, Key), TokenError> {
        let session = self.session();
        let one = |class| {
            let template = [Attribute::Class(class), Attribute::Label(label.as_bytes().to_vec())];
            let found = session.find_objects(&template).map_err(|_| TokenError::Device)?;
            match found[..] {
                [object] => Ok(object),
                _ => Err(TokenError::NoKey(label.to_owned())),
            }
        };
        let private = one(ObjectClass::PRIVATE_KEY)?;
        let public = one(ObjectClass::PUBLIC_KEY)?;
        let wanted = [AttributeType::EcParams, AttributeType::EcPoint];
        let attributes = session.get_attributes(public, &wanted).map_err(|_| TokenError::Device)?;
        let other = || TokenError::OtherKind(label.to_owned());
        let (mut on_curve, mut point) = (false, None);
        for attribute in attributes {
            match attribute {
                Attribute::EcParams(named) => on_curve = named == parameters(curve)?,
                Attribute::EcPoint(bytes) => point = Some(bytes),
                _ => {}
            }
        }
        let point = point.filter(|_| on_curve).ok_or_else(other)?;
        let bytes = octet_string(&point).unwrap_or(&point);
        let key = match curve {
            Curve::Ed25519 => Key::from_okp(curve, bytes),
            Curve::P256
            | Curve::P384
            | Curve::X25519
            | Curve::MlDsa65
            | Curve::XWing
            | Curve::HssLms => Key::from_sec1(curve, bytes),
        };
        Ok((private, key.map_err(|_| other())?))
    }

    /// A panic elsewhere leaves no operation of the token half done.
    fn session(&self) -> MutexGuard<'_, Session> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// A private key in a token that signs: ESP256, ESP384 or Ed25519.
#[derive(Clone, Debug)]
pub struct TokenSigningKey {
    token: Token,
    private: ObjectHandle,
    key: Key,
    algorithm: Algorithm,
}

impl Signer for TokenSigningKey {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    fn key(&self) -> &Key {
        &self.key
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyUnusable> {
        let session = self.token.session();
        let signature = match self.key.curve() {
            Curve::P256 => session.sign(&Mechanism::Ecdsa, self.private, &cose::sha256(message)),
            Curve::P384 => session.sign(&Mechanism::Ecdsa, self.private, &cose::sha384(message)),
            Curve::Ed25519 => {
                let pure = EddsaParams::new(EddsaSignatureScheme::Pure);
                session.sign(&Mechanism::Eddsa(pure), self.private, message)
            }
            Curve::X25519 | Curve::MlDsa65 | Curve::XWing | Curve::HssLms => {
                return Err(KeyUnusable);
            }
        };
        signature.map_err(|_| KeyUnusable)
    }
}

/// A private key in a token that agrees on secrets, on P-256 or P-384.
#[derive(Clone, Debug)]
pub struct TokenAgreementKey {
    token: Token,
    private: ObjectHandle,
    key: Key,
}

impl Agreement for TokenAgreementKey {
    fn key(&self) -> &Key {
        &self.key
    }

    fn agree(&self, peer: &Key) -> Result<Secret, KeyUnusable> {
        if peer.curve() != self.key.curve() {
            return Err(KeyUnusable);
        }
        let length = self.key.curve().coordinate_len();
        let parameters = Ecdh1DeriveParams::new(EcKdf::null(), peer.public());
        let template = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::GENERIC_SECRET),
            Attribute::ValueLen(u64::try_from(length).map_err(|_| KeyUnusable)?.into()),
            Attribute::Sensitive(false),
            Attribute::Extractable(true),
            Attribute::Token(false),
        ];
        let session = self.token.session();
        let derived = session
            .derive_key(&Mechanism::Ecdh1Derive(parameters), self.private, &template)
            .map_err(|_| KeyUnusable)?;
        let value = session.get_attributes(derived, &[AttributeType::Value]);
        session.destroy_object(derived).map_err(|_| KeyUnusable)?;
        match value.map_err(|_| KeyUnusable)?.pop() {
            Some(Attribute::Value(bytes)) if bytes.len() == length => Ok(Secret::new(bytes)),
            _ => Err(KeyUnusable),
        }
    }
}

fn signing_curve(algorithm: Algorithm) -> Result<Curve, TokenError> {
    match algorithm {
        Algorithm::Esp256 => Ok(Curve::P256),
        Algorithm::Esp384 => Ok(Curve::P384),
        Algorithm::Ed25519 => Ok(Curve::Ed25519),
        Algorithm::Es256
        | Algorithm::EdDsa
        | Algorithm::Es384
        | Algorithm::MlDsa65
        | Algorithm::HssLms
        | Algorithm::Other(_) => Err(TokenError::Unsupported),
    }
}

/// CKA_EC_PARAMS: the object identifier of the curve, or its name (PKCS#11 v3.0 section 2.3.10).
fn parameters(curve: Curve) -> Result<&'static [u8], TokenError> {
    match curve {
        Curve::P256 => Ok(b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"),
        Curve::P384 => Ok(b"\x06\x05\x2b\x81\x04\x00\x22"),
        Curve::Ed25519 => Ok(b"\x13\x0cedwards25519"),
        Curve::X25519 | Curve::MlDsa65 | Curve::XWing | Curve::HssLms => {
            Err(TokenError::Unsupported)
        }
    }
}

/// The content of a DER OCTET STRING of less than 128 bytes, as CKA_EC_POINT is.
fn octet_string(der: &[u8]) -> Option<&[u8]> {
    match der {
        [4, length @ 0..=127, content @ ..] if content.len() == usize::from(*length) => {
            Some(content)
        }
        _ => None,
    }
}

//! Vectors from disk, and keys in memory that sign and agree.

use std::path::PathBuf;

use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey};
use aws_lc_rs::encoding::{AsBigEndian as _, EcPublicKeyUncompressedBin};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use cose::cbor::{Decoder, MapReader};
use cose::{Agreement, Algorithm, Curve, Entropy, Key, KeyUnusable, Secret, Signer};

/// The vectors, when they are there.
pub(crate) struct Vectors(PathBuf);

impl Vectors {
    /// Says so and gives nothing when the vectors are absent.
    pub(crate) fn find() -> Option<Self> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
        if !folder.is_dir() {
            eprintln!("skipped: ../shared/vectors is absent");
            return None;
        }
        Some(Self(folder))
    }

    pub(crate) fn read(&self, file: &str) -> Vec<u8> {
        std::fs::read(self.0.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
    }

    /// All files of a folder with their names.
    pub(crate) fn folder(&self, folder: &str) -> Vec<(String, Vec<u8>)> {
        let entries = std::fs::read_dir(self.0.join(folder)).expect("the folder is there");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("the folder can be read").file_name())
            .map(|name| format!("{folder}/{}", name.to_string_lossy()))
            .collect();
        names.sort();
        names.into_iter().map(|name| (name.clone(), self.read(&name))).collect()
    }

    pub(crate) fn public(&self, name: &str) -> Key {
        Key::decode(&self.read(&format!("{name}.public.cosekey.cbor"))).expect("a public COSE_Key")
    }

    /// The private part of a COSE_Key.
    pub(crate) fn scalar(&self, name: &str) -> Vec<u8> {
        let bytes = self.read(&format!("{name}.private.cosekey.cbor"));
        member(&bytes, -4)
    }

    /// The key of a symmetric COSE_Key.
    pub(crate) fn secret(&self, name: &str) -> Secret {
        Secret::new(member(&self.read(&format!("{name}.cosekey.cbor")), -1))
    }
}

fn member(map: &[u8], wanted: i64) -> Vec<u8> {
    let mut decoder = Decoder::new(map);
    let mut map = MapReader::new(&mut decoder).expect("a map");
    while let Some(label) = map.key().expect("a key") {
        if label == wanted {
            return map.value().bytes().expect("a byte string").to_vec();
        }
        map.value().skip().expect("a value");
    }
    panic!("there is no member {wanted}");
}

/// A signature key from its scalar.
pub(crate) struct TestSigner {
    algorithm: Algorithm,
    pair: Pair,
    key: Key,
}

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl TestSigner {
    pub(crate) fn new(algorithm: Algorithm, seed: u8) -> Self {
        let curve = algorithm.curve().expect("a signature algorithm");
        Self::from_scalar(algorithm, &vec![seed; curve.coordinate_len()])
    }

    pub(crate) fn from_scalar(algorithm: Algorithm, scalar: &[u8]) -> Self {
        let curve = algorithm.curve().expect("a signature algorithm");
        if curve == Curve::Ed25519 {
            let pair = Ed25519KeyPair::from_seed_unchecked(scalar).expect("a seed");
            let key = Key::from_okp(curve, pair.public_key().as_ref()).expect("a key");
            return Self { algorithm, pair: Pair::Ed25519(pair), key };
        }
        let key = TestAgreement::from_scalar(curve, scalar).key;
        let parameters = match curve {
            Curve::P384 => &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
            Curve::P256
            | Curve::Ed25519
            | Curve::X25519
            | Curve::MlDsa65
            | Curve::XWing
            | Curve::HssLms => &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
        };
        let pair = EcdsaKeyPair::from_private_key_and_public_key(parameters, scalar, key.public())
            .expect("a pair");
        Self { algorithm, pair: Pair::Ecdsa(pair), key }
    }
}

impl Signer for TestSigner {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    fn key(&self) -> &Key {
        &self.key
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyUnusable> {
        let signature = match &self.pair {
            Pair::Ecdsa(pair) => pair.sign(&SystemRandom::new(), message),
            Pair::Ed25519(pair) => pair.try_sign(message),
        };
        Ok(signature.map_err(|_| KeyUnusable)?.as_ref().to_vec())
    }
}

/// A key agreement key from its scalar.
pub(crate) struct TestAgreement {
    private: PrivateKey,
    key: Key,
}

impl TestAgreement {
    pub(crate) fn new(curve: Curve, seed: u8) -> Self {
        Self::from_scalar(curve, &vec![seed; curve.coordinate_len()])
    }

    pub(crate) fn from_scalar(curve: Curve, scalar: &[u8]) -> Self {
        let algorithm = match curve {
            Curve::P384 => &agreement::ECDH_P384,
            Curve::X25519 => &agreement::X25519,
            Curve::P256 | Curve::Ed25519 | Curve::MlDsa65 | Curve::XWing | Curve::HssLms => {
                &agreement::ECDH_P256
            }
        };
        let private = PrivateKey::from_private_key(algorithm, scalar).expect("a scalar");
        let public = private.compute_public_key().expect("a public key");
        let key = if curve == Curve::X25519 {
            Key::from_okp(curve, public.as_ref())
        } else {
            let point: EcPublicKeyUncompressedBin<'_> = public.as_be_bytes().expect("a point");
            Key::from_sec1(curve, point.as_ref())
        };
        Self { private, key: key.expect("a key") }
    }
}

impl Agreement for TestAgreement {
    fn key(&self) -> &Key {
        &self.key
    }

    fn agree(&self, peer: &Key) -> Result<Secret, KeyUnusable> {
        if peer.curve() != self.key.curve() {
            return Err(KeyUnusable);
        }
        let peer = UnparsedPublicKey::new(self.private.algorithm(), peer.public());
        agreement::agree(&self.private, peer, KeyUnusable, |secret| {
            Ok(Secret::new(secret.to_vec()))
        })
    }
}

/// Counts up: the same bytes in every run.
pub(crate) struct CountingEntropy(pub(crate) u8);

impl Entropy for CountingEntropy {
    fn fill(&mut self, out: &mut [u8]) {
        for byte in out {
            *byte = self.0;
            self.0 = self.0.wrapping_add(1);
        }
    }
}

/// The three algorithms that are emitted.
pub(crate) const CURRENT: [Algorithm; 3] =
    [Algorithm::Esp256, Algorithm::Ed25519, Algorithm::Esp384];

pub(crate) fn hex(digits: &str) -> Vec<u8> {
    let digits: String = digits.split_whitespace().collect();
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex digits");
    (0..digits.len()).step_by(2).map(byte).collect()
}

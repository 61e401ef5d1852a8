//! Keys, content and a stream of randomness that targets and corpus share. Nobody trusts them.

use std::sync::LazyLock;

use cose::{Curve, Entropy, Key, Secret, Signer as _};
use keys::{AgreementKey, SigningKey};

/// The only payload that the known keys sign or encrypt in the corpus.
pub(crate) const SIGNED: &[u8] = b"the one thing that was ever signed";

/// The time of every run.
pub(crate) const NOW: i64 = 1_800_000_000;

/// Signs with Ed25519, so that equal input gives equal bytes.
pub(crate) static ED25519: LazyLock<SigningKey> = LazyLock::new(|| ed25519(1));

/// Signs with ESP256.
pub(crate) static ESP256: LazyLock<SigningKey> = LazyLock::new(|| p256(2));

/// The other side of a session, in both suites.
pub(crate) static PEER_ED25519: LazyLock<SigningKey> = LazyLock::new(|| ed25519(3));

/// The other side of a session, in both suites.
pub(crate) static PEER_ESP256: LazyLock<SigningKey> = LazyLock::new(|| p256(4));

/// A key that signs whatever the bytes ask for, and that nobody anchors.
pub(crate) static FOREIGN: LazyLock<SigningKey> = LazyLock::new(|| ed25519(5));

/// Signs Evidence.
pub(crate) static ATTESTER: LazyLock<SigningKey> = LazyLock::new(|| ed25519(6));

/// Signs for a CCA realm.
pub(crate) static REALM: LazyLock<SigningKey> = LazyLock::new(|| ecdsa(Curve::P384, 14));

/// Signs SUIT reports.
pub(crate) static REPORTER: LazyLock<SigningKey> = LazyLock::new(|| ed25519(7));

/// A receiver of encrypted content.
pub(crate) static RECEIVER: LazyLock<AgreementKey> = LazyLock::new(|| {
    AgreementKey::from_scalar(Curve::P256, &[8; 32]).expect("a scalar within the order")
});

/// A key that signs nothing, anywhere: whatever verifies under it is a finding.
pub(crate) static SILENT: [LazyLock<Key>; 2] =
    [LazyLock::new(|| ed25519(9).key().clone()), LazyLock::new(|| p256(10).key().clone())];

/// A shared secret of 32 bytes.
pub(crate) fn secret() -> Secret {
    Secret::new(vec![11; 32])
}

/// Randomness that every run repeats.
#[derive(Debug, Default)]
pub(crate) struct Draws(u64);

impl Entropy for Draws {
    fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(32) {
            self.0 += 1;
            let block = cose::sha256(&self.0.to_be_bytes());
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
    }
}

fn ed25519(seed: u8) -> SigningKey {
    SigningKey::from_pkcs8(&[ED25519_PKCS8, &[seed; 32]].concat()).expect("every seed is a key")
}

fn p256(scalar: u8) -> SigningKey {
    ecdsa(Curve::P256, scalar)
}

fn ecdsa(curve: Curve, scalar: u8) -> SigningKey {
    let key = AgreementKey::from_scalar(curve, &vec![scalar; curve.coordinate_len()]);
    let pkcs8 = key.expect("a scalar within the order").to_pkcs8().expect("a key of this curve");
    SigningKey::from_pkcs8(pkcs8.expose()).expect("a key of this curve")
}

/// PrivateKeyInfo of Ed25519 up to the seed (RFC 8410).
const ED25519_PKCS8: &[u8] = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";

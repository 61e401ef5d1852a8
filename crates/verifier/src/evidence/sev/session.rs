//! The owner's side of a launch: open a session to a verified platform, appraise what it measured,
//! release one secret.
//!
//! Evidence of SEV is a MAC under a key that only the owner and the platform's firmware hold, so
//! whoever opened the session is the only one who can appraise the launch.

use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use cose::cbor::encode;
use cose::{Agreement, Entropy, KeyUnusable, Secret, hmac_sha256};

use super::certificate::unsigned;
use super::chain::VerifiedChain;
use super::launch::{GuestPolicy, Launch};
use crate::appraisal::Appraised;
use crate::crypto::{equal, sha256};
use crate::evidence::Kind;

/// A session with the firmware of one platform. It serves one launch and releases one secret:
/// that is its protection against replay.
//= EV-SEV-1: one launch, one secret, no re-attestation
#[derive(Debug)]
pub struct Session {
    encryption_key: Secret,
    integrity_key: Secret,
    platform: [u8; 32],
    policy: GuestPolicy,
}

/// What the host hands to LAUNCH_START.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// The policy of the guest.
    pub policy: GuestPolicy,
    /// The certificate of the owner's ephemeral key.
    pub certificate: Vec<u8>,
    /// Nonce, wrapped keys, IV, MAC over the wrapped keys, MAC over the policy.
    pub session: [u8; 128],
}

/// What the host hands to LAUNCH_SECRET.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Flags, IV, MAC.
    pub header: [u8; 52],
    /// The encrypted secret.
    pub ciphertext: Vec<u8>,
}

/// What the owner keeps of a launch, to appraise its evidence.
#[derive(Debug)]
pub struct LaunchKeys {
    integrity_key: Secret,
    /// SHA-256 of the platform's key; unknown when the session was opened elsewhere.
    platform: Option<[u8; 32]>,
    /// The key that was injected.
    injected: Option<Secret>,
}

/// The secret was not released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReleased {
    /// The appraisal or the launch is not that of this session.
    #[error("the appraised launch is not that of this session")]
    AnotherLaunch,
    /// The encryption failed.
    #[error("the secret cannot be encrypted")]
    Encryption,
}

impl Session {
    /// Opens a session for a guest with that policy. `owner` is an ephemeral key on P-384 that
    /// serves no other session.
    //= EV-SEV-6: ECDH P-384, SP 800-108 in counter mode, AES-128-CTR, MACs over keys and policy
    pub fn open(
        chain: &VerifiedChain,
        policy: GuestPolicy,
        owner: &dyn Agreement,
        entropy: &mut dyn Entropy,
    ) -> Result<(Self, Start), KeyUnusable> {
        let shared = owner.agree(&chain.pdh)?;
        let session = Self {
            encryption_key: Secret::draw(entropy, 16),
            integrity_key: Secret::draw(entropy, 16),
            platform: sha256(chain.pdh.public()),
            policy,
        };
        let (mut nonce, mut iv) = ([0; 16], [0; 16]);
        entropy.fill(&mut nonce);
        entropy.fill(&mut iv);
        let sealed = session.wrap(&shared, &nonce, &iv).ok_or(KeyUnusable)?;
        let start = Start { policy, certificate: unsigned(owner.key()), session: sealed };
        Ok((session, start))
    }

    /// What is needed to appraise the evidence of this launch before its secret is released.
    #[must_use]
    pub fn keys(&self) -> LaunchKeys {
        let mut keys = LaunchKeys::recorded(Secret::new(self.integrity_key.expose().to_vec()));
        keys.platform = Some(self.platform);
        keys
    }

    /// Releases the secret to a launch that was accepted, and ends the session.
    ///
    /// The secret is the token of the exchange and a key drawn here, in the table that Linux shows
    /// to the guest under [`SECRET_ID`]. The guest proves that it is the one that was launched by
    /// the HMAC of later user data under that key.
    //= EV-SEV-7: the token is bound inside the injected secret, and proof of it demanded later
    pub fn release(
        self,
        accepted: &Appraised,
        launch: &Launch,
        token: &[u8],
        entropy: &mut dyn Entropy,
    ) -> Result<(Packet, LaunchKeys), NotReleased> {
        self.release_stated(accepted, launch, token, None, entropy)
    }

    /// The same, with the owner's statement about the launch and the private scalar of the key
    /// that it names: by both others can appraise the guest ([`super::stated`]).
    pub fn release_stated(
        self,
        accepted: &Appraised,
        launch: &Launch,
        token: &[u8],
        stated: Option<(&[u8], &Secret)>,
        entropy: &mut dyn Entropy,
    ) -> Result<(Packet, LaunchKeys), NotReleased> {
        let claims = accepted.claims();
        let same = claims.measurements.iter().any(|it| it.value.as_slice() == launch.digest);
        let own = launch.is_measured_by(self.integrity_key.expose());
        if claims.kind != Kind::Sev || !same || !own || launch.policy != self.policy {
            return Err(NotReleased::AnotherLaunch);
        }
        let key = Secret::draw(entropy, 32);
        let table = Secret::new(secret_table(token, key.expose(), stated));
        let mut iv = [0; 16];
        entropy.fill(&mut iv);
        let ciphertext = crypt(self.encryption_key.expose(), &iv, table.expose())
            .ok_or(NotReleased::Encryption)?;
        let packet = self.packet(&iv, ciphertext, &launch.mac);
        let keys = LaunchKeys {
            integrity_key: self.integrity_key,
            platform: Some(self.platform),
            injected: Some(key),
        };
        Ok((packet, keys))
    }

    fn wrap(&self, shared: &Secret, nonce: &[u8; 16], iv: &[u8; 16]) -> Option<[u8; 128]> {
        let master = derive(shared.expose(), "sev-master-secret", nonce);
        let encryption = derive(master.expose(), "sev-kek", &[]);
        let integrity = derive(master.expose(), "sev-kik", &[]);
        let keys = [self.encryption_key.expose(), self.integrity_key.expose()].concat();
        let wrapped = crypt(encryption.expose(), iv, Secret::new(keys).expose())?;
        let key_mac = hmac_sha256(integrity.expose(), &wrapped);
        let policy_mac = hmac_sha256(self.integrity_key.expose(), &self.policy.0.to_le_bytes());
        let parts: [&[u8]; 5] = [nonce, &wrapped, iv, &key_mac, &policy_mac];
        parts.concat().try_into().ok()
    }

    //= EV-SEV-6: flags, IV and HMAC of the secret packet
    fn packet(&self, iv: &[u8; 16], ciphertext: Vec<u8>, measure: &[u8; 32]) -> Packet {
        let flags = 0_u32.to_le_bytes();
        let length = u32::try_from(ciphertext.len()).expect("a secret is far below 4 GiB");
        let length = length.to_le_bytes();
        let parts: [&[u8]; 7] =
            [&[SECRET_CONTEXT], &flags, iv, &length, &length, &ciphertext, measure];
        let mac = hmac_sha256(self.integrity_key.expose(), &parts.concat());
        let mut header = [0; 52];
        header[4..20].copy_from_slice(iv);
        header[20..].copy_from_slice(&mac);
        Packet { header, ciphertext }
    }
}

impl LaunchKeys {
    /// The keys of a launch that was started elsewhere: only the transport integrity key is known.
    #[must_use]
    pub const fn recorded(integrity_key: Secret) -> Self {
        Self { integrity_key, platform: None, injected: None }
    }

    /// Whether the firmware of this launch measured it.
    pub(super) fn measured(&self, launch: &Launch) -> bool {
        launch.is_measured_by(self.integrity_key.expose())
    }

    /// Whether the session was opened to this platform, as far as that is known.
    pub(super) fn is_for(&self, chain: &VerifiedChain) -> bool {
        self.platform.is_none_or(|platform| platform == sha256(chain.pdh.public()))
    }

    /// Whether the guest that received the secret speaks: HMAC of the user data by the key.
    pub(super) fn proves(&self, proof: &[u8; 32], user_data: &[u8; 64]) -> bool {
        let expected = self.injected.as_ref().map(|key| hmac_sha256(key.expose(), user_data));
        expected.is_some_and(|expected| equal(&expected, proof))
    }
}

/// SP 800-108 section 5.1 with HMAC-SHA-256: 128 bits, so that one block is enough.
fn derive(key: &[u8], label: &str, context: &[u8]) -> Secret {
    let (counter, bits) = (1_u32.to_le_bytes(), 128_u32.to_le_bytes());
    let parts: [&[u8]; 5] = [&counter, label.as_bytes(), &[0], context, &bits];
    Secret::new(hmac_sha256(key, &parts.concat())[..16].to_vec())
}

/// AES-128 in counter mode, in both directions.
fn crypt(key: &[u8], iv: &[u8; 16], text: &[u8]) -> Option<Vec<u8>> {
    let key = EncryptingKey::ctr(UnboundCipherKey::new(&AES_128, key).ok()?).ok()?;
    let mut text = text.to_vec();
    let context = EncryptionContext::Iv128(FixedLength::from(*iv));
    key.less_safe_encrypt(&mut text, context).ok()?;
    Some(text)
}

/// The table of secrets that OVMF reserves and Linux shows to the guest: header and one entry, in
/// whole blocks of 16 octets.
///
/// ```cddl
/// secret = [ "teep-sev-v1", token: bstr, key: bstr .size 32,
///            ? (statement: bstr .cbor COSE_Sign1, proof-scalar: bstr .size 48) ]
/// ```
fn secret_table(token: &[u8], key: &[u8], stated: Option<(&[u8], &Secret)>) -> Vec<u8> {
    let secret = encode(|e| {
        e.array(if stated.is_some() { 5 } else { 3 })?;
        e.str("teep-sev-v1")?.bytes(token)?.bytes(key)?;
        if let Some((statement, scalar)) = stated {
            e.bytes(statement)?.bytes(scalar.expose())?;
        }
        e.ok()
    });
    let length =
        |length: usize| u32::try_from(length).expect("a secret is far below 4 GiB").to_le_bytes();
    let entry = [&SECRET_ID[..], &length(20 + secret.len()), &secret].concat();
    let mut table = [&SECRET_TABLE[..], &length(20 + entry.len()), &entry].concat();
    table.resize(table.len().next_multiple_of(16), 0);
    table
}

/// 6f8b2a70-3c51-4d0e-9a6e-7d2f10c4e5b3, as bytes: the entry of the released secret.
pub const SECRET_ID: [u8; 16] = [
    0x70, 0x2a, 0x8b, 0x6f, 0x51, 0x3c, 0x0e, 0x4d, 0x9a, 0x6e, 0x7d, 0x2f, 0x10, 0xc4, 0xe5, 0xb3,
];
/// 1e74f542-71dd-4d66-963e-ef4287ff173b, as bytes.
const SECRET_TABLE: [u8; 16] = [
    0x42, 0xf5, 0x74, 0x1e, 0xdd, 0x71, 0x66, 0x4d, 0x96, 0x3e, 0xef, 0x42, 0x87, 0xff, 0x17, 0x3b,
];
const SECRET_CONTEXT: u8 = 0x01;

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything zero: values that the firmware's formulas give.
    #[test]
    fn zero_keys_wrap_to_known_values() {
        let zeros = || Secret::new(vec![0; 16]);
        let session = Session {
            encryption_key: zeros(),
            integrity_key: zeros(),
            platform: [0; 32],
            policy: GuestPolicy(0),
        };

        let sealed = session.wrap(&zeros(), &[0; 16], &[0; 16]).expect("sealed");

        let shown = hex::encode(sealed);
        let wrapped = "2137bc7f9bb8bd7c3e55a576a15d3454b3856b8ba27afadf46dcfee9f02c02c4";
        let key_mac = "3176c0752738bd9d5e86689534020f528c088f16238826b000b327dee6aeed7d";
        let policy_mac = "aa7855e13839dd767cd5da7c1ff5036540c9264b7a803029315e55375287b4af";
        let zero = "00".repeat(16);
        assert_eq!(shown, [&zero, wrapped, &zero, key_mac, policy_mac].concat());
    }

    #[test]
    fn the_secret_table_is_in_whole_blocks_and_says_its_length() {
        let table = secret_table(&[7; 8], &[9; 32], None);

        assert_eq!(table.len() % 16, 0);
        let length = u32::from_le_bytes(*table[16..].first_chunk().expect("a length"));
        let used = usize::try_from(length).expect("small");
        assert!(used <= table.len() && table[used..].iter().all(|&octet| octet == 0));
        assert!(table[40..used].ends_with(&[9; 32]));
    }
}

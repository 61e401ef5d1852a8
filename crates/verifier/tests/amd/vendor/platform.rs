//! A platform with SEV under a vendor of our own, and firmware that launches guests on it.

use std::sync::OnceLock;

use aws_lc_rs::agreement::{ECDH_P384, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::cipher::{AES_128, DecryptingKey, DecryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PSS_SHA256, RSA_PSS_SHA384,
};
use cose::{Agreement, Curve, Entropy, Key, KeyUnusable, Secret, hmac_sha256};
use verifier::Collateral;
use verifier::anchor::{Anchors, Listed, Vendor as Family};
use verifier::crypto::sha256;
use verifier::evidence::sev::launch::{GuestPolicy, Launch};
use verifier::evidence::sev::session::{Packet, Start};
use verifier::value::Hex;

use super::{keys, spki};

/// One platform.
pub(crate) struct Platform {
    cek: EcdsaKeyPair,
    oca: EcdsaKeyPair,
    pek: EcdsaKeyPair,
    pdh: PrivateKey,
    /// Whether the vendor's keys have 4096 bits.
    wide: bool,
}

/// The keys of one launch, as the firmware unwrapped them.
pub(crate) struct Firmware {
    tek: Vec<u8>,
    tik: Vec<u8>,
}

/// A key on P-384 that agrees on secrets.
pub(crate) struct Owner(PrivateKey, Key);

/// Random octets of the operating system.
pub(crate) struct Random;

impl Platform {
    pub(crate) fn new(wide: bool) -> Self {
        let key = || EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).expect("a key");
        let pdh = PrivateKey::generate(&ECDH_P384).expect("a key");
        Self { cek: key(), oca: key(), pek: key(), pdh, wide }
    }

    /// The vendor's root as an emulator's.
    pub(crate) fn anchors(&self) -> Anchors {
        Anchors::vendors().with_emulator(Listed {
            vendor: Family::Amd,
            name: "test vendor".into(),
            spki_sha256: Hex(sha256(&spki(self.ark()))),
        })
    }

    pub(crate) fn collateral(&self) -> Collateral {
        let [cek, oca, pek] =
            [&self.cek, &self.oca, &self.pek].map(|key| key.public_key().as_ref().to_vec());
        let pdh = self.pdh.compute_public_key().expect("a key").as_ref().to_vec();
        Collateral::from_files([
            ("ark.cert", authority(self.ark(), [1, 1], 0, self.ark())),
            ("ask.cert", authority(self.ask(), [2, 1], 0x13, self.ark())),
            ("cek.cert", self.endorse(body(0x1004, 2, &cek))),
            ("oca.cert", sign(body(0x1001, 2, &oca), &[(0x1001, &self.oca)])),
            ("pek.cert", sign(body(0x1002, 2, &pek), &[(0x1001, &self.oca), (0x1004, &self.cek)])),
            ("pdh.cert", sign(body(0x1003, 3, &pdh), &[(0x1002, &self.pek)])),
        ])
    }

    /// LAUNCH_START: unwraps the keys; `None` when a MAC is wrong.
    pub(crate) fn start(&self, start: &Start) -> Option<Firmware> {
        let point = point_of(&start.certificate);
        let shared = exchange(&self.pdh, &point).ok()?;
        let session = &start.session;
        let (nonce, wrapped, iv) = (&session[..16], &session[16..48], &session[48..64]);
        let master = derive(&shared, "sev-master-secret", nonce);
        let (kek, kik) = (derive(&master, "sev-kek", &[]), derive(&master, "sev-kik", &[]));
        let unwrapped = decrypt(&kek, iv, wrapped);
        let (tek, tik) = unwrapped.split_at(16);
        let good = hmac_sha256(&kik, wrapped)[..] == session[64..96]
            && hmac_sha256(tik, &start.policy.0.to_le_bytes())[..] == session[96..];
        good.then(|| Firmware { tek: tek.to_vec(), tik: tik.to_vec() })
    }

    fn ark(&self) -> &'static RsaKeyPair {
        if self.wide { wide() } else { &keys().ark }
    }

    /// The wide vendor has one key for both, under two identifiers.
    fn ask(&self) -> &'static RsaKeyPair {
        if self.wide { wide() } else { &keys().ask }
    }

    /// Signs the chip's key as the vendor does.
    fn endorse(&self, mut body: Vec<u8>) -> Vec<u8> {
        let (signature, algorithm) = pss(self.ask(), &body);
        let filled = place(0x13, algorithm, &signature);
        body.extend(filled);
        body.extend(place(0x1000, 0, &[]));
        body
    }
}

impl Firmware {
    /// LAUNCH_MEASURE.
    pub(crate) fn measure(&self, policy: GuestPolicy, digest: [u8; 32]) -> Launch {
        let (firmware, nonce) = ([1, 55, 21], [0x5a; 16]);
        let policy_octets = policy.0.to_le_bytes();
        let message = [&[4][..], &firmware, &policy_octets, &digest, &nonce].concat();
        let mac = hmac_sha256(&self.tik, &message);
        Launch { firmware, policy, digest, mac, nonce, proof: None }
    }

    /// LAUNCH_SECRET: what lands in guest memory; `None` when the MAC is wrong.
    pub(crate) fn inject(&self, packet: &Packet, measure: &[u8; 32]) -> Option<Vec<u8>> {
        let (flags, rest) = packet.header.split_at(4);
        let (iv, mac) = rest.split_at(16);
        let length = (packet.ciphertext.len() as u32).to_le_bytes();
        let parts: [&[u8]; 7] = [&[1], flags, iv, &length, &length, &packet.ciphertext, measure];
        let good = hmac_sha256(&self.tik, &parts.concat())[..] == *mac;
        good.then(|| decrypt(&self.tek, iv, &packet.ciphertext))
    }

    pub(crate) fn integrity_key(&self) -> Secret {
        Secret::new(self.tik.clone())
    }
}

impl Owner {
    pub(crate) fn new() -> Self {
        let private = PrivateKey::generate(&ECDH_P384).expect("a key");
        let public = private.compute_public_key().expect("a key");
        let key = Key::from_sec1(Curve::P384, public.as_ref()).expect("a point");
        Self(private, key)
    }
}

impl Agreement for Owner {
    fn key(&self) -> &Key {
        &self.1
    }

    fn agree(&self, peer: &Key) -> Result<Secret, KeyUnusable> {
        exchange(&self.0, peer.public()).map(Secret::new)
    }
}

impl Entropy for Random {
    fn fill(&mut self, out: &mut [u8]) {
        aws_lc_rs::rand::fill(out).expect("random octets");
    }
}

/// A key of 4096 bits, which takes seconds to make.
fn wide() -> &'static RsaKeyPair {
    static KEY: OnceLock<RsaKeyPair> = OnceLock::new();
    KEY.get_or_init(|| RsaKeyPair::generate(KeySize::Rsa4096).expect("a key"))
}

fn exchange(own: &PrivateKey, peer: &[u8]) -> Result<Vec<u8>, KeyUnusable> {
    let peer = UnparsedPublicKey::new(&ECDH_P384, peer);
    agree(own, peer, KeyUnusable, |shared| Ok(shared.to_vec()))
}

fn derive(key: &[u8], label: &str, context: &[u8]) -> Vec<u8> {
    let message = [&[1, 0, 0, 0], label.as_bytes(), &[0], context, &[128, 0, 0, 0]].concat();
    hmac_sha256(key, &message)[..16].to_vec()
}

fn decrypt(key: &[u8], iv: &[u8], text: &[u8]) -> Vec<u8> {
    let key = UnboundCipherKey::new(&AES_128, key).expect("16 octets");
    let iv: &[u8; 16] = iv.try_into().expect("16 octets");
    let context = DecryptionContext::Iv128(FixedLength::from(*iv));
    let mut text = text.to_vec();
    DecryptingKey::ctr(key).expect("a key").decrypt(&mut text, context).expect("a text");
    text
}

/// The public key in a platform's certificate.
fn point_of(certificate: &[u8]) -> Vec<u8> {
    let number = |at: usize| certificate[at..at + 48].iter().rev().copied().collect::<Vec<_>>();
    [&[4][..], &number(20), &number(92)].concat()
}

/// The signed part of a platform's certificate.
fn body(usage: u32, algorithm: u32, point: &[u8]) -> Vec<u8> {
    let mut body = vec![0; 1044];
    let mut put = |at: usize, octets: &[u8]| body[at..at + octets.len()].copy_from_slice(octets);
    put(0, &1_u32.to_le_bytes());
    put(4, &[1, 55]);
    put(8, &usage.to_le_bytes());
    put(12, &algorithm.to_le_bytes());
    put(16, &2_u32.to_le_bytes());
    let reversed = |octets: &[u8]| octets.iter().rev().copied().collect::<Vec<_>>();
    put(20, &reversed(&point[1..49]));
    put(92, &reversed(&point[49..]));
    body
}

fn sign(body: Vec<u8>, signers: &[(u32, &EcdsaKeyPair)]) -> Vec<u8> {
    let mut certificate = body.clone();
    for (usage, key) in signers {
        let signature = key.sign(&SystemRandom::new(), &body).expect("a signature");
        let mut value = Vec::new();
        for number in signature.as_ref().chunks(48) {
            value.extend(number.iter().rev());
            value.extend([0; 24]);
        }
        certificate.extend(place(*usage, 0x102, &value));
    }
    if signers.len() == 1 {
        certificate.extend(place(0x1000, 0, &[]));
    }
    certificate
}

fn place(usage: u32, algorithm: u32, value: &[u8]) -> Vec<u8> {
    let mut place = [usage.to_le_bytes(), algorithm.to_le_bytes()].concat();
    place.extend(value);
    place.resize(520, 0);
    place
}

fn authority(key: &RsaKeyPair, ids: [u8; 2], usage: u32, issuer: &RsaKeyPair) -> Vec<u8> {
    let width = key.public_modulus_len();
    let bits = (width as u32 * 8).to_le_bytes();
    let mut certificate = 1_u32.to_le_bytes().to_vec();
    ids.iter().for_each(|id| certificate.extend([*id; 16]));
    certificate.extend(usage.to_le_bytes());
    certificate.extend([0; 16]);
    certificate.extend([bits, bits].concat());
    // A SubjectPublicKeyInfo ends with the modulus and the exponent 65537 as INTEGER.
    let public = spki(key);
    let (rest, exponent) = public.split_at(public.len() - 5);
    let modulus = &rest[rest.len() - width..];
    for number in [&exponent[2..], modulus] {
        let mut octets = number.to_vec();
        octets.reverse();
        octets.resize(width, 0);
        certificate.extend(octets);
    }
    let (signature, _) = pss(issuer, &certificate);
    certificate.extend(signature);
    certificate
}

/// The signature, little-endian, and the number of its algorithm.
fn pss(key: &RsaKeyPair, message: &[u8]) -> (Vec<u8>, u32) {
    let wide = key.public_modulus_len() == 512;
    let (scheme, algorithm) =
        if wide { (&RSA_PSS_SHA384, 0x101) } else { (&RSA_PSS_SHA256, 0x001) };
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(scheme, &SystemRandom::new(), message, &mut signature).expect("a signature");
    signature.reverse();
    (signature, algorithm)
}

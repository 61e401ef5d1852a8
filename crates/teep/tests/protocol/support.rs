//! What the tests share.

use std::path::PathBuf;

use cose::{Accept, Algorithm, Header, Key, Payload};
use keys::SigningKey;
use minicbor::encode::Encoder;
use suit::authority::OwnerPrefix;
use suit::build::{self, Built, Compatibility};
use suit::report::{Conclusion, Reference};
use suit::{Anchors, Digest, Envelope, Report, Uuid};
use teep::envelope::{
    Dialect, Hint, NoKey, Outgoing, PeerKey, Protection, Sealed, Signers, Standing,
};
use teep::tam::Manifest;
use teep::{Fresh, Message, Numbering, Suite, Timestamp, Token};

/// The directory of shared test vectors, if it is there.
pub(crate) fn vectors() -> Option<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors/teep");
    if root.is_dir() {
        return Some(root);
    }
    println!("skipped: ../shared/vectors is absent");
    None
}

/// The bytes of one vector.
pub(crate) fn vector(path: &str) -> Option<Vec<u8>> {
    Some(std::fs::read(vectors()?.join(path)).unwrap())
}

/// A public key of the vectors.
pub(crate) fn vector_key(name: &str) -> Key {
    let path = format!("keys/{name}.public.cosekey.cbor");
    Key::decode(&vector(&path).unwrap()).unwrap()
}

/// Anchors for these keys, found by kid alone.
pub(crate) fn anchors(keys: Vec<Key>) -> impl Fn(&Hint<'_>) -> Result<PeerKey, NoKey> {
    move |hint| {
        let found = keys.iter().find(|key| Some(key.thumbprint()) == hint.thumbprint());
        let key = found.ok_or(NoKey::Unknown)?.clone();
        Ok(PeerKey { key, standing: Standing::Anchored, valid_until: None })
    }
}

/// Software keys of one party, one for each suite.
pub(crate) struct MessageKeys {
    pub(crate) esp256: SigningKey,
    pub(crate) ed25519: SigningKey,
    pub(crate) ml_dsa65: SigningKey,
}

impl MessageKeys {
    pub(crate) fn generate() -> Self {
        Self {
            esp256: SigningKey::generate(Algorithm::Esp256).unwrap(),
            ed25519: SigningKey::generate(Algorithm::Ed25519).unwrap(),
            ml_dsa65: SigningKey::generate(Algorithm::MlDsa65).unwrap(),
        }
    }

    pub(crate) fn public(&self) -> Vec<Key> {
        use cose::Signer;
        vec![self.esp256.key().clone(), self.ed25519.key().clone(), self.ml_dsa65.key().clone()]
    }
}

impl Signers for MessageKeys {
    fn signer(&self, suite: Suite) -> Option<&dyn cose::Signer> {
        match suite {
            Suite::Esp256 => Some(&self.esp256),
            Suite::Ed25519 => Some(&self.ed25519),
            Suite::MlDsa65 => Some(&self.ml_dsa65),
        }
    }
}

/// An arbitrary point in time.
pub(crate) const NOW: Timestamp = Timestamp(1_800_000_000);

/// A stream of randomness that a test can repeat.
pub(crate) struct Draws(u64);

impl Draws {
    pub(crate) const fn new() -> Self {
        Self(0)
    }

    pub(crate) fn draw(&mut self) -> Fresh {
        self.0 += 1;
        Fresh::from_bytes(cose::sha256(&self.0.to_be_bytes()))
    }
}

/// Signs a message as a peer would.
pub(crate) fn sealed(message: Message<'_>, suite: Suite, keys: &MessageKeys) -> Vec<u8> {
    let protection = Protection::Sign1(suite);
    Outgoing { message, numbering: Numbering::V26, protection }.seal(keys).unwrap()
}

/// The payload of a message, unverified.
pub(crate) fn payload(bytes: &[u8]) -> Vec<u8> {
    Sealed::decode(bytes, &Dialect::default()).unwrap().unverified_payload().to_vec()
}

/// Evidence as an Agent makes it: an EAT with nonce and key, in a CMW record.
pub(crate) fn evidence(nonce: &[u8], key: &Key, attester: &SigningKey) -> Vec<u8> {
    let claims = encode(|e| {
        e.map(2)?.u8(8)?.map(1)?.u8(1)?;
        e.writer_mut().extend_from_slice(&key.encode());
        e.u8(10)?.bytes(nonce)?.ok()
    });
    let header = Header::default;
    let eat = cose::sign1(attester, header(), header(), &[], Payload::Attached(&claims)).unwrap();
    encode(|e| e.array(3)?.str(EAT)?.bytes(&eat)?.u8(4)?.ok())
}

/// A SUIT report that tells of success.
pub(crate) fn report(nonce: Option<&Token>) -> Vec<u8> {
    let digest = Digest::sha256([7; 32]);
    let report = Report {
        reference: Reference { uri: String::new(), digest },
        nonce: nonce.map(|token| token.as_bytes().to_vec()),
        records: Vec::new(),
        result: Conclusion::Success,
        capability: None,
    };
    report.encode()
}

/// The same, signed.
pub(crate) fn signed_report(nonce: Option<&Token>, key: &dyn cose::Signer) -> Vec<u8> {
    let report = Report::decode(&report(nonce)).unwrap();
    suit::report::protect(&report, key).unwrap()
}

/// A TA's manifest, signed by its owner.
pub(crate) fn ta(name: &str, sequence_number: u64, owner: &SigningKey) -> Built {
    let uuid =
        Uuid::new(*b"\x5a\x5a\x5a\x5a\x5a\x5a\x5a\x5a\x9a\x5a\x5a\x5a\x5a\x5a\x5a\x5a").unwrap();
    let compatibility = Compatibility { vendor: uuid, class: uuid };
    let payload = build::Payload::integrated(b"wasm");
    let name = build::Name::new(name).unwrap();
    build::Ta::new(name, sequence_number, compatibility, payload).sign(owner).unwrap()
}

/// A manifest with the proof that its owner answers for it.
pub(crate) fn relayed<'m>(built: &'m Built, owner: &SigningKey) -> Manifest<'m> {
    let anchors = Anchors::none().with_key(cose::Signer::key(owner).clone());
    let envelope = Envelope::decode(&built.envelope).unwrap();
    let verified = envelope.authenticate(&anchors, &Accept::CURRENT).unwrap();
    Manifest::authorised(&verified, &OwnerPrefix).unwrap()
}

/// Any private key.
pub(crate) fn new_key() -> SigningKey {
    SigningKey::generate(Algorithm::Esp256).unwrap()
}

fn encode(
    write: impl FnOnce(
        &mut Encoder<Vec<u8>>,
    ) -> Result<(), minicbor::encode::Error<std::convert::Infallible>>,
) -> Vec<u8> {
    let mut e = Encoder::new(Vec::new());
    write(&mut e).unwrap();
    e.into_writer()
}

/// The format of the Evidence here.
pub(crate) const CMW: &str = "application/cmw+cbor";
const EAT: &str = "application/eat+cwt";

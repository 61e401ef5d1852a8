//! TEEP messages in both numberings, and the two session machines.

mod agent;
mod tam;

use std::borrow::Cow;

use cose::{Key, Signer as _};
use suit::Digest;
use suit::report::{Conclusion, Reference};
use teep::agent::{Agent, Config, TamUri};
use teep::envelope::{
    Dialect, Hint, NoKey, Outgoing, PeerKey, Protection, Sealed, Signers, Standing, open,
};
use teep::message::recover_token;
use teep::tam::Exchange;
use teep::{
    AttestationPayload, ComponentId, MediaType, Message, Numbering, Suite, SystemProperties, Token,
};

pub use agent::teep_agent;
pub use tam::teep_tam;

use crate::known::{
    ATTESTER, ED25519, ESP256, FOREIGN, NOW, PEER_ED25519, PEER_ESP256, REPORTER, SILENT,
};

/// A message is read in both numberings, written, read again, signed and opened.
pub fn teep_message(bytes: &[u8]) {
    for numbering in [Numbering::V26, Numbering::Legacy18] {
        let Ok(message) = Message::decode(bytes, numbering) else {
            recover_token(bytes, numbering);
            continue;
        };
        let encoded = message.encode(numbering);
        assert_eq!(Message::decode(&encoded, numbering).as_ref(), Ok(&message));
        assert_eq!(cose::cbor::check_deterministic(&encoded, teep::limits::MESSAGE), Ok(()));
        assert_eq!(recover_token(bytes, numbering), message.token());

        let dialect = Dialect { numbering, ..Dialect::default() };
        let protection = Protection::Sign1(Suite::Ed25519);
        let outgoing = Outgoing { message, numbering, protection };
        let sealed = outgoing.seal(&Ours).expect("there is a key for each suite");
        let opened = open(&sealed, &dialect, &anchors(vec![ED25519.key().clone()]));
        let opened = opened.expect("what was signed is opened");
        assert_eq!(*opened.message(), outgoing.message);
        assert_eq!(opened.signer().thumbprint, ED25519.key().thumbprint());
        let silent = anchors(SILENT.iter().map(|key| (*key).clone()).collect());
        assert!(open(&sealed, &dialect, &silent).is_err(), "a message of nobody");
    }
    stored(bytes);
    wrapped(bytes);
}

/// What shells store comes back.
fn stored(bytes: &[u8]) {
    if let Ok(exchange) = Exchange::decode(bytes) {
        assert_eq!(Exchange::decode(&exchange.encode()), Ok(exchange));
    }
    let _ = Agent::recall(config(), bytes);
}

fn wrapped(bytes: &[u8]) {
    teep::evidence::peek(bytes);
    teep::report::read(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        assert_eq!(MediaType::new(text), MediaType::new(text));
    }
    let silent = anchors(SILENT.iter().map(|key| (*key).clone()).collect());
    for untagged in [false, true] {
        let dialect = Dialect { legacy_algorithms: true, untagged, ..Dialect::default() };
        let Ok(sealed) = Sealed::decode(bytes, &dialect) else { continue };
        assert!(sealed.open(&dialect, &silent).is_err(), "a message of nobody");
        sealed.hints();
        sealed.claimed_key(Numbering::V26);
        sealed.claimed_key(Numbering::Legacy18);
    }
}

/// The message keys of the side whose machine runs.
struct Ours;

impl Signers for Ours {
    fn signer(&self, suite: Suite) -> Option<&dyn cose::Signer> {
        Some(match suite {
            Suite::Esp256 => &*ESP256,
            Suite::Ed25519 => &*ED25519,
            Suite::MlDsa65 => return None,
        })
    }
}

/// The message keys of the other side; what is foreign signs as well and is anchored nowhere.
pub(crate) struct Theirs;

impl Signers for Theirs {
    fn signer(&self, suite: Suite) -> Option<&dyn cose::Signer> {
        Some(peer(suite))
    }
}

fn peer(suite: Suite) -> &'static keys::SigningKey {
    match suite {
        Suite::Esp256 => &PEER_ESP256,
        Suite::Ed25519 | Suite::MlDsa65 => &PEER_ED25519,
    }
}

/// A key that a byte chooses: the peer's in either suite, or one that is anchored nowhere.
fn chosen(choice: u8) -> &'static keys::SigningKey {
    match choice % 4 {
        0 | 1 => &PEER_ED25519,
        2 => &PEER_ESP256,
        _ => &FOREIGN,
    }
}

/// Signs whatever it is as a message.
pub(crate) fn sealed_by(key: &keys::SigningKey, payload: &[u8]) -> Vec<u8> {
    let header = cose::Header::default;
    let payload = cose::Payload::Attached(payload);
    cose::sign1(key, header(), header(), &[], payload).expect("the key signs")
}

/// Anchors for these keys, found by kid.
fn anchors(keys: Vec<Key>) -> impl Fn(&Hint<'_>) -> Result<PeerKey, NoKey> {
    move |hint| {
        let found = keys.iter().find(|key| Some(key.thumbprint()) == hint.thumbprint());
        let key = found.or(keys.first().filter(|_| hint.kid.is_none())).ok_or(NoKey::Unknown)?;
        Ok(PeerKey { key: key.clone(), standing: Standing::Anchored, valid_until: None })
    }
}

/// An EAT with nonce and key, in a CMW record, as `teep::evidence` reads it.
pub(crate) fn evidence(nonce: &[u8], key: &Key) -> AttestationPayload<'static> {
    let claims = cose::cbor::encode(|e| {
        e.map(2)?.u8(8)?.map(1)?.u8(1)?;
        e.writer_mut().extend_from_slice(&key.encode());
        e.u8(10)?.bytes(nonce)?.ok()
    });
    let eat = sealed_by(&ATTESTER, &claims);
    let record =
        cose::cbor::encode(|e| e.array(3)?.str("application/eat+cwt")?.bytes(&eat)?.u8(4)?.ok());
    AttestationPayload::new("application/cmw+cbor", record)
}

/// A SUIT report that its own key signed.
pub(crate) fn report(nonce: Option<&Token>) -> Cow<'static, [u8]> {
    let report = suit::Report {
        reference: Reference { uri: String::new(), digest: Digest::sha256([7; 32]) },
        nonce: nonce.map(|token| token.as_bytes().to_vec()),
        records: Vec::new(),
        result: Conclusion::Success,
        capability: None,
    };
    suit::report::protect(&report, &*REPORTER).expect("the key signs").into()
}

fn component(name: &str) -> ComponentId {
    ComponentId::new([name.as_bytes()]).expect("a name is a part")
}

fn config() -> Config {
    let own = SystemProperties::measured(component("TEEP-Agent"), b"digest");
    let tams = ["https://tam.example/teep", "https://other.example/teep"].map(TamUri::new);
    Config::new(own, tams.into_iter().collect::<Result<_, _>>().expect("short URIs"))
}

const START: teep::Timestamp = teep::Timestamp(NOW);

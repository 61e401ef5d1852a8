//! The HPKE container.

use std::sync::LazyLock;

use channel::call::{self, Endpoint, Service};
use channel::receipt::Receipt;
use channel::release::{Binding, Opening, Receiver, Role, seal};
use channel::{PrivateKey, Suite, Suites};
use cose::{Entropy as _, Header, Payload, Signer as _};

use crate::known::{Draws, ED25519, SIGNED, SILENT};
use crate::script::Script;

/// A release opens only as its owner sealed it.
///
/// Bytes that begin like a release are tried as one to the known receiver. Others say what is
/// sealed as Personalization Data, and where it is damaged.
pub fn channel_release(bytes: &[u8]) {
    let mut receiver = Receiver::generate(&suites(), &mut Draws::default());
    let Some((0, _)) = bytes.split_first() else {
        return seal_and_open(&mut receiver, bytes);
    };
    if let Ok(opened) = receiver.open(bytes, &binding(), LIMIT) {
        assert_eq!(opened.plaintext.expose(), SIGNED, "a release that nobody sealed");
        let spent = receiver.open(bytes, &binding(), LIMIT);
        assert_eq!(spent.err(), Some(channel::Refused::Spent), "the receiver key is used twice");
        return;
    }
    let mut draws = Draws::default();
    draws.fill(&mut [0; 32]);
    let stranger = Receiver::generate(&suites(), &mut draws);
    if let Ok((mut opening, mut rest)) = Opening::begin(&stranger, bytes, &binding()) {
        while let Ok((_, behind)) = opening.frame(rest) {
            rest = behind;
        }
        assert!(opening.finish().is_err(), "a release to somebody else");
    }
}

/// All suites; that of the seeds is the first.
pub(crate) fn suites() -> Suites {
    Suites::new(Suite::ALL).expect("they differ")
}

fn seal_and_open(receiver: &mut Receiver, bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let (_, at, mask, plaintext) = (script.byte(), script.number(), script.byte(), script.string());
    let callers = [SILENT[1].clone()];
    let keys = receiver.public();
    let sealed = release_of(plaintext, &keys[usize::from(at) % keys.len()], &callers);
    if mask != 0 {
        let mut damaged = sealed.clone();
        let at = usize::from(at) % damaged.len();
        damaged[at] ^= mask;
        assert!(receiver.open(&damaged, &binding(), LIMIT).is_err(), "a damaged release opens");
    }
    let mut stream = receiver.stream(&binding());
    let mut streamed = Vec::new();
    for piece in sealed.chunks(usize::from(at).max(1)) {
        let chunks = stream.push(receiver, piece).expect("what was sealed opens in pieces");
        chunks.iter().for_each(|chunk| streamed.extend_from_slice(chunk.expose()));
    }
    assert_eq!(streamed, plaintext, "a stream gives something else");
    let opened = receiver.open(&sealed, &binding(), LIMIT).expect("what was sealed opens");
    assert_eq!(stream.finish(receiver).err(), Some(channel::Refused::Spent));
    assert_eq!(opened.plaintext.expose(), plaintext);
    assert_eq!(opened.callers, callers);
}

/// What the owner seals to the receiver of these targets.
pub(crate) fn release_of(plaintext: &[u8], receiver: &cose::Key, callers: &[cose::Key]) -> Vec<u8> {
    let mut draws = Draws::default();
    let sealed = seal(&*ED25519, receiver, &binding(), "d-1", callers, plaintext, &mut draws);
    sealed.expect("the keys fit").0
}

fn binding() -> Binding {
    Binding {
        owner: ED25519.key().thumbprint(),
        manifest_digest: [2; 32],
        eat_digest: [3; 32],
        role: Role::Ta,
    }
}

/// A request is opened once and only as its caller sealed it; so is the answer.
///
/// Bytes that begin like a message are tried as one. Others say what is asked and answered, and
/// where both are damaged.
pub fn channel_call(bytes: &[u8]) {
    let mut endpoint = endpoint();
    let Some((0x80..0xa0, _)) = bytes.split_first() else {
        return ask_and_answer(&mut endpoint, bytes);
    };
    if let Ok(received) = endpoint.open(bytes) {
        assert_eq!(received.payload.expose(), SIGNED, "a request that nobody sealed");
        let again = endpoint.open(bytes);
        assert_eq!(again.err(), Some(channel::Refused::Replay), "a request is served twice");
    } else if bytes.first() == Some(&0x83) {
        let (_, awaiting) = request_of(1, SIGNED, endpoint.public());
        let signed = awaiting.open(bytes).map_or(true, |answer| answer.expose() == SIGNED);
        assert!(signed, "an answer that nobody sealed");
    }
}

fn ask_and_answer(endpoint: &mut Endpoint, bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let (_, at, mask) = (script.byte(), script.number(), script.byte());
    let counter = u64::from(script.number());
    let (asked, answered) = (script.string(), script.string());
    let (request, awaiting) = request_of(counter, asked, endpoint.public());
    let damage = |bytes: &[u8]| {
        let mut damaged = bytes.to_vec();
        let at = usize::from(at) % damaged.len();
        damaged[at] ^= mask;
        damaged
    };
    if mask != 0 {
        assert!(endpoint.open(&damage(&request)).is_err(), "a damaged request opens");
    }
    let received = endpoint.open(&request).expect("what was sealed opens");
    assert_eq!(received.payload.expose(), asked);
    let replayed = endpoint.open(&request);
    assert_eq!(replayed.err(), Some(channel::Refused::Replay), "a request is served twice");
    let answer = received.answer(answered, &mut Draws::default()).expect("the answer is short");
    if mask != 0 {
        assert!(awaiting.open(&damage(&answer)).is_err(), "a damaged answer opens");
    }
    let opened = awaiting.open(&answer).expect("what was sealed opens");
    assert_eq!(opened.expose(), answered);
}

/// What the known caller asks the endpoint of these targets.
pub(crate) fn request_of(
    counter: u64,
    payload: &[u8],
    service: &cose::Key,
) -> (Vec<u8>, call::Awaiting) {
    let service = Service { key: service.clone(), manifest_digest: MANIFEST };
    let sealed = call::request(&service, &CALLER, counter, payload, &mut Draws::default());
    sealed.expect("the payload is short")
}

/// The service of these targets, with its one caller.
pub(crate) fn endpoint() -> Endpoint {
    let mut endpoint = Endpoint::new(MANIFEST, &mut Draws::default());
    endpoint.admit(vec![CALLER.public().clone()]);
    endpoint
}

/// A receipt is believed only under its key, and comes back as it was.
pub fn channel_receipt(bytes: &[u8]) {
    for key in &SILENT {
        assert!(Receipt::verify(bytes, key).is_err(), "a receipt of nobody");
    }
    if let Ok(receipt) = Receipt::verify(bytes, ED25519.key()) {
        assert_eq!(receipt.deployment.as_bytes(), SIGNED, "a receipt that was never signed");
    }
    let header = Header::default;
    let signed = cose::sign1(&*ED25519, header(), header(), &[], Payload::Attached(bytes));
    if let Ok(receipt) = Receipt::verify(&signed.expect("the key signs"), ED25519.key()) {
        let again = receipt.sign(&*ED25519).expect("the key signs");
        assert_eq!(Receipt::verify(&again, ED25519.key()), Ok(receipt));
    }
}

static CALLER: LazyLock<PrivateKey> =
    LazyLock::new(|| PrivateKey::from_scalar(&[12; 32]).expect("a scalar within the order"));

const MANIFEST: [u8; 32] = [2; 32];
const LIMIT: usize = 1 << 20;

//! What a hostile Broker, device or tenant could try.

use api::{DeviceState, DeviceView, PackageName, State};
use cose::{
    Algorithm, Header, Payload, Signer as _, Tagging,
    cbor::minicbor::{Decoder, Encoder},
};
use emulator::Misbehaviour;
use keys::SigningKey;
use moc::app::Refusal;
use suit::build::{Compatibility, Name, Payload as Content, Ta, Uri};
use teep::{
    ErrCode, Numbering, Suite, Token,
    envelope::{Dialect, Outgoing, Protection, Sealed},
    message::{Message, Success},
};

use crate::{
    audience::Caller,
    bench::Bench,
    case3::{Owner, attest, compatibility, enrolled, names, placed, view},
    http_server::COSE_SIGN,
    sim::{AgentKeys, Sim},
};

//= teep 15.103: replays of QueryResponse and Success to the TAM are ignored
#[tokio::test]
async fn replayed_answers_have_no_second_effect() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    let mut device = enrolled(&bench, "edge").await;
    let owner = Owner::new();
    let id = placed(&user, false).await.deployment;
    user.upload(&id, PackageName::Ta, owner.ta(1)).await;
    device.work().await;
    attest(&user, &id).await;
    device.work().await;
    let (view_before, device_before) = (view(&user, &id).await, shown(&bench, "edge").await);
    let decisions = bench.moc.store().decisions().await.unwrap().len();

    for message in device.sent.clone() {
        let answer = device.post(api::path::TAM, message).await;
        assert_eq!((answer.status, answer.body.len()), (204, 0));
    }

    assert_eq!(view(&user, &id).await, view_before);
    assert_eq!(shown(&bench, "edge").await, device_before);
    assert_eq!(bench.moc.store().decisions().await.unwrap().len(), decisions);
}

//= teep 14.28 (M): a response with an unknown, expired or used token is ignored
//= teep 14.29 (M): a response by another key does not consume the token
#[tokio::test]
async fn the_token_of_another_device_does_nothing_and_stays_good_for_its_own() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    let mut device = enrolled(&bench, "edge").await;
    let thief = enrolled(&bench, "thief").await;
    let owner = Owner::new();
    let pinned = serde_json::json!({
        "case": 3, "instance": "process", "device": "edge", "with_ua": false
    });
    let placed: api::RequestPlaced = user.post("/v1/requests", &pinned).await.expect(201);
    let id = placed.deployment;
    user.upload(&id, PackageName::Ta, owner.ta(1)).await;
    let (path, handle) = (ticket_path(&device).await, device.policy_check());
    let query = device.post(&path, Vec::new()).await.body;
    let response = device.process(handle, &query).unwrap();
    let update = device.post(&path, response).await.body;
    let success = device.process(handle, &update).unwrap();

    let stolen = success_with(token_of(&update), &thief);
    assert_eq!(thief.post(api::path::TAM, stolen).await.status, 204);
    assert!(names(&view(&user, &id).await).is_empty());

    assert_eq!(device.post(&path, success).await.status, 204);
    assert_eq!(names(&view(&user, &id).await), ["TA->ConfidentialProcess"]);
}

//= teep 14.46 (M): an Agent key outside the device trust anchors gets no Update
#[tokio::test]
async fn a_key_that_nobody_enrolled_gets_nothing_however_good_its_evidence() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    let _device = enrolled(&bench, "edge").await;
    let owner = Owner::new();
    let id = placed(&user, false).await.deployment;
    user.upload(&id, PackageName::Ta, owner.ta(1)).await;
    let unknown = api::DeviceAdded {
        device: "unknown".into(),
        token: String::new(),
        enrolment_ticket: String::new(),
    };
    let mut stranger = Sim::new(&bench, &unknown);

    let component = suit::ComponentId::in_tee(owner.key.key().thumbprint(), "ta").unwrap();
    let handle = stranger.request_ta(component);
    stranger.session(handle, api::path::TAM).await;
    let message = success_with(Token::new(&[7; 32]).unwrap(), &stranger);
    assert_eq!(stranger.post(api::path::TAM, message).await.status, 204);

    assert_eq!(stranger.sent.len(), 1);
    assert!(stranger.installed.is_empty());
    assert!(names(&view(&user, &id).await).is_empty());
    assert_eq!(bench.moc.store().devices().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_ticket_is_good_once_and_a_wrong_one_is_as_good_as_none() {
    let bench = Bench::start().await;
    let device = enrolled(&bench, "edge").await;
    let user = bench.tenant("acme").await;
    let owner = Owner::new();
    let id = placed(&user, false).await.deployment;
    user.upload(&id, PackageName::Ta, owner.ta(1)).await;
    let path = ticket_path(&device).await;

    let first = device.post(&path, Vec::new()).await;
    let second = device.post(&path, Vec::new()).await;
    let wrong = device.post("/tam/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", Vec::new()).await;

    assert_ne!(first.body[..2], COSE_SIGN);
    assert_eq!(second.body[..2], COSE_SIGN);
    assert_eq!(wrong.body[..2], COSE_SIGN);
}

#[tokio::test]
async fn a_ticket_ends_in_time() {
    let bench = Bench::start().await;
    let added = bench.device("edge").await;
    let device = Sim::new(&bench, &added);
    bench.clock.advance_ms(14_400_000);

    let answer = device.post(&api::path::tam_ticket(&added.enrolment_ticket), Vec::new()).await;

    assert_eq!(answer.body[..2], COSE_SIGN);
    assert_eq!(bench.moc.store().waiting().await.unwrap(), 0);
}

#[tokio::test]
async fn two_sessions_for_one_step_count_once() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    let mut device = enrolled(&bench, "edge").await;
    let owner = Owner::new();
    let id = placed(&user, false).await.deployment;
    user.upload(&id, PackageName::Ta, owner.ta(1)).await;
    let first = ticket_path(&device).await;
    bench.clock.advance_ms(60_000);
    let second = ticket_path(&device).await;

    for path in [first, second] {
        let handle = device.policy_check();
        device.session(handle, &path).await;
    }

    let view = view(&user, &id).await;
    assert_eq!(names(&view), ["TA->ConfidentialProcess"]);
    assert_eq!(view.state, State::Waiting);
}

#[tokio::test]
async fn two_devices_cannot_share_an_agent() {
    let bench = Bench::start().await;
    let mut device = enrolled(&bench, "edge").await;
    let added = bench.device("copy").await;
    let mut copy = Sim::with(&bench, &added, Misbehaviour::None, Algorithm::Esp256);
    copy.keys = std::mem::replace(&mut device.keys, AgentKeys::generate(Algorithm::Esp256));

    copy.work().await;

    let shown = shown(&bench, "copy").await;
    assert_eq!(shown.state, DeviceState::Quarantined);
    let checks = shown.verdict.unwrap().checks;
    assert_eq!(checks.last().unwrap().check, "device.agent-key");
}

#[tokio::test]
async fn an_error_counts_only_for_the_challenge_that_it_names() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    let mut device = enrolled(&bench, "edge").await;
    let owner = Owner::new();
    let id = placed(&user, false).await.deployment;
    user.upload(&id, PackageName::Ta, owner.ta(1)).await;
    device.work().await;
    let attestation = attest(&user, &id).await;
    let (path, handle) = (ticket_path(&device).await, device.policy_check());
    let query = device.post(&path, Vec::new()).await.body;

    let result = api::path::attestation(&id, &attestation);
    let decisions = bench.moc.store().decisions().await.unwrap().len();
    let unbound = error(ErrCode::PermanentError, None, &device);
    let temporary = error(ErrCode::TemporaryError, challenge_of(&query), &device);

    assert_eq!(device.post(&path, unbound).await.status, 204);
    let pending: api::AttestationPending = user.get(&result).await.expect(202);
    assert!(pending.progress.starts_with("waiting for edge"));
    assert_eq!(bench.moc.store().decisions().await.unwrap().len(), decisions);

    assert_eq!(device.post(&path, temporary).await.status, 204);
    let pending: api::AttestationPending = user.get(&result).await.expect(202);
    assert_eq!(pending.progress, "waiting for edge; it said: Error TemporaryError: no quote");
    let response = device.process(handle, &query).unwrap();
    assert_eq!(device.post(&path, response).await.status, 204);
    assert_eq!(user.get(&result).await.status, 202);

    bench.clock.advance_ms(60_000);
    let (path, _handle) = (ticket_path(&device).await, device.policy_check());
    let query = device.post(&path, Vec::new()).await.body;
    let permanent = error(ErrCode::PermanentError, challenge_of(&query), &device);
    assert_eq!(device.post(&path, permanent).await.status, 204);
    let problem = user.get(&result).await.refused(403, "refused");
    assert_eq!(problem.seen.as_deref(), Some("Error PermanentError: no quote"));
    assert_eq!(view(&user, &id).await.state, State::Failed);
}

//= rats 11.34 (M): release of PD to a TA requires the TA's own entry
#[tokio::test]
async fn evidence_that_does_not_name_the_ta_is_refused_with_an_explanation() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    let mut device = enrolled(&bench, "edge").await;
    let owner = Owner::new();
    let id = placed(&user, false).await.deployment;
    user.upload(&id, PackageName::Ta, owner.ta(1)).await;
    device.work().await;
    device.installed.clear();

    let attestation = attest(&user, &id).await;
    device.work().await;

    let path = api::path::attestation(&id, &attestation);
    let problem = user.get(&path).await.refused(403, "refused");
    assert_eq!(problem.check.as_deref(), Some("ta.manifest"));
    assert_eq!(problem.seen.as_deref(), Some("no entry"));
    assert_eq!(view(&user, &id).await.state, State::Failed);
    assert_eq!(shown(&bench, "edge").await.state, DeviceState::Attested);
}

#[tokio::test]
async fn personalization_data_before_a_positive_result_is_refused() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    let mut device = enrolled(&bench, "edge").await;
    let owner = Owner::new();
    let id = placed(&user, false).await.deployment;

    let early = put(&user, &id, PackageName::Pd, owner.pd(1)).await.refused(409, "conflict");
    assert_eq!(early.check.as_deref(), Some("order"));
    assert_eq!(early.expected.as_deref(), Some("TA->ConfidentialProcess first"));
    user.upload(&id, PackageName::Ta, owner.ta(1)).await;
    device.work().await;
    attest(&user, &id).await;

    let early = put(&user, &id, PackageName::Pd, owner.pd(1)).await.refused(409, "conflict");
    assert_eq!(early.expected.as_deref(), Some("att:TEEP-Agent first"));
}

#[tokio::test]
async fn personalization_data_of_another_owner_is_refused() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    let mut device = enrolled(&bench, "edge").await;
    let (owner, other) = (Owner::new(), Owner::new());
    let id = placed(&user, false).await.deployment;
    user.upload(&id, PackageName::Ta, owner.ta(1)).await;
    device.work().await;
    attest(&user, &id).await;
    device.work().await;

    let problem = put(&user, &id, PackageName::Pd, other.pd(1)).await.refused(403, "untrusted");

    assert_eq!(problem.check.as_deref(), Some("owner"));
    assert_eq!(problem.seen, Some(other.key.key().thumbprint().to_string()));
}

#[tokio::test]
async fn a_package_that_another_key_signed_again_is_refused() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    let _device = enrolled(&bench, "edge").await;
    let owner = Owner::new();
    let thief = SigningKey::generate(Algorithm::Esp256).unwrap();
    let id = placed(&user, false).await.deployment;

    let stolen = signed_again(&owner.ta(1), &thief);
    let problem = put(&user, &id, PackageName::Ta, stolen).await.refused(403, "untrusted");

    assert_eq!(problem.check.as_deref(), Some("owner"));
}

#[tokio::test]
async fn a_flipped_bit_never_makes_another_manifest_acceptable() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    let _device = enrolled(&bench, "edge").await;
    let mut id = placed(&user, false).await.deployment;
    let tenant = bench.moc.store().deployment(&id).await.unwrap().unwrap().tenant;
    let owner = Owner::new();
    let content = Content::at(Uri::new("http://moc.example/ta").unwrap(), b"ta");
    let compatibility: Compatibility = compatibility();
    let built = Ta::new(Name::new("ta").unwrap(), 1, compatibility, content);
    let built = built.sign(&owner.key).unwrap();
    let mut unnoticed = 0;

    for at in 0..built.envelope.len() {
        let mut tampered = built.envelope.clone();
        tampered[at] ^= 1 << (at % 8);
        match bench.moc.put_package(&tenant, &id, PackageName::Ta, &tampered).await {
            Err(Refusal::Malformed(_) | Refusal::Unsupported(_) | Refusal::Untrusted(_)) => {}
            Ok((true, stored)) => {
                assert_eq!(
                    stored.manifest,
                    built.digest.bytes().iter().map(hex).collect::<String>()
                );
                unnoticed += 1;
                id = placed(&user, false).await.deployment;
            }
            other => panic!("bit in byte {at}: {other:?}"),
        }
    }

    // What no signature covers: kid, a hint that is not believed; its label and its 32 bytes.
    assert_eq!(unnoticed, 33);
}

//= teep 15.104: an old manifest behind a new one is refused
#[tokio::test]
async fn a_lower_sequence_number_on_the_same_device_is_refused() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    let _device = enrolled(&bench, "edge").await;
    let owner = Owner::new();
    let first = placed(&user, false).await.deployment;
    user.upload(&first, PackageName::Ta, owner.ta(2)).await;
    let second = placed(&user, false).await.deployment;

    let problem = put(&user, &second, PackageName::Ta, owner.ta(1)).await.refused(403, "untrusted");

    assert_eq!(problem.check.as_deref(), Some("sequence-number"));
    assert_eq!(problem.expected.as_deref(), Some("more than 2"));
}

#[tokio::test]
async fn a_package_for_the_other_side_of_the_boundary_is_refused() {
    let bench = Bench::start().await;
    let user = bench.tenant("acme").await;
    let _device = enrolled(&bench, "edge").await;
    let owner = Owner::new();
    let id = placed(&user, true).await.deployment;

    let ua = put(&user, &id, PackageName::Ua, owner.ta(1)).await.refused(422, "unsupported");
    let ta = put(&user, &id, PackageName::Ta, owner.ua(1)).await.refused(422, "unsupported");

    assert_eq!(ua.check.as_deref(), Some("component-place"));
    assert_eq!(ta.check.as_deref(), Some("component-place"));
}

async fn shown(bench: &Bench, device: &str) -> DeviceView {
    bench.operator.get(&api::path::device(device)).await.expect(200)
}

pub(crate) async fn put(
    user: &Caller,
    deployment: &str,
    package: PackageName,
    envelope: Vec<u8>,
) -> crate::audience::Answer {
    let path = api::path::package(deployment, package);
    user.put(&path, api::media::SUIT_ENVELOPE, envelope).await
}

async fn ticket_path(device: &Sim) -> String {
    let ticket = device.wake().await.unwrap().ticket.unwrap();
    api::path::tam_ticket(&ticket)
}

fn token_of(update: &[u8]) -> Token {
    let sealed = Sealed::decode(update, &Dialect::default()).unwrap();
    let message = Message::decode(sealed.unverified_payload(), Numbering::V26).unwrap();
    message.token().unwrap()
}

fn hex(byte: &u8) -> String {
    format!("{byte:02x}")
}

fn challenge_of(query: &[u8]) -> Option<teep::Challenge> {
    let sealed = Sealed::decode(query, &Dialect::default()).unwrap();
    let message = Message::decode(sealed.unverified_payload(), Numbering::V26).unwrap();
    let Message::QueryRequest(request) = message else { panic!("not a QueryRequest") };
    request.challenge
}

/// An Error that this device signs.
fn error(code: ErrCode, challenge: Option<teep::Challenge>, device: &Sim) -> Vec<u8> {
    let error = teep::message::Error::new(code, None, "no quote");
    let error = teep::message::Error { request_challenge: challenge, ..error };
    signed(Message::Error(error), device)
}

/// A Success that this device signs over somebody else's token.
fn success_with(token: Token, device: &Sim) -> Vec<u8> {
    let success = Success { token: Some(token), ..Success::default() };
    signed(Message::Success(success), device)
}

fn signed(message: Message<'_>, device: &Sim) -> Vec<u8> {
    let outgoing = Outgoing {
        message,
        numbering: Numbering::V26,
        protection: Protection::Sign1(Suite::Esp256),
    };
    outgoing.seal(&device.keys).unwrap()
}

/// The same manifest with another key's signature in place of its owner's.
pub(crate) fn signed_again(envelope: &[u8], thief: &SigningKey) -> Vec<u8> {
    let mut reader = Decoder::new(envelope);
    let count = reader.map().unwrap().unwrap();
    let mut writer = Encoder::new(Vec::new());
    writer.map(count).unwrap();
    for _ in 0..count {
        let start = reader.position();
        reader.skip().unwrap();
        let key = &envelope[start..reader.position()];
        let value = reader.bytes().unwrap();
        writer.writer_mut().extend_from_slice(key);
        match key {
            [2] => writer.bytes(&wrapper(value, thief)).unwrap(),
            _ => writer.bytes(value).unwrap(),
        };
    }
    writer.into_writer()
}

fn wrapper(original: &[u8], thief: &SigningKey) -> Vec<u8> {
    let mut reader = Decoder::new(original);
    reader.array().unwrap();
    let digest = reader.bytes().unwrap();
    let owners = reader.bytes().unwrap();
    assert!(cose::Sign1::decode(owners, Tagging::Tagged).is_ok());
    let key = Header { kccs: Some(thief.key().clone()), ..Header::default() };
    let payload = Payload::Detached(digest);
    let block = cose::sign1(thief, Header::default(), key, &[], payload).unwrap();
    let mut writer = Encoder::new(Vec::new());
    writer.array(2).unwrap().bytes(digest).unwrap().bytes(&block).unwrap();
    writer.into_writer()
}

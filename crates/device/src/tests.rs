//! Every message of every interface: round trips, known bytes, and hostile bytes.

use proptest::prelude::*;

use crate::broker::{Action, Cause, Session};
use crate::tee::{Description, Quote, SealingKey};
use crate::{
    ComponentId, Failure, FailureCode, Malformed, Message, broker, frame, storage, tee, ua,
};

#[test]
fn every_message_of_the_broker_interface_comes_back_as_it_was() {
    for message in broker_requests() {
        comes_back(&message);
    }
    for message in broker_replies() {
        comes_back(&message);
    }
}

#[test]
fn every_message_of_the_tee_interface_comes_back_as_it_was() {
    for message in tee_requests() {
        comes_back(&message);
    }
    for message in tee_replies() {
        comes_back(&message);
    }
}

#[test]
fn every_message_of_the_disk_comes_back_as_it_was() {
    use storage::{Name, Reply, Request};

    let name = || Name::new("content-0a.unfinished").unwrap();
    for message in [
        Request::Names,
        Request::Read { name: name(), offset: 7 },
        Request::Write { name: name(), offset: 7, part: vec![1, 2] },
        Request::Finish { name: name(), length: 9 },
        Request::Remove { name: name() },
    ] {
        comes_back(&message);
        cut_is_refused(&message);
    }
    for message in [
        Reply::Done,
        Reply::Names(vec![name(), Name::new("identity").unwrap()]),
        Reply::Part { part: vec![3], length: 70_000 },
        Reply::Absent,
        Reply::Failed(Failure::new(FailureCode::Broken, "the disk is full")),
    ] {
        comes_back(&message);
        cut_is_refused(&message);
    }
}

#[test]
fn every_message_of_a_launch_comes_back_as_it_was() {
    use crate::launch::{Reply, Request};

    let session = Box::new([1; 128]);
    for message in [
        Request::Describe,
        Request::Start { policy: 0x3701_000f, certificate: vec![2; 2084], session },
        Request::Secret { header: Box::new([3; 52]), ciphertext: vec![4; 80] },
    ] {
        comes_back(&message);
        cut_is_refused(&message);
    }
    let (digest, measure) = ([7; 32], Box::new([8; 48]));
    for message in [
        Reply::Platform(Box::new([1, 2, 3, 4, 5, 6].map(|octet| vec![octet; 30]))),
        Reply::Measured { firmware: [1, 55, 21], policy: u32::MAX, digest, measure },
        Reply::Started,
        Reply::failed(FailureCode::Untrusted, "BAD_MEASUREMENT"),
    ] {
        comes_back(&message);
        cut_is_refused(&message);
    }
}

#[test]
fn a_file_s_name_leads_out_of_no_folder() {
    for name in ["", ".", "..", ".hidden", "a/b", "/etc/passwd", "a\0", "ä", &"a".repeat(129)] {
        let got = name.len();
        let refused = Malformed::Length { what: "name of a file", got };
        assert_eq!(storage::Name::new(name), Err(refused), "{name:?}");
    }
    assert!(storage::Name::new(&"a".repeat(128)).is_ok());
}

#[test]
fn every_message_of_the_ua_interface_comes_back_as_it_was() {
    for message in ua_requests() {
        comes_back(&message);
    }
    for message in ua_replies() {
        comes_back(&message);
    }
}

#[test]
fn the_bytes_of_a_message_are_those_of_its_cddl() {
    let call = ua::Request::Call { component: component(), request: vec![0xaa] };
    assert_eq!(call.encode(), [0x83, 2, 0x82, 0x41, b'o', 0x41, b'n', 0x41, 0xaa]);

    let session = Session { session: 5, uri: Some("u".to_owned()), ..Session::default() };
    assert_eq!(
        broker::Reply::Session(session).encode(),
        [0x85, 1, 5, 0x61, b'u', 0xf6, 0x80],
        "an absent message is null"
    );
}

#[test]
fn a_message_that_is_cut_is_refused_at_every_length() {
    for message in tee_requests() {
        cut_is_refused(&message);
    }
    for message in broker_replies() {
        cut_is_refused(&message);
    }
}

#[test]
fn bytes_after_a_message_are_refused() {
    let mut bytes = tee::Request::Describe.encode();
    bytes.push(0);
    assert_eq!(tee::Request::decode(&bytes), Err(Malformed::Trailing));
}

#[test]
fn an_encoding_that_is_not_deterministic_is_refused() {
    let long_kind = [0x81, 0x18, 6];
    assert_eq!(tee::Request::decode(&long_kind), Err(Malformed::NotDeterministic));

    let indefinite_array = [0x9f, 6, 0xff];
    assert_eq!(tee::Request::decode(&indefinite_array), Err(Malformed::NotDeterministic));

    let indefinite_bytes = [0x82, 1, 0x5f, 0x41, 0, 0xff];
    assert_eq!(ua::Reply::decode(&indefinite_bytes), Err(Malformed::Cbor("byte string")));
}

#[test]
fn a_kind_that_is_not_defined_is_refused() {
    let what = "request to the TEE";
    assert_eq!(tee::Request::decode(&[0x81, 7]), Err(Malformed::Unknown { what, value: 7 }));

    let what = "failure code";
    let bytes = [0x83, 2, 0, 0x60];
    assert_eq!(ua::Reply::decode(&bytes), Err(Malformed::Unknown { what, value: 0 }));
}

#[test]
fn a_message_with_another_number_of_fields_is_refused() {
    let what = "request to the TEE";
    assert_eq!(tee::Request::decode(&[0x82, 6, 0]), Err(Malformed::Arity { what, got: 2 }));
    assert_eq!(tee::Request::decode(&[0x80]), Err(Malformed::Arity { what, got: 0 }));
}

#[test]
fn an_array_that_announces_too_many_elements_is_refused() {
    let what = "request to the TEE";
    let huge = [0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0];
    assert_eq!(tee::Request::decode(&huge), Err(Malformed::Arity { what, got: u64::MAX }));

    let what = "list of actions";
    let actions = [0x85, 1, 1, 0xf6, 0xf6, 0x98, 65];
    assert_eq!(broker::Reply::decode(&actions), Err(Malformed::Arity { what, got: 65 }));
}

#[test]
fn report_data_of_another_length_is_refused() {
    let mut bytes = vec![0x82, 0, 0x58, 63];
    bytes.extend_from_slice(&[0; 63]);
    let what = "report data";
    assert_eq!(tee::Request::decode(&bytes), Err(Malformed::Length { what, got: 63 }));
}

#[test]
fn a_component_identifier_has_limits() {
    let what = "component identifier";
    assert_eq!(ComponentId::new(vec![]), Err(Malformed::Arity { what, got: 0 }));
    assert_eq!(ComponentId::new(vec![vec![]; 9]), Err(Malformed::Arity { what, got: 9 }));
    assert_eq!(ComponentId::new(vec![vec![0; 257]]), Err(Malformed::Length { what, got: 257 }));

    let empty = [0x82, 0, 0x80];
    assert_eq!(ua::Request::decode(&empty), Err(Malformed::Arity { what, got: 0 }));
}

#[test]
fn text_that_is_empty_or_too_long_is_refused() {
    let what = "label";
    assert_eq!(tee::Request::decode(&[0x82, 1, 0x60]), Err(Malformed::Length { what, got: 0 }));

    let label = "l".repeat(129);
    let long = tee::Request::SealingKey { label }.encode();
    assert_eq!(tee::Request::decode(&long), Err(Malformed::Length { what, got: 129 }));

    let not_utf8 = [0x82, 1, 0x61, 0xff];
    assert_eq!(tee::Request::decode(&not_utf8), Err(Malformed::Cbor("text string")));
}

#[test]
fn a_failure_text_is_cut_at_a_character() {
    let failure = Failure::new(FailureCode::Broken, "ü".repeat(4096));
    assert_eq!(failure.text.len(), 4096);
    comes_back(&tee::Reply::Failed(failure));
}

#[test]
fn a_sealing_key_is_not_printed() {
    let reply = tee::Reply::SealingKey(SealingKey::new([0xab; 32]));
    assert_eq!(format!("{reply:?}"), "SealingKey(SealingKey(…))");
}

#[test]
fn a_question_gets_the_answer_that_follows() {
    let answer = frame::encode(&ua::Reply::Done.encode()).unwrap();
    let mut stream = Stream { incoming: &answer, outgoing: Vec::new() };
    let request = ua::Request::RequestTa { component: component() };

    let reply = frame::ask::<_, ua::Reply>(&mut stream, &request);

    assert_eq!(reply, Ok(ua::Reply::Done));
    assert_eq!(stream.outgoing, frame::encode(&request.encode()).unwrap());
    let again = frame::ask::<_, ua::Reply>(&mut stream, &request);
    assert_eq!(again, Err(frame::Broken::Ended));
}

proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        let _ = tee::Request::decode(&bytes);
        let _ = tee::Reply::decode(&bytes);
        let _ = ua::Request::decode(&bytes);
        let _ = ua::Reply::decode(&bytes);
        let _ = broker::Request::decode(&bytes);
        let _ = broker::Reply::decode(&bytes);
        let _ = frame::first(&bytes);
    }

    #[test]
    fn what_is_accepted_has_one_encoding(
        index in 0..8usize,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = broker_requests()[index].encode();
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(message) = broker::Request::decode(&bytes) {
            prop_assert_eq!(message.encode(), bytes);
        }
    }
}

fn component() -> ComponentId {
    ComponentId::new(vec![b"o".to_vec(), b"n".to_vec()]).unwrap()
}

fn broker_requests() -> Vec<broker::Request> {
    use broker::Request;
    vec![
        Request::RequestTa { component: component(), tam_uri: Some("http://tam/".to_owned()) },
        Request::UnrequestTa { component: component(), tam_uri: None },
        Request::ProcessTeepMessage { session: u64::MAX, message: vec![1, 2, 3] },
        Request::RequestPolicyCheck,
        Request::ProcessError { session: 1, cause: Cause::Unusable },
        Request::ActionDone { session: 1, action: 2, outcome: Ok(vec![0; 300]) },
        Request::ActionDone { session: 1, action: 2, outcome: Err("gone".to_owned()) },
        Request::CallTa { component: component(), request: vec![] },
        Request::Describe,
        Request::OfferPayload { sha256: [7; 32] },
        Request::GivePayload { sha256: [7; 32], offset: 1 << 33, bytes: vec![9; 40] },
        Request::TakeRelease {
            component: component(),
            piece: broker::Piece { stream: [6; 32], offset: 1 << 33, bytes: vec![7; 300] },
        },
    ]
}

fn broker_replies() -> Vec<broker::Reply> {
    use broker::Reply;
    let actions = vec![
        Action::Fetch { id: 1, uri: "http://blob/".to_owned(), offset: 1 << 40, length: 65_536 },
        Action::InstallUa { id: 2, envelope: vec![9; 40], loads: None },
        Action::RemoveUa { id: 3, manifest: component() },
    ];
    vec![
        Reply::Nothing,
        Reply::Session(Session { session: 1, uri: None, message: None, actions }),
        Reply::Session(Session { session: 2, message: Some(vec![4]), ..Session::default() }),
        Reply::TaAnswer(vec![5]),
        Reply::Description("{}".to_owned()),
        Reply::failed(FailureCode::Busy, "a session is open"),
        Reply::Taken(1 << 33),
        Reply::Wanted { offset: 1 << 33, length: 4096 },
        Reply::Received(vec![8; 40]),
    ]
}

fn tee_requests() -> Vec<tee::Request> {
    use tee::Request;
    vec![
        Request::Quote { report_data: [3; 64] },
        Request::SealingKey { label: "storage".to_owned() },
        Request::CounterRead,
        Request::CounterIncrement,
        Request::Extend { index: 3, digest: vec![1; 48] },
        Request::Read { index: 3 },
        Request::Describe,
    ]
}

fn tee_replies() -> Vec<tee::Reply> {
    use tee::Reply;
    let media_type = "application/vnd.tamarack.sgx-quote+cbor".to_owned();
    vec![
        Reply::Quote(Quote { media_type, evidence: vec![1; 4000], aux: Some(vec![2]) }),
        Reply::SealingKey(SealingKey::new([7; 32])),
        Reply::Counter { value: 9, rollable: true },
        Reply::Extended,
        Reply::Register(vec![0; 48]),
        Reply::Description(Description {
            family: "SGX".to_owned(),
            hwmodel: vec![1],
            hwversion: "1".to_owned(),
            oemid: vec![2; 16],
            ueid: vec![1; 33],
            interface: "emulator".to_owned(),
        }),
        Reply::failed(FailureCode::Unsupported, "no registers"),
    ]
}

fn ua_requests() -> Vec<ua::Request> {
    use ua::Request;
    vec![
        Request::RequestTa { component: component() },
        Request::UnrequestTa { component: component() },
        Request::Call { component: component(), request: vec![1] },
    ]
}

fn ua_replies() -> Vec<ua::Reply> {
    use ua::Reply;
    vec![Reply::Done, Reply::Answer(vec![1]), Reply::failed(FailureCode::Absent, "no such TA")]
}

fn comes_back<T: Message + std::fmt::Debug + PartialEq>(message: &T) {
    assert_eq!(T::decode(&message.encode()).as_ref(), Ok(message));
}

fn cut_is_refused<T: Message + std::fmt::Debug>(message: &T) {
    let bytes = message.encode();
    for cut in 0..bytes.len() {
        T::decode(&bytes[..cut]).unwrap_err();
    }
}

struct Stream<'a> {
    incoming: &'a [u8],
    outgoing: Vec<u8>,
}

impl std::io::Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.incoming.read(buffer)
    }
}

impl std::io::Write for Stream<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.outgoing.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

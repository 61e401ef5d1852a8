//! Local messages and sealed ones.

use channel::receipt::Receipt;
use channel::release::{Digests, Receiver};
use device::{ComponentId, Failure, FailureCode, Message, broker, frame, tee, ua};

use super::Seeds;
use crate::channel::{endpoint, release_of, request_of, suites};
use crate::known::{Draws, ED25519, SIGNED};

pub(super) fn seed(seeds: &mut Seeds) {
    requests_to_the_agent(seeds);
    replies_of_the_agent(seeds);
    tee(seeds);
    ua(seeds);
    sealed(seeds);
}

fn component() -> ComponentId {
    ComponentId::new(vec![vec![7; 32], b"planner".to_vec()]).unwrap()
}

fn failure() -> Failure {
    Failure::new(FailureCode::Absent, "no such session")
}

fn requests_to_the_agent(seeds: &mut Seeds) {
    use broker::{Cause, Request};
    let uri = Some("https://tam.example/teep".to_owned());
    let requests = [
        ("request-ta", Request::RequestTa { component: component(), tam_uri: uri }),
        ("unrequest-ta", Request::UnrequestTa { component: component(), tam_uri: None }),
        ("message", Request::ProcessTeepMessage { session: 1, message: vec![1; 40] }),
        ("policy-check", Request::RequestPolicyCheck),
        ("error", Request::ProcessError { session: 300, cause: Cause::Unreachable }),
        ("done", Request::ActionDone { session: 1, action: 2, outcome: Ok(vec![3; 9]) }),
        ("failed", Request::ActionDone { session: 1, action: 2, outcome: Err("gone".into()) }),
        ("call", Request::CallTa { component: component(), request: vec![4; 20] }),
    ];
    for (name, request) in requests {
        seeds.put("device_broker", name, request.encode());
    }
    let body = Request::Describe.encode();
    seeds.put("device_broker", "framed", frame::encode(&body).unwrap());
}

fn replies_of_the_agent(seeds: &mut Seeds) {
    use broker::{Action, Reply, Session};
    let uri = "https://moc.example/blob".to_owned();
    let session = Session {
        session: 9,
        uri: Some(uri.clone()),
        message: Some(vec![5; 20]),
        actions: vec![
            Action::Fetch { id: 1, uri, offset: 0, length: 65536 },
            Action::InstallUa { id: 2, envelope: vec![6; 20], loads: None },
        ],
    };
    let replies = [
        ("nothing", Reply::Nothing),
        ("session", Reply::Session(session)),
        ("answer", Reply::TaAnswer(vec![7; 20])),
        ("description", Reply::Description("{}".to_owned())),
        ("refused", Reply::Failed(failure())),
    ];
    for (name, reply) in replies {
        seeds.put("device_broker", name, reply.encode());
    }
}

fn tee(seeds: &mut Seeds) {
    use tee::{Description, Quote, Reply, Request};
    let requests = [
        ("quote", Request::Quote { report_data: [1; 64] }),
        ("sealing-key", Request::SealingKey { label: "store".to_owned() }),
        ("counter", Request::CounterIncrement),
        ("extend", Request::Extend { index: 3, digest: vec![2; 48] }),
        ("describe", Request::Describe),
    ];
    for (name, request) in requests {
        seeds.put("device_tee", name, request.encode());
    }
    let quote = Quote {
        media_type: "application/vnd.tamarack.sgx-quote+cbor".to_owned(),
        evidence: vec![3; 100],
        aux: Some(vec![4; 10]),
    };
    let description = Description {
        family: "sgx".to_owned(),
        hwmodel: b"model".to_vec(),
        hwversion: "1".to_owned(),
        oemid: vec![5; 16],
        ueid: vec![6; 33],
        interface: "emulator".to_owned(),
    };
    let replies = [
        ("quoted", Reply::Quote(quote)),
        ("key", Reply::SealingKey(tee::SealingKey::new([7; 32]))),
        ("value", Reply::Counter { value: 70_000, rollable: true }),
        ("register", Reply::Register(vec![8; 48])),
        ("description", Reply::Description(description)),
        ("refused", Reply::Failed(failure())),
    ];
    for (name, reply) in replies {
        seeds.put("device_tee", name, reply.encode());
        seeds.put("device_tee", format!("{name}-framed"), frame::encode(&reply.encode()).unwrap());
    }
}

fn ua(seeds: &mut Seeds) {
    use ua::{Reply, Request};
    let requests = [
        ("request-ta", Request::RequestTa { component: component() }),
        ("unrequest-ta", Request::UnrequestTa { component: component() }),
        ("call", Request::Call { component: component(), request: vec![1; 30] }),
    ];
    for (name, request) in requests {
        seeds.put("device_ua", name, request.encode());
        let framed = frame::encode(&request.encode()).unwrap();
        seeds.put("device_ua", format!("{name}-framed"), framed);
    }
    let replies = [
        ("done", Reply::Done),
        ("answer", Reply::Answer(vec![2; 30])),
        ("refused", Reply::Failed(failure())),
    ];
    for (name, reply) in replies {
        seeds.put("device_ua", name, reply.encode());
    }
}

fn sealed(seeds: &mut Seeds) {
    let receiver = Receiver::generate(&suites(), &mut Draws::default()).public()[0].clone();
    seeds.put("channel_release", "sealed", release_of(SIGNED, &receiver, &[]));
    let damage =
        |at: u16, mask: u8, rest: &[u8]| [&[1], &at.to_be_bytes()[..], &[mask], rest].concat();
    seeds.put("channel_release", "whole", damage(0, 0, b"\x00\x0ahome, work"));
    seeds.put("channel_release", "damaged", damage(400, 1, b"\x00\x0ahome, work"));

    let service = endpoint().public().clone();
    seeds.put("channel_call", "sealed", request_of(1, SIGNED, &service).0);
    let answer = endpoint().open(&request_of(1, SIGNED, &service).0).unwrap();
    let answer = answer.answer(SIGNED, &mut Draws::default()).unwrap();
    seeds.put("channel_call", "answer", answer);
    seeds.put("channel_call", "whole", damage(0, 0, b"\x00\x05\x00\x04from\x00\x02to"));
    seeds.put("channel_call", "damaged", damage(60, 0x80, b"\x00\x05\x00\x04from\x00\x02to"));

    let receipt = Receipt {
        deployment: String::from_utf8_lossy(SIGNED).into_owned(),
        eat_digest: [3; 32],
        digests: Digests { enc: [4; 32], ciphertext: [5; 32] },
        service_key: None,
    };
    let signed = receipt.sign(&*ED25519).unwrap();
    let object = cose::Sign1::decode(&signed, cose::Tagging::Tagged).unwrap();
    seeds.put("channel_receipt", "payload", object.payload.unwrap());
    seeds.put("channel_receipt", "signed", signed);
}

//! Sessions: what goes to and fro, and to whom a failure is told.

use std::time::Duration;

use broker::refusal::{AgentFailed, SessionFailed, TamFailed};
use device::{
    FailureCode,
    broker::{Action, Cause, Reply, Request},
};
use tokio::time::timeout;

use crate::support::{
    Bench,
    agent::{Answer, FakeAgent, begin, say, want},
    server::{Server, ranged, status, teep, typed},
};

//= teep 14.79 (M): 2xx with body passes exactly those bytes to ProcessTeepMessage
//= teep 14.97 (M): relays opaque bytes
#[tokio::test]
async fn messages_pass_bit_by_bit_in_both_directions() {
    let (question, answer): (Vec<u8>, Vec<u8>) = ((0..=255).collect(), (0..=255).rev().collect());
    let given = question.clone();
    let tam = Server::start(move |seen| match seen.body.is_empty() {
        true => teep(given.clone()),
        false => status(204),
    })
    .await;
    let agent = FakeAgent::with_one_tam(&uri(&tam), vec![Some(answer.clone())]);
    let bench = Bench::new(agent, tam);

    bench.check(None).await.unwrap();

    assert_eq!(bench.agent.messages(), [(1, question.clone())]);
    let posts = bench.moc.posts();
    assert_eq!(posts.len(), 2);
    assert_eq!(posts[1].body, answer);
    let captured = bench.directory.path().join("captured");
    let kept = |name: &str| std::fs::read(captured.join(name)).unwrap();
    assert_eq!(kept("001-tam-to-agent.teep.cbor"), question);
    assert_eq!(kept("002-agent-to-tam.teep.cbor"), answer);
}

//= teep 14.97 (M): relays opaque bytes; flipping any bit in transit is detected by the endpoint
#[tokio::test]
async fn what_is_no_message_at_all_is_passed_on_for_the_agent_to_judge() {
    let tam = Server::start(|_| teep(&b"\xff\x00 no CBOR"[..])).await;
    let agent = FakeAgent::with_one_tam(&uri(&tam), vec![None]);
    let bench = Bench::new(agent, tam);

    bench.check(None).await.unwrap();

    assert_eq!(bench.agent.messages(), [(1, b"\xff\x00 no CBOR".to_vec())]);
}

//= teep 14.78 (M): an empty answer ends the session with success
#[tokio::test]
async fn a_session_goes_on_until_one_side_is_silent() {
    let tam = Server::start(|_| teep("more")).await;
    let say = |text: &str| Some(text.as_bytes().to_vec());
    let agent = FakeAgent::with_one_tam(&uri(&tam), vec![say("a"), say("b"), say("c"), None]);
    let bench = Bench::new(agent, tam);

    bench.check(None).await.unwrap();

    let bodies: Vec<Vec<u8>> = bench.moc.posts().into_iter().map(|seen| seen.body).collect();
    assert_eq!(bodies, [&b""[..], b"a", b"b", b"c"]);
    assert_eq!(bench.agent.messages().len(), 4);
    assert_eq!(bench.agent.count(is_error), 0);
}

//= teep 14.81 (M): ProcessError once, state deleted, caller told
#[tokio::test]
async fn each_failure_of_the_tam_is_told_to_the_agent_once_and_to_the_caller() {
    let cases: [(Server, Cause); 4] = [
        (Server::start(|_| status(500)).await, Cause::Refused),
        (Server::start(|_| status(404)).await, Cause::Refused),
        (Server::start(|_| status(302)).await, Cause::Refused),
        (Server::start(|_| typed("text/html", "<p>")).await, Cause::Unusable),
    ];
    for (tam, cause) in cases {
        let agent = FakeAgent::with_one_tam(&uri(&tam), vec![]);
        let bench = Bench::new(agent, tam);

        let failed = bench.check(None).await.unwrap_err();

        assert!(matches!(failed, SessionFailed::Tam { .. }), "{failed:?}");
        let errors: Vec<Request> = bench.agent.calls().into_iter().filter(is_error).collect();
        assert_eq!(errors, [Request::ProcessError { session: 1, cause }]);
        assert_eq!(bench.moc.posts().len(), 1);
    }
}

//= teep 14.81 (M): a refused connection is a ProcessError, too
#[tokio::test]
async fn a_tam_that_is_not_there_is_told_with_its_address_but_without_the_ticket() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let agent = FakeAgent::with_one_tam(&format!("{base}/tam"), vec![]);
    let mut moc = Server::silent().await;
    moc.base = base;
    let bench = Bench::new(agent, moc);

    let failed = bench.check(Some("secret-ticket")).await.unwrap_err();

    let text = broker::refusal::causes(&failed);
    assert!(text.contains(&bench.moc.base) && !text.contains("secret-ticket"), "{text}");
    let cause = Cause::Unreachable;
    assert!(bench.agent.calls().contains(&Request::ProcessError { session: 1, cause }));
}

//= teep 14.82 (M): Agent failure: caller told, no ProcessError
//= teep 14.99 (M): transport error to the TAM only when the TEE is unreachable
#[tokio::test]
async fn a_failure_of_the_agent_is_told_to_the_caller_alone() {
    let hostile: [Answer; 4] = [
        Reply::failed(FailureCode::Malformed, "no").into(),
        Answer::HangUp,
        Answer::Bytes(b"garbage".to_vec()),
        Reply::Description("{}".to_owned()).into(),
    ];
    for answer in hostile {
        let tam = Server::start(|_| teep("question")).await;
        let (uri, said) = (uri(&tam), answer.clone());
        let mut named = false;
        let agent = FakeAgent::start(move |request| match request {
            Request::RequestPolicyCheck => {
                named = !named;
                Answer::from(if named { begin(1, &uri) } else { Reply::Nothing })
            }
            _ => said.clone(),
        });
        let bench = Bench::new(agent, tam);

        let failed = bench.check(None).await.unwrap_err();

        assert!(matches!(failed, SessionFailed::Agent(_)), "{failed:?} after {answer:?}");
        assert_eq!(bench.agent.count(is_error), 0);
        assert_eq!(bench.moc.posts().len(), 1, "after {answer:?}");
    }
}

//= teep 14.82 (M): Agent failure: caller told, no ProcessError
#[tokio::test]
async fn an_agent_that_is_gone_or_silent_is_told_apart() {
    let bench = Bench::new(FakeAgent::start(|_| Answer::Silence), Server::silent().await);
    let bound = Duration::from_millis(30);
    let silent = bench.agent.agent().replying_within(bound);

    let failed = silent.connect().await.unwrap().request_policy_check().await.unwrap_err();

    assert!(matches!(failed, AgentFailed::Silent(waited) if waited == bound));
    std::fs::remove_file(bench.agent.socket()).unwrap();
    let failed = bench.check(None).await.unwrap_err();
    assert!(matches!(failed, SessionFailed::Agent(AgentFailed::Unreachable(_))));
    assert!(bench.moc.posts().is_empty());
}

//= teep 14.83 (M): the Agent's TAM URI wins
#[tokio::test]
async fn the_session_goes_to_the_agents_tam_and_the_ticket_stays_at_home() {
    let other = Server::start(|_| status(204)).await;
    let agent = FakeAgent::with_one_tam(&uri(&other), vec![]);
    let bench = Bench::new(agent, Server::silent().await);

    bench.check(Some("ticket")).await.unwrap();

    assert_eq!(other.paths(), ["/tam"]);
    assert!(bench.moc.posts().is_empty());
}

#[tokio::test]
async fn the_ticket_is_the_last_segment_of_the_moc_own_path_and_nothing_else() {
    let cases = [
        ("abc", "/tam/abc"),
        ("a/../b", "/tam/a%2F..%2Fb"),
        ("a?b#c", "/tam/a%3Fb%23c"),
        ("..", "/tam"),
    ];
    for (ticket, path) in cases {
        let moc = Server::start(|seen| match seen.body.is_empty() {
            true => teep("question"),
            false => status(204),
        })
        .await;
        let agent = FakeAgent::with_one_tam(&uri(&moc), vec![Some(b"answer".to_vec())]);
        let bench = Bench::new(agent, moc);

        bench.check(Some(ticket)).await.unwrap();

        assert_eq!(bench.moc.paths(), [path, path]);
        assert!(bench.moc.posts().iter().all(|seen| seen.header("authorization").is_none()));
    }
}

#[tokio::test]
async fn an_address_that_only_looks_like_the_moc_gets_no_ticket() {
    let bench = Bench::new(FakeAgent::start(|_| Reply::Nothing), Server::silent().await);
    let base = &bench.moc.base;

    let look_alikes = [
        format!("{base}0/tam"),
        format!("{base}@evil.example/tam"),
        base.replace("http://", "http://user@") + "/tam",
        base.replace("http://", "https://") + "/tam",
        base.replace("127.0.0.1", "localhost") + "/tam",
    ];

    assert!(bench.sessions.moc.is_own(&format!("{base}/tam")));
    for address in look_alikes {
        assert!(!bench.sessions.moc.is_own(&address), "{address}");
    }
}

//= teep 14.85 (M): concurrent sessions keep their own handle
#[tokio::test]
async fn sessions_at_the_same_time_keep_their_own_handles() {
    let gate = std::sync::Arc::new(tokio::sync::Barrier::new(SESSIONS as usize));
    let tam = Server::answering(move |seen| {
        let gate = std::sync::Arc::clone(&gate);
        Box::pin(async move {
            // Nobody is answered before everybody has asked.
            gate.wait().await;
            match seen.body.is_empty() {
                true => teep(format!("question {}", seen.path)),
                false => status(204),
            }
        })
    })
    .await;
    let agent = FakeAgent::start(|request| match request {
        Request::ProcessTeepMessage { session, message } => {
            say(*session, [&b"answer to "[..], message].concat())
        }
        _ => Reply::Nothing,
    });
    let bench = Bench::new(agent, tam);

    let mut running = Vec::new();
    for session in 0..SESSIONS {
        let (sessions, agent) = (bench.sessions.clone(), bench.agent.agent());
        let first = begin(session, &format!("{}/tam/{session}", bench.moc.base));
        let Reply::Session(first) = first else { unreachable!() };
        running.push(tokio::spawn(async move {
            sessions.run(&mut agent.connect().await.unwrap(), first, None).await
        }));
    }
    for session in running {
        session.await.unwrap().unwrap();
    }

    let mut messages = bench.agent.messages();
    messages.sort();
    let expected = |session| (session, format!("question /tam/{session}").into_bytes());
    assert_eq!(messages, (0..SESSIONS).map(expected).collect::<Vec<_>>());
    for seen in bench.moc.posts().iter().filter(|seen| !seen.body.is_empty()) {
        assert_eq!(seen.body, format!("answer to question {}", seen.path).into_bytes());
    }
}

//= teep 14.98 (M): with several TEEs picks one per notification and keeps messages apart
#[tokio::test]
async fn two_tees_with_the_same_handles_stay_apart() {
    let tam = Server::start(|seen| match seen.body.is_empty() {
        true => teep(seen.path),
        false => status(204),
    })
    .await;
    let tee = |name: &str| {
        let (uri, name) = (format!("{}/tam/{name}", tam.base), name.to_owned());
        FakeAgent::with_one_tam(&uri, vec![Some(name.into_bytes())])
    };
    let (one, two) = (Bench::new(tee("one"), tam.clone()), Bench::new(tee("two"), tam.clone()));

    let (first, second) = tokio::join!(one.check(None), two.check(None));
    first.and(second).unwrap();

    assert_eq!(one.agent.messages(), [(1, b"/tam/one".to_vec())]);
    assert_eq!(two.agent.messages(), [(1, b"/tam/two".to_vec())]);
    for seen in tam.posts().iter().filter(|seen| !seen.body.is_empty()) {
        assert_eq!(seen.path.as_bytes(), [b"/tam/", &seen.body[..]].concat());
    }
}

#[tokio::test]
async fn a_reply_about_another_session_ends_the_session() {
    let tam = Server::start(|_| teep("question")).await;
    let uri = uri(&tam);
    let asked = uri.clone();
    let agent = FakeAgent::start(move |request| match request {
        Request::RequestTa { .. } => begin(1, &uri),
        _ => say(2, b"mixed up".to_vec()),
    });
    let bench = Bench::new(agent, tam);
    let mut conversation = bench.agent.agent().connect().await.unwrap();
    let component = device::ComponentId::new(vec![vec![1]]).unwrap();
    let first = conversation.request_ta(&component, asked).await.unwrap().unwrap();

    let failed = bench.sessions.run(&mut conversation, first, None).await.unwrap_err();

    assert!(matches!(failed, SessionFailed::Agent(AgentFailed::WrongReply(_))), "{failed:?}");
    assert_eq!(bench.moc.posts().len(), 1);
}

#[tokio::test]
async fn actions_come_before_the_message_and_each_is_answered() {
    let content: Vec<u8> = (0..100).collect();
    let moc = Server::start(move |seen| match (seen.method.as_str(), seen.body.is_empty()) {
        ("GET", _) if seen.path == "/v1/blobs/ab" => ranged(&seen, &content),
        ("GET", _) => status(404),
        (_, true) => teep("update"),
        (_, false) => status(204),
    })
    .await;
    let (base, tam) = (moc.base.clone(), uri(&moc));
    let fetch = move |id, path: &str, offset| {
        let uri = format!("{base}{path}");
        Action::Fetch { id, uri, offset, length: 60 }
    };
    let mut named = false;
    let agent = FakeAgent::start(move |request| match request {
        Request::RequestPolicyCheck => {
            named = !named;
            if named { begin(4, &tam) } else { Reply::Nothing }
        }
        Request::ProcessTeepMessage { .. } => {
            want(4, vec![fetch(1, "/v1/blobs/ab", 0), fetch(2, "/v1/blobs/ab", 60)])
        }
        Request::ActionDone { action: 1, .. } => Reply::Nothing,
        Request::ActionDone { action: 2, .. } => want(4, vec![fetch(3, "/absent", 0)]),
        Request::ActionDone { .. } => say(4, b"success".to_vec()),
        _ => Reply::Nothing,
    });
    let bench = Bench::new(agent, moc);

    timeout(Duration::from_secs(10), bench.check(None)).await.unwrap().unwrap();

    let done: Vec<(u64, Result<Vec<u8>, String>)> = bench
        .agent
        .calls()
        .into_iter()
        .filter_map(|call| match call {
            Request::ActionDone { session: 4, action, outcome } => Some((action, outcome)),
            _ => None,
        })
        .collect();
    let failed = TamFailed::Status(404).to_string();
    assert_eq!(done, [(1, Ok((0..60).collect())), (2, Ok((60..100).collect())), (3, Err(failed))]);
    assert_eq!(bench.moc.posts()[1].body, b"success");
}

#[tokio::test]
async fn an_outcome_is_never_longer_than_the_contract_allows() {
    let bench = Bench::new(FakeAgent::start(|_| Reply::Nothing), Server::silent().await);
    let mut conversation = bench.agent.agent().connect().await.unwrap();

    conversation.action_done(1, 2, Err("ü".repeat(4000))).await.unwrap();

    let [Request::ActionDone { outcome: Err(text), .. }] = &bench.agent.calls()[..] else {
        panic!("no outcome")
    };
    assert_eq!(text.len(), 4096);
}

#[tokio::test]
async fn payloads_come_from_the_moc_with_the_token_and_from_others_by_https_only() {
    let content = b"0123456789".to_vec();
    let moc = Server::start(move |seen| ranged(&seen, &content)).await;
    let other = Server::start(|_| typed("text/plain", "secret of this machine")).await;
    let client = crate::support::client(&moc.base);

    let own = client.fetch(&format!("{}/v1/blobs/a", moc.base), 3, 4).await;
    let strange = client.fetch(&format!("{}/status", other.base), 0, 4).await;

    assert_eq!(own, Ok(b"3456".to_vec()));
    assert_eq!(moc.seen()[0].header("authorization"), Some("Bearer device-token"));
    assert_eq!(strange, Err(TamFailed::Elsewhere));
    assert!(other.seen().is_empty());
}

#[tokio::test]
async fn a_server_without_ranges_gives_the_same_bytes() {
    let moc = Server::start(|_| typed("application/octet-stream", "0123456789")).await;
    let client = crate::support::client(&moc.base);
    let uri = format!("{}/v1/blobs/a", moc.base);

    assert_eq!(client.fetch(&uri, 0, 4).await, Ok(b"0123".to_vec()));
    assert_eq!(client.fetch(&uri, 8, 4).await, Ok(b"89".to_vec()));
    assert_eq!(client.fetch(&uri, 10, 4).await, Ok(Vec::new()));
    assert_eq!(client.fetch(&uri, 0, 0).await, Ok(Vec::new()));
    assert_eq!(client.fetch(&uri, u64::MAX, 4).await, Ok(Vec::new()));
    let limit = 8 * 1024 * 1024;
    assert_eq!(client.fetch(&uri, 0, u64::MAX).await, Err(TamFailed::TooLarge { limit }));
}

fn is_error(request: &Request) -> bool {
    matches!(request, Request::ProcessError { .. })
}

fn uri(server: &Server) -> String {
    format!("{}/tam", server.base)
}

const SESSIONS: u64 = 4;

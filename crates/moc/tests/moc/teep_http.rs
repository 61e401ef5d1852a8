//! The rules of draft-ietf-teep-otrp-over-http for a server (teep 14.89 to 14.96).

use std::path::Path;

use reqwest::{Method, StatusCode};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    audience::{Answer, Caller, send},
    bench::Bench,
};

const TEEP: &str = "application/teep+cbor";

//= teep 14.89 (M): methods other than POST are refused
#[tokio::test]
async fn every_method_but_post_is_refused() {
    let bench = Bench::start().await;
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH, Method::HEAD] {
        for path in ["/tam", "/tam/ticket"] {
            let answer = send(stranger(&bench).request(method.clone(), path)).await;

            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            assert_eq!(answer.header("allow"), "POST");
            assert!(answer.body.is_empty());
        }
    }
}

//= teep 14.90 (S): a non-empty body of another type is refused; parameters are ignored
#[tokio::test]
async fn a_body_has_to_be_a_teep_message_by_its_type() {
    let bench = Bench::start().await;

    for media_type in ["application/cbor", "text/plain", "application/teep+json"] {
        assert_eq!(post(&bench, TEEP, Some(media_type), b"x").await.status, 415, "{media_type}");
    }
    assert_eq!(post(&bench, TEEP, None, b"x").await.status, 415);
    for media_type in [TEEP, "Application/TEEP+CBOR", "application/teep+cbor; version=1"] {
        assert_eq!(post(&bench, TEEP, Some(media_type), b"x").await.status, 204, "{media_type}");
    }
}

//= teep 14.91 (S): Accept has to be there and to include the media type
#[tokio::test]
async fn a_client_that_accepts_no_teep_message_gets_none() {
    let bench = Bench::start().await;

    assert_eq!(post(&bench, "text/html", None, b"").await.status, 406);
    assert_eq!(post(&bench, "application/teep+cbor;q=0", None, b"").await.status, 406);
    assert_eq!(post(&bench, "*/*", None, b"").await.status, 200);
    assert_eq!(raw(&bench, "POST /tam HTTP/1.1\r\nhost: x\r\n\r\n").await, "406");
}

//= teep 14.92 (M): an empty body calls ProcessConnect, another one ProcessTeepMessage
//= teep 14.93 (M): three security headers and Content-Type, and no Cache-Control
#[tokio::test]
async fn an_empty_request_is_answered_by_an_opening_with_the_security_headers() {
    let bench = Bench::start().await;

    let answer = post(&bench, TEEP, Some("text/plain"), b"").await;

    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), TEEP);
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_eq!(answer.header("content-security-policy"), "default-src 'none'");
    assert_eq!(answer.header("referrer-policy"), "no-referrer");
    assert_eq!(answer.header("cache-control"), "");
    assert_eq!(answer.header("set-cookie"), "");
    assert_eq!(&answer.body[..2], COSE_SIGN);
}

//= teep 14.94 (S): 204 when there is nothing to say
//= teep 14.32 (M): an invalid message is dropped with an empty answer
#[tokio::test]
async fn what_is_no_message_has_an_empty_answer() {
    let bench = Bench::start().await;
    let deep = vec![0x81; 100_000];
    let long = [0x5b, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    let bodies: [&[u8]; 5] = [b"x", &[0xd2], &deep, &long, &[0xd2, 0x84, 0x40, 0xa0, 0x40, 0x40]];

    for body in bodies {
        let answer = post(&bench, TEEP, Some(TEEP), body).await;

        assert_eq!((answer.status, answer.body.len()), (204, 0));
        assert_eq!(answer.header("content-type"), "");
    }
    assert_eq!(bench.moc.store().waiting().await.unwrap(), 0);
}

//= teep 14.95 (M): a failure of the TAM yields 5xx without details
#[tokio::test]
async fn a_failure_inside_is_told_without_details() {
    let bench = Bench::start().await;
    let added = bench.device("edge").await;
    break_store(&bench.dir.path().join("moc/moc.db")).await;

    let path = api::path::tam_ticket(&added.enrolment_ticket);
    let request = stranger(&bench).request(Method::POST, &path).header("accept", TEEP);
    let answer = send(request).await;

    assert_eq!((answer.status, answer.body.len()), (500, 0));
}

//= teep 14.96 (R): a body limit, timeouts and a rate limit for each client
//= teep 15.111: an oversized message over HTTP is bounded
#[tokio::test]
async fn bodies_are_bounded_in_size_and_time_and_requests_in_number() {
    let bench = Bench::start_with("teep_bytes_max = 4096\nbody_ms_max = 1000\n").await;
    assert_eq!(post(&bench, TEEP, Some(TEEP), &[0; 4097]).await.status, 413);
    assert_eq!(post(&bench, TEEP, Some(TEEP), &[0; 4096]).await.status, 204);

    let slow = Bench::start_with("body_ms_max = 1\n").await;
    let head = "POST /tam HTTP/1.1\r\nhost: x\r\naccept: */*\r\ncontent-length: 9\r\n\r\n";
    assert_eq!(raw(&slow, head).await, "408");

    let few = Bench::start_with("teep_burst_max = 2\n").await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(post(&few, TEEP, None, b"").await.status);
    }
    assert_eq!(statuses, [200, 200, 429]);
}

#[tokio::test]
async fn a_thousand_strangers_leave_the_store_as_it_was() {
    let bench = Bench::start().await;
    let files = |bench: &Bench| {
        let read = |name: &str| std::fs::read(bench.dir.path().join("moc").join(name)).unwrap();
        [read("moc.db"), read("moc.db-wal")]
    };
    let before = files(&bench);

    for _ in 0..1000 {
        bench.moc.process_connect(None).await.unwrap().unwrap();
    }

    assert!(files(&bench) == before);
    assert_eq!(bench.moc.store().waiting().await.unwrap(), 0);
}

/// The first two bytes of a COSE_Sign.
pub(crate) const COSE_SIGN: [u8; 2] = [0xd8, 98];

fn stranger(bench: &Bench) -> Caller {
    Caller::new(&bench.url, "")
}

async fn post(bench: &Bench, accept: &str, media_type: Option<&str>, body: &[u8]) -> Answer {
    let mut request = stranger(bench).request(Method::POST, "/tam").header("accept", accept);
    if let Some(media_type) = media_type {
        request = request.header("content-type", media_type);
    }
    send(request.body(body.to_vec())).await
}

/// Sends bytes as they are and returns the status of the answer.
async fn raw(bench: &Bench, request: &str) -> String {
    let address = bench.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).await.unwrap();
    String::from_utf8(head[9..].to_vec()).unwrap()
}

async fn break_store(path: &Path) {
    use sqlx::{AnyConnection, Connection as _, Executor as _};
    let url = format!("sqlite://{}", path.display());
    let mut connection = AnyConnection::connect(&url).await.unwrap();
    connection.execute("DROP TABLE tickets").await.unwrap();
}

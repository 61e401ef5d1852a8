//! The rules of draft-ietf-teep-otrp-over-http for a server (teep 14.89 to 14.96), and what a
//! server that faces everybody owes itself beyond them.

use std::{net::SocketAddr, path::Path, pin::pin};

use api::PackageName;
use moc::{config::Limits, http::NotServed};
use reqwest::{Method, StatusCode};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};

use crate::{
    audience::{Answer, Caller, send},
    bench::Bench,
    case3::{Owner, enrolled, names, placed, view},
    sim::Sim,
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
    break_store(&bench.dir.path().join("moc/moc.db"));

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

/// Requests whose headers have too many bytes, or are too many.
//= teep 14.96 (R): limits of what a client may send
#[tokio::test]
async fn headers_are_bounded_in_size_and_number() {
    let bench = Bench::start().await;
    let head = |headers: &str| format!("POST /tam HTTP/1.1\r\nhost: x\r\naccept: */*\r\n{headers}");
    let many =
        |count: usize| head(&(0..count).map(|n| format!("x-{n}: y\r\n")).collect::<String>());

    assert_eq!(raw(&bench, &(many(40) + "\r\n")).await, "200");
    assert_eq!(raw(&bench, &(many(70) + "\r\n")).await, "431");
    let long = format!("x: {}\r\n\r\n", "y".repeat(40_000));
    assert_eq!(raw(&bench, &head(&long)).await, "431");
}

/// A connection beyond the limit waits until there is room.
//= teep 14.96 (R): limits of what a client may send
#[tokio::test]
async fn connections_are_bounded_in_number_and_the_next_one_waits_for_room() {
    let bench = Bench::start().await;
    let limits = Limits { connections_max: 1, ..*bench.moc.limits() };
    let (address, _end, _served) = serve(&bench, limits).await;
    let mut first = TcpStream::connect(address).await.unwrap();
    assert_eq!(ask(&mut first).await, "204");
    let mut second = TcpStream::connect(address).await.unwrap();
    second.write_all(HEALTHZ).await.unwrap();

    for _ in 0..20 {
        assert_eq!(ask(&mut first).await, "204");
    }
    let waits = second.try_read(&mut [0; 1]).unwrap_err();
    assert_eq!(waits.kind(), std::io::ErrorKind::WouldBlock);
    drop(first);

    assert_eq!(status_of(&mut second).await, "204");
}

/// Who opens connections and says nothing, or says it slowly, does not fill the room.
//= teep 14.96 (R): what one address may keep open without asking is bounded
#[tokio::test]
async fn an_address_has_a_share_of_silent_connections_and_who_asks_is_served() {
    let bench = Bench::start().await;
    let limits = Limits { idle_per_address_max: 2, ..*bench.moc.limits() };
    let (address, _end, _served) = serve(&bench, limits).await;
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(&HEALTHZ[..5]).await.unwrap();

    // Both are counted once the server has turned a third one away.
    let mut third = TcpStream::connect(address).await.unwrap();
    assert_eq!(third.read(&mut [0; 1]).await.unwrap_or(0), 0);

    slow.write_all(&HEALTHZ[5..]).await.unwrap();
    assert_eq!(status_of(&mut slow).await, "204");
    assert_eq!(ask(&mut silent).await, "204");
}

//= teep 14.96 (R): a connection between two requests is closed after a time
#[tokio::test]
async fn a_connection_on_which_nobody_asks_again_is_closed() {
    let bench = Bench::start().await;
    let limits = Limits { idle_ms_max: 1, ..*bench.moc.limits() };
    let (address, _end, _served) = serve(&bench, limits).await;
    let mut stream = TcpStream::connect(address).await.unwrap();

    assert_eq!(ask(&mut stream).await, "204");

    assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
}

/// The same endpoint, the same rules.
#[tokio::test]
async fn http_2_has_the_same_answers() {
    let bench = Bench::start().await;
    let client = reqwest::Client::builder().http2_prior_knowledge().no_proxy().build().unwrap();
    let post = |accept, media_type, body: &'static [u8]| {
        let request = client.post(format!("{}/tam", bench.url)).body(body);
        request.header("accept", accept).header("content-type", media_type).send()
    };

    let opening = post(TEEP, "text/plain", b"").await.unwrap();
    assert_eq!((opening.version(), opening.status().as_u16()), (reqwest::Version::HTTP_2, 200));
    assert_eq!(opening.headers()["content-type"], TEEP);
    assert_eq!(opening.headers()["x-content-type-options"], "nosniff");
    assert_eq!(opening.bytes().await.unwrap()[..2], COSE_SIGN);
    assert_eq!(post(TEEP, TEEP, b"x").await.unwrap().status(), 204);
    assert_eq!(post(TEEP, "text/plain", b"x").await.unwrap().status(), 415);
    assert_eq!(post("text/html", TEEP, b"x").await.unwrap().status(), 406);
}

/// A device behind NAT is reached by the request that it holds open itself.
#[tokio::test]
async fn a_tam_wakes_a_device_that_only_it_can_reach() {
    let bench = Bench::start_with("poll_ms_max = 25000\n").await;
    let user = bench.tenant("acme").await;
    let mut device = enrolled(&bench, "edge").await;
    let owner = Owner::new();
    let id = placed(&user, false).await.deployment;

    let (broker, path) = (device.broker.clone(), api::path::wake("edge"));
    let mut poll = pin!(broker.get(&path));
    let meanwhile = async {
        for _ in 0..20 {
            view(&user, &id).await;
        }
    };
    tokio::select! {
        answer = &mut poll => panic!("there is nothing to do: {}", answer.status),
        () = meanwhile => {}
    }
    user.upload(&id, PackageName::Ta, owner.ta(1)).await;
    let wake: api::Wake = poll.await.expect(200);
    let handle = device.policy_check();
    device.session(handle, &api::path::tam_ticket(&wake.ticket.unwrap())).await;

    assert_eq!(names(&view(&user, &id).await), ["TA->ConfidentialProcess"]);
}

/// What was begun before the end of the program is answered; nothing new is begun.
#[tokio::test]
async fn an_exchange_under_way_is_answered_at_the_end_of_the_program() {
    let bench = Bench::start().await;
    let (address, end, served) = serve(&bench, *bench.moc.limits()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = "POST /tam HTTP/1.1\r\nhost: x\r\naccept: */*\r\nexpect: 100-continue\r\n\
                content-type: application/teep+cbor\r\ncontent-length: 5\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    // The server says so when it waits for the body.
    assert_eq!(status_of(&mut stream).await, "100");

    end.send(()).unwrap();
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    stream.write_all(b"abcde").await.unwrap();

    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    served.await.unwrap().unwrap();
}

/// A challenge is self-describing, so any replica takes its answer; and its use is a row that all
/// replicas share, so only one does.
//= teep 15.103: a replayed QueryResponse is ignored
#[tokio::test]
async fn an_answer_counts_once_whichever_replica_it_is_shown_to() {
    let bench = Bench::start().await;
    let mut device = enrolled(&bench, "edge").await;
    let replica = bench.replica().await;
    let decisions = async || bench.moc.store().decisions().await.unwrap().len();
    let before = decisions().await;
    let handle = device.policy_check();
    let query = device.post(api::path::TAM, Vec::new()).await.body;
    assert_eq!(bench.moc.store().waiting().await.unwrap(), 0);
    let response = device.process(handle, &query).unwrap();

    replica.process_teep_message(&response).await.unwrap();
    assert_eq!(decisions().await, before + 1);
    for moc in [&bench.moc, &replica] {
        assert_eq!(moc.process_teep_message(&response).await.unwrap(), None);
    }

    assert_eq!(decisions().await, before + 1);
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
    // Signed well, by keys that nobody knows, over challenges that are ours.
    let mut stranger = stranger_device(&bench);
    for _ in 0..20 {
        let handle = stranger.policy_check();
        let query = bench.moc.process_connect(None).await.unwrap().unwrap();
        let mut response = stranger.process(handle, &query).unwrap();
        *response.last_mut().unwrap() ^= 1;
        assert_eq!(bench.moc.process_teep_message(&response).await.unwrap(), None);
    }

    assert!(files(&bench) == before);
    assert_eq!(bench.moc.store().waiting().await.unwrap(), 0);
}

/// What strangers cost is given back: ten times as many leave no more behind.
#[test]
fn a_flood_of_strangers_leaves_no_allocation_behind() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bench = runtime.block_on(Bench::start());
    let mut stranger = stranger_device(&bench);
    let handle = stranger.policy_check();
    let query = runtime.block_on(bench.moc.process_connect(None)).unwrap().unwrap();
    let mut forged = stranger.process(handle, &query).unwrap();
    *forged.last_mut().unwrap() ^= 1;
    let flood = |strangers: u32| {
        let left = allocation_counter::measure(|| {
            runtime.block_on(async {
                for _ in 0..strangers {
                    drop(bench.moc.process_connect(None).await.unwrap().unwrap());
                    assert_eq!(bench.moc.process_teep_message(&forged).await.unwrap(), None);
                    assert_eq!(bench.moc.process_teep_message(b"noise").await.unwrap(), None);
                }
            });
        });
        (left.bytes_current, left.bytes_total)
    };

    let _warm = flood(100);
    let (left, cost) = flood(1000);

    assert!(cost > 1_000_000, "the requests are counted: {cost} bytes");
    assert!(left < 1000, "{left} bytes for 1000 strangers, who cost {cost} while they asked");
}

const HEALTHZ: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";

/// The first two bytes of a COSE_Sign.
pub(crate) const COSE_SIGN: [u8; 2] = [0xd8, 98];

/// A device whose key nobody enrolled.
fn stranger_device(bench: &Bench) -> Sim {
    let (token, enrolment_ticket) = (String::new(), String::new());
    Sim::new(bench, &api::DeviceAdded { device: "stranger".into(), token, enrolment_ticket })
}

/// A request on a connection that stays open, and the status of its answer.
async fn ask(stream: &mut TcpStream) -> String {
    stream.write_all(HEALTHZ).await.unwrap();
    status_of(stream).await
}

/// The status of the next answer, which has no body.
async fn status_of(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head[9..12].to_vec()).unwrap()
}

/// The bench's M/OC on an address of its own.
async fn serve(
    bench: &Bench,
    limits: Limits,
) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<Result<(), NotServed>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (end, ended) = oneshot::channel::<()>();
    let router = moc::http::router(bench.moc.clone());
    let served = tokio::spawn(async move {
        let end = async { drop(ended.await) };
        moc::http::serve(listener, None, router, &limits, end).await
    });
    (address, end, served)
}

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

fn break_store(path: &Path) {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.execute_batch("DROP TABLE tickets").unwrap();
}

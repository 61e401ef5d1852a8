//! The keeper against a service on this machine that is right, slow, wrong, throttling, truncated
//! or down. What Intel signed in the vectors is what the service gives.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderValue, StatusCode},
    response::Response,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use verifier::{Collateral, Endorsements, Kind};

use super::*;

#[tokio::test]
async fn a_platform_is_fetched_verified_and_put_in_place() {
    let bench = Bench::start(Lie::None).await;

    assert_eq!(bench.renew(Part::Endorsements).await, Ok(true));
    assert_eq!(bench.renew(Part::Revocation).await, Ok(true));

    let stored = bench.stored();
    let prepared = Endorsements::prepare(Kind::Tdx, &stored, &Anchors::vendors());
    assert!(prepared.refusal().is_none() && stored.file("tcb_info.json").is_some());
    assert_eq!(bench.renew(Part::Endorsements).await, Ok(false));
    assert_eq!(bench.keeper.store().platforms(), std::slice::from_ref(&bench.platform));
}

#[tokio::test]
async fn revocation_is_fetched_without_endorsements() {
    let bench = Bench::start(Lie::None).await;

    assert_eq!(bench.renew(Part::Revocation).await, Ok(true));

    let asked = bench.service.asked();
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert!(asked.iter().all(|path| path.contains("crl")), "{asked:?}");
    assert!(bench.stored().file("tcb_info.json").is_none());
}

#[tokio::test]
async fn while_a_service_fails_what_is_there_stays() {
    let lies = [
        (Lie::Down, "status 502"),
        (Lie::Slow, "in time"),
        (Lie::Huge, "too large"),
        (Lie::Throttles, "asks to wait"),
        (Lie::OtherSignature, "dcap"),
        (Lie::NotJson, "promises"),
        (Lie::NoChain, "promises"),
    ];
    for (lie, expected) in lies {
        let bench = Bench::start(Lie::None).await;
        bench.renew(Part::Endorsements).await.unwrap();
        bench.renew(Part::Revocation).await.unwrap();
        let before = bench.stored();
        // Newer statements, so that what comes next would be a change.
        bench.service.give(&newer());
        bench.service.lie(lie);

        let refused = bench.renew(Part::Endorsements).await.unwrap_err();

        let shown = refused.to_string();
        let refused_check = matches!(refused, NotRenewed::Refused(_));
        assert!(shown.contains(expected) || refused_check, "{lie:?}: {shown}");
        assert_eq!(bench.stored(), before, "{lie:?}");
    }
}

#[tokio::test]
async fn a_vendor_that_asks_to_wait_is_heard() {
    let bench = Bench::start(Lie::Throttles).await;

    let refused = bench.renew(Part::Revocation).await;

    assert_eq!(Outcome::of(&refused), Outcome::Failed(Some(120)));
}

#[tokio::test]
async fn a_service_that_is_not_there_is_unreachable() {
    let mut bench = Bench::start(Lie::None).await;
    let gone = Endpoints { intel: Some("http://127.0.0.1:1".to_owned()), amd: None };
    bench.keeper = keeper(bench.directory.path(), gone);

    let refused = bench.renew(Part::Revocation).await.unwrap_err();

    assert!(matches!(refused, NotRenewed::Fetch(FetchFailed::Unreachable { .. })), "{refused}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_no_answer() {
    let mut bench = Bench::start(Lie::None).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let cut = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _read = stream.read(&mut [0; 4096]).await;
            let half = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf of it";
            stream.write_all(half).await.unwrap();
        }
    });
    bench.keeper = keeper(bench.directory.path(), Endpoints { intel: Some(cut), amd: None });

    let refused = bench.renew(Part::Revocation).await.unwrap_err();

    assert!(matches!(refused, NotRenewed::Fetch(FetchFailed::Unreachable { .. })), "{refused}");
    assert!(bench.stored().is_empty());
}

#[tokio::test]
async fn newer_collateral_replaces_older_and_never_the_other_way() {
    let bench = Bench::start(Lie::None).await;
    bench.service.give(&newer());
    bench.renew(Part::Endorsements).await.unwrap();
    bench.renew(Part::Revocation).await.unwrap();
    let before = bench.stored();

    bench.service.give(&older());
    assert_eq!(bench.renew(Part::Endorsements).await, Err(NotRenewed::Older));
    assert_eq!(bench.stored(), before);

    let bench = Bench::start(Lie::None).await;
    for part in [Part::Endorsements, Part::Revocation] {
        bench.renew(part).await.unwrap();
    }
    bench.service.give(&newer());
    assert_eq!(bench.renew(Part::Endorsements).await, Ok(true));
    assert_eq!(bench.stored().file("tcb_info.json"), newer().file("tcb_info.json"));
}

#[tokio::test]
async fn requests_at_the_same_time_for_one_address_are_one_request() {
    let bench = Bench::start(Lie::Late).await;
    let fetcher = Fetcher::new(Duration::from_secs(10), true).unwrap();
    let url = format!("{}/sgx/certification/v4/rootcacrl", bench.base);

    let answers =
        tokio::join!(fetcher.get(&url), fetcher.get(&url), fetcher.get(&url), fetcher.get(&url));

    assert_eq!(bench.service.asked().len(), 1);
    assert!(answers.0.is_ok() && answers.0 == answers.3);
    fetcher.get(&url).await.unwrap();
    assert_eq!(bench.service.asked().len(), 2);
}

#[tokio::test]
async fn a_vendor_without_address_is_not_asked() {
    let bench = Bench::start(Lie::None).await;
    let amd = Platform::Amd { product: None, chip_id: [7; 64], tcb: [3; 8] };

    let refused = bench.keeper.renew(&amd, Part::Endorsements, &Anchors::vendors()).await;

    assert_eq!(refused, Err(NotRenewed::NoEndpoint("AMD")));
    assert!(bench.service.asked().is_empty());
}

#[tokio::test]
async fn what_is_wanted_is_fetched_in_the_background() {
    let bench = Bench::start(Lie::None).await;
    let keeper = Arc::new(keeper(bench.directory.path(), bench.endpoints()));
    let (wanted, queue) = Wanted::queue();
    let now_ms = Arc::new(AtomicUsize::new(0));
    let clock = move || u64::try_from(now_ms.fetch_add(1, Ordering::Relaxed)).unwrap();
    let task = tokio::spawn(keep(keeper, queue, Anchors::vendors, clock));

    for _ in 0..3 {
        wanted.want(bench.platform.clone());
    }
    drop(wanted);
    task.await.unwrap();

    // TCB info, QE identity, PCK list and root list, each once.
    assert_eq!(bench.service.asked().len(), 4, "{:?}", bench.service.asked());
}

/// What the service does instead of answering.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Lie {
    #[default]
    None,
    Down,
    Huge,
    Late,
    NoChain,
    NotJson,
    OtherSignature,
    Slow,
    Throttles,
}

struct Bench {
    base: String,
    directory: tempfile::TempDir,
    keeper: Keeper,
    platform: Platform,
    service: Service,
}

#[derive(Clone, Default)]
struct Service(Arc<Mutex<Behaviour>>);

/// A body, and a header with it.
type Answer = (Vec<u8>, Option<(&'static str, String)>);

#[derive(Default)]
struct Behaviour {
    lie: Lie,
    asked: Vec<String>,
    answers: BTreeMap<&'static str, Answer>,
}

impl Bench {
    async fn start(lie: Lie) -> Self {
        let service = Service::default();
        service.give(&older());
        service.lie(lie);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(service.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let directory = tempfile::tempdir().unwrap();
        let quote = std::fs::read(vectors().join("quote.bin")).unwrap();
        let endpoints = Endpoints { intel: Some(base.clone()), amd: None };
        let keeper = keeper(directory.path(), endpoints);
        Self {
            base,
            directory,
            keeper,
            platform: Platform::of(Kind::Tdx, &quote).unwrap(),
            service,
        }
    }

    fn endpoints(&self) -> Endpoints {
        Endpoints { intel: Some(self.base.clone()), amd: None }
    }

    async fn renew(&self, part: Part) -> Result<bool, NotRenewed> {
        self.keeper.renew(&self.platform, part, &Anchors::vendors()).await
    }

    fn stored(&self) -> Collateral {
        self.keeper.store().of(&self.platform).unwrap()
    }
}

impl Service {
    fn lie(&self, lie: Lie) {
        self.0.lock().unwrap().lie = lie;
    }

    fn asked(&self) -> Vec<String> {
        self.0.lock().unwrap().asked.clone()
    }

    fn give(&self, files: &Collateral) {
        let file = |name: &str| files.file(name).unwrap().to_vec();
        let signed = |member: &str, stem: &str| {
            let signature = file(&format!("{stem}.sig.hex"));
            let signature = String::from_utf8(signature).unwrap();
            let object = String::from_utf8(file(&format!("{stem}.json"))).unwrap();
            format!(r#"{{"{member}":{object},"signature":"{}"}}"#, signature.trim()).into_bytes()
        };
        let chain = |header, name: &str| {
            let chain = String::from_utf8(file(name)).unwrap();
            Some((header, chain.replace('\n', "%0A").replace(' ', "%20").replace('+', "%2B")))
        };
        self.0.lock().unwrap().answers = BTreeMap::from([
            (
                "/tdx/certification/v4/tcb",
                (
                    signed("tcbInfo", "tcb_info"),
                    chain("TCB-Info-Issuer-Chain", "tcb_signing_chain.pem"),
                ),
            ),
            ("/tdx/certification/v4/qe/identity", (signed("enclaveIdentity", "qe_identity"), None)),
            (
                "/sgx/certification/v4/pckcrl",
                (
                    file("pck_crl.der"),
                    chain("SGX-PCK-CRL-Issuer-Chain", "pck_crl_issuer_chain.pem"),
                ),
            ),
            ("/sgx/certification/v4/rootcacrl", (file("root_ca_crl.der"), None)),
        ]);
    }
}

async fn answer(State(service): State<Service>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let (lie, answer) = {
        let mut state = service.0.lock().unwrap();
        state.asked.push(request.uri().to_string());
        (state.lie, state.answers.get(path.as_str()).cloned())
    };
    let status = |status: StatusCode| Response::builder().status(status);
    let Some((mut body, header)) = answer else {
        return status(StatusCode::NOT_FOUND).body(Body::empty()).unwrap();
    };
    match lie {
        Lie::Down => return status(StatusCode::BAD_GATEWAY).body(Body::empty()).unwrap(),
        Lie::Throttles => {
            let throttled = status(StatusCode::TOO_MANY_REQUESTS).header("retry-after", "120");
            return throttled.body(Body::empty()).unwrap();
        }
        Lie::Slow => std::future::pending::<()>().await,
        Lie::Late => tokio::time::sleep(Duration::from_millis(200)).await,
        Lie::Huge => body = vec![b' '; 2 << 20],
        Lie::NotJson => body = b"<html>maintenance</html>".to_vec(),
        Lie::OtherSignature => {
            let at = body.len() - 5;
            body[at] = if body[at] == b'0' { b'1' } else { b'0' };
        }
        Lie::NoChain | Lie::None => {}
    }
    let mut response = Response::new(Body::from(body));
    if let Some((name, value)) = header.filter(|_| lie != Lie::NoChain) {
        response.headers_mut().insert(
            axum::http::HeaderName::from_bytes(name.to_ascii_lowercase().as_bytes()).unwrap(),
            HeaderValue::from_str(&value).unwrap(),
        );
    }
    response
}

fn keeper(directory: &Path, endpoints: Endpoints) -> Keeper {
    let periods = Periods { endorsements_s: 86_400, revocation_s: 21_600 };
    let store = Store::at(directory.to_owned());
    Keeper::new(store, endpoints, periods, Duration::from_secs(3)).unwrap()
}

fn older() -> Collateral {
    files("collateral-2025-06")
}

fn newer() -> Collateral {
    files("collateral-2026-08")
}

fn files(folder: &str) -> Collateral {
    let files = std::fs::read_dir(vectors().join(folder)).unwrap();
    let files = files.map(|file| file.unwrap().path());
    Collateral::from_files(files.map(|path| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, std::fs::read(path).unwrap())
    }))
}

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/vectors/evidence/tdx/v4-emr-uptodate")
}

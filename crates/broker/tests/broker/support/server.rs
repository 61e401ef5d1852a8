//! An HTTP server that answers as a test tells it to.

use std::{
    future::{Future, ready},
    pin::Pin,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::Request,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use tokio::net::TcpListener;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

type Later = Pin<Box<dyn Future<Output = Response> + Send>>;
type Script = dyn Fn(Seen) -> Later + Send + Sync;

/// Listens on loopback and notes every request.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) base: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    pub(crate) async fn start(script: impl Fn(Seen) -> Response + Send + Sync + 'static) -> Self {
        Self::answering(move |seen| Box::pin(ready(script(seen)))).await
    }

    pub(crate) async fn answering(script: impl Fn(Seen) -> Later + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (router, seen) = router(script);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { base, seen }
    }

    /// A M/OC that never wakes anybody and has nothing.
    pub(crate) async fn silent() -> Self {
        Self::start(|_| status(404)).await
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn posts(&self) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.method == "POST").collect()
    }

    pub(crate) fn paths(&self) -> Vec<String> {
        self.posts().into_iter().map(|seen| seen.path).collect()
    }
}

pub(crate) fn router(
    script: impl Fn(Seen) -> Later + Send + Sync + 'static,
) -> (Router, Arc<Mutex<Vec<Seen>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let script: Arc<Script> = Arc::new(script);
    let noted = Arc::clone(&seen);
    let router = Router::new().fallback(move |request: Request| {
        let (script, noted) = (Arc::clone(&script), Arc::clone(&noted));
        async move {
            let (parts, body) = request.into_parts();
            let path = parts.uri.path_and_query().map_or("", |path| path.as_str()).to_owned();
            let seen = Seen {
                method: parts.method.to_string(),
                path,
                headers: parts.headers,
                body: to_bytes(body, usize::MAX).await.unwrap().to_vec(),
            };
            noted.lock().unwrap().push(seen.clone());
            script(seen).await
        }
    });
    (router, seen)
}

/// 200 with a TEEP message.
pub(crate) fn teep(message: impl Into<Body>) -> Response {
    typed("application/teep+cbor", message)
}

/// 200 with a body of a type.
pub(crate) fn typed(media_type: &str, body: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, media_type)], body.into()).into_response()
}

/// Only a status.
pub(crate) fn status(code: u16) -> Response {
    StatusCode::from_u16(code).unwrap().into_response()
}

/// The part of `content` that a Range header asks for, as the M/OC sends it.
pub(crate) fn ranged(seen: &Seen, content: &[u8]) -> Response {
    let range = seen.header("range").unwrap().strip_prefix("bytes=").unwrap();
    let (first, last) = range.split_once('-').unwrap();
    let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
    if first >= content.len() {
        return status(416);
    }
    let part = content[first..content.len().min(last + 1)].to_vec();
    (StatusCode::PARTIAL_CONTENT, part).into_response()
}

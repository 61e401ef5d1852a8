//! The accept loop: bounded connections, a time for handshake and headers, and an orderly end.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    extract::{ConnectInfo, Request},
    response::Response,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tower_service::Service;

use super::idle::{Answer, Idle, Idler, Requests};
use super::tls::{ClientCertificate, H2, Identity};
use crate::config::Limits;

/// The interface cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotServed {
    /// The address is not loopback, and there is no identity for TLS.
    #[error(
        "{0} is not a loopback address, and plain HTTP would carry tokens and packages in the \
         clear: give `[tls]` a certificate and a key, or listen on 127.0.0.1 or [::1] and put a \
         TLS proxy in front"
    )]
    NotLoopback(SocketAddr),
    /// The address cannot be used.
    #[error("cannot listen")]
    Listen(#[source] io::Error),
}

/// A connection, with its part of the room.
struct Accepted<S> {
    stream: S,
    from: SocketAddr,
    permit: OwnedSemaphorePermit,
    idler: Idler,
}

/// How long a connection may be without a request.
#[derive(Clone, Copy)]
struct Waits {
    /// Before its first one; also how long headers may take.
    headers: Duration,
    /// Between two.
    idle: Duration,
}

/// Which HTTP a connection speaks.
enum Spoken {
    /// What its first bytes say: plain HTTP has no other way.
    Either,
    Http1,
    Http2,
}

/// Serves until `end` comes, then finishes what is under way, for a while. With an identity it is
/// HTTPS alone; without one plain HTTP, on loopback alone.
pub async fn serve(
    listener: TcpListener,
    identity: Option<Arc<Identity>>,
    router: Router,
    limits: &Limits,
    end: impl Future<Output = ()>,
) -> Result<(), NotServed> {
    let address = listener.local_addr().map_err(NotServed::Listen)?;
    if identity.is_none() && !address.ip().is_loopback() {
        return Err(NotServed::NotLoopback(address));
    }
    let room = Arc::new(Semaphore::new(limits.connections_max));
    let handshake_wait = Duration::from_millis(limits.handshake_ms_max);
    let waits = Waits {
        headers: Duration::from_millis(limits.headers_ms_max),
        idle: Duration::from_millis(limits.idle_ms_max),
    };
    let idle = Idle::new(limits.idle_per_address_max);
    let graceful = GracefulShutdown::new();
    // Ended with this function: nobody waits for a handshake at the end.
    let mut handshakes: JoinSet<Option<Accepted<TlsStream<TcpStream>>>> = JoinSet::new();
    let mut end = pin!(end);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &room, &idle) => accepted,
            Some(shaken) = handshakes.join_next() => {
                if let Ok(Some(shaken)) = shaken {
                    let spoken = spoken(&shaken.stream);
                    let client = ClientCertificate::of(shaken.stream.get_ref().1);
                    let served = Served::new(&router, shaken.from, client);
                    connection(shaken, spoken, served, &graceful, waits);
                }
                continue;
            }
            () = &mut end => break,
        };
        match (accepted, &identity) {
            (Some(accepted), Some(identity)) => {
                let acceptor = TlsAcceptor::from(identity.current());
                handshakes.spawn(handshake(accepted, acceptor, handshake_wait));
            }
            (Some(accepted), None) => {
                let served = Served::new(&router, accepted.from, None);
                connection(accepted, Spoken::Either, served, &graceful, waits);
            }
            (None, _) => {}
        }
    }
    drop((listener, handshakes));
    if timeout(END_WAIT, graceful.shutdown()).await.is_err() {
        tracing::warn!("some connections did not end in time");
    }
    Ok(())
}

/// The next connection, when there is room for one, and its address does not fill it.
async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
    idle: &Idle,
) -> Option<Accepted<TcpStream>> {
    let permit = room.clone().acquire_owned().await.ok()?;
    let (stream, from) = match listener.accept().await {
        Ok(accepted) => accepted,
        Err(error) => {
            tracing::warn!(%error, "accept failed");
            sleep(ACCEPT_AGAIN).await;
            return None;
        }
    };
    let Some(idler) = idle.admits(from.ip()) else {
        tracing::debug!(%from, "its address has too many idle connections");
        return None;
    };
    Some(Accepted { stream, from, permit, idler })
}

/// TLS over a connection; `None` when the peer speaks none, another one, or too slowly.
async fn handshake(
    accepted: Accepted<TcpStream>,
    acceptor: TlsAcceptor,
    wait: Duration,
) -> Option<Accepted<TlsStream<TcpStream>>> {
    let Accepted { stream, from, permit, idler } = accepted;
    match timeout(wait, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => Some(Accepted { stream, from, permit, idler }),
        Ok(Err(error)) => {
            tracing::debug!(%from, %error, "a TLS handshake failed");
            None
        }
        Err(_) => {
            tracing::debug!(%from, "a TLS handshake took too long");
            None
        }
    }
}

/// RFC 9113, section 3.2: HTTP/2 over TLS is what ALPN named so, and nothing else.
fn spoken(stream: &TlsStream<TcpStream>) -> Spoken {
    match stream.get_ref().1.alpn_protocol() {
        Some(protocol) if protocol == H2 => Spoken::Http2,
        _ => Spoken::Http1,
    }
}

/// The interface as one connection sees it: each request knows where it comes from, and who its
/// client is by TLS.
#[derive(Clone)]
struct Served {
    router: Router,
    from: SocketAddr,
    client: Option<ClientCertificate>,
    requests: Requests,
}

impl Served {
    fn new(router: &Router, from: SocketAddr, client: Option<ClientCertificate>) -> Self {
        Self { router: router.clone(), from, client, requests: Requests::new() }
    }
}

impl<B> Service<Request<B>> for Served
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // A router is always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let under_way = self.requests.begin();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(self.from));
        if let Some(client) = self.client {
            request.extensions_mut().insert(client);
        }
        let answer = self.router.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            Ok(answer.map(|body| Answer::until(body, under_way)))
        })
    }
}

fn connection<S>(
    accepted: Accepted<S>,
    spoken: Spoken,
    served: Served,
    graceful: &GracefulShutdown,
    waits: Waits,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Accepted { stream, from, permit, idler } = accepted;
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(waits.headers)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEADERS_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADERS_BYTES_MAX as u32);
    let builder = match spoken {
        Spoken::Either => builder,
        Spoken::Http1 => builder.http1_only(),
        Spoken::Http2 => builder.http2_only(),
    };
    let requests = served.requests.clone();
    let service = TowerToHyperService::new(served);
    let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        let mut connection = pin!(connection);
        // The library bounds the headers of HTTP/1.1, but neither its wait for the first bytes
        // nor the opening of HTTP/2, nor the time between requests.
        //= teep 14.96 (R): time limits of a connection, and a share of them for each address
        let ended = tokio::select! {
            ended = &mut connection => ended,
            why = requests.exhausted(idler, from.ip(), waits.headers, waits.idle) => {
                tracing::debug!(%from, why, "a connection is ended");
                Ok(())
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%from, %error, "a connection ended early");
        }
        drop(permit);
    });
}

/// Headers of one request.
const HEADERS_MAX: usize = 64;
/// Their bytes, with the request's line.
const HEADERS_BYTES_MAX: usize = 32 * 1024;
/// Requests that one connection of HTTP/2 may have open.
const STREAMS_MAX: u32 = 64;
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);
const END_WAIT: Duration = Duration::from_secs(10);

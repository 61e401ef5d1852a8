//! The accept loop: bounded connections, a time for headers, and an orderly end.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Extension, Router, extract::ConnectInfo};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};

/// The interface cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotServed {
    /// The address is not loopback.
    #[error(
        "{0} is not a loopback address, and plain HTTP would carry tokens and packages in the \
         clear: listen on 127.0.0.1 or [::1] and put a TLS proxy in front"
    )]
    NotLoopback(SocketAddr),
    /// The address cannot be used.
    #[error("cannot listen")]
    Listen(#[source] io::Error),
}

/// Serves until `end` comes, then finishes what is under way, for a while.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    connections_max: usize,
    end: impl Future<Output = ()>,
) -> Result<(), NotServed> {
    let address = listener.local_addr().map_err(NotServed::Listen)?;
    if !address.ip().is_loopback() {
        return Err(NotServed::NotLoopback(address));
    }
    let room = Arc::new(Semaphore::new(connections_max));
    let graceful = GracefulShutdown::new();
    let mut end = std::pin::pin!(end);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &room) => accepted,
            () = &mut end => break,
        };
        match accepted {
            Some((stream, from, permit)) => {
                connection(stream, from, permit, router.clone(), &graceful);
            }
            None => tokio::time::sleep(ACCEPT_AGAIN).await,
        }
    }
    drop(listener);
    if tokio::time::timeout(END_WAIT, graceful.shutdown()).await.is_err() {
        tracing::warn!("some connections did not end in time");
    }
    Ok(())
}

/// The next connection, when there is room for one.
async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = room.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, from)) => Some((stream, from, permit)),
        Err(error) => {
            tracing::warn!(%error, "accept failed");
            None
        }
    }
}

fn connection(
    stream: TcpStream,
    from: SocketAddr,
    permit: OwnedSemaphorePermit,
    router: Router,
    graceful: &GracefulShutdown,
) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS_WAIT);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(HEADERS_WAIT);
    let service = TowerToHyperService::new(router.layer(Extension(ConnectInfo(from))));
    let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection ended early");
        }
        drop(permit);
    });
}

const HEADERS_WAIT: Duration = Duration::from_secs(10);
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);
const END_WAIT: Duration = Duration::from_secs(10);

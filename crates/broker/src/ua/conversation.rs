//! What a UA may ask: for its TA, and to carry a sealed request to it.

use std::io;

use device::{
    Failure, FailureCode, Message,
    frame,
    ua::{Reply, Request},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};
use tracing::warn;

use crate::{refusal::AgentFailed, wake::Loads};

/// Answers a UA until its end of the socket closes.
pub(super) async fn serve(mut stream: UnixStream, loads: Loads) {
    loop {
        let request = match read(&mut stream).await {
            Ok(Some(frame)) => Request::decode(&frame),
            Ok(None) => return,
            Err(error) => {
                warn!(%error, "a UA's socket failed");
                return;
            }
        };
        let reply = match request {
            Ok(request) => answer(request, &loads).await,
            Err(malformed) => Reply::failed(FailureCode::Malformed, malformed.to_string()),
        };
        let Ok(frame) = frame::encode(&reply.encode()) else { return };
        if stream.write_all(&frame).await.is_err() {
            return;
        }
    }
}

async fn answer(request: Request, loads: &Loads) -> Reply {
    let done = match request {
        Request::RequestTa { component } => {
            loads.request_ta(&component).await.map_err(|error| error.to_string())
        }
        Request::UnrequestTa { component } => {
            loads.unrequest_ta(&component).await.map_err(|error| error.to_string())
        }
        Request::Call { component, request } => {
            return match loads.call_ta(&component, request).await {
                Ok(answer) => Reply::Answer(answer),
                Err(AgentFailed::Refused(failure)) => Reply::Failed(failure),
                Err(other) => Reply::failed(FailureCode::Broken, other.to_string()),
            };
        }
    };
    match done {
        Ok(()) => Reply::Done,
        Err(text) => Reply::Failed(Failure::new(FailureCode::Broken, text)),
    }
}

async fn read(stream: &mut UnixStream) -> io::Result<Option<Vec<u8>>> {
    let mut head = [0; frame::HEADER_BYTES];
    match stream.read_exact(&mut head).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = frame::body_length(head).map_err(io::Error::other)?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(Some(body))
}

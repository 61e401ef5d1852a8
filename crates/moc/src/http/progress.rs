//! A deployment as it goes on, by server-sent events (HTML, section 9.2).

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use api::{Deployment, State as Standing};
use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    extract::{Path, State},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
    routing::get,
};
use http_body::Frame;
use tokio::sync::mpsc;

use crate::app::{Moc, Refusal};

use super::{extract::Tenant, problem::Refused};

pub(super) fn routes() -> Router<Arc<Moc>> {
    Router::new().route(api::path::PROGRESS, get(progress))
}

async fn progress(
    tenant: Tenant,
    State(moc): State<Arc<Moc>>,
    Path(deployment): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let seen = last_event(&headers)?;
    moc.deployment(tenant.id(), &deployment, None).await?;
    let (events, waiting) = mpsc::channel(EVENTS_MAX);
    tokio::spawn(follow(moc, tenant.id().to_owned(), deployment, seen, events));
    let types = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((types, Body::new(Stream(waiting))).into_response())
}

/// Tells every change until the deployment ends, the listener goes, or the program ends.
async fn follow(
    moc: Arc<Moc>,
    tenant: String,
    deployment: String,
    mut seen: Option<u64>,
    events: mpsc::Sender<Bytes>,
) {
    while let Ok(shown) = moc.deployment(&tenant, &deployment, seen).await {
        let is_new = seen.is_none_or(|seen| shown.seq > seen);
        let has_ended = matches!(shown.state, Standing::Running | Standing::Failed);
        let said = match is_new {
            true => event(&shown),
            // A comment, so that a listener who has gone is noticed.
            false => Bytes::from_static(b":\n\n"),
        };
        seen = Some(shown.seq);
        if events.send(said).await.is_err() || has_ended || moc.hub().is_closed() {
            return;
        }
        if !is_new && moc.limits().poll_ms_max < QUIET_MS_MIN {
            return;
        }
    }
}

fn event(shown: &Deployment) -> Bytes {
    let json = serde_json::to_string(shown).unwrap_or_default();
    format!("event: deployment\nid: {}\ndata: {json}\n\n", shown.seq).into()
}

fn last_event(headers: &HeaderMap) -> Result<Option<u64>, Refusal> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let text = value.to_str().unwrap_or("not text");
    let number = text.parse().map_err(|_| {
        Refusal::malformed("last-event-id", "the id of an event of this stream", text)
    })?;
    Ok(Some(number))
}

/// Events on their way out.
struct Stream(mpsc::Receiver<Bytes>);

impl HttpBody for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// A listener that does not read holds up its own stream and nothing else.
const EVENTS_MAX: usize = 4;
/// A shorter poll would make a stream of comments.
const QUIET_MS_MIN: u64 = 1_000;

//! Paths for a device: its Broker waits here and fetches blobs.

use std::{
    io::SeekFrom,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use api::PostPlacement;
use axum::{
    Json as Answer, Router,
    body::{Body, Bytes, HttpBody},
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http_body::{Frame, SizeHint};
use tokio::{
    fs::File,
    io::{AsyncRead as _, AsyncSeekExt as _, ReadBuf},
};

use crate::{
    app::{Moc, Refusal},
    store::{BlobDigest, StoreFailed},
};

use super::{
    extract::{Device, Json},
    problem::Refused,
};

pub(super) fn routes() -> Router<Arc<Moc>> {
    Router::new()
        .route(api::path::WAKE, get(wake))
        .route(api::path::BLOB, get(blob))
        .route(api::path::PLACEMENTS, post(placed))
}

async fn placed(
    device: Device,
    State(moc): State<Arc<Moc>>,
    Path(path): Path<String>,
    Json(told): Json<PostPlacement>,
) -> Result<StatusCode, Refused> {
    moc.placed(device.named(&path)?, &told).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn wake(
    device: Device,
    State(moc): State<Arc<Moc>>,
    Path(path): Path<String>,
) -> Result<Response, Refused> {
    Ok(match moc.wake(device.named(&path)?).await? {
        Some(wake) => Answer(wake).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

async fn blob(
    device: Device,
    State(moc): State<Arc<Moc>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let digest: BlobDigest = name.parse().map_err(|_| Refusal::NotFound("blob"))?;
    if !moc.store().may_fetch(device.id(), digest).await? {
        return Err(Refusal::NotFound("blob").into());
    }
    let found = moc.store().blobs().reader(digest).await?;
    let (file, bytes) = found.ok_or(Refusal::NotFound("blob"))?;
    let range = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    Ok(send(file, bytes, range).await?)
}

async fn send(mut file: File, bytes: u64, range: Option<&str>) -> Result<Response, Refusal> {
    let part = match range.map(|range| part(range, bytes)) {
        None | Some(Part::Whole) => None,
        Some(Part::From { first, length }) => Some((first, length)),
        Some(Part::Outside) => return Err(Refusal::Range { bytes }),
    };
    let (first, length) = part.unwrap_or((0, bytes));
    file.seek(SeekFrom::Start(first))
        .await
        .map_err(|source| StoreFailed::File { path: "blob".into(), source })?;
    let body = Body::new(Sending { file, left: length });
    let types = [(header::CONTENT_TYPE, api::media::OCTETS), (header::ACCEPT_RANGES, "bytes")];
    Ok(match part {
        None => (types, body).into_response(),
        Some(_) => {
            let last = first + length - 1;
            let range = [(header::CONTENT_RANGE, format!("bytes {first}-{last}/{bytes}"))];
            (StatusCode::PARTIAL_CONTENT, types, range, body).into_response()
        }
    })
}

/// What a Range header asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Everything: there is no range, or one that RFC 9110 section 14.2 lets a server ignore.
    Whole,
    /// This many bytes from here.
    From { first: u64, length: u64 },
    /// Nothing of the blob.
    Outside,
}

/// One range of bytes, RFC 9110 section 14.1.2; several ranges count as none.
fn part(range: &str, bytes: u64) -> Part {
    let Some((first, last)) = range.strip_prefix("bytes=").and_then(|set| set.split_once('-'))
    else {
        return Part::Whole;
    };
    let (first, last) = (first.trim(), last.trim());
    let from = |first: u64, last: u64| match first < bytes {
        true => Part::From { first, length: last.min(bytes - 1) - first + 1 },
        false => Part::Outside,
    };
    match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => from(first, last),
        (Ok(first), Err(_)) if last.is_empty() => from(first, u64::MAX),
        (Err(_), Ok(0)) if first.is_empty() => Part::Outside,
        (Err(_), Ok(length)) if first.is_empty() => from(bytes.saturating_sub(length), u64::MAX),
        _ => Part::Whole,
    }
}

/// A part of a file on its way out, in constant memory.
struct Sending {
    file: File,
    left: u64,
}

impl HttpBody for Sending {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        let mut chunk = vec![0; room];
        let mut buffer = ReadBuf::new(&mut chunk);
        ready!(Pin::new(&mut self.file).poll_read(context, &mut buffer))?;
        let length = buffer.filled().len();
        if length == 0 {
            return Poll::Ready(Some(Err(std::io::ErrorKind::UnexpectedEof.into())));
        }
        chunk.truncate(length);
        self.left -= length as u64;
        Poll::Ready(Some(Ok(Frame::data(chunk.into()))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

const CHUNK_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_rfc_9110_says() {
        let cases = [
            ("bytes=0-4", Part::From { first: 0, length: 5 }),
            ("bytes=5-", Part::From { first: 5, length: 5 }),
            ("bytes=-3", Part::From { first: 7, length: 3 }),
            ("bytes=-30", Part::From { first: 0, length: 10 }),
            ("bytes=8-100", Part::From { first: 8, length: 2 }),
            ("bytes=9-9", Part::From { first: 9, length: 1 }),
            ("bytes=10-", Part::Outside),
            ("bytes=-0", Part::Outside),
            ("bytes=5-4", Part::Whole),
            ("bytes=0-1,4-5", Part::Whole),
            ("lines=0-1", Part::Whole),
            ("bytes=a-b", Part::Whole),
            ("bytes=18446744073709551615-", Part::Outside),
        ];
        for (range, expected) in cases {
            assert_eq!(part(range, 10), expected, "{range}");
        }
        assert_eq!(part("bytes=0-0", 0), Part::Outside);
        assert_eq!(part("bytes=-1", 0), Part::Outside);
    }
}

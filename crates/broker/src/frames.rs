//! Frames of the device's local interfaces over asynchronous sockets.

use device::frame::{self, Broken};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Reads the body of the next frame; `None` when the stream ended before it began.
///
/// Memory grows with the bytes that really arrive, not with the announced length.
pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<Vec<u8>>, Broken> {
    read_at_most(stream, frame::FRAME_BYTES_MAX).await
}

/// The same with a smaller bound for the body.
pub(crate) async fn read_at_most(
    stream: &mut (impl AsyncRead + Unpin),
    max: usize,
) -> Result<Option<Vec<u8>>, Broken> {
    let mut header = Vec::with_capacity(frame::HEADER_BYTES);
    read_up_to(stream, frame::HEADER_BYTES, &mut header).await?;
    if header.is_empty() {
        return Ok(None);
    }
    let header = header.try_into().map_err(|_| Broken::Ended)?;
    let length = frame::body_length(header)?;
    if length > max {
        return Err(Broken::TooLong(length));
    }
    let mut body = Vec::new();
    read_up_to(stream, length, &mut body).await?;
    if body.len() != length {
        return Err(Broken::Ended);
    }
    Ok(Some(body))
}

/// Writes a body as one frame.
pub(crate) async fn write(
    stream: &mut (impl AsyncWrite + Unpin),
    body: &[u8],
) -> Result<(), Broken> {
    stream.write_all(&frame::encode(body)?).await.map_err(failed)?;
    Ok(())
}

async fn read_up_to(
    stream: &mut (impl AsyncRead + Unpin),
    length: usize,
    into: &mut Vec<u8>,
) -> Result<(), Broken> {
    stream.take(length as u64).read_to_end(into).await.map_err(failed)?;
    Ok(())
}

fn failed(error: std::io::Error) -> Broken {
    Broken::Io(error.kind())
}

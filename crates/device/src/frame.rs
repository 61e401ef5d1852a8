//! Frames: how messages are told apart on a byte stream.
//!
//! ```text
//! frame = length (4 bytes, big-endian) || body
//! ```
//!
//! The functions on [`Read`] and [`Write`] block. Asynchronous code reads [`HEADER_BYTES`], asks
//! [`body_length`], and reads that many bytes; or it keeps a buffer and asks [`first`].

use std::io::{ErrorKind, Read, Write};

use crate::{Malformed, Message};

/// The longest body of a frame.
pub const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The length of what comes before the body.
pub const HEADER_BYTES: usize = 4;

/// A connection that cannot be used any more.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// A frame longer than [`FRAME_BYTES_MAX`] was announced or given.
    #[error("frame of {0} bytes is too long")]
    TooLong(usize),
    /// The stream ended inside a frame, or where an answer was due.
    #[error("connection ended early")]
    Ended,
    /// The stream failed.
    #[error("connection failed: {0}")]
    Io(ErrorKind),
    /// A frame does not hold the expected message.
    #[error("message is malformed")]
    Malformed(#[from] Malformed),
}

/// Returns the length of the body that follows this header.
pub fn body_length(header: [u8; HEADER_BYTES]) -> Result<usize, Broken> {
    let length = u32::from_be_bytes(header) as usize;
    if length > FRAME_BYTES_MAX {
        return Err(Broken::TooLong(length));
    }
    Ok(length)
}

/// Puts a body into a frame.
pub fn encode(body: &[u8]) -> Result<Vec<u8>, Broken> {
    let mut frame = header(body)?.to_vec();
    frame.extend_from_slice(body);
    Ok(frame)
}

/// Returns the body of the first frame in a buffer; `None` when the frame is not whole yet.
///
/// The frame takes [`HEADER_BYTES`] and the body's length off the buffer.
pub fn first(buffer: &[u8]) -> Result<Option<&[u8]>, Broken> {
    let Some((header, rest)) = buffer.split_first_chunk::<HEADER_BYTES>() else {
        return Ok(None);
    };
    let length = body_length(*header)?;
    Ok(rest.get(..length))
}

/// Reads the body of the next frame; `None` when the stream ended before it began.
///
/// Memory grows with the bytes that really arrive, not with the announced length.
pub fn read_frame(stream: &mut impl Read) -> Result<Option<Vec<u8>>, Broken> {
    let mut header = Vec::with_capacity(HEADER_BYTES);
    read_up_to(stream, HEADER_BYTES, &mut header)?;
    if header.is_empty() {
        return Ok(None);
    }
    let header = header.try_into().map_err(|_| Broken::Ended)?;
    let length = body_length(header)?;
    let mut body = Vec::new();
    read_up_to(stream, length, &mut body)?;
    if body.len() != length {
        return Err(Broken::Ended);
    }
    Ok(Some(body))
}

/// Writes a body as one frame and flushes it.
pub fn write_frame(stream: &mut impl Write, body: &[u8]) -> Result<(), Broken> {
    let header = header(body)?;
    stream.write_all(&header).map_err(failed)?;
    stream.write_all(body).map_err(failed)?;
    stream.flush().map_err(failed)?;
    Ok(())
}

/// Reads one message; `None` when the stream ended before it began.
pub fn receive<T: Message>(stream: &mut impl Read) -> Result<Option<T>, Broken> {
    let Some(body) = read_frame(stream)? else {
        return Ok(None);
    };
    Ok(Some(T::decode(&body)?))
}

/// Writes one message.
pub fn send<T: Message>(stream: &mut impl Write, message: &T) -> Result<(), Broken> {
    write_frame(stream, &message.encode())
}

/// Sends a request and waits for its reply.
pub fn ask<Q: Message, A: Message>(
    stream: &mut (impl Read + Write),
    request: &Q,
) -> Result<A, Broken> {
    send(stream, request)?;
    let reply = receive(stream)?;
    reply.ok_or(Broken::Ended)
}

fn header(body: &[u8]) -> Result<[u8; HEADER_BYTES], Broken> {
    if body.len() > FRAME_BYTES_MAX {
        return Err(Broken::TooLong(body.len()));
    }
    let length = u32::try_from(body.len()).map_err(|_| Broken::TooLong(body.len()))?;
    Ok(length.to_be_bytes())
}

fn read_up_to(stream: &mut impl Read, length: usize, into: &mut Vec<u8>) -> Result<(), Broken> {
    stream.take(length as u64).read_to_end(into).map_err(failed)?;
    Ok(())
}

fn failed(error: std::io::Error) -> Broken {
    let kind = error.kind();
    if kind == ErrorKind::UnexpectedEof { Broken::Ended } else { Broken::Io(kind) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_that_is_written_is_read_again() {
        let mut stream = Vec::new();

        write_frame(&mut stream, b"one").unwrap();
        write_frame(&mut stream, b"").unwrap();

        let mut stream = stream.as_slice();
        assert_eq!(read_frame(&mut stream), Ok(Some(b"one".to_vec())));
        assert_eq!(read_frame(&mut stream), Ok(Some(Vec::new())));
        assert_eq!(read_frame(&mut stream), Ok(None));
    }

    #[test]
    fn a_frame_that_is_too_long_is_refused_before_its_body_is_read() {
        let mut stream: &[u8] = &[0xff, 0xff, 0xff, 0xff];
        assert_eq!(read_frame(&mut stream), Err(Broken::TooLong(0xffff_ffff)));

        let long = vec![0; FRAME_BYTES_MAX + 1];
        assert_eq!(write_frame(&mut Vec::new(), &long), Err(Broken::TooLong(long.len())));
        assert_eq!(encode(&long), Err(Broken::TooLong(long.len())));
    }

    #[test]
    fn the_longest_frame_is_accepted() {
        let longest = vec![7; FRAME_BYTES_MAX];
        let frame = encode(&longest).unwrap();
        assert_eq!(read_frame(&mut frame.as_slice()), Ok(Some(longest)));
    }

    #[test]
    fn a_stream_that_ends_inside_a_frame_is_broken() {
        let frame = encode(b"body").unwrap();
        for cut in 1..frame.len() {
            assert_eq!(read_frame(&mut &frame[..cut]), Err(Broken::Ended), "cut at {cut}");
        }
    }

    #[test]
    fn a_buffer_gives_a_frame_only_when_it_holds_all_of_it() {
        let mut buffer = encode(b"body").unwrap();
        for cut in 0..buffer.len() {
            assert_eq!(first(&buffer[..cut]), Ok(None), "cut at {cut}");
        }

        buffer.extend_from_slice(b"next");

        assert_eq!(first(&buffer), Ok(Some(b"body".as_slice())));
        assert_eq!(first(&[1, 0, 0, 1]), Err(Broken::TooLong(0x0100_0001)));
    }

    #[test]
    fn memory_is_not_taken_for_bytes_that_never_arrive() {
        struct Counting(usize);
        impl Read for Counting {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                self.0 = self.0.max(buffer.len());
                Ok(0)
            }
        }
        let mut silent = Counting(0);

        let read = read_frame(&mut [0, 0xff, 0xff, 0xff].as_slice().chain(&mut silent));

        assert_eq!(read, Err(Broken::Ended));
        assert!(silent.0 < 1024 * 1024, "asked for {} bytes at once", silent.0);
    }
}

//! Frames on the serial port.
//!
//! ```text
//! frame = kind (1 byte) || channel (4 bytes) || length (2 bytes) || body      ; big-endian
//! ```

/// What a channel leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// The TEE's interface, on the host; the guest opens it.
    Tee,
    /// Disk space of the REE, on the host; the guest opens it.
    Storage,
    /// The measured settings, on the host, which only writes; the guest opens it.
    Settings,
    /// The TEEP Agent, in the guest; the host opens it for each connection of the Broker.
    Agent,
}

impl Service {
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Tee => 0,
            Self::Storage => 1,
            Self::Settings => 2,
            Self::Agent => 3,
        }
    }

    pub(crate) const fn of(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Tee),
            1 => Some(Self::Storage),
            2 => Some(Self::Settings),
            3 => Some(Self::Agent),
            _ => None,
        }
    }
}

/// The last words of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goodbye {
    /// It was told to stop, and powers off.
    Stopped,
    /// It restarts.
    Rebooting,
    /// The TEEP Agent ended by itself, with this status.
    AgentEnded(u8),
    /// It could not start what it is there for.
    Failed,
}

impl Goodbye {
    pub(crate) const fn bytes(self) -> [u8; 2] {
        match self {
            Self::Stopped => [0, 0],
            Self::Rebooting => [1, 0],
            Self::AgentEnded(status) => [2, status],
            Self::Failed => [3, 0],
        }
    }

    pub(crate) const fn of(bytes: [u8; 2]) -> Option<Self> {
        match bytes {
            [0, 0] => Some(Self::Stopped),
            [1, 0] => Some(Self::Rebooting),
            [2, status] => Some(Self::AgentEnded(status)),
            [3, 0] => Some(Self::Failed),
            _ => None,
        }
    }
}

/// One frame, its body still where it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'b> {
    pub(crate) kind: u8,
    pub(crate) channel: u32,
    pub(crate) body: &'b [u8],
}

impl<'b> Frame<'b> {
    /// Takes the first frame off a buffer, if it is whole.
    pub(crate) fn first(buffer: &'b [u8]) -> Option<(Self, &'b [u8])> {
        let (&[kind, a, b, c, d, e, f], rest) = buffer.split_first_chunk::<HEADER_BYTES>()?;
        let length = usize::from(u16::from_be_bytes([e, f]));
        let (body, rest) = rest.split_at_checked(length)?;
        Some((Self { kind, channel: u32::from_be_bytes([a, b, c, d]), body }, rest))
    }

    pub(crate) fn put(kind: u8, channel: u32, body: &[u8], out: &mut impl Extend<u8>) {
        let length = u16::try_from(body.len()).expect("bodies are cut to BODY_BYTES_MAX");
        out.extend([kind]);
        out.extend(channel.to_be_bytes());
        out.extend(length.to_be_bytes());
        out.extend(body.iter().copied());
    }
}

pub(crate) const HELLO: u8 = 1;
pub(crate) const OPEN: u8 = 2;
pub(crate) const DATA: u8 = 3;
pub(crate) const CREDIT: u8 = 4;
pub(crate) const END: u8 = 5;
pub(crate) const RESET: u8 = 6;
pub(crate) const STOP: u8 = 7;
pub(crate) const GOODBYE: u8 = 8;

/// What both sides say first.
pub(crate) const VERSION: &[u8] = b"tamarack-link-1";

pub(crate) const HEADER_BYTES: usize = 7;

/// The longest body that is made; every `u16` is accepted.
pub(crate) const BODY_BYTES_MAX: usize = 32 * 1024;

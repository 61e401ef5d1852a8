//! A release that flows live through the relay of a device's Broker, past the Network M/OC.
//!
//! The bytes are those that would lie in a package: sealed to the attested key, signed by the
//! owner. They are sealed as they flow, so memory does not grow with the data. What was not
//! confirmed is sent again after a cut; the TEE passes over what it has.
//!
//! Where a release belongs to a package (cases 1, 4 and 5), the package names it by its digest
//! and the TEE asks for its ranges: [`Giving`].

mod giving;

use std::{
    io::{self, Read},
    net::{TcpStream, ToSocketAddrs as _},
    time::{Duration, Instant},
};

use channel::release::{Binding, CHUNK_BYTES_MAX, Digests, Sealing};
use cose::{Entropy, Key, Secret, Signer};
use device::{
    ComponentId, Failure,
    broker::{Piece, Reply, Request},
    frame::{self, Broken},
};

pub use giving::Giving;

/// Where a release goes, and what it is bound to.
#[derive(Clone, Copy)]
pub struct To<'a> {
    /// The relay, `HOST:PORT`.
    pub relay: &'a str,
    /// The component of the TA.
    pub component: &'a suit::ComponentId,
    /// The attested receiver key.
    pub receiver: &'a Key,
    /// What the release is bound to.
    pub binding: Binding,
    /// The deployment.
    pub deployment: &'a str,
    /// Who may call the TA.
    pub callers: &'a [Key],
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The receipt, a COSE_Sign1; whoever released compares it with the digests.
    pub receipt: Vec<u8>,
    /// The digests of what was sealed.
    pub digests: Digests,
}

/// A release did not arrive. The data is sealed to a key that dies with its TEE.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotSent {
    /// The data does not read.
    #[error("the Personalization Data does not read")]
    Data(#[source] io::Error),
    /// It was not sealed.
    #[error("the data was not sealed")]
    Seal(#[from] channel::Refused),
    /// The component cannot be named.
    #[error("the Trusted Application cannot be named to the relay")]
    Component(#[from] device::Malformed),
    /// The relay does not answer.
    #[error(
        "the relay {relay} does not answer: {cause}; check its address, and that the Broker runs"
    )]
    Unreachable {
        /// Its address.
        relay: String,
        /// What the last attempt met.
        cause: String,
    },
    /// The TEE does not have any more what it confirmed: it has started anew.
    #[error("the TEE has lost {0} bytes that it had")]
    Lost(u64),
    /// The TEE refused.
    #[error("the TEE refused the release: {0}")]
    Refused(Failure),
    /// It took everything and opened nothing, or opened before the end.
    #[error("the TEE's answer does not fit what was sent")]
    Answer,
}

/// Seals data as it is read, and sends it. Blocks its thread; `progress` hears how many bytes the
/// TEE has confirmed.
///
/// # Errors
/// See [`NotSent`].
pub fn send(
    owner: &dyn Signer,
    to: &To<'_>,
    data: &mut dyn Read,
    entropy: &mut dyn Entropy,
    progress: &mut dyn FnMut(u64),
) -> Result<Sent, NotSent> {
    let (head, sealing) =
        Sealing::begin(owner, to.receiver, &to.binding, to.deployment, to.callers, entropy)?;
    let mut stream = [0; 32];
    entropy.fill(&mut stream);
    let component = ComponentId::new(to.component.parts().to_vec())?;
    let mut wire = Wire { relay: to.relay, component, stream, offset: 0, connection: None };
    let mut waiting = head;
    let digests = sealed(sealing, data, &mut |frame| {
        if waiting.len() >= PIECE_BYTES {
            if wire.put(std::mem::take(&mut waiting))?.is_some() {
                return Err(NotSent::Answer);
            }
            progress(wire.offset);
        }
        waiting.extend(frame);
        Ok::<(), NotSent>(())
    })?;
    let receipt = wire.put(waiting)?.ok_or(NotSent::Answer)?;
    progress(wire.offset);
    Ok(Sent { receipt, digests })
}

/// Seals data as it is read, frame by frame, to its last one.
pub(crate) fn sealed<E: From<NotSent>>(
    mut sealing: Sealing,
    data: &mut dyn Read,
    take: &mut dyn FnMut(Vec<u8>) -> Result<(), E>,
) -> Result<Digests, E> {
    let mut chunk = read(data)?;
    loop {
        let next = read(data)?;
        if next.expose().is_empty() {
            break;
        }
        take(sealing.chunk(chunk.expose()).map_err(NotSent::Seal)?)?;
        chunk = next;
    }
    let (frame, digests) = sealing.last(chunk.expose()).map_err(NotSent::Seal)?;
    take(frame)?;
    Ok(digests)
}

/// The next chunk of the data; an empty one at its end.
fn read(data: &mut dyn Read) -> Result<Secret, NotSent> {
    let mut chunk = Vec::with_capacity(CHUNK_BYTES_MAX);
    data.take(CHUNK_BYTES_MAX as u64).read_to_end(&mut chunk).map_err(NotSent::Data)?;
    Ok(Secret::new(chunk))
}

/// The connection, which may break, and what the TEE has.
struct Wire<'a> {
    relay: &'a str,
    component: ComponentId,
    stream: [u8; 32],
    /// The bytes before this were confirmed.
    offset: u64,
    connection: Option<TcpStream>,
}

impl Wire<'_> {
    /// Sends bytes until the TEE has them all; with the last ones comes the receipt.
    fn put(&mut self, bytes: Vec<u8>) -> Result<Option<Vec<u8>>, NotSent> {
        let end = self.offset + bytes.len() as u64;
        let piece = Piece { stream: self.stream, offset: self.offset, bytes };
        let request = Request::TakeRelease { component: self.component.clone(), piece };
        let begun = Instant::now();
        loop {
            match self.ask(&request) {
                Ok(Reply::Taken(offset)) if offset == end => {
                    self.offset = end;
                    return Ok(None);
                }
                Ok(Reply::Received(receipt)) => {
                    self.offset = end;
                    return Ok(Some(receipt));
                }
                Ok(Reply::Taken(offset)) if offset < self.offset => {
                    return Err(NotSent::Lost(self.offset - offset));
                }
                Ok(Reply::Failed(failure)) if failure.code != device::FailureCode::Busy => {
                    return Err(NotSent::Refused(failure));
                }
                Ok(Reply::Failed(busy)) => self.pause(begun, busy.to_string())?,
                Ok(_) => return Err(NotSent::Answer),
                Err(broken) => self.pause(begun, broken.to_string())?,
            }
        }
    }

    /// Waits before the next attempt, for as long as a restart takes.
    fn pause(&mut self, begun: Instant, cause: String) -> Result<(), NotSent> {
        self.connection = None;
        // An address that never answered is a wrong one rather than a restart.
        let patience = if self.offset == 0 { NEVER_FOR } else { CUT_FOR };
        if begun.elapsed() > patience {
            return Err(NotSent::Unreachable { relay: self.relay.to_owned(), cause });
        }
        std::thread::sleep(PAUSE);
        Ok(())
    }

    fn ask(&mut self, request: &Request) -> Result<Reply, Broken> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none @ None => none.insert(connect(self.relay).map_err(|e| Broken::Io(e.kind()))?),
        };
        frame::ask(connection, request)
    }
}

fn connect(relay: &str) -> io::Result<TcpStream> {
    let mut last = io::ErrorKind::AddrNotAvailable.into();
    for address in relay.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_WITHIN) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PIECE_WITHIN))?;
                stream.set_write_timeout(Some(PIECE_WITHIN))?;
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// What is sent at once, and kept until it is confirmed.
const PIECE_BYTES: usize = 1024 * 1024;

/// A TEE opens a piece, and with the last one starts its application on the data.
const PIECE_WITHIN: Duration = Duration::from_secs(60);
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(200);

/// How long one piece is tried again.
const CUT_FOR: Duration = Duration::from_secs(60);
const NEVER_FOR: Duration = Duration::from_secs(5);

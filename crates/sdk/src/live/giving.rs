//! A payload that is given at the relay of a device's Broker, range by range, as the TEE asks.

use std::{
    fs::File,
    future::Future,
    net::{Shutdown, TcpStream},
    os::unix::fs::FileExt as _,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
    thread::{self, JoinHandle},
    time::Instant,
};

use device::{
    broker::{Reply, Request},
    frame::{self, Broken},
};

use super::{NEVER_FOR, NotSent, PAUSE, PIECE_BYTES, connect};

/// Gives a payload until it is dropped, over cuts. What lies in the file is ciphertext.
#[derive(Debug)]
pub struct Giving {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The TEE has the bytes before this offset.
    confirmed: u64,
    ended: bool,
    /// The connection, so that its wait can be ended.
    connection: Option<TcpStream>,
    /// Who waits for progress.
    waker: Option<Waker>,
}

impl Giving {
    /// Connects to the relay and offers the payload there.
    ///
    /// # Errors
    /// [`NotSent::Unreachable`].
    pub fn begin(relay: &str, file: File, sha256: [u8; 32]) -> Result<Self, NotSent> {
        let begun = Instant::now();
        let first = loop {
            match connect(relay) {
                Ok(connection) => break connection,
                Err(cause) if begun.elapsed() > NEVER_FOR => {
                    let (relay, cause) = (relay.to_owned(), cause.to_string());
                    return Err(NotSent::Unreachable { relay, cause });
                }
                Err(_) => thread::sleep(PAUSE),
            }
        };
        let shared = Arc::<Shared>::default();
        let giver = Giver { relay: relay.to_owned(), file, sha256, shared: Arc::clone(&shared) };
        let thread = thread::spawn(move || giver.give(first));
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Waits for something else, and tells meanwhile how many bytes the TEE has.
    pub async fn during<T>(
        &self,
        waited: impl Future<Output = T>,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> T {
        let mut waited = pin!(waited);
        let mut told = 0;
        std::future::poll_fn(|context| {
            let confirmed = {
                let mut state = self.shared.state();
                state.waker = Some(context.waker().clone());
                state.confirmed
            };
            if confirmed > told {
                told = confirmed;
                progress(confirmed);
            }
            match waited.as_mut().poll(context) {
                Poll::Ready(done) => Poll::Ready(done),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }
}

impl Drop for Giving {
    fn drop(&mut self) {
        {
            let mut state = self.shared.state();
            state.ended = true;
            if let Some(connection) = &state.connection {
                let _closed = connection.shutdown(Shutdown::Both);
            }
        }
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Giver {
    relay: String,
    file: File,
    sha256: [u8; 32],
    shared: Arc<Shared>,
}

impl Giver {
    fn give(self, first: TcpStream) {
        let mut next = Some(first);
        loop {
            if let Some(connection) = next.take().or_else(|| connect(&self.relay).ok()) {
                // A connection that breaks is followed by another one.
                let _broken = self.converse(connection);
            }
            if self.shared.state().ended {
                return;
            }
            thread::sleep(PAUSE);
        }
    }

    fn converse(&self, mut connection: TcpStream) -> Result<(), Broken> {
        let io = |error: std::io::Error| Broken::Io(error.kind());
        {
            let mut state = self.shared.state();
            state.connection = Some(connection.try_clone().map_err(io)?);
            if state.ended {
                return Ok(());
            }
        }
        let mut request = Request::OfferPayload { sha256: self.sha256 };
        loop {
            request = match frame::ask(&mut connection, &request)? {
                Reply::Wanted { length: 0, .. } => Request::OfferPayload { sha256: self.sha256 },
                Reply::Wanted { offset, length } => {
                    self.confirmed(offset);
                    let bytes = self.range(offset, length).map_err(io)?;
                    Request::GivePayload { sha256: self.sha256, offset, bytes }
                }
                _ => return Err(Broken::Ended),
            };
        }
    }

    /// Fewer bytes than are wanted mean the end.
    fn range(&self, offset: u64, length: u64) -> std::io::Result<Vec<u8>> {
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(PIECE_BYTES);
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while filled < length {
            match self.file.read_at(&mut bytes[filled..], offset + filled as u64)? {
                0 => break,
                count => filled += count,
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    fn confirmed(&self, bytes: u64) {
        let mut state = self.shared.state();
        state.confirmed = bytes;
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }
}

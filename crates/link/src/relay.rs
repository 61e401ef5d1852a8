//! The loop that joins the channels of a link and Unix sockets.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::{self, Receiver, Sender};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::frame::{Goodbye, Service};
use crate::mux::{CHANNELS_MAX, Event, Full, Link, OUTGOING_BYTES_MAX, Side, Violation};

/// Joins the channels of one port with sockets of this machine.
pub struct Relay {
    link: Link,
    port: File,
    /// Whoever connects here gets a channel to [`Service::Agent`].
    listener: Option<UnixListener>,
    connect: Box<Connect>,
    sockets: BTreeMap<u32, Socket>,
    /// Sockets that wait for the other side's greeting.
    early: Vec<(Service, UnixStream)>,
    told: Receiver<Told>,
    /// Absent once no handle is left to wake this relay.
    wake: Option<UnixStream>,
    notify: Box<Notify>,
    parting: bool,
    ending: Option<Ending>,
}

/// Tells a relay from another thread what to do.
#[derive(Clone)]
pub struct Handle {
    tell: Sender<Told>,
    wake: std::sync::Arc<UnixStream>,
}

/// How a link came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The guest said goodbye.
    Goodbye(Goodbye),
    /// The port was closed without a word.
    Closed,
}

/// Why a link cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The other side broke a rule.
    #[error("the other side of the serial port broke a rule")]
    Violation(#[from] Violation),
    /// The port failed.
    #[error("the serial port failed: {0}")]
    Port(ErrorKind),
}

type Connect = dyn FnMut(Service) -> io::Result<UnixStream> + Send;
type Notify = dyn FnMut(Notice) + Send;

/// What a relay tells its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The other side is there.
    Greeted,
    /// The host asks the guest to stop.
    Stop,
}

enum Told {
    Attach(Service, UnixStream),
    Goodbye(Goodbye),
    Stop,
}

/// A socket of this machine that has a channel.
struct Socket {
    stream: UnixStream,
    /// What came through the channel and the socket has not taken yet; the window bounds it.
    pending: VecDeque<u8>,
    reads: bool,
    writes: bool,
    ended: bool,
}

impl Relay {
    /// A relay on an open port, which must not block.
    ///
    /// `connect` makes the socket for a channel that the other side opens; `notify` hears of what
    /// concerns the whole link. Both are called from the loop and must not wait.
    pub fn new(
        side: Side,
        port: File,
        listener: Option<UnixListener>,
        connect: impl FnMut(Service) -> io::Result<UnixStream> + Send + 'static,
        notify: impl FnMut(Notice) + Send + 'static,
    ) -> io::Result<(Self, Handle)> {
        if let Some(listener) = &listener {
            listener.set_nonblocking(true)?;
        }
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        theirs.set_nonblocking(true)?;
        let (tell, told) = mpsc::channel();
        let relay = Self {
            link: Link::new(side),
            port,
            listener,
            connect: Box::new(connect),
            sockets: BTreeMap::new(),
            early: Vec::new(),
            told,
            wake: Some(ours),
            notify: Box::new(notify),
            parting: false,
            ending: None,
        };
        Ok((relay, Handle { tell, wake: theirs.into() }))
    }

    /// Relays until the link ends.
    pub fn run(mut self) -> Result<Ending, Broken> {
        loop {
            if let Some(ending) = self.ending {
                return Ok(ending);
            }
            let ready = self.wait().map_err(|error| Broken::Port(error.kind()))?;
            if ready.wake {
                self.listen_to_handles();
            }
            if ready.port_writes {
                self.write_port()?;
            }
            if ready.port_reads {
                self.read_port()?;
            }
            if ready.accept {
                self.accept();
            }
            for (channel, reads, writes) in ready.sockets {
                if writes {
                    self.write_socket(channel);
                }
                if reads {
                    self.read_socket(channel);
                }
            }
        }
    }

    fn wait(&mut self) -> io::Result<Ready> {
        let waiting = self.link.outgoing().len();
        let full = waiting >= OUTGOING_BYTES_MAX;
        let mut port = PollFlags::empty();
        port.set(PollFlags::POLLIN, waiting < WAITING_BYTES_MAX);
        port.set(PollFlags::POLLOUT, waiting > 0);
        let mut polled: Vec<(Polled, BorrowedFd<'_>, PollFlags)> =
            vec![(Polled::Port, self.port.as_fd(), port)];
        if let Some(wake) = &self.wake {
            polled.push((Polled::Wake, wake.as_fd(), PollFlags::POLLIN));
        }
        if let Some(listener) = self.listener.as_ref().filter(|_| self.link.has_place() && !full) {
            polled.push((Polled::Listener, listener.as_fd(), PollFlags::POLLIN));
        }
        for (channel, socket) in &self.sockets {
            let mut flags = PollFlags::empty();
            let reads = socket.reads && !full && self.link.room(*channel) > 0;
            flags.set(PollFlags::POLLIN, reads);
            flags.set(PollFlags::POLLOUT, !socket.pending.is_empty());
            // Without interest it is left out: a socket that was hung up would never let us sleep.
            if !flags.is_empty() {
                polled.push((Polled::Socket(*channel), socket.stream.as_fd(), flags));
            }
        }
        let mut fds: Vec<PollFd<'_>> =
            polled.iter().map(|(_, fd, flags)| PollFd::new(*fd, *flags)).collect();
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut ready = Ready::default();
        for ((what, _, asked), fd) in polled.iter().zip(&fds) {
            let seen = fd.revents().unwrap_or(PollFlags::empty());
            let gone = seen.intersects(
                PollFlags::POLLHUP.union(PollFlags::POLLERR).union(PollFlags::POLLNVAL),
            );
            let reads =
                asked.contains(PollFlags::POLLIN) && (gone || seen.contains(PollFlags::POLLIN));
            let writes =
                asked.contains(PollFlags::POLLOUT) && (gone || seen.contains(PollFlags::POLLOUT));
            match what {
                Polled::Port => (ready.port_reads, ready.port_writes) = (reads || gone, writes),
                Polled::Wake => ready.wake = reads,
                Polled::Listener => ready.accept = reads,
                Polled::Socket(channel) => ready.sockets.push((*channel, reads, writes)),
            }
        }
        Ok(ready)
    }

    fn listen_to_handles(&mut self) {
        let mut woken = [0; 64];
        while let Some(wake) = &mut self.wake {
            match wake.read(&mut woken) {
                Ok(1..) => {}
                // The last handle is gone; its end of the socket would wake us for ever.
                Ok(0) => self.wake = None,
                Err(_) => break,
            }
        }
        while let Ok(told) = self.told.try_recv() {
            match told {
                Told::Attach(service, stream) => self.attach(service, stream),
                Told::Goodbye(goodbye) => {
                    self.link.goodbye(goodbye);
                    self.parting = true;
                }
                Told::Stop => self.link.stop(),
            }
        }
    }

    /// Opens a channel for a socket, when the other side is there.
    fn attach(&mut self, service: Service, stream: UnixStream) {
        match self.link.open(service) {
            Ok(channel) => self.join(channel, stream),
            Err(Full) if !self.link.is_greeted() => self.early.push((service, stream)),
            // Dropping the socket shows its other end that there is no channel.
            Err(Full) => {}
        }
    }

    fn accept(&mut self) {
        let Some(listener) = &self.listener else { return };
        let Ok((stream, _)) = listener.accept() else { return };
        if let Ok(channel) = self.link.open(Service::Agent) {
            self.join(channel, stream);
        }
    }

    fn join(&mut self, channel: u32, stream: UnixStream) {
        if stream.set_nonblocking(true).is_err() {
            return self.link.reset(channel);
        }
        let pending = VecDeque::new();
        let socket = Socket { stream, pending, reads: true, writes: true, ended: false };
        self.sockets.insert(channel, socket);
    }

    fn read_port(&mut self) -> Result<(), Broken> {
        let mut bytes = [0; PORT_BYTES];
        let got = match self.port.read(&mut bytes) {
            Ok(0) => {
                self.ending = Some(Ending::Closed);
                return Ok(());
            }
            Ok(got) => got,
            Err(error) if passes(&error) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                self.ending = Some(Ending::Closed);
                return Ok(());
            }
            Err(error) => return Err(Broken::Port(error.kind())),
        };
        for event in self.link.receive(&bytes[..got])? {
            self.event(event);
        }
        Ok(())
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Greeted => {
                (self.notify)(Notice::Greeted);
                for (service, stream) in std::mem::take(&mut self.early) {
                    self.attach(service, stream);
                }
            }
            Event::Stop => (self.notify)(Notice::Stop),
            Event::Goodbye(goodbye) => self.ending = Some(Ending::Goodbye(goodbye)),
            Event::Opened { channel, service } => match (self.connect)(service) {
                Ok(stream) => self.join(channel, stream),
                Err(_) => self.link.reset(channel),
            },
            Event::Data { channel, bytes } => match self.sockets.get_mut(&channel) {
                Some(socket) => {
                    socket.pending.extend(bytes);
                    self.write_socket(channel);
                }
                None => self.link.consumed(channel, bytes.len()),
            },
            Event::Ended { channel } => {
                if let Some(socket) = self.sockets.get_mut(&channel) {
                    socket.ended = true;
                    self.write_socket(channel);
                }
            }
            Event::Reset { channel } => {
                self.sockets.remove(&channel);
            }
        }
    }

    fn write_port(&mut self) -> Result<(), Broken> {
        let outgoing = self.link.outgoing();
        let (front, _) = outgoing.as_slices();
        let front = &front[..front.len().min(PORT_BYTES)];
        match self.port.write(front) {
            Ok(written) => drop(outgoing.drain(..written)),
            Err(error) if passes(&error) => {}
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                // What the other side said before is still to be read.
                outgoing.clear();
            }
            Err(error) => return Err(Broken::Port(error.kind())),
        }
        if self.parting && self.link.outgoing().is_empty() {
            self.ending = Some(Ending::Closed);
        }
        Ok(())
    }

    /// Gives a socket what came for it.
    fn write_socket(&mut self, channel: u32) {
        let Some(socket) = self.sockets.get_mut(&channel) else { return };
        while !socket.pending.is_empty() {
            let (front, _) = socket.pending.as_slices();
            match socket.stream.write(front) {
                Ok(written) => {
                    socket.pending.drain(..written);
                    self.link.consumed(channel, written);
                }
                Err(error) if passes(&error) => return,
                Err(_) => {
                    self.link.reset(channel);
                    self.sockets.remove(&channel);
                    return;
                }
            }
        }
        if socket.ended && std::mem::replace(&mut socket.writes, false) {
            let _ = socket.stream.shutdown(Shutdown::Write);
        }
        self.forget_if_over(channel);
    }

    /// Takes from a socket what fits into its channel.
    fn read_socket(&mut self, channel: u32) {
        let Some(socket) = self.sockets.get_mut(&channel) else { return };
        let mut bytes = [0; PORT_BYTES];
        let room = self.link.room(channel).min(bytes.len());
        match socket.stream.read(&mut bytes[..room]) {
            Ok(0) if room > 0 => {
                socket.reads = false;
                self.link.end(channel);
                self.forget_if_over(channel);
            }
            Ok(got) => self.link.send(channel, &bytes[..got]),
            Err(error) if passes(&error) => {}
            Err(_) => {
                self.link.reset(channel);
                self.sockets.remove(&channel);
            }
        }
    }

    fn forget_if_over(&mut self, channel: u32) {
        if self.sockets.get(&channel).is_some_and(|socket| !socket.reads && !socket.writes) {
            self.sockets.remove(&channel);
        }
    }
}

impl Handle {
    /// Opens a channel for a socket.
    pub fn attach(&self, service: Service, stream: UnixStream) {
        self.tell(Told::Attach(service, stream));
    }

    /// Says the guest's last words; the relay ends when they are written.
    pub fn goodbye(&self, goodbye: Goodbye) {
        self.tell(Told::Goodbye(goodbye));
    }

    /// Asks the guest to stop.
    pub fn stop(&self) {
        self.tell(Told::Stop);
    }

    fn tell(&self, told: Told) {
        // A relay that has ended needs no telling; one that is woken already neither.
        let _ = self.tell.send(told);
        let _ = (&*self.wake).write(&[1]);
    }
}

/// What can be read or written without waiting.
#[derive(Default)]
struct Ready {
    port_reads: bool,
    port_writes: bool,
    wake: bool,
    accept: bool,
    sockets: Vec<(u32, bool, bool)>,
}

enum Polled {
    Port,
    Wake,
    Listener,
    Socket(u32),
}

fn passes(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// What is read from or written to the port at once.
const PORT_BYTES: usize = 32 * 1024;

/// What waits to be written before the port is not read any more.
///
/// Were it as little as [`OUTGOING_BYTES_MAX`], two sides that are both full would wait for each
/// other for ever. One that keeps the rules never comes here: sockets are not read beyond that
/// limit, and what is read from the port adds grants alone, a few for each channel.
const WAITING_BYTES_MAX: usize = OUTGOING_BYTES_MAX + (CHANNELS_MAX + 2) * PORT_BYTES;

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use super::*;

    #[test]
    fn a_relay_without_handles_sleeps_until_its_port_has_something() {
        let (port, mut other) = UnixStream::pair().unwrap();
        port.set_nonblocking(true).unwrap();
        let never = |_| Err(ErrorKind::NotConnected.into());
        let port = File::from(OwnedFd::from(port));
        let (mut relay, handle) = Relay::new(Side::Host, port, None, never, |_| {}).unwrap();
        drop(handle);

        assert!(relay.wait().unwrap().wake);
        relay.listen_to_handles();
        relay.link.outgoing().clear();
        other.write_all(b"x").unwrap();

        let ready = relay.wait().unwrap();
        assert!(!ready.wake && ready.port_reads);
    }
}

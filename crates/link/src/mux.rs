//! The link as a value: bytes in, events and bytes out.

use std::collections::{BTreeMap, VecDeque};

use crate::frame::{
    BODY_BYTES_MAX, CREDIT, DATA, END, Frame, GOODBYE, Goodbye, HELLO, OPEN, RESET, STOP, Service,
    VERSION,
};

/// One end of the link.
#[derive(Debug)]
pub struct Link {
    side: Side,
    greeted: bool,
    channels: BTreeMap<u32, Channel>,
    /// The number of the next channel that this side opens.
    next: u32,
    /// The lowest number that the other side may open next.
    next_of_peer: u32,
    incoming: Vec<u8>,
    outgoing: VecDeque<u8>,
}

/// Whose end it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The host's: even channels, opens [`Service::Agent`].
    Host,
    /// The guest's: odd channels, opens everything else.
    Guest,
}

/// What the other side did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is there.
    Greeted,
    /// It opened a channel.
    Opened {
        /// The channel.
        channel: u32,
        /// What it leads to.
        service: Service,
    },
    /// It sent bytes; [`Link::consumed`] says that they need no room any more.
    Data {
        /// The channel.
        channel: u32,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// It sends no more in this channel.
    Ended {
        /// The channel.
        channel: u32,
    },
    /// It gave the channel up.
    Reset {
        /// The channel.
        channel: u32,
    },
    /// The host asks the guest to stop.
    Stop,
    /// The guest's last words.
    Goodbye(Goodbye),
}

/// The other side broke a rule; nothing that it says counts any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// It did not greet first, or twice, or in another version.
    #[error("the other side did not greet as this version does")]
    Greeting,
    /// A kind of frame that does not exist, or is not for this side.
    #[error("a frame of kind {0} is not for this side")]
    Kind(u8),
    /// A frame's body does not have the form of its kind.
    #[error("the body of a frame of kind {kind} is malformed")]
    Body {
        /// The kind.
        kind: u8,
    },
    /// It opened a channel that is not its to open.
    #[error("channel {channel} cannot be opened by the other side")]
    Open {
        /// The channel.
        channel: u32,
    },
    /// It spoke of a channel that nobody opened.
    #[error("channel {channel} was never opened")]
    Unknown {
        /// The channel.
        channel: u32,
    },
    /// It sent more than its window allows, or after the end.
    #[error("channel {channel} carries more than was granted")]
    Overrun {
        /// The channel.
        channel: u32,
    },
    /// It granted more than a window.
    #[error("channel {channel} was granted more than a window")]
    Grant {
        /// The channel.
        channel: u32,
    },
}

/// No further channel can be opened now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{CHANNELS_MAX} channels are open, or the other side has not greeted")]
pub struct Full;

#[derive(Debug)]
struct Channel {
    /// Bytes that this side may still send.
    room: u32,
    /// Bytes that the other side may still send.
    granted: u32,
    /// Bytes that were taken and not granted again yet.
    owed: u32,
    ended_here: bool,
    ended_there: bool,
}

impl Link {
    /// A new link; the guest speaks first.
    pub fn new(side: Side) -> Self {
        let (next, next_of_peer) = match side {
            Side::Host => (2, 1),
            Side::Guest => (1, 2),
        };
        let mut link = Self {
            side,
            greeted: false,
            channels: BTreeMap::new(),
            next,
            next_of_peer,
            incoming: Vec::new(),
            outgoing: VecDeque::new(),
        };
        link.put(HELLO, 0, VERSION);
        link
    }

    /// Takes bytes from the port.
    ///
    /// After an error the link is of no use.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Vec<Event>, Violation> {
        let mut incoming = std::mem::take(&mut self.incoming);
        incoming.extend_from_slice(bytes);
        let mut rest = incoming.as_slice();
        let mut events = Vec::new();
        while let Some((frame, after)) = Frame::first(rest) {
            rest = after;
            events.extend(self.frame(frame)?);
        }
        self.incoming = rest.to_vec();
        Ok(events)
    }

    /// Opens a channel.
    pub fn open(&mut self, service: Service) -> Result<u32, Full> {
        if !self.has_place() {
            return Err(Full);
        }
        let channel = self.next;
        self.next = channel.checked_add(2).ok_or(Full)?;
        self.channels.insert(channel, Channel::new());
        self.put(OPEN, channel, &[service.number()]);
        Ok(channel)
    }

    /// Whether one more channel can be opened.
    pub fn has_place(&self) -> bool {
        self.greeted && self.channels.len() < CHANNELS_MAX
    }

    /// Whether the other side is there.
    pub fn is_greeted(&self) -> bool {
        self.greeted
    }

    /// How many bytes may be sent in a channel now.
    pub fn room(&self, channel: u32) -> usize {
        let open = self.channels.get(&channel).filter(|channel| !channel.ended_here);
        open.map_or(0, |channel| channel.room as usize)
    }

    /// Sends bytes, no more than [`Self::room`]; what is beyond is not sent.
    pub fn send(&mut self, channel: u32, bytes: &[u8]) {
        let bytes = &bytes[..bytes.len().min(self.room(channel))];
        for part in bytes.chunks(BODY_BYTES_MAX) {
            self.put(DATA, channel, part);
        }
        if let Some(channel) = self.channels.get_mut(&channel) {
            channel.room -= u32::try_from(bytes.len()).expect("a window fits in 32 bits");
        }
    }

    /// Says that bytes of an [`Event::Data`] need no room any more.
    pub fn consumed(&mut self, channel: u32, bytes: usize) {
        let Some(open) = self.channels.get_mut(&channel) else { return };
        open.owed += u32::try_from(bytes).expect("no more than a window came");
        if open.owed >= WINDOW_BYTES / 2 && !open.ended_there {
            let grant = std::mem::take(&mut open.owed);
            open.granted += grant;
            self.put(CREDIT, channel, &grant.to_be_bytes());
        }
    }

    /// Sends no more in this channel.
    pub fn end(&mut self, channel: u32) {
        let Some(open) = self.channels.get_mut(&channel) else { return };
        if !std::mem::replace(&mut open.ended_here, true) {
            self.put(END, channel, &[]);
        }
        self.forget_if_over(channel);
    }

    /// Gives a channel up, in both directions.
    pub fn reset(&mut self, channel: u32) {
        if self.channels.remove(&channel).is_some() {
            self.put(RESET, channel, &[]);
        }
    }

    /// Asks the guest to stop.
    pub fn stop(&mut self) {
        self.put(STOP, 0, &[]);
    }

    /// Says the guest's last words.
    pub fn goodbye(&mut self, goodbye: Goodbye) {
        self.put(GOODBYE, 0, &goodbye.bytes());
    }

    /// What is to be written to the port; whoever writes takes it off the front.
    ///
    /// While it holds [`OUTGOING_BYTES_MAX`] or more, connections should not be read.
    pub fn outgoing(&mut self) -> &mut VecDeque<u8> {
        &mut self.outgoing
    }

    fn frame(&mut self, frame: Frame<'_>) -> Result<Option<Event>, Violation> {
        let Frame { kind, channel, body } = frame;
        if !self.greeted {
            if (kind, channel, body) != (HELLO, 0, VERSION) {
                return Err(Violation::Greeting);
            }
            self.greeted = true;
            return Ok(Some(Event::Greeted));
        }
        match kind {
            HELLO => Err(Violation::Greeting),
            OPEN => self.opened(channel, body),
            DATA => self.data(channel, body),
            CREDIT => self.credit(channel, body).map(|()| None),
            END => self.ended(channel),
            RESET => {
                let open = self.open_channel(channel)?.is_some();
                self.channels.remove(&channel);
                Ok(open.then_some(Event::Reset { channel }))
            }
            STOP if self.side == Side::Guest => Ok(Some(Event::Stop)),
            GOODBYE if self.side == Side::Host => {
                let goodbye = body.try_into().ok().and_then(Goodbye::of);
                goodbye.map(Event::Goodbye).ok_or(Violation::Body { kind }).map(Some)
            }
            _ => Err(Violation::Kind(kind)),
        }
    }

    fn opened(&mut self, channel: u32, body: &[u8]) -> Result<Option<Event>, Violation> {
        let refused = Violation::Open { channel };
        // Numbers only grow, so that what is late never meets another channel.
        if channel != self.next_of_peer {
            return Err(refused);
        }
        self.next_of_peer = channel.checked_add(2).ok_or(refused)?;
        let &[service] = body else { return Err(Violation::Body { kind: OPEN }) };
        let service = Service::of(service).ok_or(Violation::Body { kind: OPEN })?;
        let from_host = service == Service::Agent;
        if from_host != (self.side == Side::Guest) {
            return Err(refused);
        }
        if self.channels.len() >= CHANNELS_MAX {
            self.put(RESET, channel, &[]);
            return Ok(None);
        }
        self.channels.insert(channel, Channel::new());
        Ok(Some(Event::Opened { channel, service }))
    }

    fn data(&mut self, channel: u32, body: &[u8]) -> Result<Option<Event>, Violation> {
        let Some(open) = self.open_channel(channel)? else { return Ok(None) };
        let length = u32::try_from(body.len()).expect("a body is short");
        let left = open.granted.checked_sub(length).filter(|_| !open.ended_there);
        open.granted = left.ok_or(Violation::Overrun { channel })?;
        if body.is_empty() {
            return Ok(None);
        }
        Ok(Some(Event::Data { channel, bytes: body.to_vec() }))
    }

    fn credit(&mut self, channel: u32, body: &[u8]) -> Result<(), Violation> {
        let grant = body.try_into().map(u32::from_be_bytes);
        let grant = grant.map_err(|_| Violation::Body { kind: CREDIT })?;
        let Some(open) = self.open_channel(channel)? else { return Ok(()) };
        let room = open.room.checked_add(grant).filter(|room| *room <= WINDOW_BYTES);
        open.room = room.ok_or(Violation::Grant { channel })?;
        Ok(())
    }

    fn ended(&mut self, channel: u32) -> Result<Option<Event>, Violation> {
        let Some(open) = self.open_channel(channel)? else { return Ok(None) };
        if std::mem::replace(&mut open.ended_there, true) {
            return Err(Violation::Overrun { channel });
        }
        self.forget_if_over(channel);
        Ok(Some(Event::Ended { channel }))
    }

    /// The channel that the other side speaks of; `None` when this side gave it up before.
    fn open_channel(&mut self, channel: u32) -> Result<Option<&mut Channel>, Violation> {
        let ours = channel % 2 == self.next % 2;
        let beyond = if ours { self.next } else { self.next_of_peer };
        if channel == 0 || channel >= beyond {
            return Err(Violation::Unknown { channel });
        }
        Ok(self.channels.get_mut(&channel))
    }

    fn forget_if_over(&mut self, channel: u32) {
        if self.channels.get(&channel).is_some_and(|open| open.ended_here && open.ended_there) {
            self.channels.remove(&channel);
        }
    }

    fn put(&mut self, kind: u8, channel: u32, body: &[u8]) {
        Frame::put(kind, channel, body, &mut self.outgoing);
    }
}

impl Channel {
    const fn new() -> Self {
        Self {
            room: WINDOW_BYTES,
            granted: WINDOW_BYTES,
            owed: 0,
            ended_here: false,
            ended_there: false,
        }
    }
}

/// Channels at one time.
pub const CHANNELS_MAX: usize = 96;

/// How much of a channel may be under way in one direction.
pub const WINDOW_BYTES: u32 = 256 * 1024;

/// What waits to be written before connections are not read any more.
pub const OUTGOING_BYTES_MAX: usize = 512 * 1024;

//! Two ends of a link, and one end with a hostile other.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::frame::{CREDIT, DATA, END, Frame, GOODBYE, HELLO, OPEN, RESET, STOP, VERSION};

#[test]
fn what_one_side_sends_the_other_gets_in_order() {
    let (mut host, mut guest) = greeted();
    let channel = host.open(Service::Agent).unwrap();
    host.send(channel, b"one");
    host.send(channel, b"two");
    host.end(channel);

    let events = guest.receive(&taken(&mut host)).unwrap();

    let data = |bytes: &[u8]| Event::Data { channel, bytes: bytes.to_vec() };
    let opened = Event::Opened { channel, service: Service::Agent };
    assert_eq!(events, [opened, data(b"one"), data(b"two"), Event::Ended { channel }]);
}

#[test]
fn no_more_is_sent_than_the_other_side_granted() {
    let (mut host, mut guest) = greeted();
    let channel = host.open(Service::Agent).unwrap();
    let much = vec![7; WINDOW_BYTES as usize + 1];

    host.send(channel, &much);
    assert_eq!(host.room(channel), 0);
    let events = guest.receive(&taken(&mut host)).unwrap();
    let got = |event: &Event| match event {
        Event::Data { bytes, .. } => bytes.len(),
        _ => 0,
    };
    assert_eq!(events.iter().map(got).sum::<usize>(), WINDOW_BYTES as usize);

    guest.consumed(channel, WINDOW_BYTES as usize / 2);
    assert_eq!(host.receive(&taken(&mut guest)), Ok(vec![]));
    assert_eq!(host.room(channel), WINDOW_BYTES as usize / 2);
}

#[test]
fn who_sends_more_than_was_granted_ends_the_link() {
    let mut host = Link::new(Side::Host);
    let mut flood = frame(HELLO, 0, VERSION);
    flood.extend(frame(OPEN, 1, &[0]));
    host.receive(&flood).unwrap();
    let body = vec![0; 32 * 1024];
    for _ in 0..WINDOW_BYTES as usize / body.len() {
        host.receive(&frame(DATA, 1, &body)).unwrap();
    }

    let flooded = host.receive(&frame(DATA, 1, b"x"));

    assert_eq!(flooded, Err(Violation::Overrun { channel: 1 }));
}

#[test]
fn every_broken_rule_has_its_violation() {
    let hello = frame(HELLO, 0, VERSION);
    let opened = [hello.clone(), frame(OPEN, 1, &[0])].concat();
    let cases = [
        (frame(OPEN, 1, &[0]), Violation::Greeting),
        (frame(HELLO, 0, b"tamarack-link-2"), Violation::Greeting),
        ([hello.clone(), hello.clone()].concat(), Violation::Greeting),
        ([hello.clone(), frame(99, 0, &[])].concat(), Violation::Kind(99)),
        ([hello.clone(), frame(STOP, 0, &[])].concat(), Violation::Kind(STOP)),
        ([hello.clone(), frame(GOODBYE, 0, &[9, 9])].concat(), Violation::Body { kind: GOODBYE }),
        ([hello.clone(), frame(OPEN, 1, &[9])].concat(), Violation::Body { kind: OPEN }),
        ([hello.clone(), frame(OPEN, 1, &[3])].concat(), Violation::Open { channel: 1 }),
        ([hello.clone(), frame(OPEN, 2, &[0])].concat(), Violation::Open { channel: 2 }),
        ([hello.clone(), frame(OPEN, 7, &[0])].concat(), Violation::Open { channel: 7 }),
        ([hello.clone(), frame(DATA, 1, &[0])].concat(), Violation::Unknown { channel: 1 }),
        ([hello.clone(), frame(DATA, 0, &[0])].concat(), Violation::Unknown { channel: 0 }),
        ([hello, frame(DATA, 2, &[0])].concat(), Violation::Unknown { channel: 2 }),
        ([opened.clone(), frame(OPEN, 1, &[0])].concat(), Violation::Open { channel: 1 }),
        ([opened.clone(), frame(CREDIT, 1, &[1])].concat(), Violation::Body { kind: CREDIT }),
        (
            [opened.clone(), frame(CREDIT, 1, &[0, 0, 0, 1])].concat(),
            Violation::Grant { channel: 1 },
        ),
        (
            [opened, frame(END, 1, &[]), frame(DATA, 1, &[0])].concat(),
            Violation::Overrun { channel: 1 },
        ),
    ];
    for (bytes, violation) in cases {
        assert_eq!(Link::new(Side::Host).receive(&bytes), Err(violation));
    }
}

#[test]
fn one_channel_too_many_is_refused_and_the_others_go_on() {
    let (mut host, mut guest) = greeted();
    for _ in 0..CHANNELS_MAX {
        host.open(Service::Agent).unwrap();
    }
    assert_eq!(host.open(Service::Agent), Err(Full));
    guest.receive(&taken(&mut host)).unwrap();

    let channel = 2 + 2 * CHANNELS_MAX as u32;
    assert_eq!(guest.receive(&frame(OPEN, channel, &[3])), Ok(vec![]));

    assert_eq!(taken(&mut guest), frame(RESET, channel, &[]));
    let data = Event::Data { channel: 2, bytes: b"x".to_vec() };
    assert_eq!(guest.receive(&frame(DATA, 2, b"x")), Ok(vec![data]));
}

#[test]
fn what_comes_late_for_a_channel_that_was_given_up_is_ignored() {
    let (mut host, mut guest) = greeted();
    let channel = host.open(Service::Agent).unwrap();
    guest.receive(&taken(&mut host)).unwrap();
    host.reset(channel);

    guest.send(channel, b"late");
    guest.end(channel);

    assert_eq!(host.receive(&taken(&mut guest)), Ok(vec![]));
    assert_eq!(guest.receive(&taken(&mut host)), Ok(vec![Event::Reset { channel }]));
    assert_ne!(host.open(Service::Agent), Ok(channel));
}

proptest! {
    #[test]
    fn no_bytes_make_a_link_panic(bytes in vec(any::<u8>(), 0..4096)) {
        let mut host = Link::new(Side::Host);
        let _ = host.receive(&frame(HELLO, 0, VERSION)).and_then(|_| host.receive(&bytes));
    }

    #[test]
    fn frames_of_a_hostile_guest_make_no_more_room_than_windows(
        frames in vec((1..9u8, 0..9u32, 0..2000usize), 0..64),
    ) {
        let mut host = Link::new(Side::Host);
        host.receive(&frame(HELLO, 0, VERSION)).unwrap();
        let mut kept = 0;
        for (kind, channel, length) in frames {
            let body = if kind == OPEN { vec![0] } else { vec![0; length] };
            let Ok(events) = host.receive(&frame(kind, channel, &body)) else { break };
            for event in events {
                if let Event::Data { bytes, .. } = event { kept += bytes.len(); }
            }
        }
        prop_assert!(kept <= CHANNELS_MAX * WINDOW_BYTES as usize);
    }

    #[test]
    fn frames_arrive_whole_however_the_port_cuts_them(
        messages in vec(vec(any::<u8>(), 1..500), 1..20),
        cut in 1..64usize,
    ) {
        let (mut host, mut guest) = greeted();
        let channel = host.open(Service::Agent).unwrap();
        messages.iter().for_each(|message| host.send(channel, message));
        let mut got = Vec::new();
        for part in taken(&mut host).chunks(cut) {
            for event in guest.receive(part).unwrap() {
                if let Event::Data { bytes, .. } = event { got.extend(bytes); }
            }
        }
        prop_assert_eq!(got, messages.concat());
    }
}

#[test]
fn sockets_on_both_sides_are_joined_and_megabytes_pass() {
    let folder = std::env::temp_dir().join(format!("tamarack-link-{}", std::process::id()));
    let _ = std::fs::remove_file(&folder);
    let listener = UnixListener::bind(&folder).unwrap();
    let (host_port, guest_port) = ports();
    let never = |_| Err(std::io::ErrorKind::NotConnected.into());
    let (host, _host) = Relay::new(Side::Host, host_port, Some(listener), never, |_| {}).unwrap();
    let echo = |service| {
        assert_eq!(service, Service::Agent);
        let (ours, theirs) = UnixStream::pair()?;
        thread::spawn(move || std::io::copy(&mut &theirs, &mut &theirs));
        Ok(ours)
    };
    let (guest, guest_handle) = Relay::new(Side::Guest, guest_port, None, echo, |_| {}).unwrap();
    let host = thread::spawn(move || host.run());
    let guest = thread::spawn(move || guest.run());
    let sent: Vec<u8> = (0..3_000_000u32).map(|at| (at % 251) as u8).collect();

    let conversations: Vec<_> = (0..4)
        .map(|_| {
            let mut stream = UnixStream::connect(&folder).unwrap();
            let sent = sent.clone();
            thread::spawn(move || {
                let mut writer = stream.try_clone().unwrap();
                let writing = thread::spawn(move || {
                    writer.write_all(&sent).unwrap();
                    writer.shutdown(std::net::Shutdown::Write).unwrap();
                });
                let mut got = Vec::new();
                stream.read_to_end(&mut got).unwrap();
                writing.join().unwrap();
                got
            })
        })
        .collect();
    for conversation in conversations {
        assert!(conversation.join().unwrap() == sent);
    }
    guest_handle.goodbye(Goodbye::AgentEnded(7));

    assert_eq!(guest.join().unwrap(), Ok(Ending::Closed));
    assert_eq!(host.join().unwrap(), Ok(Ending::Goodbye(Goodbye::AgentEnded(7))));
    std::fs::remove_file(&folder).unwrap();
}

#[test]
fn a_socket_that_is_attached_early_gets_its_channel_when_the_other_side_is_there() {
    let (host_port, guest_port) = ports();
    let never = |_| Err(std::io::ErrorKind::NotConnected.into());
    let (guest, handle) = Relay::new(Side::Guest, guest_port, None, never, |_| {}).unwrap();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    handle.attach(Service::Settings, ours);
    thread::spawn(move || guest.run());

    let settings = |service| {
        assert_eq!(service, Service::Settings);
        let (ours, mut theirs) = UnixStream::pair()?;
        theirs.write_all(b"suite = \"esp256\"")?;
        Ok(ours)
    };
    let (host, _handle) = Relay::new(Side::Host, host_port, None, settings, |_| {}).unwrap();
    thread::spawn(move || host.run());

    let mut text = String::new();
    theirs.read_to_string(&mut text).unwrap();
    assert_eq!(text, "suite = \"esp256\"");
}

#[test]
fn a_guest_that_breaks_a_rule_ends_the_relay() {
    let (host_port, mut guest) = ports();
    let never = |_| Err(std::io::ErrorKind::NotConnected.into());
    let (host, _handle) = Relay::new(Side::Host, host_port, None, never, |_| {}).unwrap();

    guest.write_all(b"Linux version 6.1.0").unwrap();

    // `L` and a length that it spells: what is no frame yet is still waited for.
    let filler = vec![b'x'; 70_000];
    let host = thread::spawn(move || host.run());
    let _ = guest.write_all(&filler);
    assert_eq!(host.join().unwrap(), Err(Broken::Violation(Violation::Greeting)));
}

fn ports() -> (File, File) {
    let (host, guest) = UnixStream::pair().unwrap();
    host.set_nonblocking(true).unwrap();
    guest.set_nonblocking(true).unwrap();
    (File::from(OwnedFd::from(host)), File::from(OwnedFd::from(guest)))
}

fn greeted() -> (Link, Link) {
    let (mut host, mut guest) = (Link::new(Side::Host), Link::new(Side::Guest));
    assert_eq!(host.receive(&taken(&mut guest)), Ok(vec![Event::Greeted]));
    assert_eq!(guest.receive(&taken(&mut host)), Ok(vec![Event::Greeted]));
    (host, guest)
}

fn taken(link: &mut Link) -> Vec<u8> {
    link.outgoing().drain(..).collect()
}

fn frame(kind: u8, channel: u32, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    Frame::put(kind, channel, body, &mut frame);
    frame
}

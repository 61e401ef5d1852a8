//! The relay between a vehicle and a scripted Broker.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::{
    io::{BufRead as _, BufReader},
    net::TcpStream,
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::{Child, Command, Stdio},
    thread,
};

use device::{
    ComponentId, FailureCode, frame,
    ua::{Reply, Request},
};

#[test]
fn requests_of_vehicles_reach_the_ta_and_its_answers_come_back() {
    let (mut relay, mut broker) = start();

    let asked: Request = frame::receive(&mut broker).unwrap().unwrap();
    frame::send(&mut broker, &Reply::Done).unwrap();
    assert_eq!(asked, Request::RequestTa { component: ta() });

    let carrying = thread::spawn(move || {
        while let Some(Request::Call { component, request }) = frame::receive(&mut broker).unwrap()
        {
            assert_eq!(component, ta());
            let answer = match &request[..] {
                b"" => Reply::failed(FailureCode::Malformed, "nothing to open"),
                _ => Reply::Answer([&request[..], b" answered"].concat()),
            };
            frame::send(&mut broker, &answer).unwrap();
        }
    });
    let mut vehicles: Vec<_> = (0..3).map(|_| relay.vehicle()).collect();
    for (number, vehicle) in vehicles.iter_mut().enumerate() {
        let request = format!("sealed {number}");
        frame::write_frame(vehicle, request.as_bytes()).unwrap();
        let reply = frame::receive(vehicle).unwrap();
        assert_eq!(reply, Some(Reply::Answer(format!("{request} answered").into_bytes())));
    }
    frame::write_frame(&mut vehicles[0], b"").unwrap();
    let Some(Reply::Failed(failure)) = frame::receive(&mut vehicles[0]).unwrap() else { panic!() };
    assert_eq!(failure.code, FailureCode::Malformed);
    frame::write_frame(&mut vehicles[1], &vec![0; frame::FRAME_BYTES_MAX]).unwrap();
    let Some(Reply::Failed(failure)) = frame::receive(&mut vehicles[1]).unwrap() else { panic!() };
    assert_eq!(failure.code, FailureCode::Unsupported);

    relay.child.kill().unwrap();
    carrying.join().unwrap();
}

#[test]
fn without_its_broker_the_relay_ends_and_does_not_pretend() {
    let (mut relay, mut broker) = start();
    let _asked: Request = frame::receive(&mut broker).unwrap().unwrap();
    frame::send(&mut broker, &Reply::failed(FailureCode::Broken, "no TAM")).unwrap();
    let mut vehicle = relay.vehicle();
    drop(broker);

    frame::write_frame(&mut vehicle, b"sealed").unwrap();

    assert_eq!(relay.child.wait().unwrap().code(), Some(1));
}

#[test]
fn wrong_arguments_are_refused_with_the_usage() {
    for arguments in [&["--ta", "zz/x"][..], &["--listen", "127.0.0.1:0"], &["--colour"]] {
        let output = Command::new(PROGRAM).args(arguments).output().unwrap();

        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    }
}

struct Relay {
    child: Child,
    address: String,
}

impl Relay {
    fn vehicle(&self) -> TcpStream {
        TcpStream::connect(&self.address).unwrap()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // It may have ended already.
        let _gone = self.child.kill();
        self.child.wait().unwrap();
    }
}

/// Starts the relay; gives the Broker's end of its standard input.
fn start() -> (Relay, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let ta = format!("{}/planner", hex::encode([7; 32]));
    let mut child = Command::new(PROGRAM)
        .args(["--listen", "127.0.0.1:0", "--ta", &ta])
        .stdin(OwnedFd::from(theirs))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut words = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    words.read_line(&mut line).unwrap();
    let address = line.trim().rsplit(' ').next().unwrap().to_owned();
    // What else it says must not fill the pipe.
    thread::spawn(move || std::io::copy(&mut words, &mut std::io::sink()));
    (Relay { child, address }, ours)
}

fn ta() -> ComponentId {
    ComponentId::new(vec![vec![7; 32], b"planner".to_vec()]).unwrap()
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_route-relay");

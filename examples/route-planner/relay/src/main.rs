//! The Untrusted Application of the sample: vehicles talk to it, it talks to the Trusted
//! Application.
//!
//! It loads the TA through the TEEP Broker (on SGX the UA does that), then listens on loopback and
//! carries each framed request to the TA and the answer back. Both are sealed between vehicle and
//! TA: this program sees ciphertext, and could not do otherwise.
//!
//! Usage: `route-relay --listen ADDRESS --ta OWNER/NAME`, OWNER in hexadecimal, with the Broker's
//! socket on standard input.

use std::{
    error::Error,
    io::stdin,
    net::{TcpListener, TcpStream},
    os::{fd::AsFd as _, unix::net::UnixStream},
    process::{ExitCode, exit},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use device::{
    ComponentId, FailureCode, frame,
    ua::{Reply, Request},
};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("route-relay: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let (listen, component) = arguments()?;
    let broker = UnixStream::from(stdin().as_fd().try_clone_to_owned()?);
    // The port is taken before the TA is asked for: who waits for the TA can call at once.
    let listener =
        TcpListener::bind(&listen).map_err(|error| format!("listening on {listen}: {error}"))?;
    eprintln!("route-relay: listening on {}", listener.local_addr()?);
    match frame::ask(&mut &broker, &Request::RequestTa { component: component.clone() })? {
        Reply::Done => eprintln!("route-relay: the TA is there"),
        // The Broker loads it when the M/OC says so; calls fail until then.
        Reply::Failed(failure) => eprintln!("route-relay: the TA was not loaded: {failure}"),
        Reply::Answer(_) => return Err("an answer to no call".into()),
    }
    let (broker, vehicles) = (Mutex::new(broker), AtomicUsize::new(0));
    thread::scope(|scope| {
        for vehicle in listener.incoming() {
            let (broker, component, vehicles) = (&broker, &component, &vehicles);
            match vehicle {
                Ok(stream) if vehicles.fetch_add(1, Ordering::SeqCst) < VEHICLES_MAX => {
                    scope.spawn(move || {
                        if let Err(error) = serve(stream, broker, component) {
                            eprintln!("route-relay: a vehicle was left: {error}");
                        }
                        vehicles.fetch_sub(1, Ordering::SeqCst);
                    });
                }
                Ok(mut stream) => {
                    vehicles.fetch_sub(1, Ordering::SeqCst);
                    let busy = Reply::failed(FailureCode::Busy, "too many vehicles");
                    // A vehicle that has hung up already does not have to be told.
                    let _told = frame::send(&mut stream, &busy);
                }
                Err(error) => eprintln!("route-relay: a vehicle did not connect: {error}"),
            }
        }
    });
    Ok(())
}

/// Carries the requests of one vehicle until it hangs up.
fn serve(
    mut vehicle: TcpStream,
    broker: &Mutex<UnixStream>,
    component: &ComponentId,
) -> Result<(), frame::Broken> {
    for bound in [TcpStream::set_read_timeout, TcpStream::set_write_timeout] {
        bound(&vehicle, Some(IDLE)).map_err(|error| frame::Broken::Io(error.kind()))?;
    }
    while let Some(request) = frame::read_frame(&mut vehicle)? {
        // The vehicle gets the Broker's reply as it is: an answer, or why there is none.
        let reply = match request.len() {
            0..=REQUEST_BYTES_MAX => {
                carry(broker, &Request::Call { component: component.clone(), request })
            }
            _ => Reply::failed(FailureCode::Unsupported, "the request is too long"),
        };
        frame::send(&mut vehicle, &reply)?;
    }
    Ok(())
}

/// Asks the Broker; one call at a time.
fn carry(broker: &Mutex<UnixStream>, call: &Request) -> Reply {
    let broker = broker.lock().unwrap_or_else(PoisonError::into_inner);
    match frame::ask(&mut &*broker, call) {
        Ok(reply) => reply,
        Err(broken) => {
            // Nothing can be carried any more; the Broker starts this program anew.
            eprintln!("route-relay: the Broker is gone: {broken}");
            exit(1);
        }
    }
}

fn arguments() -> Result<(String, ComponentId), Box<dyn Error>> {
    let (mut listen, mut ta) = (None, None);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--listen" => listen = words.next(),
            "--ta" => ta = words.next(),
            other => return Err(format!("unknown argument `{other}`\n{USAGE}").into()),
        }
    }
    let ta = ta.ok_or(USAGE)?;
    let (owner, name) = ta.split_once('/').ok_or(USAGE)?;
    let component = ComponentId::new(vec![hex::decode(owner)?, name.as_bytes().to_vec()])?;
    Ok((listen.ok_or(USAGE)?, component))
}

const USAGE: &str = "usage: route-relay --listen ADDRESS --ta OWNER/NAME";

/// A vehicle that says nothing for so long is left.
const IDLE: Duration = Duration::from_secs(60);

/// A longer request would not fit into a frame to the Broker, or be a request for a route.
const REQUEST_BYTES_MAX: usize = 1024 * 1024;

/// Vehicles at the same time.
const VEHICLES_MAX: usize = 64;

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
    process::ExitCode,
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use device::{
    ComponentId, Message as _, frame,
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
    let listener = TcpListener::bind(&listen)
        .map_err(|error| format!("listening on {listen}: {error}"))?;
    eprintln!("route-relay: listening on {}", listener.local_addr()?);
    match ask(&broker, &Request::RequestTa { component: component.clone() })? {
        Reply::Done => eprintln!("route-relay: the TA is there"),
        Reply::Failed(failure) => eprintln!("route-relay: the TA was not loaded: {failure}"),
        Reply::Answer(_) => return Err("an answer to no call".into()),
    }
    let broker = Mutex::new(broker);
    thread::scope(|scope| {
        for vehicle in listener.incoming() {
            let (broker, component) = (&broker, &component);
            match vehicle {
                Ok(stream) => drop(scope.spawn(move || serve(stream, broker, component))),
                Err(error) => eprintln!("route-relay: a vehicle did not connect: {error}"),
            }
        }
    });
    Ok(())
}

/// Carries the requests of one vehicle until it hangs up.
fn serve(mut vehicle: TcpStream, broker: &Mutex<UnixStream>, component: &ComponentId) {
    let talked = (|| -> Result<(), Box<dyn Error>> {
        vehicle.set_read_timeout(Some(IDLE))?;
        while let Some(request) = frame::read_frame(&mut vehicle)? {
            let call = Request::Call { component: component.clone(), request };
            let reply = ask(&broker.lock().unwrap_or_else(PoisonError::into_inner), &call)?;
            // The vehicle gets the Broker's reply as it is: an answer, or why there is none.
            frame::write_frame(&mut vehicle, &reply.encode())?;
        }
        Ok(())
    })();
    if let Err(error) = talked {
        eprintln!("route-relay: a vehicle was left: {error}");
    }
}

fn ask(mut broker: &UnixStream, request: &Request) -> Result<Reply, frame::Broken> {
    frame::ask(&mut broker, request)
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

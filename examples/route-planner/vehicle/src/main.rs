//! A caller of the sample: a vehicle that asks the Trusted Application for its way.
//!
//! Its request is sealed to the key that the Network User's appraisal found in the Evidence (the
//! call ticket), and goes through the UA, which sees ciphertext.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    net::TcpStream,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, bail};
use channel::{PrivateKey, call};
use clap::{Parser, Subcommand};
use cose::Key;
use device::{frame, ua::Reply};
use keys::SystemEntropy;
use serde::Deserialize;
use serde_json::json;

#[derive(Parser)]
#[command(name = "route-vehicle", about = "A vehicle that asks for its way", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes the vehicle's key and, beside it, its public key for the owner's project
    Key {
        /// The private key's file
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Asks for a route between two of the driver's places
    Ride {
        /// The vehicle's private key
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// The call ticket that the Network User's deployment wrote
        #[arg(long, value_name = "FILE")]
        ticket: PathBuf,
        /// Where the ride begins
        #[arg(long, value_name = "PLACE")]
        from: String,
        /// Where it ends
        #[arg(long, value_name = "PLACE")]
        to: String,
    },
}

/// What a caller has to know.
#[derive(Deserialize)]
struct Ticket {
    address: String,
    service_key: String,
    manifest_digest: String,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Key { out } => make_key(&out),
        Command::Ride { key, ticket, from, to } => ride(&key, &ticket, &from, &to),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("route-vehicle: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn make_key(out: &Path) -> Result<()> {
    let key = PrivateKey::generate(&mut SystemEntropy);
    let mut options = OpenOptions::new();
    let file = options.create_new(true).write(true).mode(0o600).open(out);
    let mut file = file.with_context(|| format!("making {}", out.display()))?;
    file.write_all(key.to_scalar().expose())?;
    fs::write(out.with_extension("pub"), key.public().encode())?;
    print(&json!({ "thumbprint": key.public().thumbprint().to_string() }))
}

fn ride(key: &Path, ticket: &Path, from: &str, to: &str) -> Result<()> {
    let scalar = fs::read(key).with_context(|| format!("reading {}", key.display()))?;
    let key = PrivateKey::from_scalar(&scalar).context("the vehicle's key is not one")?;
    let text = fs::read(ticket).with_context(|| format!("reading {}", ticket.display()))?;
    let ticket: Ticket = serde_json::from_slice(&text).context("the call ticket does not read")?;
    let service = call::Service {
        key: Key::decode(&hex::decode(&ticket.service_key)?).context("the ticket's key")?,
        manifest_digest: hex::decode(&ticket.manifest_digest)?
            .try_into()
            .map_err(|_| anyhow::anyhow!("the ticket's manifest digest has another length"))?,
    };
    let request = json!({ "from": from, "to": to }).to_string();
    let entropy = &mut SystemEntropy;
    let (sealed, awaiting) =
        call::request(&service, &key, counter()?, request.as_bytes(), entropy)?;
    let answer = send(&ticket.address, &sealed)?;
    let answer = awaiting.open(&answer).context("opening the Trusted Application's answer")?;
    print(&serde_json::from_slice(answer.expose()).context("reading the answer")?)
}

/// Requests of one caller must count upwards: the clock in microseconds does.
fn counter() -> Result<u64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    Ok(u64::try_from(since.as_micros())?)
}

fn send(address: &str, sealed: &[u8]) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)
        .with_context(|| format!("connecting to the Untrusted Application at {address}"))?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    frame::write_frame(&mut stream, sealed)?;
    match frame::receive(&mut stream)? {
        Some(Reply::Answer(answer)) => Ok(answer),
        Some(Reply::Failed(failure)) => bail!("the request was not served: {failure}"),
        Some(Reply::Done) | None => bail!("the Untrusted Application gave no answer"),
    }
}

fn print(value: &serde_json::Value) -> Result<()> {
    writeln!(std::io::stdout(), "{value:#}").context("printing")
}

const ANSWER_WITHIN: Duration = Duration::from_secs(30);

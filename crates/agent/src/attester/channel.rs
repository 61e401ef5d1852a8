//! A TEE that is reached over an inherited channel, which is how the software TEE is reached.

use std::io::{Read, Write};
use std::sync::{Mutex, PoisonError};

use device::FailureCode;
use device::frame;
use device::tee::{Description, Quote, REPORT_DATA_BYTES, Reply, Request, SealingKey};

use super::{Attester, Counter, Unavailable};

/// A TEE behind the messages of [`device::tee`].
#[derive(Debug)]
pub struct Channel<S> {
    stream: Mutex<S>,
    description: Description,
}

impl<S: Read + Write + Send> Channel<S> {
    /// Asks the TEE what it is.
    pub fn open(mut stream: S) -> Result<Self, Unavailable> {
        let Reply::Description(description) = ask(&mut stream, &Request::Describe)? else {
            return Err(Unavailable::Unexpected);
        };
        Ok(Self { stream: Mutex::new(stream), description })
    }

    fn ask(&self, request: &Request) -> Result<Reply, Unavailable> {
        // A thread that panicked inside left a request without its reply, or nothing; a reply
        // of the wrong kind is refused by the caller.
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        ask(&mut *stream, request)
    }

    fn ask_counter(&self, request: &Request) -> Result<Option<Counter>, Unavailable> {
        match self.ask(request) {
            Ok(Reply::Counter { value, rollable }) => Ok(Some(Counter { value, rollable })),
            Ok(_) => Err(Unavailable::Unexpected),
            Err(Unavailable::Refused(failure)) if failure.code == FailureCode::Unsupported => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

impl<S: Read + Write + Send> Attester for Channel<S> {
    fn description(&self) -> &Description {
        &self.description
    }

    fn quote(&self, report_data: [u8; REPORT_DATA_BYTES]) -> Result<Quote, Unavailable> {
        let Reply::Quote(quote) = self.ask(&Request::Quote { report_data })? else {
            return Err(Unavailable::Unexpected);
        };
        Ok(quote)
    }

    fn sealing_key(&self, label: &str) -> Result<SealingKey, Unavailable> {
        let Reply::SealingKey(key) = self.ask(&Request::SealingKey { label: label.to_owned() })?
        else {
            return Err(Unavailable::Unexpected);
        };
        Ok(key)
    }

    fn counter(&self) -> Result<Option<Counter>, Unavailable> {
        self.ask_counter(&Request::CounterRead)
    }

    fn count(&self) -> Result<Option<Counter>, Unavailable> {
        self.ask_counter(&Request::CounterIncrement)
    }

    fn extend(&self, index: u64, digest: &[u8]) -> Result<(), Unavailable> {
        let Reply::Extended = self.ask(&Request::Extend { index, digest: digest.to_vec() })? else {
            return Err(Unavailable::Unexpected);
        };
        Ok(())
    }

    fn read(&self, index: u64) -> Result<Vec<u8>, Unavailable> {
        let Reply::Register(value) = self.ask(&Request::Read { index })? else {
            return Err(Unavailable::Unexpected);
        };
        Ok(value)
    }
}

fn ask(stream: &mut (impl Read + Write), request: &Request) -> Result<Reply, Unavailable> {
    let reply = frame::ask(stream, request)?;
    if let Reply::Failed(failure) = reply {
        return Err(Unavailable::Refused(failure));
    }
    Ok(reply)
}

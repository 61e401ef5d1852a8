//! The device's side of the TEE interface.

use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use device::frame::{self, Broken};
use device::tee::{Reply, Request};
use device::{FailureCode, Message as _};
use jiff::Timestamp;
use tracing::{debug, warn};

use crate::Error;
use crate::counter::Counter;
use crate::family::Family;

/// A device with a program running in it.
pub struct Device {
    family: Box<dyn Family>,
    counter: Counter,
}

impl Device {
    /// Puts the parts of the device in this directory together.
    pub fn new(family: Box<dyn Family>, dir: &Path) -> Result<Self, Error> {
        Ok(Self { family, counter: Counter::open(dir)? })
    }

    /// Answers one request of the program.
    pub fn answer(&mut self, now: Timestamp, request: Request) -> Reply {
        match request {
            Request::Quote { report_data } => {
                self.family.quote(now, &report_data).map_or_else(broken, Reply::Quote)
            }
            Request::SealingKey { label } => Reply::SealingKey(self.family.sealing_key(&label)),
            Request::CounterRead => counter(self.counter.value()),
            Request::CounterIncrement => self.counter.increment().map_or_else(broken, counter),
            Request::Extend { index, digest } => {
                let extended = self.family.extend(index, &digest);
                extended.map_or_else(Reply::Failed, |()| Reply::Extended)
            }
            Request::Read { index } => {
                self.family.read(index).map_or_else(Reply::Failed, Reply::Register)
            }
            Request::Describe => Reply::Description(self.family.describe()),
        }
    }

    /// Answers the program's requests one after the other until it is gone.
    ///
    /// A request that makes no sense gets a negative answer, and the next one is served.
    pub fn serve(&mut self, mut program: UnixStream) -> Result<(), Broken> {
        loop {
            let reply = match frame::read_frame(&mut program) {
                Ok(None) => return Ok(()),
                Ok(Some(body)) => match Request::decode(&body) {
                    Ok(request) => self.answer(Timestamp::now(), request),
                    Err(error) => malformed(&error.to_string()),
                },
                Err(error @ Broken::TooLong(length)) => {
                    skip(&mut program, length)?;
                    malformed(&error.to_string())
                }
                Err(error) => return Err(error),
            };
            frame::send(&mut program, &reply)?;
        }
    }
}

/// Throws the body of a frame away.
fn skip(program: &mut UnixStream, length: usize) -> Result<(), Broken> {
    let mut body = program.take(length as u64);
    let skipped = io::copy(&mut body, &mut io::sink());
    let skipped = skipped.map_err(|error| Broken::Io(error.kind()))?;
    if skipped != length as u64 {
        return Err(Broken::Ended);
    }
    Ok(())
}

fn counter(value: u64) -> Reply {
    Reply::Counter { value, rollable: true }
}

fn malformed(why: &str) -> Reply {
    debug!(why, "malformed request");
    Reply::failed(FailureCode::Malformed, why)
}

fn broken(error: Error) -> Reply {
    warn!(%error, "cannot answer");
    Reply::failed(FailureCode::Broken, "the emulated hardware failed")
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::Shutdown;
    use std::thread;

    use device::Malformed;
    use device::tee::{Description, Quote, SealingKey};

    use super::*;

    #[test]
    fn requests_are_answered_after_malformed_ones() {
        let dir = tempfile::tempdir().unwrap();
        let mut device = Device::new(Box::new(Fake), dir.path()).unwrap();
        let (mut program, other) = UnixStream::pair().unwrap();
        let serving = thread::spawn(move || device.serve(other));
        let malformed = |why: &str| Reply::failed(FailureCode::Malformed, why);

        frame::write_frame(&mut program, b"\xff\xff").unwrap();
        let reply = frame::receive(&mut program).unwrap();
        assert_eq!(reply, Some(malformed(&Malformed::Cbor("array").to_string())));

        let too_long = frame::FRAME_BYTES_MAX + 1;
        program.write_all(&(too_long as u32).to_be_bytes()).unwrap();
        program.write_all(&vec![0; too_long]).unwrap();
        let reply = frame::receive(&mut program).unwrap();
        assert_eq!(reply, Some(malformed(&Broken::TooLong(too_long).to_string())));

        let reply: Reply = frame::ask(&mut program, &Request::CounterIncrement).unwrap();
        assert_eq!(reply, Reply::Counter { value: 1, rollable: true });

        program.shutdown(Shutdown::Both).unwrap();
        assert_eq!(serving.join().unwrap(), Ok(()));
    }

    #[test]
    fn a_program_that_dies_inside_a_frame_ends_the_service() {
        let dir = tempfile::tempdir().unwrap();
        let mut device = Device::new(Box::new(Fake), dir.path()).unwrap();
        for start in [&[0, 0, 0, 9, 1][..], &[0xff, 0xff, 0xff, 0xff, 1]] {
            let (mut program, other) = UnixStream::pair().unwrap();
            program.write_all(start).unwrap();
            drop(program);

            assert_eq!(device.serve(other), Err(Broken::Ended));
        }
    }

    #[test]
    fn a_failure_of_the_hardware_shows_no_details_to_the_program() {
        let dir = tempfile::tempdir().unwrap();
        let mut device = Device::new(Box::new(Fake), dir.path()).unwrap();

        let reply = device.answer(Timestamp::UNIX_EPOCH, Request::Quote { report_data: [0; 64] });

        let text = "the emulated hardware failed";
        assert_eq!(reply, Reply::failed(FailureCode::Broken, text));
    }

    #[test]
    fn hardware_without_registers_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let mut device = Device::new(Box::new(Fake), dir.path()).unwrap();
        let requests =
            [Request::Extend { index: 0, digest: vec![0; 48] }, Request::Read { index: 0 }];
        for request in requests {
            let reply = device.answer(Timestamp::UNIX_EPOCH, request);
            let Reply::Failed(failure) = reply else { panic!("{reply:?}") };
            assert_eq!(failure.code, FailureCode::Unsupported);
        }
    }

    struct Fake;

    impl Family for Fake {
        fn quote(&mut self, _: Timestamp, _: &[u8; 64]) -> Result<Quote, Error> {
            Err(Error::Crypto("sign"))
        }

        fn sealing_key(&self, _: &str) -> SealingKey {
            SealingKey::new([0; 32])
        }

        fn describe(&self) -> Description {
            let text = String::new();
            Description {
                family: text.clone(),
                hwmodel: Vec::new(),
                hwversion: text.clone(),
                oemid: Vec::new(),
                ueid: Vec::new(),
                interface: text,
            }
        }
    }
}

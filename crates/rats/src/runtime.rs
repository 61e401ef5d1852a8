//! What an Agent measured into a register of its hardware after the launch: the events, as a log
//! that whoever has the register's value can replay.
//!
//! A log proves nothing by itself: it is the register's only if it replays to the register.

use minicbor::decode::Decoder;

use crate::eat::ImageId;
use crate::map::{array, bytes, encode, list, text, tuple, whole};
use crate::refusal::Malformed;

/// Events in the order in which the register was extended, each as the bytes that were measured.
///
/// ```cddl
/// runtime-log = [ 1*256 bstr .cbor runtime-event ]
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuntimeLog(Vec<Vec<u8>>);

impl RuntimeLog {
    /// Adds an event; one more than a log may have is given back.
    pub fn push(&mut self, event: Vec<u8>) -> Result<(), Full> {
        if self.is_full() {
            return Err(Full);
        }
        self.0.push(event);
        Ok(())
    }

    /// Whether there is no room for another event.
    pub fn is_full(&self) -> bool {
        self.0.len() >= EVENTS_MAX
    }

    /// The events as they were measured.
    pub fn events(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(Vec::as_slice)
    }

    /// Encodes the log; there is none without an event.
    pub fn encode(&self) -> Option<Vec<u8>> {
        let log = encode(|e| {
            e.array(self.0.len() as u64)?;
            for event in &self.0 {
                e.bytes(event)?;
            }
            e.ok()
        });
        (!self.0.is_empty()).then_some(log)
    }

    /// Reads a log without looking into its events.
    pub fn decode(encoded: &[u8]) -> Result<Self, Malformed> {
        cose::cbor::check_deterministic(encoded, cose::cbor::Limits::DEFAULT)?;
        let events = whole(encoded, |d| list(d, "one event or more", bytes))?;
        if events.len() > EVENTS_MAX {
            return Err(Malformed::Expected("at most 256 events"));
        }
        Ok(Self(events))
    }
}

/// A log has no room for another event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a log of measurements holds at most {EVENTS_MAX} events")]
pub struct Full;

/// What one event says.
///
/// ```cddl
/// runtime-event = container / [ tstr, * any ]
/// container = [
///   "tamarack-container-v1",
///   manifest: bstr .size 32,     ; SHA-256 of the SUIT manifest that brought the image
///   image: bstr .size 32,        ; SHA-256 of the OCI image manifest
///   config: bstr .size 32,       ; SHA-256 of the OCI image configuration
/// ]
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A container is going to be started.
    Container {
        /// SHA-256 of the SUIT manifest that brought the image.
        manifest: [u8; 32],
        /// The image with its configuration.
        image: ImageId,
    },
    /// Something that is not known here.
    Other,
}

impl Event {
    /// The bytes that are measured when a container is going to be started.
    pub fn container(manifest: &[u8; 32], image: &ImageId) -> Vec<u8> {
        encode(|e| {
            e.array(4)?.str(CONTAINER)?.bytes(manifest)?;
            e.bytes(&image.manifest)?.bytes(&image.config)?.ok()
        })
    }

    /// Reads what was measured.
    pub fn decode(encoded: &[u8]) -> Result<Self, Malformed> {
        cose::cbor::check_deterministic(encoded, cose::cbor::Limits::DEFAULT)?;
        let mut d = Decoder::new(encoded);
        if matches!(d.array()?, None | Some(0)) {
            return Err(Malformed::Expected("an event with its name"));
        }
        if text(&mut d)? != CONTAINER {
            return Ok(Self::Other);
        }
        whole(encoded, |d| {
            tuple(d, 4, "a container with three digests")?;
            d.skip()?;
            let mut digest = || array(d, "a digest of 32 bytes");
            let (manifest, image, config) = (digest()?, digest()?, digest()?);
            Ok(Self::Container { manifest, image: ImageId { manifest: image, config } })
        })
    }
}

/// The media type of a log in Evidence.
pub const RUNTIME_LOG: &str = "application/vnd.tamarack.runtime-log+cbor";

const CONTAINER: &str = "tamarack-container-v1";
const EVENTS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: ImageId = ImageId { manifest: [2; 32], config: [3; 32] };

    #[test]
    fn a_log_survives_the_round_trip_and_says_which_container_was_started() {
        let mut log = RuntimeLog::default();
        assert_eq!(log.encode(), None);
        log.push(Event::container(&[1; 32], &IMAGE)).unwrap();
        log.push(encode(|e| e.array(2)?.str("another")?.u8(7)?.ok())).unwrap();

        let read = RuntimeLog::decode(&log.encode().unwrap()).unwrap();

        assert_eq!(read, log);
        let events: Vec<_> = read.events().map(|event| Event::decode(event).unwrap()).collect();
        assert_eq!(events, [Event::Container { manifest: [1; 32], image: IMAGE }, Event::Other]);
    }

    #[test]
    fn what_is_no_log_or_no_event_is_refused() {
        let short = encode(|e| e.array(4)?.str(CONTAINER)?.bytes(&[1])?.u8(1)?.u8(1)?.ok());

        assert_eq!(RuntimeLog::decode(&[0x80]), Err(Malformed::Expected("one event or more")));
        assert_eq!(Event::decode(&short), Err(Malformed::Expected("a digest of 32 bytes")));
        assert_eq!(Event::decode(&[0x80]), Err(Malformed::Expected("an event with its name")));
        let mut trailing = Event::container(&[1; 32], &IMAGE);
        trailing.push(0);
        assert!(Event::decode(&trailing).is_err());
    }

    #[test]
    fn a_log_has_an_end() {
        let mut log = RuntimeLog::default();
        for _ in 0..EVENTS_MAX {
            log.push(Event::container(&[1; 32], &IMAGE)).unwrap();
        }

        assert_eq!(log.push(Vec::new()), Err(Full));
        assert_eq!(RuntimeLog::decode(&log.encode().unwrap()), Ok(log));
    }
}

//! Event logs of trust domains: replayed first, believed afterwards (EV-TDX-3).
//!
//! Two spellings: the TCG crypto-agile log in the CCEL ACPI table, and the JSON list of a dstack
//! guest. What an event *means* is the business of whoever asks; this module only proves that the
//! log is the one that the registers are made of.

use serde::Deserialize;

use super::REGISTERS;
use crate::check::{Check, Failure, Owner, Reason};
use crate::crypto::sha384_of;
use crate::evidence::{EventLog, MAX_EVENT_LOG, Request};
use crate::x509::Malformed;

/// One measured event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Into which register: 0 to 3 for RTMR0 to RTMR3; the launch measurement is `None`.
    pub register: Option<usize>,
    /// The type of the event (TCG PC Client registry, or the writer's own).
    pub kind: u32,
    /// What was extended.
    pub digest: [u8; 48],
    /// The name of a runtime event.
    pub name: String,
    /// What was measured, if the digest is of it; otherwise a description.
    pub payload: Vec<u8>,
}

/// Why a log is not the registers' one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTheLog {
    /// The bytes break the format.
    #[error("expected {0}")]
    Malformed(&'static str),
    /// A runtime event's digest is not that of its content.
    #[error("event {0} has the digest of another content")]
    Digest(usize),
    /// The replay ends in another value.
    #[error("replay of {} ends in another value", REGISTERS[*.0])]
    Register(usize),
}

/// Reads a log and proves it against the registers of an authentic quote.
///
/// Nothing of the events may be believed before this returns them.
//= EV-TDX-3: all four replayed values equal the quote before content is trusted
pub fn verify(log: EventLog<'_>, registers: &[&[u8; 48]; 4]) -> Result<Vec<Event>, NotTheLog> {
    let events = match log {
        EventLog::Ccel(bytes) | EventLog::Dstack(bytes) if bytes.len() > MAX_EVENT_LOG => {
            return Err(NotTheLog::Malformed("an event log of at most 1 MiB"));
        }
        EventLog::Ccel(bytes) => decode_ccel(bytes)?,
        EventLog::Dstack(bytes) => decode_dstack(bytes)?,
    };
    for (index, replayed) in replay(&events).iter().enumerate() {
        if replayed != registers[index] {
            return Err(NotTheLog::Register(index));
        }
    }
    Ok(events)
}

/// The values that the registers have after these events: R ← SHA-384(R ‖ digest) from zero.
#[must_use]
pub fn replay(events: &[Event]) -> [[u8; 48]; 4] {
    let mut registers = [[0; 48]; 4];
    for event in events {
        if event.kind == EV_NO_ACTION {
            continue;
        }
        if let Some(register) = event.register.and_then(|index| registers.get_mut(index)) {
            *register = sha384_of(&[register, &event.digest]);
        }
    }
    registers
}

/// The check of an appraisal: no log is well unless the policy asks for one.
pub(super) fn check(registers: &[&[u8; 48]; 4], request: &Request<'_>) -> Check {
    let check = Check::new("tdx.event-log").source("quote");
    let Some(log) = request.event_log else {
        let check = check.seen("none supplied");
        return check.holds(!request.policy.tdx.event_log_required, || {
            Failure::new(
                Reason::MissingEndorsement,
                Owner::Attester,
                "send the event log beside the quote",
            )
        });
    };
    match verify(log, registers) {
        Ok(events) => {
            let count = u64::try_from(events.len()).unwrap_or(u64::MAX);
            check.seen(count).expected("events that replay to RTMR0 to RTMR3")
        }
        Err(error) => check.seen(error.to_string()).holds(false, || {
            let reason = match error {
                NotTheLog::Malformed(_) => Reason::Malformed,
                NotTheLog::Digest(_) | NotTheLog::Register(_) => Reason::MeasurementMismatch,
            };
            Failure::new(reason, Owner::Attester, "send the log of this boot, whole and unchanged")
        }),
    }
}

fn decode_ccel(bytes: &[u8]) -> Result<Vec<Event>, NotTheLog> {
    let events = read_ccel(bytes, TPM_ALG_SHA384, 48)?.into_iter().map(|raw| {
        let digest = *raw.digest.first_chunk().ok_or(NotTheLog::Malformed("a SHA-384 digest"))?;
        let (register, kind, payload) = (raw.register, raw.kind, raw.payload.to_vec());
        Ok(Event { register, kind, digest, name: String::new(), payload })
    });
    events.collect()
}

/// One event of a crypto-agile log.
#[derive(Clone, Copy, Debug)]
pub(in crate::evidence) struct RawEvent<'b> {
    /// Into which extensible register: 0 to 3; the launch measurement is `None`.
    pub(in crate::evidence) register: Option<usize>,
    kind: u32,
    /// What was extended.
    pub(in crate::evidence) digest: &'b [u8],
    payload: &'b [u8],
}

impl RawEvent<'_> {
    /// Whether it went into its register.
    pub(in crate::evidence) const fn is_measured(&self) -> bool {
        self.kind != EV_NO_ACTION
    }
}

/// Reads a crypto-agile log: one TCG_PCR_EVENT with the header, then TCG_PCR_EVENT2 entries, each
/// with a digest of that algorithm and length.
pub(in crate::evidence) fn read_ccel(
    bytes: &[u8],
    wanted: u16,
    length: usize,
) -> Result<Vec<RawEvent<'_>>, NotTheLog> {
    let mut log = Log(bytes);
    let sizes = decode_header(&mut log)?;
    let mut events = Vec::new();
    while !log.is_padding() {
        let index = log.u32()?;
        let kind = log.u32()?;
        let mut digest = None;
        for _ in 0..log.u32()? {
            let algorithm = log.u16()?;
            let size = sizes.iter().find(|(known, _)| *known == algorithm).map(|(_, size)| *size);
            let value =
                log.take(size.ok_or(NotTheLog::Malformed("a declared digest algorithm"))?)?;
            if algorithm == wanted && value.len() == length {
                digest = Some(value);
            }
        }
        let size = log.u32()?;
        let payload = log.take(usize::try_from(size).unwrap_or(usize::MAX))?;
        // CC measurement register 0 is the launch measurement, 1 to 4 are the extensible ones.
        let register = match index {
            0 => None,
            1..=4 => usize::try_from(index - 1).ok(),
            _ => return Err(NotTheLog::Malformed("a measurement register from 0 to 4")),
        };
        let digest = digest.ok_or(NotTheLog::Malformed("a digest of the registers' algorithm"))?;
        events.push(RawEvent { register, kind, digest, payload });
    }
    Ok(events)
}

/// Reads the legacy header event and returns the digest sizes that it declares.
fn decode_header(log: &mut Log<'_>) -> Result<Vec<(u16, usize)>, NotTheLog> {
    const HEADER: NotTheLog = NotTheLog::Malformed("a TCG_EfiSpecIDEvent");
    let _register = log.u32()?;
    if log.u32()? != EV_NO_ACTION {
        return Err(HEADER);
    }
    let _digest = log.take(20)?;
    let size = log.u32()?;
    let mut event = Log(log.take(usize::try_from(size).unwrap_or(usize::MAX))?);
    if event.take(16)? != SPEC_ID {
        return Err(HEADER);
    }
    let _class_and_version = event.take(8)?;
    let count = event.u32()?;
    if count > 8 {
        return Err(NotTheLog::Malformed("at most eight digest algorithms"));
    }
    let mut sizes = Vec::new();
    for _ in 0..count {
        let (algorithm, size) = (event.u16()?, usize::from(event.u16()?));
        if algorithm == TPM_ALG_SHA384 && size != 48 {
            return Err(HEADER);
        }
        sizes.push((algorithm, size));
    }
    Ok(sizes)
}

/// Reads the JSON list of a dstack guest. The digests of RTMR3's events are recomputed.
fn decode_dstack(bytes: &[u8]) -> Result<Vec<Event>, NotTheLog> {
    const LIST: NotTheLog = NotTheLog::Malformed("a JSON list of events");
    let list: Vec<wire::Event<'_>> = serde_json::from_slice(bytes).map_err(|_| LIST)?;
    let mut events = Vec::with_capacity(list.len());
    for (index, raw) in list.into_iter().enumerate() {
        if raw.imr > 3 {
            return Err(NotTheLog::Malformed("a register from 0 to 3"));
        }
        let event = Event {
            register: Some(raw.imr),
            kind: raw.event_type,
            digest: raw.digest.0,
            name: raw.event.into_owned(),
            payload: hex::decode(&*raw.event_payload).map_err(|_| LIST)?,
        };
        if event.kind == DSTACK_RUNTIME_EVENT || raw.imr == 3 {
            check_runtime_digest(&event, index)?;
        }
        events.push(event);
    }
    Ok(events)
}

//= EV-TDX-3: SHA-384(event_type u32 LE ‖ ":" ‖ name ‖ ":" ‖ payload)
fn check_runtime_digest(event: &Event, index: usize) -> Result<(), NotTheLog> {
    let kind = event.kind.to_le_bytes();
    let digest = sha384_of(&[&kind, b":", event.name.as_bytes(), b":", &event.payload]);
    if digest == event.digest { Ok(()) } else { Err(NotTheLog::Digest(index)) }
}

mod wire {
    use std::borrow::Cow;

    use super::Deserialize;
    use crate::value::Hex;

    #[derive(Deserialize)]
    pub(super) struct Event<'a> {
        pub(super) imr: usize,
        pub(super) event_type: u32,
        pub(super) digest: Hex<48>,
        #[serde(borrow)]
        pub(super) event: Cow<'a, str>,
        #[serde(borrow)]
        pub(super) event_payload: Cow<'a, str>,
    }
}

/// Takes little-endian fields from the front.
struct Log<'b>(&'b [u8]);

impl<'b> Log<'b> {
    fn take(&mut self, length: usize) -> Result<&'b [u8], NotTheLog> {
        let (field, rest) =
            self.0.split_at_checked(length).ok_or(NotTheLog::Malformed("a whole event"))?;
        self.0 = rest;
        Ok(field)
    }

    fn u16(&mut self) -> Result<u16, NotTheLog> {
        let field = self.take(2)?;
        Ok(u16::from_le_bytes([field[0], field[1]]))
    }

    fn u32(&mut self) -> Result<u32, NotTheLog> {
        let field = self.take(4)?;
        Ok(u32::from_le_bytes([field[0], field[1], field[2], field[3]]))
    }

    /// Whether only the fill of the ACPI table is left: zeros or ones.
    fn is_padding(&self) -> bool {
        self.0.iter().all(|&octet| octet == 0xff) || self.0.iter().all(|&octet| octet == 0)
    }
}

impl From<Malformed> for NotTheLog {
    fn from(error: Malformed) -> Self {
        Self::Malformed(error.0)
    }
}

const EV_NO_ACTION: u32 = 3;
const TPM_ALG_SHA384: u16 = 0x000c;
const SPEC_ID: &[u8; 16] = b"Spec ID Event03\0";
/// The type of dstack's own runtime events.
const DSTACK_RUNTIME_EVENT: u32 = 0x0800_0001;

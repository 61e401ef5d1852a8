//! Event logs of confidential virtual machines (TCG PC Client Platform Firmware Profile, as ACPI's
//! CCEL table gives them).

use super::part::Part;

/// A log in the crypto-agile format: its events in order, not replayed.
pub(super) fn ccel(bytes: &[u8]) -> Option<Part> {
    // The first event is in the old format: register, kind, a SHA-1 digest of zeros, its size.
    let (head, rest) = bytes.split_at_checked(32)?;
    let size = usize::try_from(u32_at(head, 28)?).ok()?;
    let (specification, mut rest) = rest.split_at_checked(size)?;
    if u32_at(head, 4)? != NO_ACTION || !specification.starts_with(SIGNATURE) {
        return None;
    }
    let mut parts = Vec::new();
    while let Some((event, after)) = event(rest) {
        parts.push(event);
        rest = after;
        if parts.len() == EVENTS_MAX {
            parts.push(Part::new("more", "not shown"));
            break;
        }
    }
    let how = format!("{} events, not replayed against a quote", parts.len());
    Some(Part::group("TCG event log", how, parts))
}

fn event(bytes: &[u8]) -> Option<(Part, &[u8])> {
    let (register, kind, count) = (u32_at(bytes, 0)?, u32_at(bytes, 4)?, u32_at(bytes, 8)?);
    if register == u32::MAX || count > 4 {
        return None;
    }
    let mut rest = bytes.get(12..)?;
    let mut parts = Vec::new();
    for _ in 0..count {
        let algorithm = u16::from_le_bytes([*rest.first()?, *rest.get(1)?]);
        let (name, length) = match algorithm {
            4 => ("SHA-1", 20),
            0xb => ("SHA-256", 32),
            0xc => ("SHA-384", 48),
            0xd => ("SHA-512", 64),
            _ => return None,
        };
        parts.push(Part::bytes(name, rest.get(2..2 + length)?));
        rest = &rest[2 + length..];
    }
    let size = usize::try_from(u32_at(rest, 0)?).ok()?;
    let data = rest.get(4..)?.get(..size)?;
    parts.push(Part::bytes("data", data));
    let title = format!("register {register}");
    Some((Part::group(title, format!("event type {kind:#x}"), parts), &rest[4 + size..]))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*four))
}

const NO_ACTION: u32 = 3;
const SIGNATURE: &[u8] = b"Spec ID Event03\0";
const EVENTS_MAX: usize = 512;

//! Why an envelope is refused, for people: what was expected, what was seen, what to do.

use sdk::Refusal;
use serde_json::Value;
use suit::{
    Error, Malformed, Unsupported, Untrusted,
    command::Name,
    process::{Failure, Fault, Obstacle},
};

use super::told::{command, plain};
use crate::outcome::Failed;

/// A refusal in one's own words.
pub(super) fn refusal(
    check: &str,
    expected: &str,
    seen: String,
    owner: &str,
    remedy: &str,
) -> Refusal {
    Refusal {
        check: check.to_owned(),
        expected: plain(expected),
        seen: plain(&seen),
        owner: owner.to_owned(),
        remedy: remedy.to_owned(),
    }
}

/// A command that ends with a refusal, after what it reports.
pub(super) fn refused(refusal: Refusal, report: Value) -> Failed {
    Failed::Refused { refusal: Box::new(refusal), report }
}

/// An envelope that is refused; `what` names it.
pub(super) fn envelope(what: &str, error: &Error) -> Refusal {
    let seen = format!("{what} is {:#}", anyhow::Error::new(error.clone()));
    let (check, expected, owner, remedy) = match error {
        Error::Malformed(fault) => malformed(fault),
        Error::Unsupported(fault) => unsupported(fault),
        Error::Untrusted(fault) => untrusted(fault),
    };
    refusal(check, expected, seen, owner, remedy)
}

type Words = (&'static str, &'static str, &'static str, &'static str);

fn malformed(fault: &Malformed) -> Words {
    let remedy = match fault {
        Malformed::Tag(_) => "give a SUIT envelope; `tamarack inspect` tells what the file is",
        _ => "build the envelope again with `tamarack suit build`",
    };
    (
        "suit.format",
        "what draft-ietf-suit-manifest-37 says, deterministically encoded",
        AUTHOR,
        remedy,
    )
}

fn unsupported(fault: &Unsupported) -> Words {
    let (expected, remedy) = match fault {
        Unsupported::Algorithm(_) => (
            "a signature with ESP256, ESP384 or Ed25519",
            "sign again with `tamarack suit sign --replace`, or accept older ones with --legacy",
        ),
        Unsupported::ManifestMember(_) => (
            "the members of draft-ietf-suit-manifest-37",
            "build it again: drafts before 2024 number their sections otherwise",
        ),
        _ => ("what Tamarack's devices do", "build the manifest without it"),
    };
    ("suit.support", expected, AUTHOR, remedy)
}

fn untrusted(fault: &Untrusted) -> Words {
    match fault {
        Untrusted::Unsigned => (
            "suit.signature",
            "an authentication block",
            AUTHOR,
            "sign the envelope with `tamarack suit sign`",
        ),
        Untrusted::UnknownKey => (
            "suit.signature",
            "a signature by a known key, or one that carries its key",
            "whoever checks",
            "give a directory with the signer's public key: --keys DIR",
        ),
        Untrusted::Signature => (
            "suit.signature",
            "a signature by the key that it names",
            "whoever changed the envelope",
            "take the envelope from its author again",
        ),
        Untrusted::ManifestDigest | Untrusted::SeveredDigest(_) | Untrusted::Unbound(_) => (
            "suit.digest",
            "the bytes that were signed",
            "whoever changed the envelope",
            "take the envelope from its author again",
        ),
        Untrusted::Component(_) => (
            "suit.authority",
            "components below the signer's own thumbprint",
            AUTHOR,
            "sign with the owner's key; for components that name no owner give --keys DIR",
        ),
        Untrusted::Rollback { .. } => (
            "suit.sequence-number",
            "a sequence number that is not lower than the stored one",
            AUTHOR,
            "raise `sequence` in the description, or try with an empty --store",
        ),
        Untrusted::DependencyDigest => (
            "suit.dependency",
            "the dependency that its dependent names by digest",
            AUTHOR,
            "build the root manifest again with the dependency that is delivered",
        ),
        _ => ("suit.trust", "an envelope that somebody answers for", AUTHOR, "ask its author"),
    }
}

/// A procedure that failed.
pub(super) fn failure(failure: &Failure) -> Refusal {
    if let Fault::Refused(error) = &failure.fault {
        let mut refusal = envelope("the dependency", error);
        refusal.seen = format!("{}; {}", plain(&failure.to_string()), refusal.seen);
        return refusal;
    }
    let check = match failure.command {
        _ if failure.fault == Fault::Severed => "suit.severed".to_owned(),
        Some(Name(label)) => format!("suit.{}", command(label)),
        None => "suit.procedure".to_owned(),
    };
    let (owner, expected, remedy) = match &failure.fault {
        Fault::Mismatch { expected, seen: suit::process::Value::Nothing }
            if failure.command == Some(Name(IMAGE_MATCH)) =>
        {
            (
                "whoever tries",
                expected.to_string(),
                "run `--procedure update` with the same --store first",
            )
        }
        Fault::Mismatch { expected, .. } => mismatch(failure, expected.to_string()),
        Fault::Operation(obstacle) => operation(obstacle),
        Fault::Scheme(_) => (
            AUTHOR,
            "a URI that the device fetches from: http or https".to_owned(),
            "give the payload an https URI, or integrate it",
        ),
        Fault::NoPayload(_) => (
            "whoever removed the payload",
            "the integrated payload in the envelope".to_owned(),
            "take the whole envelope from its author",
        ),
        Fault::Severed => (
            "whoever severed the section",
            "the section, in the manifest or beside it".to_owned(),
            "take the whole envelope from its author",
        ),
        Fault::Unvalidated => (
            AUTHOR,
            "a validate section that succeeds before anything is invoked".to_owned(),
            "add image-match to the manifest's validate section",
        ),
        Fault::Unchecked => (
            AUTHOR,
            "dependency-integrity before process-dependency".to_owned(),
            "add dependency-integrity; `kind = \"root\"` of `tamarack suit build` has it",
        ),
        Fault::Referenced(_) => (
            "the store",
            "a component that no other manifest uses".to_owned(),
            "uninstall the other manifests first",
        ),
        _ => (AUTHOR, "a command that succeeds".to_owned(), "mend the manifest's commands"),
    };
    refusal(&check, &expected, failure.to_string(), owner, remedy)
}

fn mismatch(failure: &Failure, expected: String) -> (&'static str, String, &'static str) {
    let remedy = match failure.command {
        Some(Name(VENDOR | CLASS | DEVICE)) => {
            "name the device to try with --device vendor=UUID,class=UUID"
        }
        Some(Name(IMAGE_MATCH)) => "deliver the payload that was measured, or build again",
        _ => "see the commands above; the manifest and the device differ",
    };
    ("the author, or whoever chose the device", expected, remedy)
}

fn operation(obstacle: &Obstacle) -> (&'static str, String, &'static str) {
    let (owner, expected, remedy) = match obstacle {
        Obstacle::Unreachable => (
            "whoever tries",
            "a file with the payload",
            "put it into a directory, named by its SHA-256 or as the URI ends: --payloads DIR",
        ),
        Obstacle::Absent => (
            "whoever tries",
            "a component that was installed",
            "run `--procedure update` with the same --store first",
        ),
        Obstacle::TooLarge => {
            (AUTHOR, "a payload of the size that the manifest tells", "build the manifest again")
        }
        Obstacle::Decryption | Obstacle::Unsupported => (
            "whoever tries",
            "an operation that this device can do",
            "an encrypted payload needs the receiver's private key: --receiver FILE",
        ),
        Obstacle::Refused | Obstacle::Storage | Obstacle::Other(_) => {
            ("whoever tries", "an operation that succeeds", "mend what the message names")
        }
    };
    (owner, expected.to_owned(), remedy)
}

const AUTHOR: &str = "the author of the manifest";
const VENDOR: i64 = 1;
const CLASS: i64 = 2;
const IMAGE_MATCH: i64 = 3;
const DEVICE: i64 = 24;

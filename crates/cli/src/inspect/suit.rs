//! SUIT envelopes (draft-ietf-suit-manifest section 8) and reports.

use cose::cbor;
use suit::{
    Envelope, Manifest, Parameter, Section, Sequence, Severable,
    command::{Command, Selection},
    parameter::VendorId,
    report::{Conclusion, Entry, Properties, Record, Report},
};

use super::{
    Keyring, any,
    cbor::diagnostic,
    cose as cose_parts,
    part::{Part, component, shown},
};

/// An envelope; its manifest is shown whether or not somebody answers for it, and says which.
pub(super) fn envelope(bytes: &[u8], keys: &Keyring) -> Option<Part> {
    let envelope = Envelope::decode(bytes).ok()?;
    let mut parts = vec![authentication(&envelope, keys)];
    parts.push(match envelope.unverified_manifest() {
        Ok(decoded) => manifest(&decoded),
        Err(error) => Part::new("manifest", format!("does not decode: {error}")),
    });
    for (name, payload) in envelope.payloads() {
        let title = format!("payload {name:?}");
        match self::envelope(payload, keys) {
            Some(dependency) => parts.push(Part::group(title, "", vec![dependency])),
            None => parts.push(Part::bytes(title, payload)),
        }
    }
    Some(Part::group("SUIT_Envelope", format!("{} bytes", bytes.len()), parts))
}

fn authentication(envelope: &Envelope<'_>, keys: &Keyring) -> Part {
    let mut parts = Vec::new();
    match envelope.claimed_digest() {
        Ok(digest) => parts.push(Part::new("manifest digest", digest.to_string())),
        Err(error) => parts.push(Part::new("manifest digest", format!("unreadable: {error}"))),
    }
    for (number, block) in (0..).zip(byte_strings(envelope.authentication())) {
        if number == 0 {
            continue;
        }
        let digest = byte_strings(envelope.authentication()).first().copied();
        let inside = match cose_parts::as_sign1(block) {
            Some(object) => cose_parts::sign1(&object, digest, keys),
            None => vec![any(block, keys)],
        };
        parts.push(Part::group(format!("authentication block {number}"), "", inside));
    }
    if parts.len() == 1 {
        parts.push(Part::new("authentication", "none: nobody answers for this manifest"));
    }
    Part::group("authentication-wrapper", "", parts)
}

/// The byte strings of a CBOR array.
fn byte_strings(array: &[u8]) -> Vec<&[u8]> {
    cbor::whole(array, |d| {
        let mut found = Vec::new();
        for _ in 0..d.array()?.unwrap_or(0) {
            found.push(d.bytes()?);
        }
        Ok(found)
    })
    .unwrap_or_default()
}

fn manifest(manifest: &Manifest<'_>) -> Part {
    let mut parts = vec![Part::new("sequence-number", manifest.sequence_number.to_string())];
    if let Some(uri) = manifest.reference_uri {
        parts.push(Part::new("reference-uri", uri));
    }
    if let Some(id) = &manifest.component_id {
        parts.push(Part::new("manifest-component-id", named(id)));
    }
    let components = (0..).zip(&manifest.common.components);
    let listed = components.map(|(index, id)| Part::new(format!("component {index}"), named(id)));
    parts.extend(listed.collect::<Vec<_>>());
    for (index, dependency) in &manifest.common.dependencies {
        let prefix = dependency.prefix.as_ref().map(named).unwrap_or_default();
        parts.push(Part::new(format!("dependency {index}"), prefix));
    }
    if let Some(shared) = &manifest.common.shared {
        parts.push(Part::group("shared-sequence", "", commands(shared)));
    }
    for (section, member) in &manifest.sections {
        parts.push(self::section(*section, member));
    }
    if let Some(text) = &manifest.text {
        parts.push(Part::new("text", format!("{text:?}")));
    }
    Part::group("manifest", "", parts)
}

fn section(section: Section, member: &Severable<Sequence<'_>>) -> Part {
    match member {
        Severable::Inline(sequence) => Part::group(section.to_string(), "", commands(sequence)),
        Severable::Attached(_, sequence) => {
            Part::group(section.to_string(), "severable, present", commands(sequence))
        }
        Severable::Severed(digest) => {
            Part::new(section.to_string(), format!("severed, digest {digest}"))
        }
    }
}

fn commands(sequence: &Sequence<'_>) -> Vec<Part> {
    sequence.commands().map(|(_, command)| self::command(&command)).collect()
}

pub(crate) fn command(command: &Command<'_>) -> Part {
    let name = suit::command::Name(command.label()).to_string();
    match command {
        Command::Condition(_, policy) | Command::Directive(_, policy) => {
            Part::new(name, format!("report policy {}", policy.bits()))
        }
        Command::SetComponentIndex(selection) => Part::new(name, selected(selection)),
        Command::TryEach(alternatives) => {
            let sequences = (1..).zip(&alternatives.sequences);
            let mut parts: Vec<_> = sequences
                .map(|(number, one)| Part::group(format!("try {number}"), "", commands(one)))
                .collect();
            if alternatives.or_succeed {
                parts.push(Part::new("else", "succeed"));
            }
            Part::group(name, "", parts)
        }
        Command::SetParameters(parameters) | Command::OverrideParameters(parameters) => {
            Part::group(name, "", parameters.iter().map(|p| parameter(&p)).collect())
        }
        Command::RunSequence(sequence) => Part::group(name, "", commands(sequence)),
        Command::OverrideMultiple(by_index) => {
            let groups = by_index.iter().map(|(index, parameters)| {
                let inside = parameters.iter().map(|p| parameter(&p)).collect();
                Part::group(format!("component {index}"), "", inside)
            });
            Part::group(name, "", groups.collect())
        }
        Command::CopyParameters(by_source) => Part::new(name, format!("{by_source:?}")),
        Command::Custom(_, argument) => Part::new(name, format!("{argument:?}")),
        Command::Unknown(label) => Part::new(name, format!("label {label} is in no document")),
    }
}

fn selected(selection: &Selection) -> String {
    match selection {
        Selection::One(index) => index.to_string(),
        Selection::All => "every component".to_owned(),
        Selection::Several(indices) => format!("{indices:?}"),
    }
}

fn parameter(parameter: &Parameter<'_>) -> Part {
    let text = |name: &str, value: String| Part::new(name, value);
    match parameter {
        Parameter::VendorId(VendorId::Uuid(id)) => text("vendor-identifier", id.to_string()),
        Parameter::VendorId(VendorId::Pen(id)) => Part::bytes("vendor-identifier", id),
        Parameter::ClassId(id) => text("class-identifier", id.to_string()),
        Parameter::DeviceId(id) => text("device-identifier", id.to_string()),
        Parameter::ImageDigest(digest) => text("image-digest", digest.to_string()),
        Parameter::ImageSize(size) => text("image-size", format!("{size} bytes")),
        Parameter::UseBefore(seconds) => text("use-before", format!("{seconds} s since 1970")),
        Parameter::ComponentSlot(slot) => text("component-slot", slot.to_string()),
        Parameter::StrictOrder(strict) => text("strict-order", strict.to_string()),
        Parameter::SoftFailure(soft) => text("soft-failure", soft.to_string()),
        Parameter::Uri(uri) => text("uri", (*uri).to_owned()),
        Parameter::SourceComponent(index) => text("source-component", index.to_string()),
        Parameter::MinimumBattery(level) => text("minimum-battery", format!("{level} mWh")),
        Parameter::UpdatePriority(priority) => text("update-priority", priority.to_string()),
        Parameter::Version(version) => text("version", format!("{version:?}")),
        Parameter::Content(bytes) => Part::bytes("content", bytes),
        Parameter::EncryptionInfo(bytes) => text("encryption-info", diagnostic(bytes)),
        Parameter::InvokeArgs(bytes) => text("invoke-args", readable(bytes)),
        Parameter::FetchArguments(bytes) => text("fetch-arguments", readable(bytes)),
        Parameter::WaitInfo(bytes) => text("wait-info", diagnostic(bytes)),
        Parameter::ComponentMetadata(bytes) => text("component-metadata", diagnostic(bytes)),
        Parameter::Custom(key, value) => text(&format!("custom {key}"), format!("{value:?}")),
    }
}

/// A report, bare or in its signature.
pub(super) fn report(bytes: &[u8], keys: &Keyring) -> Option<Part> {
    if let Ok(report) = Report::decode(bytes) {
        let parts = report_parts(&report);
        return Some(Part::group("SUIT_Report", "unprotected", parts));
    }
    let object = cose_parts::as_sign1(bytes)?;
    let report = Report::decode(object.payload?).ok()?;
    let mut parts = cose_parts::sign1(&object, None, keys);
    parts.extend(report_parts(&report));
    Some(Part::group("SUIT_Report", "protected by COSE_Sign1", parts))
}

/// What has the members of a report and breaks its rules: shown with the rule.
pub(super) fn refused(bytes: &[u8]) -> Option<Part> {
    let error = Report::decode(bytes).err()?;
    let labels = cbor::whole(bytes, |d| {
        let mut labels = Vec::new();
        for _ in 0..d.map()?.unwrap_or(0) {
            labels.push(d.i64()?);
            d.skip()?;
        }
        Ok(labels)
    });
    let labels = labels.ok()?;
    if !labels.contains(&RECORDS) || !labels.iter().all(|label| (1..=MEMBERS).contains(label)) {
        return None;
    }
    let parts = vec![super::cbor::part("report", bytes)];
    Some(Part::group("SUIT_Report, refused", error.to_string(), parts))
}

/// The label of suit-report-records, and the highest of a member in any draft but the reference's.
const RECORDS: i64 = 4;
const MEMBERS: i64 = 8;

fn report_parts(report: &Report) -> Vec<Part> {
    let mut parts = Vec::new();
    // A report about a manifest without reference-uri has an empty one.
    if !report.reference.uri.is_empty() {
        parts.push(Part::new("reference-uri", report.reference.uri.clone()));
    }
    parts.push(Part::new("manifest digest", report.reference.digest.to_string()));
    parts.extend(report.nonce.as_ref().map(|nonce| Part::bytes("nonce", nonce)));
    for entry in &report.records {
        parts.push(match entry {
            Entry::Record(one) => record("record", one),
            Entry::Properties(id, properties) => {
                Part::group(format!("properties of {}", named(id)), "", measured(properties))
            }
        });
    }
    parts.push(match &report.result {
        Conclusion::Success => Part::new("result", "success"),
        Conclusion::Failure { code, record: at, reason } => {
            let what = format!("failure: {reason} (code {code})");
            Part::group("result", what, vec![record("at", at)])
        }
    });
    parts
}

fn record(name: &str, record: &Record) -> Part {
    let section = Section::from_key(record.section)
        .map_or_else(|| record.section.to_string(), |section| section.to_string());
    let Record { manifest, offset, component_index, .. } = record;
    let place = format!(
        "manifest {manifest:?}, {section}, offset {offset}, component index {component_index}"
    );
    Part::group(name, place, measured(&record.properties))
}

fn measured(properties: &Properties) -> Vec<Part> {
    properties.iter().map(|one| parameter(&one)).collect()
}

fn named(id: &suit::ComponentId) -> String {
    component(id.parts().iter().map(Vec::as_slice))
}

fn readable(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(|_| shown(bytes), |text| format!("{text:?}"))
}

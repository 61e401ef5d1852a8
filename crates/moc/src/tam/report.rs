//! SUIT reports of an Agent: which one is about a package, and what it says.

use std::borrow::Cow;

use api::{EventName, InstanceType, Owner, PackageName};
use cose::{Accept, Key, Sign1, Tagging};
use suit::{
    Digest, Envelope, Parameter, Section,
    command::{Command, Condition, Name, Selection},
    parameter::{CustomValue, key},
    report::{Conclusion, Entry, Opening, Properties, Record, Report, unprotect_with},
};

use crate::{deployment::Failure, store::PackageRow};

/// A report about one package whose signature holds.
#[derive(Clone, Debug)]
pub(super) struct Believed {
    /// The report as received: where it is encrypted, its signature holds for the ciphertext.
    pub(super) bytes: Vec<u8>,
    report: Report,
}

/// Finds the report about a package, signed by the Agent's report key, and encrypted to this TAM or
/// not at all.
//= suit 13.97 (M): a protected report verifies with its own key
pub(super) fn find(
    reports: &[Cow<'_, [u8]>],
    report_key: Option<&[u8]>,
    package: &PackageRow,
    opening: &Opening<'_>,
) -> Result<Believed, Failure> {
    let key = report_key.and_then(|key| Key::decode(key).ok());
    let key = key.ok_or_else(|| unreported("the Agent's evidence named no report key"))?;
    let mut seen = "no report".to_owned();
    for bytes in reports {
        match unprotect_with(bytes, &key, &Accept::CURRENT, opening) {
            Err(error) => seen = error.to_string(),
            Ok(protected) => {
                let digest = hex::encode(protected.report.reference.digest.bytes());
                if digest == package.manifest_digest {
                    let report = protected.report;
                    return Ok(Believed { bytes: bytes.to_vec(), report });
                }
                seen = format!("a report about manifest {digest}");
            }
        }
    }
    Err(unreported(&seen))
}

impl Believed {
    /// Whether the whole procedure succeeded; else where and why it did not. With the package's
    /// envelope, a payload that was changed on its way is explained by its digests.
    pub(super) fn succeeded(&self, envelope: Option<&[u8]>) -> Result<(), Failure> {
        let Conclusion::Failure { code, record, reason } = &self.report.result else {
            return Ok(());
        };
        if let Some(changed) = changed_payload(*code, record, envelope) {
            return Err(changed);
        }
        if let Some(refused) = refused_release(&record.properties) {
            return Err(refused);
        }
        let section = Section::from_key(record.section)
            .map_or_else(|| record.section.to_string(), |section| section.to_string());
        let (command, offset) = (Name(*code), record.offset);
        let place = format!("{command} in {section} at byte {offset}");
        Err(Failure {
            check: format!("suit.{reason}"),
            expected: "the manifest is processed to its end".into(),
            seen: match text_in(&record.properties, CAUSE) {
                Some(cause) => format!("{cause} ({place})"),
                None => place,
            },
            owner: owner(*reason),
            remedy: "compare the manifest with the device; the Agent's log has the details".into(),
        })
    }

    /// The steps of a package of several parts, in the order in which their actors did them: each
    /// with the statement of who acted.
    pub(super) fn steps(
        &self,
        package: PackageName,
        instance: InstanceType,
        receipt: Option<&[u8]>,
    ) -> Vec<(EventName, Vec<u8>)> {
        let mut steps = Vec::new();
        for entry in &self.report.records {
            let Entry::Properties(_, properties) = entry else { continue };
            if custom(properties, SAID_BY) {
                // The word of the REE's own processor, where it left one.
                let said = bytes_in(properties, REE_REPORT).filter(|said| !said.is_empty());
                let said = said.unwrap_or_else(|| self.bytes.clone());
                steps.push((EventName::UaToRee, said));
            } else if custom(properties, RUNS) && package == PackageName::UaTa {
                steps.push((EventName::TaTo(instance), self.bytes.clone()));
            } else if custom(properties, RECEIPT) {
                let event = match package {
                    PackageName::UaTaPd => EventName::UaTaPdTo(instance),
                    _ => EventName::TaPdTo(instance),
                };
                steps.push((event, receipt.unwrap_or(&self.bytes).to_vec()));
            }
        }
        steps
    }

    /// The receipt of the one who opened the Personalization Data.
    pub(super) fn receipt(&self, receipt_key: Option<&[u8]>) -> Result<Vec<u8>, Failure> {
        let key = receipt_key.and_then(|key| Key::decode(key).ok());
        let key = key.ok_or_else(|| unreceipted("the Agent's evidence named no receipt key"))?;
        let found = self.report.records.iter().find_map(|entry| match entry {
            Entry::Properties(_, properties) => receipt_in(properties),
            Entry::Record(record) => receipt_in(&record.properties),
        });
        let receipt = found.ok_or_else(|| unreceipted("the report holds none"))?;
        let holds = Sign1::decode(&receipt, Tagging::Either)
            .ok()
            .filter(|sign1| sign1.verify(&key, &Accept::CURRENT, &[]).is_ok());
        match holds {
            Some(_) => Ok(receipt),
            None => Err(unreceipted("its signature is not by the Agent's receipt key")),
        }
    }
}

/// The image-match of a payload that is not what its owner signed.
fn changed_payload(code: i64, record: &Record, envelope: Option<&[u8]>) -> Option<Failure> {
    if code != Condition::ImageMatch.label() {
        return None;
    }
    let Parameter::ImageDigest(seen) = record.properties.find(key::IMAGE_DIGEST)? else {
        return None;
    };
    let expected = signed_digest(envelope?, record.component_index)?;
    Some(Failure {
        check: format!("suit.{}", Name(code)),
        expected: format!("{expected}, as the owner signed it"),
        seen: seen.to_string(),
        owner: Owner::Operator,
        remedy: "deliver the bytes that the owner handed over, and find out who changed them \
                 between the owner and the TEE"
            .into(),
    })
}

/// A release of Personalization Data that its receiver did not open.
fn refused_release(properties: &Properties) -> Option<Failure> {
    let (expected, owner, remedy) = match text_in(properties, CHECK)?.as_str() {
        "release.exchange" => (
            "a release for an exchange that is open in this TEE",
            Owner::Operator,
            "attest and release again: a receiver key opens one release, and ends with its TEE",
        ),
        "release.binding" => (
            "the owner's signature over this TEE's evidence, this manifest and this deployment: \
             the secure channel is to what was attested (draft sections 4.1 to 4.5)",
            Owner::Operator,
            "find out who delivered a release that was made for another device, exchange or \
             deployment; then attest and release again",
        ),
        "release.receiver" => (
            "a release to a receiver key of this TEE",
            Owner::Operator,
            "find out who exchanged key or ciphertext on the way; then attest and release again",
        ),
        "release.format" => (
            "a container of the secure channel",
            Owner::NetworkUser,
            "seal the Personalization Data with this version of the tool",
        ),
        "release.size" => (
            "no more Personalization Data than the TEE takes",
            Owner::NetworkUser,
            "release less data",
        ),
        "release.application" => (
            "data that the Trusted Application takes",
            Owner::NetworkUser,
            "compare the Personalization Data with what the Trusted Application reads",
        ),
        _ => return None,
    };
    let cause = text_in(properties, CAUSE);
    Some(Failure {
        check: text_in(properties, CHECK)?,
        expected: expected.into(),
        seen: cause.unwrap_or_else(|| "a refusal without words".into()),
        owner,
        remedy: remedy.into(),
    })
}

/// The digest that a manifest states for a component, before its sections change anything. The
/// manifest's signature was checked when the package was taken in.
fn signed_digest(envelope: &[u8], component: u64) -> Option<Digest> {
    let envelope = Envelope::decode(envelope).ok()?;
    let manifest = envelope.unverified_manifest().ok()?;
    let (mut selected, mut stated) = (Selection::One(0), None);
    for (_, command) in manifest.common.shared.as_ref()?.commands() {
        if let Command::SetComponentIndex(selection) = command {
            selected = selection;
        } else if let Command::OverrideParameters(parameters) = command
            && covers(&selected, component)
        {
            stated = parameters.iter().find_map(image_digest).or(stated);
        }
    }
    stated
}

fn covers(selected: &Selection, component: u64) -> bool {
    match selected {
        Selection::One(index) => *index == component,
        Selection::All => true,
        Selection::Several(indices) => indices.contains(&component),
    }
}

fn image_digest(parameter: Parameter<'_>) -> Option<Digest> {
    let Parameter::ImageDigest(digest) = parameter else { return None };
    Some(digest)
}

/// What the Agent says in its own words.
fn text_in(properties: &Properties, key: i64) -> Option<String> {
    let Parameter::Custom(_, CustomValue::Text(text)) = properties.find(key)? else { return None };
    Some(text.to_owned())
}

fn receipt_in(properties: &Properties) -> Option<Vec<u8>> {
    bytes_in(properties, RECEIPT)
}

fn custom(properties: &Properties, key: i64) -> bool {
    properties.find(key).is_some()
}

fn bytes_in(properties: &Properties, key: i64) -> Option<Vec<u8>> {
    match properties.find(key)? {
        Parameter::Custom(_, CustomValue::Bytes(bytes)) => Some(bytes.to_vec()),
        _ => None,
    }
}

fn owner(reason: suit::report::Reason) -> Owner {
    use suit::report::Reason;
    match reason {
        Reason::OperationFailed | Reason::InvokePending | Reason::Ok => Owner::Device,
        Reason::CborParse
        | Reason::CosePart
        | Reason::Algorithm
        | Reason::Signature
        | Reason::CommandUnsupported
        | Reason::ComponentUnsupported
        | Reason::ComponentUnauthorised
        | Reason::ParameterUnsupported
        | Reason::SeveringUnsupported
        | Reason::ConditionFailed => Owner::NetworkUser,
    }
}

pub(super) fn unreported(seen: &str) -> Failure {
    Failure {
        check: "report".into(),
        expected: "a SUIT report about this manifest, signed by the Agent's report key".into(),
        seen: seen.to_owned(),
        owner: Owner::Device,
        remedy: "run a TEEP Agent that reports what it did".into(),
    }
}

fn unreceipted(seen: &str) -> Failure {
    Failure {
        check: "receipt".into(),
        expected: "a receipt signed by the Agent's receipt key".into(),
        seen: seen.to_owned(),
        owner: Owner::Device,
        remedy: "look at the log of the Trusted Application's worker".into(),
    }
}

/// The SUIT parameter in which a report carries a receipt.
const RECEIPT: i64 = -75810;
/// The SUIT parameter in which a report says in words why it failed.
const CAUSE: i64 = -75811;
/// The SUIT parameter that says whose word it is that a UA was installed.
const SAID_BY: i64 = -75812;
/// The SUIT parameter with the report of the REE's own processor.
const REE_REPORT: i64 = -75813;
/// The SUIT parameter that says that a Trusted Application runs.
const RUNS: i64 = -75814;
/// The SUIT parameter in which a report names the check of a release that said no.
const CHECK: i64 = -75815;

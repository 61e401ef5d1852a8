//! SUIT reports about what the processor itself does not report.

use suit::parameter::CustomValue;
use suit::report::{Conclusion, Entry, Properties, Reason, Record, Reference, Report};
use suit::{ComponentId, Digest, Envelope, Parameter, Section};
use teep::agent::Outcome;

use super::{Refused, Reporter};

/// The outcome of a manifest that was not even begun.
pub(super) fn refused(
    envelope: &[u8],
    refused: &Refused,
    nonce: Option<&[u8]>,
    reporter: Reporter<'_>,
) -> Outcome<'static> {
    let digest = Envelope::decode(envelope).and_then(|envelope| envelope.claimed_digest());
    // What has no digest cannot be reported about: there is no name for it.
    let report = digest.ok().and_then(|digest| {
        let cause = super::chain(refused);
        let properties =
            Properties::new().with(&Parameter::Custom(CAUSE, CustomValue::Text(&cause)));
        let record = Record { properties, ..Record::default() };
        let result = Conclusion::Failure { code: 0, record, reason: refused.reason() };
        reporter.sign(&new(digest, nonce, Vec::new(), result))
    });
    Outcome { installed: false, report, components: Vec::new() }
}

/// A report that the processor did not write.
pub(super) fn new(
    digest: Digest,
    nonce: Option<&[u8]>,
    records: Vec<Entry>,
    result: Conclusion,
) -> Report {
    Report {
        reference: Reference { uri: String::new(), digest },
        nonce: nonce.map(<[u8]>::to_vec),
        records,
        result,
        capability: None,
    }
}

/// The failure of something that follows the commands of a manifest.
pub(super) fn failure(seen: Option<Digest>, check: Option<&str>, cause: &str) -> Conclusion {
    let mut properties =
        Properties::new().with(&Parameter::Custom(CAUSE, CustomValue::Text(cause)));
    if let Some(check) = check {
        properties = properties.with(&Parameter::Custom(CHECK, CustomValue::Text(check)));
    }
    if let Some(seen) = seen {
        properties = properties.with(&Parameter::ImageDigest(seen));
    }
    let record = Record { section: Section::Install.key(), properties, ..Record::default() };
    Conclusion::Failure { code: 0, record, reason: Reason::OperationFailed }
}

/// What is in place now.
pub(super) fn measured(component: &ComponentId, digest: Digest, size: u64) -> Entry {
    let properties =
        Properties::new().with(&Parameter::ImageDigest(digest)).with(&Parameter::ImageSize(size));
    Entry::Properties(component.clone(), properties)
}

/// That a Trusted Application runs.
pub(super) fn runs(component: &ComponentId) -> Entry {
    let runs = Parameter::Custom(RUNS, CustomValue::Text("runs"));
    Entry::Properties(component.clone(), Properties::new().with(&runs))
}

/// That a release was opened, with the receipt for its owner.
pub(super) fn released(component: &ComponentId, receipt: &[u8]) -> Entry {
    let receipt = Parameter::Custom(RECEIPT, CustomValue::Bytes(receipt));
    Entry::Properties(component.clone(), Properties::new().with(&receipt))
}

/// That the Broker says it installed a component, with its own report.
pub(super) fn said_by_broker(component: &ComponentId, ree_report: &[u8]) -> Entry {
    let said = Parameter::Custom(SAID_BY, CustomValue::Text("broker"));
    let report = Parameter::Custom(REE_REPORT, CustomValue::Bytes(ree_report));
    Entry::Properties(component.clone(), Properties::new().with(&said).with(&report))
}

/// Custom parameter: the receipt of a release, a COSE_Sign1.
pub const RECEIPT: i64 = -75810;

/// Custom parameter: why something failed after the last command, as text.
pub const CAUSE: i64 = -75811;

/// Custom parameter: whose word a claim is, where it is not the agent's own.
pub const SAID_BY: i64 = -75812;

/// Custom parameter: the Trusted Application was started, or ran already.
pub const RUNS: i64 = -75814;

/// Custom parameter: the SUIT_Report of the REE's own processor about a UA.
pub const REE_REPORT: i64 = -75813;

/// Custom parameter: the check of a release of Personalization Data that said no, by its name.
pub const CHECK: i64 = -75815;

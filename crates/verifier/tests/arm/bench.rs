//! One appraisal with everything that can be turned.

use verifier::anchor::{Anchors, Device, ListedDevice, Vendor};
use verifier::evidence::EventLog;
use verifier::value::{Hex, Octets};
use verifier::{
    Appraisal, Collateral, Endorsements, Kind, Policy, ReferenceValues, Request, Timestamp,
    UserData, appraise,
};

/// Everything but the evidence.
pub(crate) struct Bench {
    pub(crate) kind: Kind,
    pub(crate) collateral: Collateral,
    pub(crate) anchors: Anchors,
    pub(crate) reference: ReferenceValues,
    pub(crate) policy: Policy,
    pub(crate) user_data: Option<[u8; 64]>,
    pub(crate) event_log: Option<Vec<u8>>,
    pub(crate) now: Timestamp,
}

impl Bench {
    /// Strict, with nothing known, for 2024-01-01.
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            kind,
            collateral: Collateral::default(),
            anchors: Anchors::vendors(),
            reference: ReferenceValues::default(),
            policy: Policy::default(),
            user_data: None,
            event_log: None,
            now: Timestamp(1_704_067_200),
        }
    }

    /// Enrols a real device.
    pub(crate) fn enrol(mut self, vendor: Vendor, spki: &[u8], instance: &[u8]) -> Self {
        self.anchors = self.anchors.with_device(ListedDevice {
            vendor,
            name: "unit 17".into(),
            spki_sha256: Hex(verifier::crypto::sha256(spki)),
            device: Device::Instance(Octets::new(instance)),
            emulated: false,
        });
        self
    }

    pub(crate) fn prepare(&self) -> Endorsements {
        Endorsements::prepare(self.kind, &self.collateral, &self.anchors)
    }

    pub(crate) fn appraise(&self, evidence: &[u8]) -> Appraisal {
        self.appraise_with(evidence, &self.prepare())
    }

    pub(crate) fn appraise_with(&self, evidence: &[u8], prepared: &Endorsements) -> Appraisal {
        let request = Request {
            kind: self.kind,
            evidence,
            event_log: self.event_log.as_deref().map(EventLog::Ccel),
            user_data: self.user_data.as_ref().map_or(UserData::Unchecked, UserData::Exactly),
            anchors: &self.anchors,
            reference: &self.reference,
            policy: &self.policy,
            now: self.now,
        };
        appraise(&request, prepared)
    }
}

/// Every changed bit of some evidence is refused, and no cut or extension of it is accepted.
pub(crate) fn assert_nothing_else_is_accepted(bench: &Bench, evidence: &[u8]) {
    let prepared = bench.prepare();
    let accepted = bench.appraise_with(evidence, &prepared);
    assert!(accepted.accepted(), "{accepted}");
    for at in 0..evidence.len() {
        let mut changed = evidence.to_vec();
        changed[at] ^= 1 << (at % 8);
        let appraisal = bench.appraise_with(&changed, &prepared);
        assert!(!appraisal.accepted(), "octet {at}\n{appraisal}");

        assert!(!bench.appraise_with(&evidence[..at], &prepared).accepted(), "cut at {at}");
    }
    let longer = [evidence, &[0]].concat();
    assert!(!bench.appraise_with(&longer, &prepared).accepted());
}

//! Appraisals a second, against the bare signatures in them and against peers.
//!
//! *Cold*: collateral is prepared for each appraisal. *Warm*: collateral is prepared, and this
//! platform was seen before; the evidence itself is verified each time.

mod amd;
mod arm;
mod intel;
mod single;

use std::path::Path;

use anyhow::{Result, bail};
use bench::Row;
use verifier::{
    Anchors, Collateral, Endorsements, Kind, Policy, ReferenceValues, Request, Timestamp, UserData,
    appraise,
};

pub(crate) fn measure(vectors: &Path) -> Result<Vec<Row>> {
    let evidence = vectors.join("evidence");
    let mut rows = intel::measure(&evidence)?;
    rows.extend(amd::measure(&evidence)?);
    rows.extend(arm::measure(&evidence)?);
    rows.extend(single::measure(&evidence)?);
    Ok(rows)
}

/// Recorded evidence with everything that its appraisal needs.
struct Recorded {
    kind: Kind,
    evidence: Vec<u8>,
    collateral: Collateral,
    anchors: Anchors,
    policy: Policy,
    user_data: Option<[u8; 64]>,
    now: Timestamp,
}

impl Recorded {
    fn prepare(&self) -> Endorsements {
        Endorsements::prepare(self.kind, &self.collateral, &self.anchors)
    }

    /// Appraises, and insists that the evidence is accepted: a refusal would cost less.
    fn appraise(&self, endorsements: &Endorsements) -> Result<()> {
        let request = Request {
            kind: self.kind,
            evidence: &self.evidence,
            event_log: None,
            user_data: self.user_data.as_ref().map_or(UserData::Unchecked, UserData::Exactly),
            anchors: &self.anchors,
            reference: &ReferenceValues::default(),
            policy: &self.policy,
            now: self.now,
        };
        let appraisal = appraise(&request, endorsements);
        if !appraisal.accepted() {
            bail!("{appraisal}");
        }
        Ok(())
    }

    /// One cold appraisal.
    fn cold(&self) {
        self.appraise(&self.prepare()).expect("it was accepted before");
    }
}

/// What an appraisal must reach of what its signatures alone would allow.
const WARM_GOAL: f64 = 0.85;
const COLD_GOAL: f64 = 0.75;

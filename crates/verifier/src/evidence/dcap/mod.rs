//! What SGX and TDX share: DCAP quotes, the PCK chain, Intel's collateral and TCB levels.
//!
//! Collateral is verified once into [`Endorsements`]; a quote then costs three signatures (quote,
//! quoting enclave, PCK). This module does not know what an enclave or a domain may contain.

pub mod collateral;
pub mod pck;
pub mod quote;
pub mod tcb;

mod authenticity;
mod level;

use serde::{Deserialize, Serialize};

use crate::check::Check;
use crate::{Anchors, Collateral};
use collateral::VerifiedCollateral;
use tcb::TcbStatus;

pub(crate) use authenticity::{Authentic, authenticate};
pub(crate) use level::judge;

/// Rules for Intel's endorsements.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Which TCB statuses are accepted. Default: `["UpToDate"]`.
    pub tcb_statuses: Vec<TcbStatus>,
    /// The lowest `tcbEvaluationDataNumber` of TCB info and QE identity, against replay of old
    /// collateral. Default: 17 (Intel's TCB recovery of 2024-03-12).
    pub evaluation_min: u32,
    /// Advisories (`INTEL-SA-00615`) that are refused whatever the status. Default: none.
    pub advisories_refused: Vec<String>,
    /// Refuse a quote without collateral. When off, such a quote has no TCB status and nothing
    /// checks revocation. Default: `true`.
    pub collateral_required: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            tcb_statuses: vec![TcbStatus::UpToDate],
            evaluation_min: 17,
            advisories_refused: Vec::new(),
            collateral_required: true,
        }
    }
}

/// Intel's collateral, verified once, or the explanation why not.
#[derive(Clone, Debug)]
pub(crate) struct Endorsements {
    collateral: State,
    /// The PCK chain for quotes that carry only a platform id (`pck_chain.pem`).
    pck_chain: Option<Vec<u8>>,
    anchors: Anchors,
}

#[derive(Clone, Debug)]
enum State {
    Absent,
    Refused(Check),
    Verified(Box<VerifiedCollateral>),
}

impl Endorsements {
    pub(crate) fn prepare(collateral: &Collateral, anchors: &Anchors) -> Self {
        let state = match VerifiedCollateral::verify(collateral, anchors) {
            None => State::Absent,
            Some(Err(check)) => State::Refused(check),
            Some(Ok(verified)) => State::Verified(Box::new(verified)),
        };
        let pck_chain = collateral.file("pck_chain.pem").map(<[u8]>::to_vec);
        Self { collateral: state, pck_chain, anchors: anchors.clone() }
    }
}

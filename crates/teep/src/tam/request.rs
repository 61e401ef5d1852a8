//! The QueryRequest of an exchange.

use std::borrow::Cow;

use super::Peer;
use super::exchange::{Asked, Query};
use crate::attestation::AttestationPayload;
use crate::cipher_suite::{CipherSuite, Suite};
use crate::envelope::{Outgoing, Protection};
use crate::message::{DataItems, FreshnessMechanism, Message, QueryRequest};
use crate::numbering::Numbering;
use crate::suit_cose_profile::SuitCoseProfile;

/// What is asked of an Agent that has to attest itself.
pub(super) const ATTEST: DataItems = DataItems::ATTESTATION.and(DataItems::TRUSTED_COMPONENTS);

/// What is asked of an Agent that is known.
pub(super) const MANAGE: DataItems = DataItems::TRUSTED_COMPONENTS.and(DataItems::SUIT_REPORTS);

/// What a second QueryRequest has that the first had not.
#[derive(Default)]
pub(super) struct Extra<'m> {
    /// Evidence or a result about the TAM.
    pub(super) attestation: Option<AttestationPayload<'m>>,
    /// Reports about the TAM.
    pub(super) reports: Vec<Cow<'m, [u8]>>,
    /// Whether to spell out that nonce is the freshness mechanism.
    pub(super) explicit_freshness: bool,
}

/// The QueryRequest for a query.
//= teep 14.23 (M): both TEEP suites and the four mandatory profiles are listed
//= teep 14.24 (M): token is present iff the attestation bit is clear
//= teep 14.25 (M): freshness mechanisms and challenge are absent if the attestation bit is clear
//= teep 14.26 (M): challenge is absent where a result is asked for that exists already
pub(super) fn outgoing<'m>(
    suites: &[Suite],
    query: &Query,
    agent: Option<Peer>,
    numbering: Numbering,
    extra: Extra<'m>,
) -> Outgoing<'m> {
    let (token, challenge, freshness) = match &query.asked {
        Asked::Token(token) => (Some(*token), None, None),
        Asked::Challenge { challenge, .. } => {
            let nonce = extra.explicit_freshness.then(|| vec![FreshnessMechanism::NONCE]);
            (None, Some(challenge.clone()), nonce)
        }
        Asked::Result { .. } => (None, None, Some(vec![FreshnessMechanism::TIMESTAMP])),
    };
    let request = QueryRequest {
        token,
        supported_freshness_mechanisms: freshness,
        challenge,
        versions: Some(vec![0]),
        attestation_payload: extra.attestation,
        suit_reports: extra.reports,
        supported_teep_cipher_suites: CipherSuite::offers(suites),
        supported_suit_cose_profiles: SuitCoseProfile::MANDATORY.to_vec(),
        data_item_requested: query.items,
        renewal: query.renewal,
    };
    let protection = protection(suites, agent);
    Outgoing { message: Message::QueryRequest(request), numbering, protection }
}

/// The suite that the Agent chose; all as long as it has chosen none.
//= teep 14.22 (M): the first QueryRequest without knowledge has a signature for each suite listed
//= teep 14.13 (M): the suite chosen is used for every later message
fn protection(suites: &[Suite], agent: Option<Peer>) -> Protection {
    match agent {
        Some(agent) => Protection::Sign1(agent.suite),
        None => Protection::Sign(suites.to_vec()),
    }
}

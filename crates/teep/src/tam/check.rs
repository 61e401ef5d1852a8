//! Whether a message belongs to an exchange.

use std::borrow::Cow;

use super::exchange::{Asked, Query};
use super::{Config, Peer};
use crate::confidential::Receiver;
use crate::envelope::Signer;
use crate::message::{DataItems, QueryResponse};
use crate::misbehaved::Misbehaved;
use crate::numbering::Numbering;
use crate::report;
use crate::token::Token;

/// Whether a message comes from the Agent that the exchange is with, and speaks as it did.
//= teep 14.13 (M): the suite chosen is used for every later message
pub(super) fn sender(
    agent: Option<&Peer>,
    signer: &Signer,
    numbering: Numbering,
) -> Result<(), Misbehaved> {
    let Some(agent) = agent else { return Ok(()) };
    if agent.key != signer.thumbprint {
        return Err(Misbehaved::AnotherSigner);
    }
    if agent.suite != signer.suite {
        return Err(Misbehaved::SuiteChanged);
    }
    if agent.numbering != numbering {
        return Err(Misbehaved::NumberingChanged);
    }
    Ok(())
}

/// Whether an answer brings back the token that was sent with the request, or none.
pub(super) fn token(asked: &Asked, token: Option<Token>) -> Result<(), Misbehaved> {
    let sent = match asked {
        Asked::Token(token) => Some(*token),
        Asked::Challenge { .. } | Asked::Result { .. } => None,
    };
    if token == sent { Ok(()) } else { Err(Misbehaved::TokenMismatch) }
}

/// Whether a Success or Error answers the Update with this token.
//= teep 14.43 (M): report nonces in Success and Error are compared with the Update's token
pub(super) fn outcome(
    sent: &Token,
    token: Option<Token>,
    suit_reports: &[Cow<'_, [u8]>],
    signer: &Signer,
    receiver: Option<&Receiver>,
) -> Result<(), Misbehaved> {
    if token.as_ref() != Some(sent) {
        return Err(Misbehaved::TokenMismatch);
    }
    reports(suit_reports, Some(sent), signer, receiver)
}

/// Whether SUIT reports belong to the exchange and have keys of their own.
pub(super) fn reports(
    suit_reports: &[Cow<'_, [u8]>],
    token: Option<&Token>,
    signer: &Signer,
    receiver: Option<&Receiver>,
) -> Result<(), Misbehaved> {
    suit_reports.iter().try_for_each(|bytes| report::check(bytes, token, signer, receiver))
}

/// Whether a QueryResponse has what was asked for.
//= teep 14.33 (M): an answer without what was asked for is dropped
//= teep 14.34 (M): report nonces in a QueryResponse are compared with the token
pub(super) fn complete(
    config: &Config,
    query: &Query,
    response: &QueryResponse<'_>,
    signer: &Signer,
) -> Result<(), &'static str> {
    let asked = |items| query.items.contains(items);
    let strict = !config.lenient_lists;
    if response.selected_version.is_some_and(|version| version != 0) {
        return Err("selected-version was not offered");
    }
    if asked(DataItems::ATTESTATION) && response.attestation_payload.is_none() {
        return Err("attestation-payload is missing");
    }
    if asked(DataItems::TRUSTED_COMPONENTS) && strict && response.tc_list.is_none() {
        return Err("tc-list is missing");
    }
    if asked(DataItems::EXTENSIONS) && strict && response.ext_list.is_none() {
        return Err("ext-list is missing");
    }
    let receiver = config.receiver.as_ref();
    match reports(&response.suit_reports, response.token.as_ref(), signer, receiver) {
        Ok(()) => Ok(()),
        Err(Misbehaved::ReportNonce) => Err("nonce of a SUIT report is not the token"),
        Err(Misbehaved::ReportKey) => Err("a SUIT report is protected by the key of the message"),
        Err(Misbehaved::Undecipherable) => Err("a SUIT report is encrypted to another key"),
        Err(_) => Err("a SUIT report is not readable"),
    }
}

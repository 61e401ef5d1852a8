//! What a TAM does about an Error in answer to its QueryRequest.

use std::borrow::Cow;

use rats::Timestamp;

use super::effect::{Effect, Record, Spent};
use super::exchange::{Asked, Exchange, Query, Waiting};
use super::request::{self, Extra};
use super::session::{Session, State, refusal};
use super::{Peer, Tam};
use crate::attestation::AttestationPayload;
use crate::challenge::Challenge;
use crate::cipher_suite::Suite;
use crate::err_code::ErrCode;
use crate::message::{Error, FreshnessMechanism};
use crate::misuse::Misuse;
use crate::suit_cose_profile::SuitCoseProfile;
use crate::token::Fresh;

impl Session {
    /// An Error in answer to our QueryRequest.
    ///
    /// With the token, or the challenge, of the request the Error ends the exchange. Without them
    /// nothing shows that it is no replay, so it is a hint and the exchange waits on.
    //= teep 14.42 (M): Error 7 is answered by a QueryRequest with attestation-payload
    //= teep 14.44 (S): Error 3, 4, 5 and 8 are answered once, with a choice both sides have
    pub(super) fn refused<'b>(
        &mut self,
        tam: &Tam,
        now: Timestamp,
        fresh: Fresh,
        agent: Option<Peer>,
        mut query: Query,
        error: Error<'b>,
    ) -> Vec<Effect<'b>> {
        if error.err_code == ErrCode::AttestationRequired && !self.common.tam_attested {
            self.state = State::Attesting { agent, query };
            return vec![Effect::Attest(error.challenge)];
        }
        if !self.common.retried && is_common(&error) {
            self.common.retried = true;
            let nonce = error.err_code == ErrCode::UnsupportedFreshnessMechanisms;
            let result = matches!(query.asked, Asked::Result { .. });
            query.asked = if nonce && result {
                tam.stored_challenge(now, fresh)
            } else {
                renewed(query.asked, fresh)
            };
            let extra = Extra { explicit_freshness: nonce, ..Extra::default() };
            return self.ask_again(tam, now, agent, query, extra);
        }
        let bound = match &query.asked {
            Asked::Token(_) => true,
            Asked::Challenge { challenge, .. } => {
                error.request_challenge.as_ref() == Some(challenge)
            }
            Asked::Result { .. } => false,
        };
        if !bound {
            return vec![refusal(error)];
        }
        let reopen = !self.common.retried && has_common_suite(tam, &error);
        self.state = State::Closed;
        let spend = self.spend_stored();
        let reopen = reopen.then_some(Effect::Connect(None));
        [refusal(error)].into_iter().chain(spend).chain(reopen).collect()
    }

    /// An Error that no exchange waits for, as that of a stranger whom we asked statelessly.
    pub(super) fn refused_by_stranger<'b>(
        &mut self,
        tam: &Tam,
        fresh: Fresh,
        now: Timestamp,
        error: Error<'b>,
    ) -> Vec<Effect<'b>> {
        if error.err_code != ErrCode::AttestationRequired {
            return vec![refusal(error)];
        }
        let challenge = Challenge::issue(&tam.config().challenge_key, now, fresh);
        let query = tam.attestation(challenge.clone(), challenge, false);
        self.state = State::Attesting { agent: None, query };
        vec![Effect::Attest(error.challenge)]
    }

    /// Continues after [`Effect::Attest`], with Evidence or a result about this TAM and boot-time
    /// reports about it, or nothing if there is none to give.
    pub fn attested<'m>(
        &mut self,
        tam: &Tam,
        now: Timestamp,
        fresh: Fresh,
        attestation: Option<AttestationPayload<'m>>,
        reports: Vec<Cow<'m, [u8]>>,
    ) -> Result<Vec<Effect<'m>>, Misuse> {
        let state = std::mem::replace(&mut self.state, State::Closed);
        let State::Attesting { agent, mut query } = state else {
            return self.put_back(state, "an attestation");
        };
        let bound = matches!(query.asked, Asked::Token(_));
        if attestation.is_none() {
            return Ok(if bound { self.spend().into_iter().collect() } else { Vec::new() });
        }
        self.common.tam_attested = true;
        query.asked = renewed(query.asked, fresh);
        let extra = Extra { attestation, reports, explicit_freshness: false };
        Ok(self.ask_again(tam, now, agent, query, extra))
    }

    /// Sends a QueryRequest once more, in the place of the one that was refused.
    fn ask_again<'m>(
        &mut self,
        tam: &Tam,
        now: Timestamp,
        agent: Option<Peer>,
        query: Query,
        extra: Extra<'m>,
    ) -> Vec<Effect<'m>> {
        let numbering = self.common.numbering;
        let outgoing = request::outgoing(&tam.config().suites, &query, agent, numbering, extra);
        let mut effects = Vec::new();
        if let Some(Spent::Stored(_)) = self.common.spends {
            let waiting = Waiting::Query { agent, query: query.clone() };
            let exchange = Exchange {
                retried: self.common.retried,
                tam_attested: self.common.tam_attested,
                ..tam.exchange(now, numbering, waiting, self.common.note.clone())
            };
            let spends = self.common.spends.replace(Spent::Stored(exchange.correlation()));
            effects.push(Effect::Persist(Record { spends, opens: Some(exchange) }));
        }
        self.state = State::Querying { agent, query };
        effects.push(Effect::Send(outgoing));
        effects
    }
}

/// A token is used up and replaced; a challenge was not used.
fn renewed(asked: Asked, fresh: Fresh) -> Asked {
    match asked {
        Asked::Token(_) => Asked::Token(fresh.into_token()),
        asked @ (Asked::Challenge { .. } | Asked::Result { .. }) => asked,
    }
}

/// Whether this TAM has what the Agent says it supports, so that asking again makes sense.
fn is_common(error: &Error<'_>) -> bool {
    let freshness = &error.supported_freshness_mechanisms;
    let profiles = &error.supported_suit_cose_profiles;
    let code = error.err_code;
    (code == ErrCode::UnsupportedFreshnessMechanisms
        && freshness.contains(&FreshnessMechanism::NONCE))
        || (code == ErrCode::UnsupportedMsgVersion && error.versions.contains(&0))
        || (code == ErrCode::UnsupportedSuitReport
            && SuitCoseProfile::MANDATORY.iter().any(|ours| profiles.contains(ours)))
}

/// Whether the Agent has a suite that this TAM has too.
///
/// Another suite means another key of the Agent, so it has to be met anew, as a stranger.
fn has_common_suite(tam: &Tam, error: &Error<'_>) -> bool {
    error.err_code == ErrCode::UnsupportedCipherSuites
        && !Suite::common(&tam.config().suites, &error.supported_teep_cipher_suites).is_empty()
}

//! How an Agent answers a QueryRequest (section 7.2.1).

use rats::Timestamp;

use super::effect::{Collected, Effect, Wanted};
use super::memory::TamFacts;
use super::question::Question;
use super::session::{State, send};
use super::{Agent, Handle, bounded, within};
use crate::appraisal::{Appraisal, Freshness, NotAttested, Unbound, Verdict};
use crate::challenge::Challenge;
use crate::component::SystemProperties;
use crate::err_code::ErrCode;
use crate::limits;
use crate::message::{DataItems, Error, FreshnessMechanism, Message, QueryRequest, QueryResponse};
use crate::misuse::Misuse;
use crate::token::Fresh;

impl Agent {
    /// A QueryRequest that can be answered, once the TAM is attested where that is asked.
    //= teep 15.101: a replayed QueryRequest is answered and changes nothing on the device
    //= teep 14.60 (M): without the TAM's attestation Error 7 is sent, with freshness and challenge
    pub(super) fn asked<'b>(
        &mut self,
        fresh: Fresh,
        handle: Handle,
        question: Question,
        request: QueryRequest<'b>,
    ) -> Vec<Effect<'b>> {
        if !self.config.attest_tam {
            return self.collect(handle, question);
        }
        match (self.take(handle), request.attestation_payload) {
            (Ok(State::Challenging { challenge }), Some(payload)) => {
                let tam = question.tam.key;
                let sent = challenge.clone();
                self.set(handle, State::AppraisingTam { question, challenge });
                vec![Effect::AppraiseTam { payload, challenge: sent, tam }]
            }
            _ => vec![self.challenge_tam(fresh, handle, &question)],
        }
    }

    /// Asks the TAM to attest itself.
    fn challenge_tam<'b>(
        &mut self,
        fresh: Fresh,
        handle: Handle,
        question: &Question,
    ) -> Effect<'b> {
        let challenge = Challenge::new(fresh.into_bytes()).expect("32 bytes are an allowed length");
        let msg = "attestation of the TAM is required";
        let error = Error {
            supported_freshness_mechanisms: vec![FreshnessMechanism::NONCE],
            challenge: Some(challenge.clone()),
            ..question.error(ErrCode::AttestationRequired, msg)
        };
        self.set(handle, State::Challenging { challenge });
        send(question.tam, Message::Error(error))
    }

    /// Continues after [`Effect::AppraiseTam`].
    //= teep 14.61 (M): a result about the TAM is from a trusted Verifier and names the TAM's key
    pub fn tam_appraised(
        &mut self,
        now: Timestamp,
        fresh: Fresh,
        handle: Handle,
        outcome: Result<Appraisal, NotAttested>,
    ) -> Result<Vec<Effect<'static>>, Misuse> {
        self.advance(now);
        let state = self.take(handle)?;
        let State::AppraisingTam { question, challenge } = state else {
            return self.put_back(handle, state, "an appraisal of the TAM");
        };
        let freshness = Freshness::Nonce(challenge.as_bytes());
        let verdict =
            outcome.and_then(|found| found.check(freshness, question.tam.key, Unbound::Refused));
        Ok(match verdict {
            Ok(Verdict::Passed) => self.collect(handle, question),
            Ok(Verdict::Repairable | Verdict::Failed) | Err(_) => {
                vec![self.challenge_tam(fresh, handle, &question)]
            }
        })
    }

    /// Obtains what the TAM asks for, if it asks for anything.
    fn collect<'b>(&mut self, handle: Handle, question: Question) -> Vec<Effect<'b>> {
        let wanted = question.wanted();
        let Wanted { attestation, components, reports, .. } = &wanted;
        if attestation.is_none() && !components && !reports {
            return self.answer(handle, question, Collected::default());
        }
        self.set(handle, State::Collecting { question });
        vec![Effect::Collect(wanted)]
    }

    /// Continues after [`Effect::Collect`].
    pub fn collected<'e>(
        &mut self,
        now: Timestamp,
        handle: Handle,
        collected: Collected<'e>,
    ) -> Result<Vec<Effect<'e>>, Misuse> {
        self.advance(now);
        let state = self.take(handle)?;
        let State::Collecting { question } = state else {
            return self.put_back(handle, state, "an inventory");
        };
        let checked = bounded(&collected.reports, question.token.as_ref())
            .and_then(|()| within("tc-list", collected.components.len(), limits::COMPONENTS - 1));
        if let Err(misuse) = checked {
            self.set(handle, State::Collecting { question });
            return Err(misuse);
        }
        if question.asks(DataItems::ATTESTATION) && collected.evidence.is_none() {
            let msg = "Evidence is not available";
            let error = question.error(ErrCode::TemporaryError, msg);
            return Ok(vec![send(question.tam, Message::Error(error))]);
        }
        Ok(self.answer(handle, question, collected))
    }

    /// Sends the QueryResponse.
    //= teep 14.56 (M): the token is echoed iff there is one
    //= teep 14.57 (M): attestation-payload is given iff attestation is asked for
    //= teep 14.58 (M): tc-list and ext-list are given when they are asked for
    fn answer<'e>(
        &mut self,
        handle: Handle,
        question: Question,
        collected: Collected<'e>,
    ) -> Vec<Effect<'e>> {
        let Some(session) = self.sessions.get_mut(&handle) else { return Vec::new() };
        let tam = question.tam;
        session.state = State::Answered { tam };
        let uri = session.tam.clone();
        let asks = |items| question.asks(items);
        let response = QueryResponse {
            token: question.token,
            selected_version: Some(0),
            attestation_payload: collected.evidence.filter(|_| asks(DataItems::ATTESTATION)),
            suit_reports: collected.reports,
            tc_list: asks(DataItems::TRUSTED_COMPONENTS)
                .then(|| with_agent(self.config.component.clone(), collected.components)),
            requested_tc_list: self.memory.requested_of(&uri),
            unneeded_manifest_list: self.memory.unneeded_of(&uri),
            ext_list: asks(DataItems::EXTENSIONS).then(|| self.config.extensions.clone()),
        };
        let facts = TamFacts {
            key: tam.key,
            suite: tam.suite,
            bare: question.is_bare(),
            failed: false,
            valid_until: question.valid_until,
        };
        let mut effects = Vec::with_capacity(2);
        if self.memory.tams.get(&uri) != Some(&facts) {
            let keep = self.configured_tams();
            self.memory.learn(&uri, facts, &keep);
            effects.push(self.persist());
        }
        effects.push(send(tam, Message::QueryResponse(response)));
        effects
    }
}

/// The list of components with the Agent in it, so that it is never empty.
fn with_agent<'e>(
    agent: SystemProperties<'static>,
    mut components: Vec<SystemProperties<'e>>,
) -> Vec<SystemProperties<'e>> {
    if !components.iter().any(|listed| listed.component == agent.component) {
        components.insert(0, agent);
    }
    components
}

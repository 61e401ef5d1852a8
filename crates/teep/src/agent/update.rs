//! How an Agent carries out an Update (section 7.2.2).

use std::borrow::Cow;

use rats::Timestamp;

use super::effect::{Effect, NotUnlinked, Outcome};
use super::session::{State, Tam, send};
use super::{Agent, Handle, bounded};
use crate::envelope::Signer;
use crate::err_code::ErrCode;
use crate::message::{Error, Message, Success, Update};
use crate::misuse::Misuse;
use crate::token::Token;

impl Agent {
    /// An Update. It counts from the TAM whose QueryRequest was answered, in the suite chosen
    /// then, and once.
    ///
    /// Its token is used up by whatever becomes of it here. Else a Broker could have one session
    /// carry the Update out and another refuse it, and show the TAM the refusal.
    //= teep 14.13 (M): the suite chosen is used for every later message
    //= teep 15.102: an Update that is replayed has no second effect
    //= teep 15.104: reordered Updates are refused: each token counts once, each manifest ascends
    pub(super) fn updated<'b>(
        &mut self,
        handle: Handle,
        update: Update<'b>,
        signer: &Signer,
        sender: Tam,
    ) -> Vec<Effect<'b>> {
        let token = update.token;
        let refuse = |token, msg| {
            let error = Error::new(ErrCode::PermanentError, token, msg);
            send(sender, Message::Error(error))
        };
        let mut effects = Vec::with_capacity(2);
        if let Some(token) = &token {
            if self.memory.is_spent(signer.thumbprint, token) {
                return vec![refuse(None, "Update was seen before")];
            }
            self.memory.spend(signer.thumbprint, token);
            effects.push(self.persist());
        }
        let tam = match self.expected(handle, signer) {
            Ok(tam) => tam,
            Err(msg) => {
                effects.push(refuse(token, msg));
                return effects;
            }
        };
        effects.extend(update.attestation_payload.map(Effect::Passport));
        let failed = update.err_code.is_some();
        effects.extend(update.err_code.map(|code| Effect::Failed { code, msg: update.err_msg }));
        let (unneeded, manifests) = (update.unneeded_manifest_list, update.manifest_list);
        if !unneeded.is_empty() {
            let manifests = manifests.into_iter().map(Cow::into_owned).collect();
            let order = Effect::Unlink { manifests: unneeded.clone(), tam: tam.key };
            self.set(handle, State::Unlinking { tam, token, unneeded, manifests });
            effects.push(order);
        } else if !manifests.is_empty() {
            effects.push(self.install(handle, tam, token, manifests));
        } else if !failed {
            effects.push(send(tam, Message::Success(Success { token, ..Success::default() })));
        }
        effects
    }

    /// Whether an Update may come from this signer.
    fn expected(&self, handle: Handle, signer: &Signer) -> Result<Tam, &'static str> {
        let state = self.sessions.get(&handle).map(|session| &session.state);
        let Some(State::Answered { tam }) = state else {
            return Err("Update without QueryRequest");
        };
        if tam.suite != signer.suite {
            return Err("Update in another cipher suite");
        }
        if tam.suite == tam.key_suite && tam.key != signer.thumbprint {
            return Err("Update of another TAM");
        }
        Ok(*tam)
    }

    //= teep 14.66 (M): manifests are handed out to have their signers checked; the TAM's signature
    //= counts for nothing there
    fn install<'b>(
        &mut self,
        handle: Handle,
        tam: Tam,
        token: Option<Token>,
        manifests: Vec<Cow<'b, [u8]>>,
    ) -> Effect<'b> {
        self.set(handle, State::Installing { tam, token, manifests: manifests.len() });
        Effect::Install { manifests, nonce: token, tam: tam.key, profile: tam.profile }
    }

    /// Continues after [`Effect::Unlink`].
    //= teep 14.63 (M): unlinking precedes installing, and its failure stops the Update
    pub fn unlinked<'e>(
        &mut self,
        now: Timestamp,
        handle: Handle,
        outcome: Result<(), NotUnlinked<'e>>,
    ) -> Result<Vec<Effect<'e>>, Misuse> {
        self.advance(now);
        let state = self.take(handle)?;
        let State::Unlinking { tam, token, unneeded, manifests } = state else {
            return self.put_back(handle, state, "an outcome of unlinking");
        };
        let reports = outcome.as_ref().err().map_or(&[][..], |failure| &failure.reports);
        if let Err(misuse) = bounded(reports, token.as_ref()) {
            self.set(handle, State::Unlinking { tam, token, unneeded, manifests });
            return Err(misuse);
        }
        self.set(handle, State::Answered { tam });
        let gone = outcome.as_ref().map_or_else(|failure| failure.unlinked, |()| unneeded.len());
        let before = self.memory.unneeded.len();
        for manifest in unneeded.iter().take(gone) {
            self.memory.unneeded.remove(manifest);
        }
        let changed = self.memory.unneeded.len() != before;
        let mut effects: Vec<_> = changed.then(|| self.persist()).into_iter().collect();
        effects.push(match outcome {
            Err(NotUnlinked { msg, reports, .. }) => {
                send(tam, Message::Error(failed(token, msg, reports)))
            }
            Ok(()) if manifests.is_empty() => {
                send(tam, Message::Success(Success { token, ..Success::default() }))
            }
            Ok(()) => {
                let manifests = manifests.into_iter().map(Cow::Owned).collect();
                self.install(handle, tam, token, manifests)
            }
        });
        Ok(effects)
    }

    /// Instead of [`installed`](Self::installed): nothing was begun, the TAM may ask again later.
    pub fn postponed(
        &mut self,
        now: Timestamp,
        handle: Handle,
        msg: &'static str,
    ) -> Result<Vec<Effect<'static>>, Misuse> {
        self.advance(now);
        let state = self.take(handle)?;
        let State::Installing { tam, token, .. } = state else {
            return self.put_back(handle, state, "an outcome of installing");
        };
        self.set(handle, State::Answered { tam });
        let error = Error::new(ErrCode::TemporaryError, token, msg);
        Ok(vec![send(tam, Message::Error(error))])
    }

    /// Continues after [`Effect::Install`], with one outcome for each manifest, in order.
    //= teep 14.64 (M): Success only after every manifest and dependency is installed
    //= teep 14.65 (M): any failure gives Error 11 with the reports
    pub fn installed<'e>(
        &mut self,
        now: Timestamp,
        handle: Handle,
        outcomes: Vec<Outcome<'e>>,
    ) -> Result<Vec<Effect<'e>>, Misuse> {
        self.advance(now);
        let state = self.take(handle)?;
        let State::Installing { tam, token, manifests } = state else {
            return self.put_back(handle, state, "an outcome of installing");
        };
        let reports: Vec<_> = outcomes.iter().filter_map(|o| o.report.clone()).collect();
        let counted = match outcomes.len() {
            got if got == manifests => Ok(()),
            got => Err(Misuse::Outcomes { expected: manifests, got }),
        };
        let checked = counted.and_then(|()| bounded(&reports, token.as_ref()));
        if let Err(misuse) = checked {
            self.set(handle, State::Installing { tam, token, manifests });
            return Err(misuse);
        }
        self.set(handle, State::Answered { tam });
        let before = self.memory.requested.len();
        for component in outcomes.iter().flat_map(|outcome| &outcome.components) {
            self.memory.requested.remove(component);
        }
        let changed = self.memory.requested.len() != before;
        let mut effects: Vec<_> = changed.then(|| self.persist()).into_iter().collect();
        let unsuccessful = outcomes.iter().filter(|outcome| !outcome.installed).count();
        effects.push(send(
            tam,
            if unsuccessful == 0 {
                Message::Success(Success { token, msg: None, suit_reports: reports })
            } else {
                let msg = format!("{unsuccessful} of {manifests} manifests failed");
                Message::Error(failed(token, msg.into(), reports))
            },
        ));
        Ok(effects)
    }
}

fn failed<'e>(
    token: Option<Token>,
    msg: Cow<'e, str>,
    suit_reports: Vec<Cow<'e, [u8]>>,
) -> Error<'e> {
    let code = ErrCode::ManifestProcessingFailed;
    Error { suit_reports, ..Error::new(code, token, msg) }
}

//! One session of an Agent: what may come next, and who it is with.

use cose::Thumbprint;
use rats::Timestamp;
use suit::ComponentId;

use super::effect::Effect;
use super::question::{self, Question};
use super::{Agent, Handle, TamUri};
use crate::challenge::Challenge;
use crate::cipher_suite::Suite;
use crate::envelope::{Keys, NoKey, Opened, Outgoing, Protection, Rejected, Sealed};
use crate::err_code::ErrCode;
use crate::message::{self, Error, Message};
use crate::misbehaved::Misbehaved;
use crate::misuse::Misuse;
use crate::numbering::Numbering;
use crate::suit_cose_profile::SuitCoseProfile;
use crate::token::{Fresh, Token};

/// One session with one TAM.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) tam: TamUri,
    pub(super) touched: Timestamp,
    pub(super) state: State,
}

/// Who a session is with, and how it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tam {
    /// The key that signed the QueryRequest.
    pub(super) key: Thumbprint,
    /// The suite of that signature.
    pub(super) key_suite: Suite,
    /// The suite of the session. Where it is another one, the TAM goes on with another key.
    pub(super) suite: Suite,
    pub(super) numbering: Numbering,
    /// What its QueryRequest and this Agent have in common for secrecy.
    pub(super) profile: Option<SuitCoseProfile>,
}

#[derive(Debug)]
pub(super) enum State {
    /// Nothing was answered yet; a QueryRequest may come.
    Idle,
    /// Error 7 sent; a QueryRequest with attestation-payload may come.
    Challenging { challenge: Challenge },
    /// The TAM's attestation handed out; nothing from the TAM is acceptable.
    AppraisingTam { question: Question, challenge: Challenge },
    /// Evidence and inventory are being obtained; nothing from the TAM is acceptable.
    Collecting { question: Question },
    /// QueryResponse, Success or Error sent; an Update or QueryRequest may come.
    Answered { tam: Tam },
    /// Manifests are being unlinked; nothing from the TAM is acceptable.
    Unlinking {
        tam: Tam,
        token: Option<Token>,
        unneeded: Vec<ComponentId>,
        manifests: Vec<Vec<u8>>,
    },
    /// Manifests are being installed; nothing from the TAM is acceptable.
    Installing { tam: Tam, token: Option<Token>, manifests: usize },
}

impl State {
    const fn is_busy(&self) -> bool {
        match self {
            Self::Idle | Self::Challenging { .. } | Self::Answered { .. } => false,
            Self::AppraisingTam { .. }
            | Self::Collecting { .. }
            | Self::Unlinking { .. }
            | Self::Installing { .. } => true,
        }
    }
}

impl Agent {
    /// RFC 9397 section 6.2.1 ProcessTeepMessage.
    ///
    /// Whatever is wrong with the bytes becomes an Error message for the TAM and changes nothing.
    /// Only a call that the session cannot take at all is an error here.
    pub fn process_teep_message<'b>(
        &mut self,
        now: Timestamp,
        fresh: Fresh,
        handle: Handle,
        bytes: &'b [u8],
        keys: &dyn Keys,
    ) -> Result<Vec<Effect<'b>>, Misbehaved> {
        let now = self.advance(now);
        let session = self.sessions.get_mut(&handle).ok_or(Misbehaved::UnknownSession)?;
        if session.state.is_busy() {
            return Err(Misbehaved::Busy);
        }
        session.touched = now;
        let sealed = match Sealed::decode(bytes, &self.config.dialect) {
            Ok(sealed) => sealed,
            Err(rejected) => return Ok(self.reject(now, &rejected, None)),
        };
        let opened = sealed.open(&self.config.dialect, keys);
        let opened = opened.and_then(|opened| match opened.signer().check(now) {
            Ok(()) => Ok(opened),
            Err(no_key) => Err(no_key.into()),
        });
        match opened {
            Ok(opened) => Ok(self.process(fresh, handle, opened)),
            Err(rejected) => Ok(self.reject(now, &rejected, Some(&sealed))),
        }
    }

    /// A message whose signer is a TAM that this Agent knows.
    //= teep 15.107: a message in the wrong direction is refused
    fn process<'b>(&mut self, fresh: Fresh, handle: Handle, opened: Opened<'b>) -> Vec<Effect<'b>> {
        let numbering = opened.numbering();
        let (message, signer) = opened.into_parts();
        let suite = self.reply_suite(signer.suite);
        let sender = Tam {
            key: signer.thumbprint,
            key_suite: signer.suite,
            suite,
            numbering,
            profile: None,
        };
        match message {
            Message::QueryRequest(request) => {
                match Question::new(&self.config, &request, &signer, numbering) {
                    Ok(question) => self.asked(fresh, handle, question, request),
                    Err(error) => {
                        let challenge = request.challenge.filter(|_| request.token.is_none());
                        let error = Error { request_challenge: challenge, ..*error };
                        vec![send(sender, Message::Error(error))]
                    }
                }
            }
            Message::Update(update) => self.updated(handle, update, &signer, sender),
            Message::QueryResponse(_) | Message::Success(_) | Message::Error(_) => {
                let msg = "not a message for an Agent";
                let error = Error::new(ErrCode::PermanentError, message.token(), msg);
                vec![send(sender, Message::Error(error))]
            }
        }
    }

    /// Answers bytes that are no message of a TAM.
    ///
    /// A sender whose signature holds gets its token back. Any other could put somebody else's
    /// token there and have this Agent sign that the exchange has failed, so it gets none, and
    /// only so many Errors in a given time.
    //= teep 14.51 (M): a TAM whose key is not anchored or expired gets Error 6 or 9, nothing else
    //= rats 11.31 (M): so no evidence goes to it
    //= teep 15.119: nothing that identifies the device goes to an unknown TAM
    fn reject<'b>(
        &mut self,
        now: Timestamp,
        rejected: &Rejected,
        sealed: Option<&Sealed<'_>>,
    ) -> Vec<Effect<'b>> {
        let configured = self.config.dialect.numbering;
        let numbering = sealed.map_or(configured, |sealed| self.spoken(sealed));
        let (token, key, suite) = match rejected {
            Rejected::Message { token, signer, .. } => {
                (*token, signer.thumbprint, self.reply_suite(signer.suite))
            }
            Rejected::NotSigned
            | Rejected::Malformed(_)
            | Rejected::AlgorithmUnprotected
            | Rejected::NoSuite
            | Rejected::Key(_)
            | Rejected::Untrusted(_) => {
                if self.config.silent_to_strangers || !self.strangers.admit(now) {
                    return Vec::new();
                }
                (None, Thumbprint([0; 32]), self.config.suites[0])
            }
        };
        let error = match (rejected, sealed) {
            (Rejected::NoSuite, _) => question::no_common_suite(&self.config, token),
            (Rejected::Message { .. }, Some(sealed)) if numbering != configured => {
                let token = message::recover_token(sealed.unverified_payload(), numbering);
                Error::new(ErrCode::PermanentError, token, "code points of an older draft")
            }
            (rejected, _) => Error::new(rejected.err_code(), token, reason(rejected)),
        };
        let stranger = Tam { key, key_suite: suite, suite, numbering, profile: None };
        vec![send(stranger, Message::Error(error))]
    }

    /// The code points in which a sender can read an Error.
    fn spoken(&self, sealed: &Sealed<'_>) -> Numbering {
        let configured = self.config.dialect.numbering;
        let reads = |numbering| Message::decode(sealed.unverified_payload(), numbering).is_ok();
        if !reads(configured) && reads(Numbering::Legacy18) {
            Numbering::Legacy18
        } else {
            configured
        }
    }

    /// The suite of the sender if this Agent has it.
    fn reply_suite(&self, theirs: Suite) -> Suite {
        if self.config.suites.contains(&theirs) { theirs } else { self.config.suites[0] }
    }

    /// Takes the state of a session out, to be set again.
    pub(super) fn take(&mut self, handle: Handle) -> Result<State, Misuse> {
        let session = self.sessions.get_mut(&handle).ok_or(Misuse::UnknownHandle)?;
        Ok(std::mem::replace(&mut session.state, State::Idle))
    }

    pub(super) fn put_back<T>(
        &mut self,
        handle: Handle,
        state: State,
        what: &'static str,
    ) -> Result<T, Misuse> {
        self.set(handle, state);
        Err(Misuse::NotAskedFor(what))
    }

    pub(super) fn set(&mut self, handle: Handle, state: State) {
        if let Some(session) = self.sessions.get_mut(&handle) {
            session.state = state;
        }
    }
}

/// What the sender is told. The cause stays inside.
//= teep 15.121: errors reveal neither keys nor plaintext
const fn reason(rejected: &Rejected) -> &'static str {
    match rejected {
        Rejected::NotSigned => "not a signed TEEP message",
        Rejected::Malformed(_) | Rejected::Message { .. } => "malformed",
        Rejected::AlgorithmUnprotected => "alg is not protected",
        Rejected::NoSuite => "no common cipher suite",
        Rejected::Key(NoKey::Expired) => "key has expired",
        Rejected::Key(NoKey::Unknown | NoKey::BadCertificate) => "key is not trusted",
        Rejected::Untrusted(_) => "signature is not acceptable",
    }
}

pub(super) fn send(tam: Tam, message: Message<'_>) -> Effect<'_> {
    let protection = Protection::Sign1(tam.suite);
    Effect::Send(Box::new(Outgoing { message, numbering: tam.numbering, protection }))
}

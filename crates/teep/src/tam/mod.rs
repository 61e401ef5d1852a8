//! The TAM's side of an exchange (section 7.1), without clock, randomness, store or network.
//!
//! Many exchanges live at a time, in a database that several replicas share. So what has to
//! survive between two messages is a value, [`Exchange`], kept under the [`Correlation`] that the
//! next message will bring; and the first flight to a stranger leaves nothing behind at all. For
//! each message that comes in, a shell
//!
//! 1. reads the wrapper ([`crate::envelope::Sealed`]), looks up the keys it hints at, and opens it,
//!    or gives an empty answer;
//! 2. opens what is encrypted ([`Tam::reveal`]), looks up the exchange under [`correlate`] and
//!    makes a session of it ([`Tam::resume`]);
//! 3. calls [`Session::process_teep_message`] and runs the effects in order, in one transaction,
//!    calling back where an effect asks for it.
//!
//! The machine knows nothing of devices, tenants, deployments or what a manifest does.

mod check;
mod correlation;
mod effect;
mod exchange;
mod exchanges;
mod request;
mod retry;
mod session;
mod work;

pub use correlation::{Correlation, correlate, correlate_payload};
pub use effect::{Appraise, Effect, Inventory, PayloadKind, Record, Spent};
pub use exchange::Exchange;
pub use exchanges::Exchanges;
pub use session::Session;
pub use work::{Decision, Manifest, Work};

use cose::{Key, Thumbprint};
use rats::Timestamp;

use crate::appraisal::Unbound;
use crate::attestation::{AttestationPayload, MediaType};
use crate::challenge::{Challenge, ChallengeKey, Issued, Stale, UserNonce};
use crate::cipher_suite::Suite;
use crate::confidential::{Receiver, is_encrypted};
use crate::envelope::{Opened, Sealed};
use crate::evidence;
use crate::limits;
use crate::message::Message;
use crate::misbehaved::Misbehaved;
use crate::misuse::Misuse;
use crate::numbering::Numbering;
use crate::token::Fresh;
use exchange::{Asked, Query, Waiting};

/// What all sessions of a TAM have in common.
#[derive(Debug)]
pub struct Tam {
    config: Config,
}

/// The settings of a TAM.
#[derive(Debug)]
pub struct Config {
    /// The suites that the TAM offers and signs openings in: the mandatory ones, then others that
    /// it has a key for.
    pub suites: Vec<Suite>,
    /// Secret of the self-describing challenges.
    pub challenge_key: ChallengeKey,
    /// Secrets that were in use before, and still verify.
    pub former_challenge_keys: Vec<ChallengeKey>,
    /// The key that Agents may encrypt Evidence and SUIT reports to.
    pub receiver: Option<Receiver>,
    /// Seconds for which a self-describing challenge is good.
    pub challenge_age_s: i64,
    /// Seconds for which the TAM waits for an answer.
    pub reply_wait_s: i64,
    /// The eat_profile of the TEEP profile, which has no final name yet.
    pub teep_profile: String,
    /// Formats of Attestation Results; every other format is Evidence.
    pub result_formats: Vec<MediaType>,
    /// What to do with results that name no key.
    pub unbound_results: Unbound,
    /// Whether an Agent may leave out tc-list or ext-list although asked.
    pub lenient_lists: bool,
    /// Whether to ask for the extensions that Agents support.
    pub ask_extensions: bool,
}

impl Config {
    /// The defaults, with the secret that has none.
    pub fn new(challenge_key: ChallengeKey) -> Self {
        Self {
            suites: Suite::MANDATORY.to_vec(),
            challenge_key,
            former_challenge_keys: Vec::new(),
            receiver: None,
            challenge_age_s: limits::CHALLENGE_AGE_S,
            reply_wait_s: limits::REPLY_WAIT_S,
            teep_profile: TEEP_PROFILE.to_owned(),
            result_formats: Vec::new(),
            unbound_results: Unbound::Refused,
            lenient_lists: false,
            ask_extensions: false,
        }
    }
}

/// An Agent that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The thumbprint of the key that signs its TEEP messages.
    pub key: Thumbprint,
    /// The suite that it chose.
    pub suite: Suite,
    /// Its code points.
    pub numbering: Numbering,
}

/// What a new exchange is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Nobody is known: attestation is asked for, and nothing is stored.
    Stranger {
        /// The code points to open with.
        numbering: Numbering,
    },
    /// Attestation is asked for, in an exchange that is stored.
    Attest {
        /// The Agent, if it is known; else the opening is for everybody.
        agent: Option<Peer>,
        /// The code points to open with where the Agent is not known.
        numbering: Numbering,
        /// The nonce of the Network User who wants to see the Evidence.
        user_nonce: Option<UserNonce>,
        /// Whether Evidence of the agent layer alone is enough.
        renewal: bool,
    },
    /// An Attestation Result that the Agent already has is asked for.
    Passport {
        /// The Agent.
        agent: Peer,
    },
    /// The Agent is known and attested: its state is asked for, then it is changed.
    Manage {
        /// The Agent.
        agent: Peer,
    },
}

impl Tam {
    /// A TAM with these settings.
    pub const fn new(config: Config) -> Self {
        Self { config }
    }

    /// The settings.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// RFC 9397 section 6.2.1 ProcessConnect: opens an exchange.
    ///
    /// `note` is what the shell wants to find again with the exchange, at most
    /// [`limits::NOTE_BYTES`] of it. It comes back from [`Session::note`]; with a stranger, where
    /// nothing is kept, it does not.
    //= teep 14.21 (M): ProcessConnect yields a QueryRequest
    pub fn process_connect(
        &self,
        now: Timestamp,
        fresh: Fresh,
        purpose: Purpose,
        note: Vec<u8>,
    ) -> Result<Vec<Effect<'static>>, Misuse> {
        if note.len() > limits::NOTE_BYTES {
            return Err(Misuse::TooMany("note"));
        }
        let (agent, numbering, query, stored) = match purpose {
            Purpose::Stranger { numbering } => {
                let challenge = Challenge::issue(&self.config.challenge_key, now, fresh);
                (None, numbering, self.attestation(challenge.clone(), challenge, false), false)
            }
            Purpose::Attest { agent, numbering, user_nonce, renewal } => {
                let tam_nonce = Challenge::issue_stored(&self.config.challenge_key, now, fresh);
                let challenge = match user_nonce {
                    Some(user_nonce) => Challenge::combined(&tam_nonce, &user_nonce),
                    None => tam_nonce.clone(),
                };
                let numbering = agent.map_or(numbering, |agent| agent.numbering);
                (agent, numbering, self.attestation(challenge, tam_nonce, renewal), true)
            }
            Purpose::Passport { agent } => {
                let items = self.items(request::ATTEST);
                let asked = Asked::Result { of: agent.key };
                let query = Query { asked, items, renewal: false };
                (Some(agent), agent.numbering, query, true)
            }
            Purpose::Manage { agent } => {
                let items = self.items(request::MANAGE);
                let asked = Asked::Token(fresh.into_token());
                (Some(agent), agent.numbering, Query { asked, items, renewal: false }, true)
            }
        };
        let suites = &self.config.suites;
        let extra = request::Extra::default();
        let outgoing = request::outgoing(suites, &query, agent, numbering, extra);
        let mut effects = Vec::with_capacity(2);
        if stored {
            let waiting = Waiting::Query { agent, query };
            let exchange = self.exchange(now, numbering, waiting, note);
            effects.push(Effect::Persist(Record { spends: None, opens: Some(exchange) }));
        }
        effects.push(Effect::Send(outgoing));
        Ok(effects)
    }

    /// Opens the attestation payload of a message, where it is encrypted to this TAM.
    pub fn reveal<'b>(&self, opened: Opened<'b>) -> Result<Opened<'b>, Misbehaved> {
        opened.try_payload(|bytes| match &self.config.receiver {
            Some(receiver) => receiver.payload(bytes),
            None if is_encrypted(&bytes) => Err(Misbehaved::Undecipherable),
            None => Ok(bytes),
        })
    }

    /// [`Sealed::claimed_key`] of a message whose Evidence may be encrypted to this TAM.
    pub fn claimed_key(&self, sealed: &Sealed<'_>, numbering: Numbering) -> Option<Key> {
        sealed.claimed_key_with(numbering, self.config.receiver.as_ref())
    }

    /// [`correlate_payload`] of a message that nobody has vouched for, and whose Evidence may be
    /// encrypted to this TAM.
    pub fn correlate_sealed(
        &self,
        sealed: &Sealed<'_>,
        numbering: Numbering,
    ) -> Option<Correlation> {
        let mut message = Message::decode(sealed.unverified_payload(), numbering).ok()?;
        if let (Message::QueryResponse(response), Some(receiver)) =
            (&mut message, &self.config.receiver)
            && let Some(payload) = response.attestation_payload.take()
        {
            let bytes = receiver.payload(payload.bytes).ok()?;
            response.attestation_payload = Some(AttestationPayload { bytes, ..payload });
        }
        correlate_payload(&message)
    }

    /// Makes a session of what is known about a message: what is stored under its
    /// [`Correlation`], or nothing.
    //= teep 14.28 (M): a response with an unknown, expired or used token is ignored
    pub fn resume(
        &self,
        now: Timestamp,
        correlation: &Correlation,
        stored: Option<Exchange>,
    ) -> Result<Session, Misbehaved> {
        if let Some(exchange) = stored {
            return Session::resumed(now, exchange);
        }
        match correlation {
            Correlation::Token(_) => Err(Misbehaved::UnknownExchange),
            Correlation::Challenge(challenge) => {
                let issued = self.issued(challenge, now)?;
                let query = self.attestation(challenge.clone(), challenge.clone(), false);
                Ok(Session::stranger(query, challenge.clone(), issued))
            }
            Correlation::Agent(_) => Ok(Session::unsolicited()),
        }
    }

    fn attestation(&self, challenge: Challenge, tam_nonce: Challenge, renewal: bool) -> Query {
        let asked = Asked::Challenge { challenge, tam_nonce };
        Query { asked, items: self.items(request::ATTEST), renewal }
    }

    /// The challenge of an exchange that is stored and that no Network User takes part in.
    fn stored_challenge(&self, now: Timestamp, fresh: Fresh) -> Asked {
        let challenge = Challenge::issue_stored(&self.config.challenge_key, now, fresh);
        Asked::Challenge { tam_nonce: challenge.clone(), challenge }
    }

    fn items(&self, items: crate::message::DataItems) -> crate::message::DataItems {
        if self.config.ask_extensions {
            items.and(crate::message::DataItems::EXTENSIONS)
        } else {
            items
        }
    }

    //= teep 14.30 (M): unanswered requests time out, after hours unless configured
    fn exchange(
        &self,
        now: Timestamp,
        numbering: Numbering,
        waiting: Waiting,
        note: Vec<u8>,
    ) -> Exchange {
        Exchange {
            numbering,
            waiting,
            retried: false,
            tam_attested: false,
            opened: now,
            deadline: now.after(self.config.reply_wait_s),
            note,
        }
    }

    /// When a challenge was issued here, if it was.
    fn issued(&self, challenge: &Challenge, now: Timestamp) -> Result<Issued, Stale> {
        let age_s = self.config.challenge_age_s;
        let verdict = challenge.verify(&self.config.challenge_key, now, age_s);
        self.config.former_challenge_keys.iter().fold(verdict, |verdict, key| match verdict {
            Err(Stale::NotOurs) => challenge.verify(key, now, age_s),
            verdict => verdict,
        })
    }

    /// What an attestation payload is, by its format.
    ///
    /// Without a format it is a result in the TEEP profile; where its own claims name another
    /// profile, or none, it counts as Evidence, which is appraised with more care.
    fn payload_kind(&self, payload: &AttestationPayload<'_>) -> PayloadKind {
        let profile = &self.config.teep_profile;
        let Some(format) = &payload.format else {
            let found = evidence::peek(&payload.bytes).profile;
            return match found.is_some_and(|found| found.eq_ignore_ascii_case(profile)) {
                true => PayloadKind::AttestationResult,
                false => PayloadKind::Evidence,
            };
        };
        let format = MediaType::new(format);
        let teep = MediaType::new(&format!("application/eat+cwt; eat_profile=\"{profile}\""));
        if format == teep || self.config.result_formats.contains(&format) {
            PayloadKind::AttestationResult
        } else {
            PayloadKind::Evidence
        }
    }
}

/// The TEEP profile of EAT as the draft prints it, before the RFC has a number.
const TEEP_PROFILE: &str = "urn:ietf:rfc:rfcXXXX";

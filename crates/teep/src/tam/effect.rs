//! What a shell must do for a TAM session, in the order given.

use std::borrow::Cow;

use rats::Timestamp;
use suit::ComponentId;

use super::Peer;
use super::correlation::Correlation;
use super::exchange::Exchange;
use crate::appraisal::NotAttested;
use crate::attestation::AttestationPayload;
use crate::challenge::Challenge;
use crate::component::{RequestedTc, SystemProperties};
use crate::envelope::{Outgoing, Signer};
use crate::err_code::ErrCode;
use crate::text::Msg;

/// Something the shell must do, in the order given.
///
/// All effects of one incoming message, calls back included, belong in one transaction; only a
/// [`Effect::Send`] leaves it. No `Send` at all means an empty answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect<'b> {
    /// Make this durable before running any later effect; if what it spends is gone, the message
    /// is a replay: undo everything and give an empty answer.
    Persist(Record),
    /// Appraise this and call [`super::Session::appraised`].
    Appraise(Appraise<'b>),
    /// The Agent with this key passed the appraisal: remember key, suite and numbering.
    Attested {
        /// Who signed the message.
        signer: Box<Signer>,
        /// The Agent as later exchanges name it.
        agent: Peer,
    },
    /// The attestation does not count; for the audit log.
    NotAttested(NotAttested),
    /// Choose what to do next and call [`super::Session::decide`]. The inventory is there after a
    /// QueryResponse, and not after an Update.
    Decide(Option<Box<Inventory<'b>>>),
    /// Choose manifests that repair the device and call [`super::Session::repair`].
    Repair(Box<Inventory<'b>>),
    /// An Update was carried out.
    Installed {
        /// SUIT reports, their nonce checked, their signatures not.
        reports: Vec<Cow<'b, [u8]>>,
        /// For people.
        msg: Option<Msg<'b>>,
    },
    /// The Agent refused a request or could not carry out an Update.
    ///
    /// Where no [`Effect::Persist`] or [`Effect::Decide`] follows, nothing binds the Error to an
    /// exchange: it may be a replay, and is a hint for people at most.
    Refused {
        /// Why.
        code: ErrCode,
        /// The same for people.
        msg: Option<Msg<'b>>,
        /// SUIT reports, their nonce checked, their signatures not.
        reports: Vec<Cow<'b, [u8]>>,
    },
    /// The REE asks for components, or needs manifests no longer; nobody proved that this is new.
    Requested {
        /// What it asks for.
        components: Vec<RequestedTc>,
        /// What it needs no longer, by manifest component identifier.
        unneeded: Vec<ComponentId>,
    },
    /// Call [`super::Tam::process_connect`] with a purpose that suits this Agent, and run its
    /// effects. Without an Agent: it has to be met anew, as a stranger.
    Connect(Option<Peer>),
    /// Obtain Evidence about this TAM, with this challenge if there is one, and call
    /// [`super::Session::attested`].
    Attest(Option<Challenge>),
    /// The answer broke the rules and was dropped; the Agent is told by an Update. For the audit
    /// log.
    Dropped(&'static str),
    /// Nobody answered in time.
    TimedOut,
    /// Sign these and hand them to the TEEP Broker.
    Send(Outgoing<'b>),
}

/// A change of what is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What is used up.
    pub spends: Option<Spent>,
    /// The exchange that waits from now on, to be stored under its
    /// [`Exchange::correlation`]. Beyond [`crate::limits::EXCHANGES_PER_AGENT`] with one Agent, the
    /// oldest is to be dropped.
    pub opens: Option<Exchange>,
}

/// What an answer uses up. Using it twice is a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spent {
    /// The exchange stored under this: delete it. If it is gone, this is a replay.
    Stored(Correlation),
    /// A challenge for which nothing was stored: insert it into the table of used ones, to be kept
    /// until this time. If it is there, this is a replay.
    SelfDescribing {
        /// The challenge.
        challenge: Challenge,
        /// When it expires by itself.
        until: Timestamp,
    },
}

/// An attestation payload to be appraised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appraise<'b> {
    /// The payload and its format.
    pub payload: AttestationPayload<'b>,
    /// What the format says it is.
    pub kind: PayloadKind,
    /// The nonce that it has to hold, if it has to.
    pub challenge: Option<Challenge>,
    /// The TAM's own part of `challenge`: with it and their own nonce a Network User recomputes
    /// `challenge`.
    pub tam_nonce: Option<Challenge>,
    /// Who signed the message; the payload has to confirm that key.
    pub signer: Box<Signer>,
}

/// What an attestation payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadKind {
    /// To be appraised by a Verifier.
    Evidence,
    /// What a Verifier found; its signature is to be checked against the trusted Verifiers.
    AttestationResult,
}

/// What a QueryResponse tells about the device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory<'b> {
    /// What is installed, if that was asked.
    pub components: Option<Vec<SystemProperties<'b>>>,
    /// SUIT reports, their nonce checked where a token was, their signatures not.
    pub reports: Vec<Cow<'b, [u8]>>,
    /// What the REE asks for.
    pub requested: Vec<RequestedTc>,
    /// What the REE needs no longer, by manifest component identifier.
    pub unneeded: Vec<ComponentId>,
    /// Extensions that the Agent supports, if that was asked.
    pub extensions: Option<Vec<u32>>,
}

impl Inventory<'_> {
    /// The inventory, no longer borrowed.
    pub fn into_owned(self) -> Inventory<'static> {
        let components = self
            .components
            .map(|list| list.into_iter().map(SystemProperties::into_owned).collect());
        let reports =
            self.reports.into_iter().map(|report| Cow::Owned(report.into_owned())).collect();
        Inventory {
            components,
            reports,
            requested: self.requested,
            unneeded: self.unneeded,
            extensions: self.extensions,
        }
    }
}

//! What a shell must do for an Agent's session, in the order given.

use std::borrow::Cow;

use cose::Thumbprint;
use suit::ComponentId;

use super::{Handle, TamUri};
use crate::attestation::AttestationPayload;
use crate::challenge::Challenge;
use crate::component::SystemProperties;
use crate::envelope::Outgoing;
use crate::err_code::ErrCode;
use crate::suit_cose_profile::SuitCoseProfile;
use crate::text::Msg;
use crate::token::Token;

/// Something the shell must do, in the order given.
///
/// All effects belong to the session whose handle was passed in. No [`Effect::Send`] means that
/// there is no data for the TAM.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect<'b> {
    /// Seal these bytes and make them durable before running any later effect. They are the
    /// argument of [`super::Agent::recall`].
    Persist(Vec<u8>),
    /// Give the Broker this URI and handle, and the message if there is one.
    Contact {
        /// What the Broker gives back with the TAM's answer.
        handle: Handle,
        /// Where to connect to.
        tam: TamUri,
        /// What to send; else an empty request.
        message: Option<Box<Outgoing<'static>>>,
    },
    /// Appraise what the TAM says about itself and call [`super::Agent::tam_appraised`].
    AppraiseTam {
        /// Evidence or a result.
        payload: AttestationPayload<'b>,
        /// The nonce that it has to hold.
        challenge: Challenge,
        /// The key that signs the TAM's messages; the payload has to confirm it.
        tam: Thumbprint,
    },
    /// Obtain what is wanted and call [`super::Agent::collected`].
    Collect(Wanted),
    /// Unlink these manifests, in order, stop at the first failure, and call
    /// [`super::Agent::unlinked`].
    Unlink {
        /// The manifests.
        manifests: Vec<ComponentId>,
        /// The TAM that orders it, by the key of its QueryRequest.
        tam: Thumbprint,
    },
    /// Process these SUIT envelopes, in order, each whether or not an earlier one failed, and call
    /// [`super::Agent::installed`]. Their signers are to be checked against the anchors of
    /// Trusted Component Signers: that a TAM sent them means nothing.
    Install {
        /// The envelopes.
        manifests: Vec<Cow<'b, [u8]>>,
        /// The nonce of every report about them, if there is one.
        nonce: Option<Token>,
        /// The TAM that the reports are for, by the key of its QueryRequest.
        tam: Thumbprint,
        /// What reports are encrypted in, where they are: the first profile that both sides have.
        profile: Option<SuitCoseProfile>,
    },
    /// The TAM gives an Attestation Result about this Agent, to be shown to others.
    Passport(AttestationPayload<'b>),
    /// The TAM ends the exchange with an error. The caller is to be told.
    Failed {
        /// Why.
        code: ErrCode,
        /// The same for people.
        msg: Option<Msg<'b>>,
    },
    /// Sign this and hand it to the TEEP Broker.
    Send(Box<Outgoing<'b>>),
}

/// What a TAM asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Evidence, if it is asked for.
    pub attestation: Option<Attest>,
    /// Whether the list of installed components is asked for.
    pub components: bool,
    /// Whether SUIT reports are asked for.
    pub reports: bool,
    /// The nonce of every SUIT report, if there is one.
    pub report_nonce: Option<Token>,
    /// The TAM that asks: it is authenticated, by a key that is anchored.
    pub tam: Thumbprint,
    /// What the answer is encrypted in, where it is: the first profile that both sides have.
    pub profile: Option<SuitCoseProfile>,
}

/// The Evidence that a TAM asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attest {
    /// Goes into eat_nonce bit for bit. None if a lenient configuration lets a TAM leave it out.
    //= teep 14.55 (M): the challenge is copied into eat_nonce bit for bit
    pub challenge: Option<Vec<u8>>,
    /// Whether Evidence of the agent layer alone is enough for the TAM.
    pub renewal: bool,
}

/// What the shell obtained.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected<'e> {
    /// Evidence and its media type.
    pub evidence: Option<AttestationPayload<'e>>,
    /// What is installed.
    pub components: Vec<SystemProperties<'e>>,
    /// SUIT reports with the nonce asked for, protected by a key that signs nothing else.
    pub reports: Vec<Cow<'e, [u8]>>,
}

/// What became of one manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome<'e> {
    /// Whether it, with all its dependencies, is installed.
    pub installed: bool,
    /// The SUIT report about it.
    pub report: Option<Cow<'e, [u8]>>,
    /// Components that are there now.
    pub components: Vec<ComponentId>,
}

/// Why unlinking stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotUnlinked<'e> {
    /// How many manifests were unlinked before.
    pub unlinked: usize,
    /// What to tell the TAM.
    pub msg: Cow<'e, str>,
    /// SUIT reports about it.
    pub reports: Vec<Cow<'e, [u8]>>,
}

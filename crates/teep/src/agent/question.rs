//! What a QueryRequest asks of this Agent, or why it gets an Error.

use rats::Timestamp;

use super::Config;
use super::effect::{Attest, Wanted};
use super::session::Tam;
use crate::challenge::Challenge;
use crate::cipher_suite::{CipherSuite, Suite};
use crate::envelope::Signer;
use crate::err_code::ErrCode;
use crate::message::{DataItems, Error, FreshnessMechanism, QueryRequest};
use crate::numbering::Numbering;
use crate::report::{self, ReportProtection};
use crate::suit_cose_profile::SuitCoseProfile;
use crate::token::Token;

/// A QueryRequest that this Agent can answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) token: Option<Token>,
    challenge: Option<Challenge>,
    items: DataItems,
    renewal: bool,
    pub(super) tam: Tam,
    /// Until when the TAM's key is good.
    pub(super) valid_until: Option<Timestamp>,
}

impl Question {
    /// Checks a QueryRequest, in the order in which a TAM can act on the Errors.
    pub(super) fn new(
        config: &Config,
        request: &QueryRequest<'_>,
        signer: &Signer,
        numbering: Numbering,
    ) -> Result<Self, Box<Error<'static>>> {
        let refuse = |code, msg| Box::new(Error::new(code, request.token, msg));
        versions(request)?;
        let suite = suite(config, request, signer)?;
        if request.data_item_requested.unknown() != 0 {
            return Err(unknown_items(request));
        }
        if request.data_item_requested.contains(DataItems::ATTESTATION) {
            freshness(config, request)?;
        }
        if request.challenge.as_ref().is_some_and(|challenge| !challenge.fits_eat()) {
            let msg = "challenge is longer than an eat_nonce";
            return Err(refuse(ErrCode::PermanentError, msg));
        }
        reports(config, request, signer)?;
        Ok(Self {
            token: request.token,
            challenge: request.challenge.clone(),
            items: request.data_item_requested,
            renewal: request.renewal,
            tam: Tam {
                key: signer.thumbprint,
                key_suite: signer.suite,
                suite,
                numbering,
                profile: profile(config, request),
            },
            valid_until: signer.valid_until,
        })
    }

    pub(super) const fn asks(&self, items: DataItems) -> bool {
        self.items.contains(items)
    }

    /// An Error in answer to the QueryRequest, bound to it by its token or else its challenge.
    pub(super) fn error<'e>(&self, code: ErrCode, msg: &'e str) -> Error<'e> {
        let request_challenge = self.challenge.clone().filter(|_| self.token.is_none());
        Error { request_challenge, ..Error::new(code, self.token, msg) }
    }

    /// Whether the QueryRequest had neither token nor challenge.
    pub(super) const fn is_bare(&self) -> bool {
        self.token.is_none() && self.challenge.is_none()
    }

    /// What the shell has to obtain.
    //= teep 14.57 (M): attestation-payload is given iff attestation is asked for
    pub(super) fn wanted(&self) -> Wanted {
        let attestation = self
            .asks(DataItems::ATTESTATION)
            .then(|| Attest { challenge: self.nonce().map(<[u8]>::to_vec), renewal: self.renewal });
        Wanted {
            attestation,
            components: self.asks(DataItems::TRUSTED_COMPONENTS),
            reports: self.asks(DataItems::SUIT_REPORTS),
            report_nonce: self.token,
            tam: self.tam.key,
            profile: self.tam.profile,
        }
    }

    /// The nonce of Evidence: the challenge, else the token of a TAM that sends one in its place.
    fn nonce(&self) -> Option<&[u8]> {
        let challenge = self.challenge.as_ref().map(Challenge::as_bytes);
        challenge.or(self.token.as_ref().map(Token::as_bytes))
    }
}

//= teep 14.52 (M): no common version gives Error 4 with versions
fn versions(request: &QueryRequest<'_>) -> Result<(), Box<Error<'static>>> {
    if request.versions().contains(&VERSION) {
        return Ok(());
    }
    let msg = "no common version";
    let error = Error::new(ErrCode::UnsupportedMsgVersion, request.token, msg);
    Err(Box::new(Error { versions: vec![VERSION], ..error }))
}

/// The suite for the rest of the session: that of the signature, if this Agent signs in it too.
//= teep 14.49 (M): no common suite gives Error 5 with the own list
//= teep 15.105: a signature by an algorithm outside the signed list is refused
fn suite(
    config: &Config,
    request: &QueryRequest<'_>,
    signer: &Signer,
) -> Result<Suite, Box<Error<'static>>> {
    let offered = &request.supported_teep_cipher_suites;
    let common = Suite::common(&config.suites, offered);
    let Some(preferred) = common.first().copied() else {
        return Err(Box::new(no_common_suite(config, request.token)));
    };
    if !offered.iter().any(|offer| offer.signs_with(signer.algorithm)) {
        let msg = "signature algorithm is not in supported-teep-cipher-suites";
        return Err(Box::new(Error::new(ErrCode::PermanentError, request.token, msg)));
    }
    Ok(if common.contains(&signer.suite) { signer.suite } else { preferred })
}

pub(super) fn no_common_suite(config: &Config, token: Option<Token>) -> Error<'static> {
    Error {
        supported_teep_cipher_suites: CipherSuite::offers(&config.suites),
        ..Error::new(ErrCode::UnsupportedCipherSuites, token, "no common cipher suite")
    }
}

fn unknown_items(request: &QueryRequest<'_>) -> Box<Error<'static>> {
    let unknown = request.data_item_requested.unknown();
    let msg = format!("data-item-requested has unknown bits {unknown:#x}");
    Box::new(Error::new(ErrCode::UnsupportedExtension, request.token, msg))
}

//= teep 14.53 (M): no common freshness mechanism gives Error 3 with the own list
//= teep 14.54 (M): nonce is supported
fn freshness(config: &Config, request: &QueryRequest<'_>) -> Result<(), Box<Error<'static>>> {
    if !request.freshness_mechanisms().contains(&FreshnessMechanism::NONCE) {
        let code = ErrCode::UnsupportedFreshnessMechanisms;
        let error = Error::new(code, request.token, "no common freshness mechanism");
        return Err(Box::new(Error {
            supported_freshness_mechanisms: vec![FreshnessMechanism::NONCE],
            ..error
        }));
    }
    let nonce = request.challenge.is_some() || request.token.is_some();
    if !nonce && !config.lenient_challenge {
        let msg = "challenge is missing";
        return Err(Box::new(Error::new(ErrCode::PermanentError, request.token, msg)));
    }
    Ok(())
}

/// The first profile that both sides have, in the order of this Agent.
fn profile(config: &Config, request: &QueryRequest<'_>) -> Option<SuitCoseProfile> {
    let theirs = &request.supported_suit_cose_profiles;
    config.profiles.iter().copied().find(|ours| theirs.contains(ours))
}

/// Reports about the TAM have to be readable and to have a key of their own.
//= teep 14.62 (M): an unsupported report profile gives Error 8 with the list
//= teep 14.14 (M): the key of an embedded report differs from the key of the message
fn reports(
    config: &Config,
    request: &QueryRequest<'_>,
    signer: &Signer,
) -> Result<(), Box<Error<'static>>> {
    for bytes in &request.suit_reports {
        let readable = report::read(bytes).filter(|wrapped| match &wrapped.protection {
            _ if wrapped.encrypted => false,
            ReportProtection::None => true,
            ReportProtection::Sign1 { algorithm, .. } => {
                config.profiles.iter().any(|p| Some(p.authentication) == *algorithm)
            }
            ReportProtection::Other => false,
        });
        let Some(wrapped) = readable else {
            let code = ErrCode::UnsupportedSuitReport;
            let error = Error::new(code, request.token, "profile of suit-reports");
            return Err(Box::new(Error {
                supported_suit_cose_profiles: config.profiles.clone(),
                ..error
            }));
        };
        if report::has_key_of(bytes, &wrapped, signer) {
            let msg = "suit-reports are protected by the key of the message";
            return Err(Box::new(Error::new(ErrCode::PermanentError, request.token, msg)));
        }
    }
    Ok(())
}

/// The protocol version.
const VERSION: u32 = 0;

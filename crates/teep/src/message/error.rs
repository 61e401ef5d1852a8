//! Error (section 4.6): the Agent could not do what was asked for.

use std::borrow::Cow;

use minicbor::decode::Decoder;

use super::fields::Fields;
use super::query_request::FreshnessMechanism;
use crate::challenge::Challenge;
use crate::cipher_suite::CipherSuite;
use crate::err_code::ErrCode;
use crate::limits;
use crate::malformed::Malformed;
use crate::numbering::Numbering;
use crate::option::Label;
use crate::suit_cose_profile::SuitCoseProfile;
use crate::text::{ErrLang, Msg};
use crate::token::Token;
use crate::wire::{self, Options, Writer, Written};

/// An Error.
///
/// ```cddl
/// teep-error = [
///   type: TEEP-TYPE-teep-error,
///   options: {
///     ? token => bstr .size (8..64),
///     ? err-msg => text .size (1..128),
///     ? err-lang => text .size (1..35),
///     ? supported-teep-cipher-suites => [ + $teep-cipher-suite ],
///     ? supported-freshness-mechanisms => [ + $freshness-mechanism ],
///     ? supported-suit-cose-profiles => [ + $suit-cose-profile ],
///     ? challenge => bstr .size (8..512),
///     ? versions => [ + version ],
///     ? suit-reports => [ + bstr ],
///     * $$teep-error-extensions,
///     * $$teep-option-extensions
///   },
///   err-code: (0..23)
/// ]
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error<'b> {
    /// The token of what is answered.
    pub token: Option<Token>,
    /// What went wrong, for people.
    pub err_msg: Option<Msg<'b>>,
    /// The language of `err_msg`.
    pub err_lang: Option<ErrLang<'b>>,
    /// With ERR_UNSUPPORTED_CIPHER_SUITES: what the Agent supports.
    pub supported_teep_cipher_suites: Vec<CipherSuite>,
    /// With ERR_UNSUPPORTED_FRESHNESS_MECHANISMS and ERR_ATTESTATION_REQUIRED: likewise.
    pub supported_freshness_mechanisms: Vec<FreshnessMechanism>,
    /// With ERR_UNSUPPORTED_SUIT_REPORT: likewise.
    pub supported_suit_cose_profiles: Vec<SuitCoseProfile>,
    /// With ERR_ATTESTATION_REQUIRED: for the Evidence of the TAM.
    pub challenge: Option<Challenge>,
    /// With ERR_UNSUPPORTED_MSG_VERSION: what the Agent supports.
    pub versions: Vec<u32>,
    /// SUIT reports, each as one encoded CBOR item.
    pub suit_reports: Vec<Cow<'b, [u8]>>,
    /// Private: the challenge of the QueryRequest that is answered, if that had no token.
    pub request_challenge: Option<Challenge>,
    /// What went wrong.
    pub err_code: ErrCode,
}

impl<'b> Error<'b> {
    /// An Error that says no more than the code and, in English, why.
    pub fn new(err_code: ErrCode, token: Option<Token>, msg: impl Into<Cow<'b, str>>) -> Self {
        let err_msg = Msg::new(msg);
        Self {
            token,
            err_lang: err_msg.is_some().then_some(ErrLang::EN),
            err_msg,
            supported_teep_cipher_suites: Vec::new(),
            supported_freshness_mechanisms: Vec::new(),
            supported_suit_cose_profiles: Vec::new(),
            challenge: None,
            versions: Vec::new(),
            suit_reports: Vec::new(),
            request_challenge: None,
            err_code,
        }
    }

    pub(super) fn decode(mut fields: Fields<'b>, d: &mut Decoder<'b>) -> Result<Self, Malformed> {
        let numbering = fields.numbering();
        let code = wire::uint(d, "err-code")?;
        Ok(Self {
            err_code: ErrCode::from_number(code, numbering).ok_or(Malformed::ErrCodeZero)?,
            token: fields.take(Label::Token, Token::decode)?,
            err_msg: fields.take(Label::ErrMsg, |d| Msg::decode(d, Label::ErrMsg.name()))?,
            err_lang: fields.take(Label::ErrLang, ErrLang::decode)?,
            supported_teep_cipher_suites: fields
                .list(Label::SupportedTeepCipherSuites, limits::OFFERS, CipherSuite::decode)?
                .unwrap_or_default(),
            supported_freshness_mechanisms: fields
                .list(
                    Label::SupportedFreshnessMechanisms,
                    limits::OFFERS,
                    FreshnessMechanism::decode,
                )?
                .unwrap_or_default(),
            supported_suit_cose_profiles: fields
                .list(Label::SupportedSuitCoseProfiles, limits::OFFERS, SuitCoseProfile::decode)?
                .unwrap_or_default(),
            challenge: fields.take(Label::Challenge, Challenge::decode)?,
            versions: fields
                .list(Label::Versions, limits::OFFERS, |d| wire::uint32(d, "a version"))?
                .unwrap_or_default(),
            suit_reports: fields.suit_reports()?,
            request_challenge: fields.take(Label::RequestChallenge, Challenge::decode)?,
        })
    }

    pub(super) fn write(&self, e: &mut Writer, numbering: Numbering) -> Written {
        let mut options = Options::new(numbering);
        options.put_list(
            Label::SupportedTeepCipherSuites,
            &self.supported_teep_cipher_suites,
            |e, suite| suite.encode(e),
        );
        options.put_some(Label::Challenge, self.challenge.as_ref(), |e, challenge| {
            e.bytes(challenge.as_bytes())?.ok()
        });
        options.put_list(Label::Versions, &self.versions, |e, v| e.u32(*v)?.ok());
        options.put_list(
            Label::SupportedSuitCoseProfiles,
            &self.supported_suit_cose_profiles,
            |e, profile| profile.encode(e),
        );
        options.put_some(Label::ErrMsg, self.err_msg.as_ref(), |e, m| e.str(m.as_str())?.ok());
        options.put_list(Label::SuitReports, &self.suit_reports, |e, r| e.bytes(r)?.ok());
        options.put_some(Label::Token, self.token, |e, token| e.bytes(token.as_bytes())?.ok());
        options.put_list(
            Label::SupportedFreshnessMechanisms,
            &self.supported_freshness_mechanisms,
            |e, m| e.u32(m.0)?.ok(),
        );
        options.put_some(Label::ErrLang, self.err_lang.as_ref(), |e, l| e.str(l.as_str())?.ok());
        options.put_some(Label::RequestChallenge, self.request_challenge.as_ref(), |e, sent| {
            e.bytes(sent.as_bytes())?.ok()
        });
        options.finish(e)?;
        e.u64(self.err_code.number(numbering))?.ok()
    }
}

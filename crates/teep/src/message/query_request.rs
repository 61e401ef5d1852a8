//! QueryRequest (section 4.2): the TAM asks.

use std::borrow::Cow;

use minicbor::decode::Decoder;

use super::fields::Fields;
use crate::attestation::AttestationPayload;
use crate::challenge::Challenge;
use crate::cipher_suite::CipherSuite;
use crate::limits;
use crate::malformed::Malformed;
use crate::numbering::Numbering;
use crate::option::Label;
use crate::suit_cose_profile::SuitCoseProfile;
use crate::token::Token;
use crate::wire::{self, Options, Writer, Written};

/// A QueryRequest.
///
/// ```cddl
/// query-request = [
///   type: TEEP-TYPE-query-request,
///   options: {
///     ? token => bstr .size (8..64),
///     ? supported-freshness-mechanisms => [ + $freshness-mechanism ],
///     ? challenge => bstr .size (8..512),
///     ? versions => [ + version ],
///     ? attestation-payload-format => text,
///     ? attestation-payload => bstr,
///     ? suit-reports => [ + bstr ],
///     * $$query-request-extensions,
///     * $$teep-option-extensions
///   },
///   supported-teep-cipher-suites: [ + $teep-cipher-suite ],
///   supported-suit-cose-profiles: [ + $suit-cose-profile ],
///   data-item-requested: uint .bits data-item-requested
/// ]
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryRequest<'b> {
    /// Present if attestation is not asked for.
    pub token: Option<Token>,
    /// Absent means nonce only.
    pub supported_freshness_mechanisms: Option<Vec<FreshnessMechanism>>,
    /// Goes unchanged into the eat_nonce of Evidence.
    pub challenge: Option<Challenge>,
    /// Absent means version 0 only.
    pub versions: Option<Vec<u32>>,
    /// Evidence or an Attestation Result about the TAM.
    pub attestation_payload: Option<AttestationPayload<'b>>,
    /// Boot-time SUIT reports about the TAM.
    pub suit_reports: Vec<Cow<'b, [u8]>>,
    /// What the TAM supports.
    pub supported_teep_cipher_suites: Vec<CipherSuite>,
    /// What the TAM can process in SUIT reports and EATs.
    pub supported_suit_cose_profiles: Vec<SuitCoseProfile>,
    /// What the TAM asks for.
    pub data_item_requested: DataItems,
    /// Private: Evidence of the agent layer alone is enough.
    pub renewal: bool,
}

impl<'b> QueryRequest<'b> {
    pub(super) fn decode(mut fields: Fields<'b>, d: &mut Decoder<'b>) -> Result<Self, Malformed> {
        let suites = Label::SupportedTeepCipherSuites.name();
        let profiles = Label::SupportedSuitCoseProfiles.name();
        let request = Self {
            token: fields.take(Label::Token, Token::decode)?,
            supported_freshness_mechanisms: fields.list(
                Label::SupportedFreshnessMechanisms,
                limits::OFFERS,
                FreshnessMechanism::decode,
            )?,
            challenge: fields.take(Label::Challenge, Challenge::decode)?,
            versions: fields
                .list(Label::Versions, limits::OFFERS, |d| wire::uint32(d, "a version"))?,
            attestation_payload: fields.attestation_payload()?,
            suit_reports: fields.suit_reports()?,
            renewal: fields.take(Label::Renewal, |d| Ok(d.bool().unwrap_or(false)))? == Some(true),
            supported_teep_cipher_suites: wire::list(
                d,
                suites,
                limits::OFFERS,
                CipherSuite::decode,
            )?,
            supported_suit_cose_profiles: wire::list(
                d,
                profiles,
                limits::OFFERS,
                SuitCoseProfile::decode,
            )?,
            data_item_requested: DataItems(wire::uint(d, "data-item-requested")?),
        };
        request.consistent()
    }

    /// Section 4.2: what must be there, or not, when attestation is not asked for.
    fn consistent(self) -> Result<Self, Malformed> {
        if self.data_item_requested.contains(DataItems::ATTESTATION) {
            return Ok(self);
        }
        if self.challenge.is_some() {
            return Err(Malformed::MustBeAbsent("challenge"));
        }
        if self.supported_freshness_mechanisms.is_some() {
            return Err(Malformed::MustBeAbsent("supported-freshness-mechanisms"));
        }
        if self.token.is_none() {
            return Err(Malformed::Missing("token"));
        }
        Ok(self)
    }

    pub(super) fn write(&self, e: &mut Writer, numbering: Numbering) -> Written {
        let mut options = Options::new(numbering);
        options.put_some(Label::Challenge, self.challenge.as_ref(), |e, challenge| {
            e.bytes(challenge.as_bytes())?.ok()
        });
        options.put_some(Label::Versions, self.versions.as_ref(), |e, versions| {
            wire::put_array(e, versions, |e, version| e.u32(*version)?.ok())
        });
        let payload = self.attestation_payload.as_ref();
        AttestationPayload::write_bytes(payload, &mut options);
        AttestationPayload::write_format(payload, &mut options);
        options.put_list(Label::SuitReports, &self.suit_reports, |e, r| e.bytes(r)?.ok());
        options.put_some(Label::Token, self.token, |e, token| e.bytes(token.as_bytes())?.ok());
        options.put_some(
            Label::SupportedFreshnessMechanisms,
            self.supported_freshness_mechanisms.as_ref(),
            |e, mechanisms| wire::put_array(e, mechanisms, |e, m| e.u32(m.0)?.ok()),
        );
        if self.renewal {
            options.put(Label::Renewal, |e| e.bool(true)?.ok());
        }
        options.finish(e)?;
        wire::put_array(e, &self.supported_teep_cipher_suites, |e, suite| suite.encode(e))?;
        wire::put_array(e, &self.supported_suit_cose_profiles, |e, p| p.encode(e))?;
        e.u64(self.data_item_requested.0)?.ok()
    }

    /// The versions offered, absence spelt out.
    pub fn versions(&self) -> &[u32] {
        self.versions.as_deref().unwrap_or(&[0])
    }

    /// The freshness mechanisms offered, absence spelt out.
    pub fn freshness_mechanisms(&self) -> &[FreshnessMechanism] {
        self.supported_freshness_mechanisms.as_deref().unwrap_or(&[FreshnessMechanism::NONCE])
    }
}

/// A freshness mechanism (section 9).
///
/// ```cddl
/// FRESHNESS_NONCE = 0
/// FRESHNESS_TIMESTAMP = 1
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FreshnessMechanism(pub u32);

impl FreshnessMechanism {
    /// A nonce chosen by the TAM.
    pub const NONCE: Self = Self(0);
    /// The time of the attestation payload.
    pub const TIMESTAMP: Self = Self(1);

    pub(super) fn decode(d: &mut Decoder<'_>) -> Result<Self, Malformed> {
        Ok(Self(wire::uint32(d, "a freshness mechanism")?))
    }
}

/// data-item-requested: what a TAM asks for.
///
/// ```cddl
/// data-item-requested = &( attestation: 0, trusted-components: 1, extensions: 2, suit-reports: 3 )
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataItems(pub u64);

impl DataItems {
    /// attestation-payload.
    pub const ATTESTATION: Self = Self(1);
    /// tc-list.
    pub const TRUSTED_COMPONENTS: Self = Self(1 << 1);
    /// ext-list.
    pub const EXTENSIONS: Self = Self(1 << 2);
    /// suit-reports.
    pub const SUIT_REPORTS: Self = Self(1 << 3);

    /// Whether all of `items` are asked for.
    pub const fn contains(self, items: Self) -> bool {
        self.0 & items.0 == items.0
    }

    /// Both sets together.
    pub const fn and(self, items: Self) -> Self {
        Self(self.0 | items.0)
    }

    /// The bits that have no meaning here.
    pub const fn unknown(self) -> u64 {
        self.0 & !0b1111
    }
}

//! QueryResponse (section 4.3): the Agent tells.

use std::borrow::Cow;

use suit::ComponentId;

use super::fields::Fields;
use crate::attestation::AttestationPayload;
use crate::component::{self, RequestedTc, SystemProperties};
use crate::limits;
use crate::malformed::Malformed;
use crate::numbering::Numbering;
use crate::option::Label;
use crate::token::Token;
use crate::wire::{self, Options, Writer, Written};

/// A QueryResponse.
///
/// ```cddl
/// query-response = [
///   type: TEEP-TYPE-query-response,
///   options: {
///     ? token => bstr .size (8..64),
///     ? selected-version => version,
///     ? attestation-payload-format => text,
///     ? attestation-payload => bstr,
///     ? suit-reports => [ + bstr ],
///     ? tc-list => [ + system-property-claims ],
///     ? requested-tc-list => [ + requested-tc-info ],
///     ? unneeded-manifest-list => [ + SUIT_Component_Identifier ],
///     ? ext-list => [ + ext-info ],
///     * $$query-response-extensions,
///     * $$teep-option-extensions
///   }
/// ]
/// ```
///
/// tc-list and ext-list may be empty on receipt: an Agent that is asked for them has to send them
/// and may have nothing to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryResponse<'b> {
    /// The request's token.
    pub token: Option<Token>,
    /// Absent means version 0.
    pub selected_version: Option<u32>,
    /// Evidence or an Attestation Result about the Agent.
    pub attestation_payload: Option<AttestationPayload<'b>>,
    /// SUIT reports, each as one encoded CBOR item.
    pub suit_reports: Vec<Cow<'b, [u8]>>,
    /// What is installed.
    pub tc_list: Option<Vec<SystemProperties<'b>>>,
    /// What the REE asked for.
    pub requested_tc_list: Vec<RequestedTc>,
    /// What the REE needs no longer, by manifest component identifier.
    pub unneeded_manifest_list: Vec<ComponentId>,
    /// Extensions that the Agent supports.
    pub ext_list: Option<Vec<u32>>,
}

impl<'b> QueryResponse<'b> {
    pub(super) fn decode(mut fields: Fields<'b>) -> Result<Self, Malformed> {
        let numbering = fields.numbering();
        Ok(Self {
            token: fields.take(Label::Token, Token::decode)?,
            selected_version: fields
                .take(Label::SelectedVersion, |d| wire::uint32(d, "selected-version"))?,
            attestation_payload: fields.attestation_payload()?,
            suit_reports: fields.suit_reports()?,
            tc_list: fields.take(Label::TcList, |d| {
                let max = limits::COMPONENTS;
                wire::array(d, Label::TcList.name(), max, SystemProperties::decode)
            })?,
            requested_tc_list: fields
                .list(Label::RequestedTcList, limits::REQUESTS, |d| {
                    RequestedTc::decode(d, numbering)
                })?
                .unwrap_or_default(),
            unneeded_manifest_list: fields
                .list(Label::UnneededManifestList, limits::REQUESTS, component::read_id)?
                .unwrap_or_default(),
            ext_list: fields.take(Label::ExtList, |d| {
                let max = limits::EXTENSIONS;
                wire::array(d, Label::ExtList.name(), max, |d| wire::uint32(d, "ext-info"))
            })?,
        })
    }

    pub(super) fn write(&self, e: &mut Writer, numbering: Numbering) -> Written {
        let mut options = Options::new(numbering);
        options.put_some(Label::SelectedVersion, self.selected_version, |e, v| e.u32(v)?.ok());
        let payload = self.attestation_payload.as_ref();
        AttestationPayload::write_bytes(payload, &mut options);
        options.put_some(Label::TcList, self.tc_list.as_ref(), |e, list| {
            wire::put_array(e, list, |e, component| component.encode(e))
        });
        options.put_some(Label::ExtList, self.ext_list.as_ref(), |e, list| {
            wire::put_array(e, list, |e, extension| e.u32(*extension)?.ok())
        });
        AttestationPayload::write_format(payload, &mut options);
        options.put_list(Label::RequestedTcList, &self.requested_tc_list, |e, requested| {
            requested.encode(e, numbering)
        });
        options.put_list(Label::UnneededManifestList, &self.unneeded_manifest_list, |e, id| {
            component::write_id(e, id)
        });
        options.put_list(Label::SuitReports, &self.suit_reports, |e, r| e.bytes(r)?.ok());
        options.put_some(Label::Token, self.token, |e, token| e.bytes(token.as_bytes())?.ok());
        options.finish(e)
    }
}

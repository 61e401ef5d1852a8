//! Update (section 4.4): the TAM changes what is installed, or reports an error.

use std::borrow::Cow;

use suit::ComponentId;

use super::fields::Fields;
use crate::attestation::AttestationPayload;
use crate::component;
use crate::err_code::ErrCode;
use crate::limits;
use crate::malformed::Malformed;
use crate::numbering::Numbering;
use crate::option::Label;
use crate::text::{ErrLang, Msg};
use crate::token::Token;
use crate::wire::{self, Options, Writer, Written};

/// An Update.
///
/// ```cddl
/// update = [
///   type: TEEP-TYPE-update,
///   options: {
///     ? token => bstr .size (8..64),
///     ? unneeded-manifest-list => [ + SUIT_Component_Identifier ],
///     ? manifest-list => [ + bstr .cbor SUIT_Envelope ],
///     ? attestation-payload-format => text,
///     ? attestation-payload => bstr,
///     ? err-code => (0..23),
///     ? err-msg => text .size (1..128),
///     ? err-lang => text .size (1..35),
///     * $$update-extensions,
///     * $$teep-option-extensions
///   }
/// ]
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Update<'b> {
    /// To be given back in the answer.
    pub token: Option<Token>,
    /// Manifests to unlink, by manifest component identifier.
    pub unneeded_manifest_list: Vec<ComponentId>,
    /// SUIT envelopes to install, in order.
    pub manifest_list: Vec<Cow<'b, [u8]>>,
    /// An Attestation Result about the Agent.
    pub attestation_payload: Option<AttestationPayload<'b>>,
    /// What went wrong at the TAM.
    pub err_code: Option<ErrCode>,
    /// The same for people.
    pub err_msg: Option<Msg<'b>>,
    /// The language of `err_msg`.
    pub err_lang: Option<ErrLang<'b>>,
}

impl<'b> Update<'b> {
    pub(super) fn decode(mut fields: Fields<'b>) -> Result<Self, Malformed> {
        let numbering = fields.numbering();
        Ok(Self {
            token: fields.take(Label::Token, Token::decode)?,
            unneeded_manifest_list: fields
                .list(Label::UnneededManifestList, limits::REQUESTS, component::read_id)?
                .unwrap_or_default(),
            manifest_list: fields
                .list(Label::ManifestList, limits::MANIFESTS, |d| {
                    wire::wrapped(d, Label::ManifestList.name(), limits::MESSAGE)
                })?
                .unwrap_or_default(),
            attestation_payload: fields.attestation_payload()?,
            err_code: fields.take(Label::ErrCode, |d| {
                ErrCode::from_number(wire::uint(d, "err-code")?, numbering)
                    .ok_or(Malformed::ErrCodeZero)
            })?,
            err_msg: fields.take(Label::ErrMsg, |d| Msg::decode(d, Label::ErrMsg.name()))?,
            err_lang: fields.take(Label::ErrLang, ErrLang::decode)?,
        })
    }

    pub(super) fn write(&self, e: &mut Writer, numbering: Numbering) -> Written {
        let mut options = Options::new(numbering);
        let payload = self.attestation_payload.as_ref();
        AttestationPayload::write_bytes(payload, &mut options);
        options.put_list(Label::ManifestList, &self.manifest_list, |e, m| e.bytes(m)?.ok());
        options.put_some(Label::ErrMsg, self.err_msg.as_ref(), |e, m| e.str(m.as_str())?.ok());
        AttestationPayload::write_format(payload, &mut options);
        options.put_list(Label::UnneededManifestList, &self.unneeded_manifest_list, |e, id| {
            component::write_id(e, id)
        });
        options.put_some(Label::Token, self.token, |e, token| e.bytes(token.as_bytes())?.ok());
        options.put_some(Label::ErrLang, self.err_lang.as_ref(), |e, l| e.str(l.as_str())?.ok());
        options.put_some(Label::ErrCode, self.err_code, |e, c| e.u64(c.number(numbering))?.ok());
        options.finish(e)
    }
}

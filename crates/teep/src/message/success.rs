//! Success (section 4.5): the Agent did what an Update asked for.

use std::borrow::Cow;

use super::fields::Fields;
use crate::malformed::Malformed;
use crate::numbering::Numbering;
use crate::option::Label;
use crate::text::Msg;
use crate::token::Token;
use crate::wire::{Options, Writer, Written};

/// A Success.
///
/// ```cddl
/// teep-success = [
///   type: TEEP-TYPE-teep-success,
///   options: {
///     ? token => bstr .size (8..64),
///     ? msg => text .size (1..128),
///     ? suit-reports => [ + bstr ],
///     * $$teep-success-extensions,
///     * $$teep-option-extensions
///   }
/// ]
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Success<'b> {
    /// The Update's token.
    pub token: Option<Token>,
    /// For people.
    pub msg: Option<Msg<'b>>,
    /// SUIT reports, each as one encoded CBOR item.
    pub suit_reports: Vec<Cow<'b, [u8]>>,
}

impl<'b> Success<'b> {
    pub(super) fn decode(mut fields: Fields<'b>) -> Result<Self, Malformed> {
        Ok(Self {
            token: fields.take(Label::Token, Token::decode)?,
            msg: fields.take(Label::Msg, |d| Msg::decode(d, Label::Msg.name()))?,
            suit_reports: fields.suit_reports()?,
        })
    }

    pub(super) fn write(&self, e: &mut Writer, numbering: Numbering) -> Written {
        let mut options = Options::new(numbering);
        options.put_some(Label::Msg, self.msg.as_ref(), |e, msg| e.str(msg.as_str())?.ok());
        options.put_list(Label::SuitReports, &self.suit_reports, |e, r| e.bytes(r)?.ok());
        options.put_some(Label::Token, self.token, |e, token| e.bytes(token.as_bytes())?.ok());
        options.finish(e)
    }
}

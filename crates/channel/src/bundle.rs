//! What case 5 of the use-case draft seals: an Untrusted Application together with the
//! Personalization Data.
//!
//! ```cddl
//! bundle = [ "tamarack-ua-pd-v1", ua: bstr .cbor SUIT_Envelope, pd: bstr ]
//! ```
//!
//! It is the plaintext of a release. The Trusted Application keeps the data and hands the UA out;
//! the UA's own signature decides what becomes of it.

use cose::{Secret, cbor};

use crate::{Refused, codec};

/// A UA and Personalization Data.
#[derive(Debug)]
pub struct Bundle {
    /// The signed envelope of the Untrusted Application.
    pub ua: Vec<u8>,
    /// The Personalization Data.
    pub data: Secret,
}

impl Bundle {
    /// Writes a bundle.
    #[must_use]
    pub fn encode(ua: &[u8], data: &[u8]) -> Secret {
        Secret::new(cbor::encode(|e| {
            e.array(3)?.str(LABEL)?.bytes(ua)?.bytes(data)?;
            Ok(())
        }))
    }

    /// Writes what comes before the data of a bundle, for data that is read as it flows.
    #[must_use]
    pub fn head(ua: &[u8], data_bytes: u64) -> Vec<u8> {
        cbor::encode(|e| e.array(3)?.str(LABEL)?.bytes(ua)?.bytes_len(data_bytes)?.ok())
    }

    /// Reads a bundle.
    ///
    /// # Errors
    /// [`Refused::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Refused> {
        codec::array(bytes, "a bundle of UA and data", 3, |d| {
            if d.str()? != LABEL {
                return Err(cbor::Malformed::Expected("the label of a bundle"));
            }
            let ua = d.bytes()?.to_vec();
            Ok(Self { ua, data: Secret::new(d.bytes()?.to_vec()) })
        })
    }
}

const LABEL: &str = "tamarack-ua-pd-v1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_read_as_it_was_written_and_nothing_else_is_one() {
        let bytes = Bundle::encode(b"ua", b"pd");
        assert_eq!([&Bundle::head(b"ua", 2), &b"pd"[..]].concat(), bytes.expose());

        let bundle = Bundle::decode(bytes.expose()).unwrap();

        assert_eq!((bundle.ua.as_slice(), bundle.data.expose()), (&b"ua"[..], &b"pd"[..]));
        let refused = Refused::Malformed("a bundle of UA and data");
        for other in [&b"pd"[..], &bytes.expose()[..4], b"\x83\x60\x40\x40"] {
            assert_eq!(Bundle::decode(other).unwrap_err(), refused);
        }
    }
}

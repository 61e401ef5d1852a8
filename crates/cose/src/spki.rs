//! SubjectPublicKeyInfo (RFC 5280, RFC 5480, RFC 8410, RFC 9802, RFC 9881) of the supported keys.
//!
//! DER leaves one spelling per curve, so the part before the point is a constant.

use crate::cbor::Malformed;
use crate::key::{Curve, Key};

impl Key {
    /// Reads a SubjectPublicKeyInfo with an uncompressed point.
    pub fn from_spki(der: &[u8]) -> Result<Self, Malformed> {
        for curve in Curve::ALL {
            if let Some(point) = der.strip_prefix(prefix(curve)) {
                return match curve {
                    // A compressed point is shorter than the constant part says.
                    Curve::P256 | Curve::P384 if point.first() != Some(&UNCOMPRESSED) => {
                        Err(Malformed::Point)
                    }
                    Curve::P256 | Curve::P384 => Self::from_sec1(curve, point),
                    Curve::Ed25519 | Curve::X25519 => Self::from_okp(curve, point),
                    Curve::MlDsa65 | Curve::XWing => Self::from_akp(curve, point),
                    Curve::HssLms => Self::from_hss(point),
                };
            }
        }
        Err(Malformed::Expected("a SubjectPublicKeyInfo of a supported curve"))
    }

    /// The SubjectPublicKeyInfo of the key.
    pub fn to_spki(&self) -> Vec<u8> {
        [prefix(self.curve()), self.public()].concat()
    }
}

const fn prefix(curve: Curve) -> &'static [u8] {
    match curve {
        Curve::P256 => &[
            0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
            0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
        ],
        Curve::P384 => &[
            0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
            0x05, 0x2b, 0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00,
        ],
        Curve::Ed25519 => &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00],
        Curve::MlDsa65 => &[
            0x30, 0x82, 0x07, 0xb2, 0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03,
            0x04, 0x03, 0x12, 0x03, 0x82, 0x07, 0xa1, 0x00,
        ],
        // id-XWing of draft-connolly-cfrg-xwing-kem.
        Curve::XWing => &[
            0x30, 0x82, 0x04, 0xd4, 0x30, 0x0d, 0x06, 0x0b, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x83,
            0xe6, 0x2d, 0x81, 0xc8, 0x7a, 0x03, 0x82, 0x04, 0xc1, 0x00,
        ],
        Curve::HssLms => &[
            0x30, 0x4e, 0x30, 0x0d, 0x06, 0x0b, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09,
            0x10, 0x03, 0x11, 0x03, 0x3d, 0x00,
        ],
        Curve::X25519 => &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x6e, 0x03, 0x21, 0x00],
    }
}

/// The first byte of a point with both coordinates (SEC 1 section 2.3.3).
const UNCOMPRESSED: u8 = 4;

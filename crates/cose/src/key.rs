//! Public COSE_Keys (RFC 9052 section 7, RFC 9053 section 7).

use crate::cbor::{self, Decoder, Limits, Malformed, Type};
use crate::crypto;
use crate::hss;
use crate::thumbprint::Thumbprint;

/// A public COSE_Key on one of the supported curves, of ML-DSA-65, of X-Wing, or of HSS/LMS.
///
/// ```cddl
/// COSE_Key = { 1 => kty, ? 2 => kid, ? 3 => alg, ? 4 => key_ops, -1 => crv, -2 => x, ? -3 => y }
///          / { 1 => 7, 3 => alg, -1 => pub, ? 2 => kid, ? 4 => key_ops }
///          / { 1 => 5, -1 => pub, ? 2 => kid, ? 3 => alg, ? 4 => key_ops }
/// ```
///
/// Points on the NIST curves are known to lie on them. A key with a private part is refused:
/// private keys do not travel. What the thumbprint leaves out is not kept, so equality is that of
/// the thumbprint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    curve: Curve,
    /// The uncompressed SEC1 point, the 32 bytes of an OKP key, or those of an AKP or HSS/LMS key.
    public: Vec<u8>,
    /// Kept, since every signature that is made or verified names its key by it.
    thumbprint: Thumbprint,
}

/// The curve of a key (IANA registry "COSE Elliptic Curves").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Curve {
    /// NIST P-256 (EC2).
    P256,
    /// NIST P-384 (EC2).
    P384,
    /// Ed25519 (OKP), for signatures.
    Ed25519,
    /// X25519 (OKP), for key agreement.
    X25519,
    /// No curve: the parameters of ML-DSA-65 (AKP), whose keys name their algorithm in place of a
    /// curve.
    MlDsa65,
    /// No curve either: the KEM X-Wing (AKP), X25519 with ML-KEM-768, for key agreement.
    XWing,
    /// Nor is this one: the trees of HSS/LMS with SHA-256 (RFC 8778).
    HssLms,
}

impl Key {
    /// Reads a COSE_Key, in any key order. Parameters that are not needed are ignored.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        cbor::check(bytes, Limits::DEFAULT)?;
        cbor::whole(bytes, Self::read)
    }

    /// Reads a COSE_Key from input that passed [`cbor::check`].
    pub(crate) fn read(d: &mut Decoder<'_>) -> Result<Self, Malformed> {
        let mut members = Members::default();
        let length = d.map().map_err(|_| Malformed::Expected("a COSE_Key map"))?;
        let mut read = 0;
        while cbor::more(d, length, read)? {
            members.read(d)?;
            read += 1;
        }
        members.key()
    }

    fn new(curve: Curve, public: Vec<u8>) -> Self {
        let mut key = Self { curve, public, thumbprint: Thumbprint([0; 32]) };
        key.thumbprint = Thumbprint(crypto::sha256(&key.encode()));
        key
    }

    /// The deterministic encoding of the members that make the key: the thumbprint's input.
    pub fn encode(&self) -> Vec<u8> {
        if self.curve.is_akp() {
            return cbor::encode(|e| {
                e.map(3)?;
                e.i64(label::KTY)?.i64(AKP)?;
                e.i64(label::ALG)?.i64(self.curve.id())?;
                e.i64(label::PUB)?.bytes(&self.public)?.ok()
            });
        }
        if self.curve == Curve::HssLms {
            return cbor::encode(|e| {
                e.map(2)?;
                e.i64(label::KTY)?.i64(HSS_LMS)?;
                e.i64(label::PUB)?.bytes(&self.public)?.ok()
            });
        }
        let y = self.y();
        cbor::encode(|e| {
            e.map(3 + u64::from(y.is_some()))?;
            e.i64(label::KTY)?.i64(self.curve.kty())?;
            e.i64(label::CRV)?.i64(self.curve.id())?;
            e.i64(label::X)?.bytes(self.x())?;
            match y {
                Some(y) => e.i64(label::Y)?.bytes(y)?.ok(),
                None => Ok(()),
            }
        })
    }

    /// A key on a NIST curve from its SEC1 point, compressed or not.
    pub fn from_sec1(curve: Curve, point: &[u8]) -> Result<Self, Malformed> {
        let public = crypto::uncompressed_point(curve, point).ok_or(Malformed::Point)?;
        if public.len() != 1 + 2 * curve.coordinate_len() {
            return Err(Malformed::Point);
        }
        Ok(Self::new(curve, public))
    }

    /// An Ed25519 or X25519 key from its 32 bytes.
    pub fn from_okp(curve: Curve, x: &[u8]) -> Result<Self, Malformed> {
        if !curve.is_okp() {
            return Err(Malformed::Expected("an OKP curve"));
        }
        if x.len() != curve.coordinate_len() {
            return Err(Malformed::Expected("an OKP key of 32 bytes"));
        }
        Ok(Self::new(curve, x.to_vec()))
    }

    /// An ML-DSA-65 key from its encoding in FIPS 204, or an X-Wing key from that of
    /// draft-connolly-cfrg-xwing-kem.
    pub fn from_akp(curve: Curve, public: &[u8]) -> Result<Self, Malformed> {
        if !curve.is_akp() {
            return Err(Malformed::Expected("an algorithm of AKP keys"));
        }
        if public.len() != curve.coordinate_len() {
            return Err(Malformed::Expected(match curve {
                Curve::XWing => "an X-Wing key of 1216 bytes",
                _ => "an ML-DSA-65 key of 1952 bytes",
            }));
        }
        Ok(Self::new(curve, public.to_vec()))
    }

    /// An HSS/LMS key from its encoding in RFC 8554 section 6.1.
    pub fn from_hss(public: &[u8]) -> Result<Self, Malformed> {
        if !hss::is_public(public) {
            return Err(Malformed::Expected("an HSS/LMS key of 60 bytes, with SHA-256"));
        }
        Ok(Self::new(Curve::HssLms, public.to_vec()))
    }

    /// The curve.
    pub fn curve(&self) -> Curve {
        self.curve
    }

    /// The uncompressed SEC1 point of a key on a NIST curve; the bytes of another key.
    pub fn sec1(&self) -> Vec<u8> {
        self.public.clone()
    }

    /// The same bytes as [`sec1`](Self::sec1), borrowed.
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// The x coordinate, or the bytes of a key that is no point.
    pub fn x(&self) -> &[u8] {
        if !self.curve.is_nist() {
            return &self.public;
        }
        &self.public[1..1 + self.curve.coordinate_len()]
    }

    /// The y coordinate of a key on a NIST curve.
    pub fn y(&self) -> Option<&[u8]> {
        if !self.curve.is_nist() {
            return None;
        }
        Some(&self.public[1 + self.curve.coordinate_len()..])
    }

    //= teep 14.38 (M): the thumbprint is the one of RFC 9679
    /// The SHA-256 thumbprint (RFC 9679 section 3).
    pub fn thumbprint(&self) -> Thumbprint {
        self.thumbprint
    }
}

impl Curve {
    /// All supported curves.
    pub const ALL: [Self; 7] = [
        Self::P256,
        Self::P384,
        Self::Ed25519,
        Self::X25519,
        Self::MlDsa65,
        Self::XWing,
        Self::HssLms,
    ];

    /// The registered number; of an AKP or HSS/LMS key that of its algorithm. X-Wing has none yet,
    /// so it is one for private use.
    pub const fn id(self) -> i64 {
        match self {
            Self::MlDsa65 => -49,
            Self::HssLms => -46,
            Self::P256 => 1,
            Self::P384 => 2,
            Self::X25519 => 4,
            Self::Ed25519 => 6,
            Self::XWing => -75830,
        }
    }

    /// The length of a coordinate and of a private key, in bytes; of an AKP or HSS/LMS key that of
    /// the public key.
    pub const fn coordinate_len(self) -> usize {
        match self {
            Self::MlDsa65 => 1952,
            Self::XWing => 1216,
            Self::HssLms => hss::PUBLIC_BYTES,
            Self::P256 | Self::Ed25519 | Self::X25519 => 32,
            Self::P384 => 48,
        }
    }

    /// `None` where it depends on the key's parameters, and where there is none.
    pub(crate) const fn signature_len(self) -> Option<usize> {
        match self {
            Self::MlDsa65 => Some(3309),
            Self::P256 | Self::P384 | Self::Ed25519 => Some(2 * self.coordinate_len()),
            Self::HssLms | Self::X25519 | Self::XWing => None,
        }
    }

    const fn is_nist(self) -> bool {
        matches!(self, Self::P256 | Self::P384)
    }

    const fn is_okp(self) -> bool {
        matches!(self, Self::Ed25519 | Self::X25519)
    }

    const fn is_akp(self) -> bool {
        matches!(self, Self::MlDsa65 | Self::XWing)
    }

    const fn kty(self) -> i64 {
        match self {
            Self::P256 | Self::P384 => EC2,
            Self::Ed25519 | Self::X25519 => OKP,
            Self::MlDsa65 | Self::XWing => AKP,
            Self::HssLms => HSS_LMS,
        }
    }

    fn from_id(kty: i64, id: i64) -> Result<Self, Malformed> {
        let found = Self::ALL.into_iter().find(|curve| curve.kty() == kty && curve.id() == id);
        found.ok_or(Malformed::Expected("a supported key type and curve"))
    }
}

#[derive(Default)]
struct Members<'b> {
    kty: Option<i64>,
    alg: Option<i64>,
    crv: Option<Parameter<'b>>,
    x: Option<&'b [u8]>,
    y: Option<Y<'b>>,
}

/// What stands under label -1: a curve's number, or the bytes of an AKP or HSS/LMS key.
enum Parameter<'b> {
    Curve(i64),
    Public(&'b [u8]),
}

enum Y<'b> {
    Coordinate(&'b [u8]),
    Sign(bool),
}

impl<'b> Members<'b> {
    fn read(&mut self, d: &mut Decoder<'b>) -> Result<(), Malformed> {
        if !is_integer(d.datatype()?) {
            d.skip()?;
            d.skip()?;
            return Ok(());
        }
        match d.i64()? {
            label::KTY => self.kty = Some(d.i64()?),
            label::ALG if is_integer(d.datatype()?) => self.alg = Some(d.i64()?),
            label::CRV if d.datatype()? == Type::Bytes => {
                self.crv = Some(Parameter::Public(d.bytes()?));
            }
            label::CRV => self.crv = Some(Parameter::Curve(d.i64()?)),
            label::X => self.x = Some(d.bytes()?),
            label::Y if d.datatype()? == Type::Bool => self.y = Some(Y::Sign(d.bool()?)),
            label::Y => self.y = Some(Y::Coordinate(d.bytes()?)),
            label::D => return Err(Malformed::Expected("a COSE_Key without a private part")),
            _ => d.skip()?,
        }
        Ok(())
    }

    fn key(self) -> Result<Key, Malformed> {
        if let (Some(AKP), Some(Parameter::Public(public))) = (self.kty, &self.crv) {
            let unknown = Malformed::Expected("a public key of a supported algorithm");
            let alg = self.alg.filter(|_| self.x.is_none());
            let curve = alg.and_then(|alg| Curve::from_id(AKP, alg).ok()).ok_or(unknown)?;
            return Key::from_akp(curve, public);
        }
        if let (Some(HSS_LMS), Some(Parameter::Public(public)), None) =
            (self.kty, &self.crv, self.x)
        {
            return Key::from_hss(public);
        }
        let (Some(kty), Some(Parameter::Curve(crv)), Some(x)) = (self.kty, self.crv, self.x) else {
            return Err(Malformed::Expected("a COSE_Key with kty, crv and x"));
        };
        let curve = Curve::from_id(kty, crv)?;
        if curve.is_okp() {
            return Key::from_okp(curve, x);
        }
        if x.len() != curve.coordinate_len() {
            return Err(Malformed::Expected("coordinates of the full length"));
        }
        match self.y {
            Some(Y::Coordinate(y)) if y.len() == x.len() => {
                Key::from_sec1(curve, &[&[4], x, y].concat())
            }
            Some(Y::Coordinate(_)) => Err(Malformed::Expected("coordinates of the full length")),
            Some(Y::Sign(sign)) => Key::from_sec1(curve, &[&[2 + u8::from(sign)], x].concat()),
            None => Err(Malformed::Expected("an EC2 key with y")),
        }
    }
}

pub(crate) fn is_integer(kind: Type) -> bool {
    use Type::{I8, I16, I32, I64, Int, U8, U16, U32, U64};
    matches!(kind, U8 | U16 | U32 | U64 | I8 | I16 | I32 | I64 | Int)
}

const OKP: i64 = 1;
const EC2: i64 = 2;
/// RFC 8778 section 4.
const HSS_LMS: i64 = 5;
/// Algorithm Key Pair (draft-ietf-cose-dilithium section 3).
const AKP: i64 = 7;

/// IANA registries "COSE Key Common Parameters" and "COSE Key Type Parameters".
mod label {
    pub(super) const KTY: i64 = 1;
    pub(super) const ALG: i64 = 3;
    /// Of an AKP or HSS/LMS key, in place of the curve.
    pub(super) const PUB: i64 = -1;
    pub(super) const CRV: i64 = -1;
    pub(super) const X: i64 = -2;
    pub(super) const Y: i64 = -3;
    pub(super) const D: i64 = -4;
}

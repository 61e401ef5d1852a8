//! Claims that say what a device is and in which state.

use minicbor::data::Type;
use minicbor::decode::Decoder;

use crate::label::claim;
use crate::map::{encode, encode_bytes, encode_int, text};
use crate::refusal::Malformed;

/// A universal entity identifier (RFC 9711 section 4.2.1).
///
/// ```cddl
/// ueid-type = bstr .size (7..33)
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ueid(Vec<u8>);

impl Ueid {
    /// A random identifier of 16, 24 or 32 bytes (type 0x01).
    //= rats 11.11 (M): ueid lengths by type byte are checked on encode
    pub fn rand(random: &[u8]) -> Result<Self, Malformed> {
        let mut bytes = vec![RAND];
        bytes.extend_from_slice(random);
        Self::from_bytes(&bytes)
    }

    /// An identifier with its type byte; the length must be one that the type has.
    //= rats 11.11 (M): ueid lengths by type byte are checked on encode
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let fits = match bytes.first() {
            Some(&RAND) => matches!(bytes.len(), 17 | 25 | 33),
            Some(&EUI) => matches!(bytes.len(), 7 | 9),
            Some(&IMEI) => bytes.len() == 15,
            _ => false,
        };
        if fits { Ok(Self(bytes.to_vec())) } else { Err(Malformed::Value(claim::UEID.into())) }
    }

    /// The identifier with its type byte.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn decode(d: &mut Decoder<'_>) -> Result<Self, Malformed> {
        Self::received(d.bytes()?)
    }

    /// Types that this reader knows must have their length; others are opaque to it.
    pub(crate) fn received(bytes: &[u8]) -> Result<Self, Malformed> {
        match bytes.first() {
            Some(&(RAND | EUI | IMEI)) | None => Self::from_bytes(bytes),
            Some(_) if (7..=33).contains(&bytes.len()) => Ok(Self(bytes.to_vec())),
            Some(_) => Err(Malformed::Value(claim::UEID.into())),
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        encode_bytes(&self.0)
    }
}

/// The maker of the hardware (RFC 9711 section 4.2.3).
///
/// ```cddl
/// oemid-type = int / bstr .size 3 / bstr .size 16     ; PEN / IEEE OUI / random
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OemId {
    /// 16 random bytes.
    Random([u8; 16]),
    /// An IEEE company identifier (OUI, CID or MA-L).
    Ieee([u8; 3]),
    /// An IANA Private Enterprise Number.
    Pen(u32),
}

impl OemId {
    //= rats 11.12 (M): oemid has three forms
    pub(crate) fn decode(d: &mut Decoder<'_>) -> Result<Self, Malformed> {
        const REFUSED: Malformed = Malformed::Value(crate::Label::Int(claim::OEMID));
        if d.datatype()? != Type::Bytes {
            return Ok(Self::Pen(d.u32().map_err(|_| REFUSED)?));
        }
        let bytes = d.bytes()?;
        if let Ok(random) = bytes.try_into() {
            return Ok(Self::Random(random));
        }
        Ok(Self::Ieee(bytes.try_into().map_err(|_| REFUSED)?))
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Random(bytes) => encode_bytes(bytes),
            Self::Ieee(bytes) => encode_bytes(bytes),
            Self::Pen(number) => encode_int(i64::from(*number)),
        }
    }
}

/// A version with an optional scheme (RFC 9711 sections 4.2.5 and 4.2.7).
///
/// ```cddl
/// version-type = [ version: tstr, ? scheme: int / tstr ]
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The version as text.
    pub version: String,
    /// How versions compare, from the CoSWID registry.
    pub scheme: Option<crate::Label>,
}

impl Version {
    /// A version that does not say how versions compare.
    pub fn new(version: impl Into<String>) -> Self {
        Self { version: version.into(), scheme: None }
    }

    pub(crate) fn decode(d: &mut Decoder<'_>) -> Result<Self, Malformed> {
        let count = d.array()?;
        if !matches!(count, Some(1 | 2)) {
            return Err(Malformed::Expected("a version of one or two elements"));
        }
        let version = text(d)?;
        let scheme = if count == Some(2) { Some(crate::Label::decode(d)?) } else { None };
        Ok(Self { version, scheme })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        encode(|e| {
            e.array(1 + u64::from(self.scheme.is_some()))?.str(&self.version)?;
            if let Some(scheme) = &self.scheme {
                e.writer_mut().extend_from_slice(&scheme.encode());
            }
            e.ok()
        })
    }
}

/// Whether debugging was or is possible (RFC 9711 section 4.2.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DebugStatus {
    /// 0: debugging is enabled.
    Enabled,
    /// 1: disabled now.
    Disabled,
    /// 2: disabled since boot.
    DisabledSinceBoot,
    /// 3: disabled permanently but for the maker.
    DisabledPermanently,
    /// 4: disabled for everybody, for ever.
    DisabledFullyAndPermanently,
}

impl DebugStatus {
    /// The number on the wire.
    pub const fn code(self) -> u8 {
        match self {
            Self::Enabled => 0,
            Self::Disabled => 1,
            Self::DisabledSinceBoot => 2,
            Self::DisabledPermanently => 3,
            Self::DisabledFullyAndPermanently => 4,
        }
    }

    pub(crate) fn decode(d: &mut Decoder<'_>) -> Result<Self, Malformed> {
        match d.i64()? {
            0 => Ok(Self::Enabled),
            1 => Ok(Self::Disabled),
            2 => Ok(Self::DisabledSinceBoot),
            3 => Ok(Self::DisabledPermanently),
            4 => Ok(Self::DisabledFullyAndPermanently),
            _ => Err(Malformed::Value(claim::DBGSTAT.into())),
        }
    }
}

/// What the token is meant for (RFC 9711 section 4.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntendedUse {
    /// 1: any use.
    Generic,
    /// 2: registration with a service.
    Registration,
    /// 3: provisioning of keys.
    Provisioning,
    /// 4: a certificate signing request.
    CertificateRequest,
    /// 5: proof of possession.
    ProofOfPossession,
}

impl IntendedUse {
    /// The number on the wire.
    pub const fn code(self) -> u8 {
        match self {
            Self::Generic => 1,
            Self::Registration => 2,
            Self::Provisioning => 3,
            Self::CertificateRequest => 4,
            Self::ProofOfPossession => 5,
        }
    }

    pub(crate) fn decode(d: &mut Decoder<'_>) -> Result<Self, Malformed> {
        match d.i64()? {
            1 => Ok(Self::Generic),
            2 => Ok(Self::Registration),
            3 => Ok(Self::Provisioning),
            4 => Ok(Self::CertificateRequest),
            5 => Ok(Self::ProofOfPossession),
            _ => Err(Malformed::Value(claim::INTUSE.into())),
        }
    }
}

const RAND: u8 = 0x01;
const EUI: u8 = 0x02;
const IMEI: u8 = 0x03;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::whole;

    //= rats 11.11 (M): ueid lengths by type byte are checked on encode
    #[test]
    fn a_ueid_has_the_length_of_its_type() {
        for (first, lengths) in [(RAND, &[17, 25, 33][..]), (EUI, &[7, 9]), (IMEI, &[15])] {
            for length in 0..40 {
                let mut bytes = vec![0x55; length];
                if let Some(byte) = bytes.first_mut() {
                    *byte = first;
                }

                assert_eq!(Ueid::from_bytes(&bytes).is_ok(), lengths.contains(&length));
            }
        }
        assert_eq!(Ueid::from_bytes(&[0x07; 17]), Err(Malformed::Value(claim::UEID.into())));
        assert!(Ueid::rand(&[1; 16]).is_ok() && Ueid::rand(&[1; 15]).is_err());
    }

    #[test]
    fn a_ueid_of_an_unknown_type_is_opaque_to_the_reader_within_its_bounds() {
        let read = |bytes: &[u8]| whole(&encode_bytes(bytes), Ueid::decode);

        assert_eq!(read(&[0x07; 20]), Ok(Ueid(vec![0x07; 20])));
        assert_eq!(read(&[0x07; 6]), Err(Malformed::Value(claim::UEID.into())));
        assert_eq!(read(&[0x07; 34]), Err(Malformed::Value(claim::UEID.into())));
        assert_eq!(read(&[]), Err(Malformed::Value(claim::UEID.into())));
        assert_eq!(read(&[0x01; 16]), Err(Malformed::Value(claim::UEID.into())));
    }

    //= rats 11.12 (M): oemid has three forms
    #[test]
    fn an_oemid_has_three_forms_and_no_fourth() {
        for form in [OemId::Random([7; 16]), OemId::Ieee([1, 2, 3]), OemId::Pen(32473)] {
            assert_eq!(whole(&form.encode(), OemId::decode), Ok(form));
        }

        for wrong in [encode_bytes(&[1; 4]), encode_bytes(&[]), encode_int(-1)] {
            assert_eq!(whole(&wrong, OemId::decode), Err(Malformed::Value(claim::OEMID.into())));
        }
    }

    #[test]
    fn code_points_that_are_not_registered_are_refused() {
        assert_eq!(
            whole(&encode_int(5), DebugStatus::decode),
            Err(Malformed::Value(claim::DBGSTAT.into()))
        );
        assert_eq!(
            whole(&encode_int(0), IntendedUse::decode),
            Err(Malformed::Value(claim::INTUSE.into()))
        );
        assert!(Version::decode(&mut Decoder::new(&[0x80])).is_err());
    }
}

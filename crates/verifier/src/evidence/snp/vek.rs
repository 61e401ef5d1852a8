//! VCEK and VLEK certificates: which key signs the reports of which chip or provider, under which
//! TCB version.

use super::product::{Product, TcbVersion};
use super::report::{Report, SigningKey};
use crate::crypto::PublicKey;
use crate::x509::der::{self, Reader};
use crate::x509::{Certificate, Malformed};

/// What the certificate of an endorsement key says; who signed it is not part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vek {
    /// Whose key it is.
    pub kind: SigningKey,
    /// The product.
    pub product: Product,
    /// The TCB version from which the key is derived.
    pub tcb: TcbVersion,
    /// The chip, as in its reports; a VLEK names none.
    pub chip_id: Option<[u8; 64]>,
    /// The cloud provider; a VCEK names none.
    pub csp_id: Option<String>,
    /// The key: an uncompressed point on P-384.
    pub point: Vec<u8>,
}

impl Vek {
    //= EV-SNP-5: the extensions 1.3.6.1.4.1.3704.1
    /// Reads the certificate of a key that an authority of this kind and product issues.
    pub fn decode(
        certificate: &Certificate<'_>,
        kind: SigningKey,
        product: Product,
    ) -> Result<Self, Malformed> {
        let extensions = Extensions(certificate);
        extensions.number(&[1])?;
        if Product::from_name(extensions.text(&[2])?) != Some(product) {
            return Err(Malformed("one product in the certificate and its issuer's name"));
        }
        let (chip_id, csp_id) = match kind {
            SigningKey::Vcek => (Some(extensions.chip_id(product)?), None),
            SigningKey::Vlek => (None, Some(extensions.text(&[5])?.to_owned())),
        };
        let fmc = match product {
            Product::Milan | Product::Genoa => None,
            Product::Turin => Some(extensions.number(&[3, 9])?),
        };
        let tcb = TcbVersion {
            fmc,
            bootloader: extensions.number(&[3, 1])?,
            tee: extensions.number(&[3, 2])?,
            snp: extensions.number(&[3, 3])?,
            microcode: extensions.number(&[3, 8])?,
        };
        //= EV-SNP-2: leaf keys are P-384
        let PublicKey::P384(point) = certificate.public_key()? else {
            return Err(Malformed("a P-384 key"));
        };
        //= EV-SNP-3: no key usage and no key identifiers, but an end entity in any case
        if !certificate.may_sign_data() {
            return Err(Malformed("an end entity"));
        }
        Ok(Self { kind, product, tcb, chip_id, csp_id, point: point.to_vec() })
    }

    /// Checks the signature of a report.
    #[must_use]
    pub fn verify(&self, report: &Report<'_>) -> bool {
        PublicKey::P384(&self.point).verify_fixed(report.signed(), &report.signature())
    }

    /// Whether the key is that of the report's chip; for a VLEK every chip is.
    //= EV-SNP-6: hwID is the chip id; a VLEK has no hwID
    pub(super) fn is_of_chip(&self, report: &Report<'_>) -> bool {
        self.chip_id.is_none_or(|chip_id| chip_id == *report.chip_id())
    }

    /// Whether the key is derived from the report's reported TCB.
    //= EV-SNP-5: SPLs equal the reported TCB, part by part
    pub(super) fn is_of_tcb(&self, report: &Report<'_>) -> bool {
        self.tcb == TcbVersion::decode(self.product, report.reported_tcb())
    }
}

/// The extensions of AMD in one certificate.
struct Extensions<'c, 'b>(&'c Certificate<'b>);

impl<'b> Extensions<'_, 'b> {
    /// An SPL or the structure's version: INTEGER of one octet's range.
    fn number(&self, id: &[u8]) -> Result<u8, Malformed> {
        const NUMBER: &str = "SPLs and the structure's version as INTEGER below 256";
        let mut reader = Reader::new(self.value(id)?);
        let number = reader.unsigned(NUMBER)?;
        reader.end(NUMBER)?;
        u8::try_from(number).map_err(|_| Malformed(NUMBER))
    }

    fn text(&self, id: &[u8]) -> Result<&'b str, Malformed> {
        const TEXT: &str = "product name and provider id as IA5String";
        let mut reader = Reader::new(self.value(id)?);
        let text = reader.read(IA5_STRING, TEXT)?;
        reader.end(TEXT)?;
        std::str::from_utf8(text).map_err(|_| Malformed(TEXT))
    }

    /// The chip's identifier in the width of a report, which continues with zeros.
    //= EV-SNP-6: 64 octets, on Turin 8 and zeros; raw or wrapped in an OCTET STRING
    fn chip_id(&self, product: Product) -> Result<[u8; 64], Malformed> {
        const CHIP_ID: Malformed = Malformed("hwID in the width of the product");
        let (value, length) = (self.value(&[4])?, product.chip_id_length());
        let octets = if value.len() == length {
            value
        } else {
            let mut reader = Reader::new(value);
            let wrapped = reader.read(der::OCTET_STRING, "hwID")?;
            reader.end("hwID")?;
            wrapped
        };
        if octets.len() != length {
            return Err(CHIP_ID);
        }
        let mut chip_id = [0; 64];
        chip_id[..length].copy_from_slice(octets);
        Ok(chip_id)
    }

    fn value(&self, id: &[u8]) -> Result<&'b [u8], Malformed> {
        let extension = self.0.extension(&[AMD, id].concat());
        extension.map(|found| found.value).ok_or(Malformed("the extensions of a VCEK or VLEK"))
    }
}

/// 1.3.6.1.4.1.3704.1.
const AMD: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x9c, 0x78, 0x01];
const IA5_STRING: u8 = 0x16;

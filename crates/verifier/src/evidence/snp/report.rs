//! ATTESTATION_REPORT (1184 octets) of versions 2, 3 and 5, read in place.

use std::borrow::Cow;

use super::policy::{GuestPolicyBit, PlatformBit};
use crate::Value;

/// A report, structure checked, signature not.
#[derive(Clone, Copy, Debug)]
pub struct Report<'b>(&'b [u8; LENGTH]);

/// Why bytes are not a report that this Verifier reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAReport {
    /// The bytes break the format.
    #[error("expected {0}")]
    Malformed(&'static str),
    /// A legal report of a form that is not appraised.
    #[error("{0} is not appraised")]
    Unsupported(&'static str),
}

/// The key that signs reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SigningKey {
    /// Versioned Chip Endorsement Key: of one chip.
    Vcek,
    /// Versioned Loaded Endorsement Key: of one cloud provider.
    Vlek,
}

/// Family, model and stepping of the processor, from version 3 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpuid {
    /// Combined family.
    pub family: u8,
    /// Combined model.
    pub model: u8,
    /// Stepping.
    pub stepping: u8,
}

/// A version of the SEV firmware: major, minor, build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FirmwareVersion(pub [u8; 3]);

impl<'b> Report<'b> {
    /// Reads exactly one report.
    //= EV-SNP-1: the key that key info names, and fields of R and S no wider than P-384
    pub fn decode(bytes: &'b [u8]) -> Result<Self, NotAReport> {
        let bytes: &[u8; LENGTH] =
            bytes.try_into().map_err(|_| NotAReport::Malformed("a report of 1184 octets"))?;
        let report = Self(bytes);
        if !matches!(report.version(), 2 | 3 | 5) {
            return Err(NotAReport::Unsupported("a report version other than 2, 3, 5"));
        }
        if report.signature_algorithm() != ECDSA_P384_SHA384 {
            return Err(NotAReport::Unsupported("a signature other than ECDSA P-384 SHA-384"));
        }
        if !matches!(report.key_info() >> 2 & 7, 0 | 1) {
            return Err(NotAReport::Unsupported("a report without VCEK or VLEK signature"));
        }
        let (r, rest) = bytes[SIGNED..].split_at(COORDINATE_FIELD);
        let (s, reserved) = rest.split_at(COORDINATE_FIELD);
        if [&r[COORDINATE..], &s[COORDINATE..], reserved].concat().iter().any(|&octet| octet != 0) {
            return Err(NotAReport::Malformed("R and S of 48 octets and zeros after them"));
        }
        Ok(report)
    }

    /// The layout's version: 2, 3 or 5.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.u32_at(0x000)
    }

    /// GUEST_SVN: the security version that the guest's owner gave.
    #[must_use]
    pub fn guest_svn(&self) -> u32 {
        self.u32_at(0x004)
    }

    /// POLICY: what the guest's owner demands of the platform.
    #[must_use]
    pub fn guest_policy(&self) -> u64 {
        u64::from_le_bytes(*self.at(0x008))
    }

    /// The lowest firmware ABI that POLICY demands: major, minor.
    #[must_use]
    pub fn abi_min(&self) -> [u8; 2] {
        let [minor, major, ..] = *self.at::<8>(0x008);
        [major, minor]
    }

    /// FAMILY_ID of the identity block.
    #[must_use]
    pub fn family_id(&self) -> &'b [u8; 16] {
        self.at(0x010)
    }

    /// IMAGE_ID of the identity block.
    #[must_use]
    pub fn image_id(&self) -> &'b [u8; 16] {
        self.at(0x020)
    }

    /// VMPL: the privilege level that asked; 0xffffffff when the host asked.
    #[must_use]
    pub fn vmpl(&self) -> u32 {
        self.u32_at(0x030)
    }

    /// SIGNATURE_ALGO.
    #[must_use]
    pub fn signature_algorithm(&self) -> u32 {
        self.u32_at(0x034)
    }

    /// CURRENT_TCB, as received.
    #[must_use]
    pub fn current_tcb(&self) -> &'b [u8; 8] {
        self.at(0x038)
    }

    /// PLATFORM_INFO.
    #[must_use]
    pub fn platform_info(&self) -> u64 {
        u64::from_le_bytes(*self.at(0x040))
    }

    /// The word with AUTHOR_KEY_EN, MASK_CHIP_KEY and SIGNING_KEY.
    #[must_use]
    pub fn key_info(&self) -> u32 {
        self.u32_at(0x048)
    }

    /// SIGNING_KEY.
    #[must_use]
    pub fn signing_key(&self) -> SigningKey {
        if self.key_info() >> 2 & 7 == 1 { SigningKey::Vlek } else { SigningKey::Vcek }
    }

    /// REPORT_DATA: what the guest bound.
    #[must_use]
    pub fn report_data(&self) -> &'b [u8; 64] {
        self.at(0x050)
    }

    /// MEASUREMENT: the launch digest.
    #[must_use]
    pub fn measurement(&self) -> &'b [u8; 48] {
        self.at(0x090)
    }

    /// HOST_DATA: what the host stated at launch.
    #[must_use]
    pub fn host_data(&self) -> &'b [u8; 32] {
        self.at(0x0c0)
    }

    /// ID_KEY_DIGEST: who signed the identity block; zeros without one.
    #[must_use]
    pub fn id_key_digest(&self) -> &'b [u8; 48] {
        self.at(0x0e0)
    }

    /// AUTHOR_KEY_DIGEST, when AUTHOR_KEY_EN says that there is one.
    //= EV-SNP-9: the author digest only when AUTHOR_KEY_EN
    #[must_use]
    pub fn author_key_digest(&self) -> Option<&'b [u8; 48]> {
        (self.key_info() & 1 != 0).then(|| self.at(0x110))
    }

    /// REPORT_ID: this guest instance.
    #[must_use]
    pub fn report_id(&self) -> &'b [u8; 32] {
        self.at(0x140)
    }

    /// REPORT_ID_MA: the migration agent of this guest.
    #[must_use]
    pub fn report_id_ma(&self) -> &'b [u8; 32] {
        self.at(0x160)
    }

    /// REPORTED_TCB, as received: for this version the signing key is endorsed.
    #[must_use]
    pub fn reported_tcb(&self) -> &'b [u8; 8] {
        self.at(0x180)
    }

    /// The processor, from version 3 on.
    #[must_use]
    pub fn cpuid(&self) -> Option<Cpuid> {
        let [family, model, stepping] = *self.at(0x188);
        (self.version() >= 3).then_some(Cpuid { family, model, stepping })
    }

    /// CHIP_ID; zeros when it is masked.
    #[must_use]
    pub fn chip_id(&self) -> &'b [u8; 64] {
        self.at(0x1a0)
    }

    /// COMMITTED_TCB, as received: the host cannot go below it.
    #[must_use]
    pub fn committed_tcb(&self) -> &'b [u8; 8] {
        self.at(0x1e0)
    }

    /// The version of the firmware that runs.
    #[must_use]
    pub fn current_version(&self) -> FirmwareVersion {
        let [build, minor, major] = *self.at(0x1e8);
        FirmwareVersion([major, minor, build])
    }

    /// The version of the firmware below which the host cannot go.
    #[must_use]
    pub fn committed_version(&self) -> FirmwareVersion {
        let [build, minor, major] = *self.at(0x1ec);
        FirmwareVersion([major, minor, build])
    }

    /// LAUNCH_TCB, as received: what ran when the guest was launched.
    #[must_use]
    pub fn launch_tcb(&self) -> &'b [u8; 8] {
        self.at(0x1f0)
    }

    /// LAUNCH_MIT_VECTOR and CURRENT_MIT_VECTOR, from version 5 on.
    #[must_use]
    pub fn mitigations(&self) -> Option<[u64; 2]> {
        let vector = |offset| u64::from_le_bytes(*self.at(offset));
        (self.version() >= 5).then(|| [vector(0x1f8), vector(0x200)])
    }

    /// What the signature covers.
    #[must_use]
    pub fn signed(&self) -> &'b [u8] {
        &self.0[..SIGNED]
    }

    /// The signature as r ‖ s, big-endian.
    //= EV-COM-12: AMD writes r and s little-endian in 72-octet fields
    #[must_use]
    pub fn signature(&self) -> [u8; 2 * COORDINATE] {
        let mut fixed = [0; 2 * COORDINATE];
        let (r, s) = fixed.split_at_mut(COORDINATE);
        for (number, offset) in [(r, SIGNED), (s, SIGNED + COORDINATE_FIELD)] {
            number.copy_from_slice(self.at::<COORDINATE>(offset));
            number.reverse();
        }
        fixed
    }

    /// Every field for showing.
    #[must_use]
    pub fn fields(&self) -> Vec<(&'static str, Value)> {
        let mut fields = vec![
            ("version", self.version().into()),
            ("guest_svn", self.guest_svn().into()),
            ("policy", hexadecimal(self.guest_policy())),
            ("family_id", self.family_id().into()),
            ("image_id", self.image_id().into()),
            ("vmpl", self.vmpl().into()),
            ("sig_algo", self.signature_algorithm().into()),
            ("current_tcb", self.current_tcb().into()),
            ("platform_info", hexadecimal(self.platform_info())),
            ("key_info", self.key_info().into()),
            ("policy_bits", self.shown_guest_policy()),
            ("platform_bits", self.shown_platform_info()),
            ("key_bits", self.shown_key_info()),
            ("report_data", self.report_data().into()),
            ("measurement", self.measurement().into()),
            ("host_data", self.host_data().into()),
            ("id_key_digest", self.id_key_digest().into()),
            ("author_key_digest", self.at::<48>(0x110).into()),
            ("report_id", self.report_id().into()),
            ("report_id_ma", self.report_id_ma().into()),
            ("reported_tcb", self.reported_tcb().into()),
        ];
        if let Some(Cpuid { family, model, stepping }) = self.cpuid() {
            let parts = [("family", family), ("model", model), ("stepping", stepping)];
            fields.push(("cpuid", map(parts.map(|(name, part)| (name, part.into())))));
        }
        fields.extend([
            ("chip_id", self.chip_id().into()),
            ("committed_tcb", self.committed_tcb().into()),
            ("current_ver", self.current_version().into()),
            ("committed_ver", self.committed_version().into()),
            ("launch_tcb", self.launch_tcb().into()),
        ]);
        if self.mitigations().is_some() {
            fields.push(("launch_mit_vector", self.at::<8>(0x1f8).into()));
            fields.push(("current_mit_vector", self.at::<8>(0x200).into()));
        }
        fields
    }

    fn shown_guest_policy(&self) -> Value {
        let bit = |number: u8| Value::from(self.guest_policy() >> number & 1);
        let [major, minor] = self.abi_min();
        let named = [("abi_minor", minor.into()), ("abi_major", major.into())];
        let bits = [
            ("smt", GuestPolicyBit::Smt.number()),
            ("rsvd1", RESERVED_ONE),
            ("migrate_ma", MIGRATE_MA),
            ("debug", DEBUG),
            ("single_socket", GuestPolicyBit::SingleSocket.number()),
            ("cxl_allow", GuestPolicyBit::Cxl.number()),
            ("mem_aes_256_xts", GuestPolicyBit::Aes256Xts.number()),
            ("rapl_dis", GuestPolicyBit::RaplDisabled.number()),
            ("ciphertext_hiding_dram", GuestPolicyBit::CiphertextHiding.number()),
            ("page_swap_disable", GuestPolicyBit::PageSwapDisabled.number()),
        ];
        map(named.into_iter().chain(bits.map(|(name, number)| (name, bit(number)))))
    }

    fn shown_platform_info(&self) -> Value {
        let bits = [
            ("smt_en", PlatformBit::Smt),
            ("tsme_en", PlatformBit::Tsme),
            ("ecc_en", PlatformBit::Ecc),
            ("rapl_dis", PlatformBit::RaplDisabled),
            ("ciphertext_hiding_dram_en", PlatformBit::CiphertextHiding),
            ("alias_check_complete", PlatformBit::AliasCheckComplete),
            ("tio_en", PlatformBit::Tio),
        ];
        let bit = |number: u8| Value::from(self.platform_info() >> number & 1);
        map(bits.map(|(name, flag)| (name, bit(flag.number()))))
    }

    fn shown_key_info(&self) -> Value {
        let info = self.key_info();
        let key = match self.signing_key() {
            SigningKey::Vcek => "vcek",
            SigningKey::Vlek => "vlek",
        };
        map([
            ("author_key_en", Value::from(info & 1)),
            ("mask_chip_key", Value::from(info >> 1 & 1)),
            ("signing_key", key.into()),
        ])
    }

    fn u32_at(&self, offset: usize) -> u32 {
        u32::from_le_bytes(*self.at(offset))
    }

    fn at<const N: usize>(&self, offset: usize) -> &'b [u8; N] {
        self.0[offset..].first_chunk().expect("the field lies inside the report")
    }
}

impl SigningKey {
    /// The name for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Vcek => "VCEK",
            Self::Vlek => "VLEK",
        }
    }
}

impl From<FirmwareVersion> for Value {
    fn from(FirmwareVersion([major, minor, build]): FirmwareVersion) -> Self {
        Self::from(format!("{major}.{minor}.{build}"))
    }
}

fn hexadecimal(bits: u64) -> Value {
    Value::from(format!("{bits:#x}"))
}

fn map(entries: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    Value::Map(entries.into_iter().map(|(name, value)| (Cow::Borrowed(name), value)).collect())
}

/// POLICY: always one.
pub(super) const RESERVED_ONE: u8 = 17;
/// POLICY: a migration agent may export the guest.
pub(super) const MIGRATE_MA: u8 = 18;
/// POLICY: the host may debug the guest.
pub(super) const DEBUG: u8 = 19;

/// How many octets a report has.
pub const LENGTH: usize = 1184;
const SIGNED: usize = 0x2a0;
const COORDINATE: usize = 48;
const COORDINATE_FIELD: usize = 72;
const ECDSA_P384_SHA384: u32 = 1;

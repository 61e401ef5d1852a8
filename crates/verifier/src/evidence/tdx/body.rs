//! The report bodies of a TDX trust domain (1.0: 584 octets, 1.5: 648), read in place.

use crate::evidence::dcap::quote::{at, u64_at};
use crate::value::Value;

/// A TD report.
#[derive(Clone, Copy, Debug)]
pub struct TdBody<'b> {
    base: &'b [u8; 584],
    /// What version 1.5 adds.
    added: Option<&'b [u8; 64]>,
}

impl<'b> TdBody<'b> {
    /// Every 584 octets are a TD 1.0 report; 64 more make it a TD 1.5 report.
    #[must_use]
    pub const fn new(base: &'b [u8; 584], added: Option<&'b [u8; 64]>) -> Self {
        Self { base, added }
    }

    /// TEE_TCB_SVN: the TDX module when the domain was launched.
    #[must_use]
    pub fn tee_tcb_svn(&self) -> &'b [u8; 16] {
        at(self.base, 0)
    }

    /// MRSEAM: the TDX module.
    #[must_use]
    pub fn mr_seam(&self) -> &'b [u8; 48] {
        at(self.base, 16)
    }

    /// MRSIGNERSEAM: who signed the TDX module.
    #[must_use]
    pub fn mr_signer_seam(&self) -> &'b [u8; 48] {
        at(self.base, 64)
    }

    /// SEAMATTRIBUTES.
    #[must_use]
    pub fn seam_attributes(&self) -> &'b [u8; 8] {
        at(self.base, 112)
    }

    /// TDATTRIBUTES, as received.
    #[must_use]
    pub fn td_attributes(&self) -> &'b [u8; 8] {
        at(self.base, 120)
    }

    /// TDATTRIBUTES.
    #[must_use]
    pub fn attributes(&self) -> Attributes {
        Attributes(u64_at(self.base, 120))
    }

    /// XFAM, as received.
    #[must_use]
    pub fn xfam(&self) -> &'b [u8; 8] {
        at(self.base, 128)
    }

    /// XFAM: extended features that the domain may use.
    #[must_use]
    pub fn xfam_bits(&self) -> u64 {
        u64_at(self.base, 128)
    }

    /// MRTD: what was loaded at launch.
    #[must_use]
    pub fn mr_td(&self) -> &'b [u8; 48] {
        at(self.base, 136)
    }

    /// MRCONFIGID: configuration that the host chose at launch.
    #[must_use]
    pub fn mr_config_id(&self) -> &'b [u8; 48] {
        at(self.base, 184)
    }

    /// MROWNER: the owner that the host named at launch.
    #[must_use]
    pub fn mr_owner(&self) -> &'b [u8; 48] {
        at(self.base, 232)
    }

    /// MROWNERCONFIG: the owner's configuration.
    #[must_use]
    pub fn mr_owner_config(&self) -> &'b [u8; 48] {
        at(self.base, 280)
    }

    /// RTMR0 to RTMR3: what was measured since.
    #[must_use]
    pub fn rtmrs(&self) -> [&'b [u8; 48]; 4] {
        [328, 376, 424, 472].map(|offset| at(self.base, offset))
    }

    /// REPORTDATA: what the domain bound.
    #[must_use]
    pub fn report_data(&self) -> &'b [u8; 64] {
        at(self.base, 520)
    }

    /// TEE_TCB_SVN2: the TDX module that runs the domain at the moment (1.5 only).
    #[must_use]
    pub fn tee_tcb_svn2(&self) -> Option<&'b [u8; 16]> {
        self.added.map(|added| at(added, 0))
    }

    /// MRSERVICETD: the service domains that may act on this one (1.5 only).
    #[must_use]
    pub fn mr_service_td(&self) -> Option<&'b [u8; 48]> {
        self.added.map(|added| at(added, 16))
    }

    /// Every field for showing.
    #[must_use]
    pub fn fields(&self) -> Vec<(&'static str, Value)> {
        let attributes = self.attributes();
        let [rtmr0, rtmr1, rtmr2, rtmr3] = self.rtmrs();
        let mut fields = vec![
            ("tee_tcb_svn", self.tee_tcb_svn().into()),
            ("mr_seam", self.mr_seam().into()),
            ("mrsigner_seam", self.mr_signer_seam().into()),
            ("seam_attributes", self.seam_attributes().into()),
            ("td_attributes", self.td_attributes().into()),
            ("td_debug", attributes.has(Attributes::DEBUG).into()),
            ("sept_ve_disable", attributes.has(Attributes::SEPT_VE_DISABLE).into()),
            ("migratable", attributes.has(Attributes::MIGRATABLE).into()),
            ("pks", attributes.has(Attributes::PKS).into()),
            ("kl", attributes.has(Attributes::KL).into()),
            ("perfmon", attributes.has(Attributes::PERFMON).into()),
            ("xfam", self.xfam().into()),
            ("mr_td", self.mr_td().into()),
            ("mr_config_id", self.mr_config_id().into()),
            ("mr_owner", self.mr_owner().into()),
            ("mr_owner_config", self.mr_owner_config().into()),
            ("rtmr0", rtmr0.into()),
            ("rtmr1", rtmr1.into()),
            ("rtmr2", rtmr2.into()),
            ("rtmr3", rtmr3.into()),
            ("report_data", self.report_data().into()),
        ];
        if let (Some(svn), Some(service)) = (self.tee_tcb_svn2(), self.mr_service_td()) {
            fields.extend([("tee_tcb_svn2", svn.into()), ("mr_service_td", service.into())]);
        }
        fields
    }
}

/// TDATTRIBUTES.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes(pub u64);

impl Attributes {
    /// The host can read and change the domain.
    pub const DEBUG: u64 = 1;
    /// The low octet: any bit set means that the domain is untrusted.
    pub const UNTRUSTED: u64 = 0xff;
    /// The hypervisor may serve TDCALLs with intermediate states.
    pub const ICSSD: u64 = 1 << 16;
    /// Service domains may be bound later.
    pub const SERVTD_EXT: u64 = 1 << 17;
    /// Linear address space separation.
    pub const LASS: u64 = 1 << 27;
    /// EPT violations are never turned into exceptions that the host could inject.
    pub const SEPT_VE_DISABLE: u64 = 1 << 28;
    /// The domain can move to another machine.
    pub const MIGRATABLE: u64 = 1 << 29;
    /// Protection keys for supervisor pages.
    pub const PKS: u64 = 1 << 30;
    /// Key locker.
    pub const KL: u64 = 1 << 31;
    /// TPA.
    pub const TPA: u64 = 1 << 62;
    /// The domain uses performance monitoring.
    pub const PERFMON: u64 = 1 << 63;
    /// Every bit that has a meaning.
    pub const KNOWN: u64 = Self::UNTRUSTED
        | Self::ICSSD
        | Self::SERVTD_EXT
        | Self::LASS
        | Self::SEPT_VE_DISABLE
        | Self::MIGRATABLE
        | Self::PKS
        | Self::KL
        | Self::TPA
        | Self::PERFMON;

    /// Whether all of these bits are set.
    #[must_use]
    pub const fn has(self, bits: u64) -> bool {
        self.0 & bits == bits
    }
}

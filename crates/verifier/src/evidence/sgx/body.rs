//! The report body of an SGX enclave (384 octets), read in place.

use crate::evidence::dcap::quote::{at, u16_at, u64_at};
use crate::value::Value;

/// An enclave report.
#[derive(Clone, Copy, Debug)]
pub struct ReportBody<'b>(&'b [u8; 384]);

impl<'b> ReportBody<'b> {
    /// Every 384 octets are a report body.
    #[must_use]
    pub const fn new(bytes: &'b [u8; 384]) -> Self {
        Self(bytes)
    }

    /// The body as received.
    #[must_use]
    pub const fn as_bytes(&self) -> &'b [u8; 384] {
        self.0
    }

    /// Security version of the processor.
    #[must_use]
    pub fn cpu_svn(&self) -> &'b [u8; 16] {
        at(self.0, 0)
    }

    /// Selected extended features, as received.
    #[must_use]
    pub fn misc_select(&self) -> &'b [u8; 4] {
        at(self.0, 16)
    }

    /// ISVEXTPRODID.
    #[must_use]
    pub fn isv_ext_prod_id(&self) -> &'b [u8; 16] {
        at(self.0, 32)
    }

    /// ATTRIBUTES: flags and XFRM.
    #[must_use]
    pub fn attributes(&self) -> &'b [u8; 16] {
        at(self.0, 48)
    }

    /// The flags in ATTRIBUTES.
    #[must_use]
    pub fn flags(&self) -> Flags {
        Flags(u64_at(self.0, 48))
    }

    /// MRENCLAVE: what was loaded.
    #[must_use]
    pub fn mr_enclave(&self) -> &'b [u8; 32] {
        at(self.0, 64)
    }

    /// MRSIGNER: who signed it.
    #[must_use]
    pub fn mr_signer(&self) -> &'b [u8; 32] {
        at(self.0, 128)
    }

    /// CONFIGID.
    #[must_use]
    pub fn config_id(&self) -> &'b [u8; 64] {
        at(self.0, 192)
    }

    /// ISVPRODID.
    #[must_use]
    pub fn isv_prod_id(&self) -> u16 {
        u16_at(self.0, 256)
    }

    /// ISVSVN.
    #[must_use]
    pub fn isv_svn(&self) -> u16 {
        u16_at(self.0, 258)
    }

    /// CONFIGSVN.
    #[must_use]
    pub fn config_svn(&self) -> u16 {
        u16_at(self.0, 260)
    }

    /// ISVFAMILYID.
    #[must_use]
    pub fn isv_family_id(&self) -> &'b [u8; 16] {
        at(self.0, 304)
    }

    /// REPORTDATA: what the enclave bound.
    #[must_use]
    pub fn report_data(&self) -> &'b [u8; 64] {
        at(self.0, 320)
    }

    /// Every field for showing.
    #[must_use]
    pub fn fields(&self) -> Vec<(&'static str, Value)> {
        let flags = self.flags();
        vec![
            ("cpu_svn", self.cpu_svn().into()),
            ("misc_select", self.misc_select().into()),
            ("isv_ext_prod_id", self.isv_ext_prod_id().into()),
            ("attributes", self.attributes().into()),
            ("debug", flags.has(Flags::DEBUG).into()),
            ("init", flags.has(Flags::INIT).into()),
            ("mode64", flags.has(Flags::MODE64).into()),
            ("provision_key", flags.has(Flags::PROVISION_KEY).into()),
            ("einittoken_key", flags.has(Flags::EINITTOKEN_KEY).into()),
            ("kss", flags.has(Flags::KSS).into()),
            ("mr_enclave", self.mr_enclave().into()),
            ("mr_signer", self.mr_signer().into()),
            ("config_id", self.config_id().into()),
            ("isv_prod_id", self.isv_prod_id().into()),
            ("isv_svn", self.isv_svn().into()),
            ("config_svn", self.config_svn().into()),
            ("isv_family_id", self.isv_family_id().into()),
            ("report_data", self.report_data().into()),
        ]
    }
}

/// The flags of an enclave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(pub u64);

impl Flags {
    /// The enclave was initialised.
    pub const INIT: u64 = 1;
    /// The host can read and change the enclave.
    pub const DEBUG: u64 = 1 << 1;
    /// The enclave runs in 64-bit mode.
    pub const MODE64: u64 = 1 << 2;
    /// The enclave can derive the provisioning key.
    pub const PROVISION_KEY: u64 = 1 << 4;
    /// The enclave can derive the launch key.
    pub const EINITTOKEN_KEY: u64 = 1 << 5;
    /// Key separation and sharing is on.
    pub const KSS: u64 = 1 << 7;

    /// Whether all of these flags are set.
    #[must_use]
    pub const fn has(self, flags: u64) -> bool {
        self.0 & flags == flags
    }
}

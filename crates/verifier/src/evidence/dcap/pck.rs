//! The SGX extension of a PCK certificate: what Intel knows about one platform.

use super::quote::NotAQuote;
use crate::x509::der::{self, Reader};
use crate::x509::{Certificate, Malformed};

/// The platform that a PCK certificate names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    /// Platform provisioning id.
    pub ppid: [u8; 16],
    /// SVNs of the sixteen SGX TCB components.
    pub components: [u8; 16],
    /// SVN of the provisioning certification enclave.
    pub pcesvn: u16,
    /// The CPUSVN that the components come from.
    pub cpusvn: [u8; 16],
    /// Id of the provisioning certification enclave.
    pub pce_id: [u8; 2],
    /// Family, model, stepping, platform type and SKU.
    pub fmspc: [u8; 6],
    /// 0 standard, 1 scalable, 2 scalable with integrity.
    pub sgx_type: u64,
    /// Id of a multi-package platform (Platform CA only).
    pub instance_id: Option<[u8; 16]>,
    /// Settings that Intel saw at registration (Platform CA only).
    pub configuration: Configuration,
}

/// Settings of a multi-package platform; absent when the certificate does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// Packages can be added and removed.
    pub dynamic_platform: Option<bool>,
    /// Intel keeps the platform root keys.
    pub cached_keys: Option<bool>,
    /// Simultaneous multithreading is on.
    pub smt_enabled: Option<bool>,
}

impl Platform {
    //= EV-DCAP-13: the PCK extension is mandatory
    /// Reads the extension 1.2.840.113741.1.13.1.
    pub fn decode(certificate: &Certificate<'_>) -> Result<Self, Malformed> {
        let extension = certificate
            .extension(&SGX_EXTENSION)
            .ok_or(Malformed("the SGX extension of a PCK certificate"))?;
        let mut outer = Reader::new(extension.value);
        let mut entries = Reader::new(outer.read(der::SEQUENCE, EXTENSION)?);
        outer.end(EXTENSION)?;
        let mut found = Found::default();
        while !entries.is_empty() {
            let (number, mut value) = entry(&mut entries, &SGX_EXTENSION)?;
            found.take(number, &mut value)?;
            value.end(EXTENSION)?;
        }
        found.finish()
    }
}

#[derive(Default)]
struct Found {
    ppid: Option<[u8; 16]>,
    tcb: Option<Tcb>,
    pce_id: Option<[u8; 2]>,
    fmspc: Option<[u8; 6]>,
    sgx_type: Option<u64>,
    instance_id: Option<[u8; 16]>,
    configuration: Option<Configuration>,
}

#[derive(Default)]
struct Tcb {
    components: [Option<u8>; 16],
    pcesvn: Option<u16>,
    cpusvn: Option<[u8; 16]>,
}

impl Found {
    fn take(&mut self, number: u8, value: &mut Reader<'_>) -> Result<(), Malformed> {
        match number {
            1 => once(&mut self.ppid, octets(value)?),
            2 => once(&mut self.tcb, Tcb::decode(value)?),
            3 => once(&mut self.pce_id, octets(value)?),
            4 => once(&mut self.fmspc, octets(value)?),
            5 => once(&mut self.sgx_type, enumerated(value)?),
            6 => once(&mut self.instance_id, octets(value)?),
            7 => once(&mut self.configuration, Configuration::decode(value)?),
            _ => value.any().map(|_| ()),
        }
    }

    fn finish(self) -> Result<Platform, Malformed> {
        const WHOLE: Malformed = Malformed("PPID, TCB, PCE id, FMSPC and type in a PCK");
        let tcb = self.tcb.ok_or(WHOLE)?;
        let mut components = [0; 16];
        for (component, found) in components.iter_mut().zip(tcb.components) {
            *component = found.ok_or(WHOLE)?;
        }
        Ok(Platform {
            ppid: self.ppid.ok_or(WHOLE)?,
            components,
            pcesvn: tcb.pcesvn.ok_or(WHOLE)?,
            cpusvn: tcb.cpusvn.ok_or(WHOLE)?,
            pce_id: self.pce_id.ok_or(WHOLE)?,
            fmspc: self.fmspc.ok_or(WHOLE)?,
            sgx_type: self.sgx_type.ok_or(WHOLE)?,
            instance_id: self.instance_id,
            configuration: self.configuration.unwrap_or_default(),
        })
    }
}

impl Tcb {
    fn decode(value: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut tcb = Self::default();
        let mut entries = Reader::new(value.read(der::SEQUENCE, EXTENSION)?);
        let prefix = [&SGX_EXTENSION[..], &[2]].concat();
        while !entries.is_empty() {
            let (number, mut value) = entry(&mut entries, &prefix)?;
            match number {
                1..=16 => {
                    let svn = u8::try_from(value.unsigned(EXTENSION)?);
                    let slot = &mut tcb.components[usize::from(number - 1)];
                    once(slot, svn.map_err(|_| Malformed("a component SVN below 256"))?)?;
                }
                17 => {
                    let svn = u16::try_from(value.unsigned(EXTENSION)?);
                    once(&mut tcb.pcesvn, svn.map_err(|_| Malformed("a PCESVN below 65536"))?)?;
                }
                18 => once(&mut tcb.cpusvn, octets(&mut value)?)?,
                _ => return Err(Malformed(EXTENSION)),
            }
            value.end(EXTENSION)?;
        }
        Ok(tcb)
    }
}

impl Configuration {
    fn decode(value: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut configuration = Self::default();
        let mut entries = Reader::new(value.read(der::SEQUENCE, EXTENSION)?);
        let prefix = [&SGX_EXTENSION[..], &[7]].concat();
        while !entries.is_empty() {
            let (number, mut value) = entry(&mut entries, &prefix)?;
            let slot = match number {
                1 => &mut configuration.dynamic_platform,
                2 => &mut configuration.cached_keys,
                3 => &mut configuration.smt_enabled,
                _ => return Err(Malformed(EXTENSION)),
            };
            once(slot, value.boolean(EXTENSION)?)?;
            value.end(EXTENSION)?;
        }
        Ok(configuration)
    }
}

/// Reads `SEQUENCE { prefix.number, value }`.
fn entry<'b>(entries: &mut Reader<'b>, prefix: &[u8]) -> Result<(u8, Reader<'b>), Malformed> {
    let mut fields = Reader::new(entries.read(der::SEQUENCE, EXTENSION)?);
    let id = fields.read(der::OBJECT_IDENTIFIER, EXTENSION)?;
    match id.strip_prefix(prefix) {
        Some(&[number]) => Ok((number, fields)),
        _ => Err(Malformed(EXTENSION)),
    }
}

fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), Malformed> {
    if slot.replace(value).is_some() {
        return Err(Malformed("each entry of the SGX extension once"));
    }
    Ok(())
}

fn octets<const N: usize>(value: &mut Reader<'_>) -> Result<[u8; N], Malformed> {
    let content = value.read(der::OCTET_STRING, EXTENSION)?;
    content.try_into().map_err(|_| Malformed(EXTENSION))
}

fn enumerated(value: &mut Reader<'_>) -> Result<u64, Malformed> {
    match value.read(der::ENUMERATED, EXTENSION)? {
        [number @ 0..=0x7f] => Ok(u64::from(*number)),
        _ => Err(Malformed(EXTENSION)),
    }
}

impl From<Malformed> for NotAQuote {
    fn from(error: Malformed) -> Self {
        Self::Malformed(error.0)
    }
}

const EXTENSION: &str = "an SGX extension of a PCK certificate as Intel documents it";
/// 1.2.840.113741.1.13.1.
const SGX_EXTENSION: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 0x01, 0x0d, 0x01];

//! Huawei's certificates of devices: the device root key of iTrustee (DRK) and the attestation
//! identity key of virtCCA (AIK), up to a pinned root.
//!
//! The published authorities are built in; collateral may bring others, the certificates of
//! devices, and revocation lists. A file counts for what it contains, in PEM or DER.

use crate::anchor::{Anchor, Anchors, Vendor};
use crate::cache::Bounded;
use crate::check::{Check, Checks, Failure, Owner, Reason, Stop};
use crate::evidence::{Request, check_standing};
use crate::x509::{Certificate, RevocationList, decode_list_file, decode_pem};
use crate::{Collateral, Timestamp};

/// Authorities, devices and lists, sorted but trusted by nobody yet.
#[derive(Debug)]
pub(super) struct Authorities {
    authorities: Vec<Authority>,
    /// The certificates of devices, DER.
    pub(super) devices: Vec<Vec<u8>>,
    lists: Vec<List>,
    /// Which authority signed the certificates of devices that were verified.
    issued: Bounded<usize>,
}

/// A revocation list, and the authorities whose key signed it: several when one was renewed.
#[derive(Debug)]
struct List {
    der: Vec<u8>,
    issuers: Vec<usize>,
}

#[derive(Debug)]
struct Authority {
    certificate: Vec<u8>,
    /// Which of the authorities signed it, itself for a root.
    issuer: Option<usize>,
}

impl Authorities {
    pub(super) fn prepare(collateral: &Collateral) -> Self {
        let mut sorted = Self {
            authorities: Vec::new(),
            devices: Vec::new(),
            lists: Vec::new(),
            issued: Bounded::new(MAX_KNOWN),
        };
        let built_in = BUILT_IN.iter().copied();
        let supplied = collateral.files().map(|(_, bytes)| bytes);
        for bytes in built_in.chain(supplied) {
            let ders = decode_pem(bytes);
            let ders = ders.unwrap_or_else(|_| vec![decode_list_file(bytes).into_owned()]);
            ders.into_iter().for_each(|der| sorted.sort(der));
        }
        for index in 0..sorted.authorities.len() {
            sorted.authorities[index].issuer = sorted.find_issuer(index);
        }
        for index in 0..sorted.lists.len() {
            sorted.lists[index].issuers = sorted.find_list_issuers(index);
        }
        sorted
    }

    fn sort(&mut self, der: Vec<u8>) {
        let known = self.authorities.iter().any(|known| known.certificate == der);
        if known || self.authorities.len() + self.devices.len() + self.lists.len() == MAX_FILES {
            return;
        }
        match Certificate::decode(&der).map(|certificate| certificate.is_authority()) {
            Ok(true) => self.authorities.push(Authority { certificate: der, issuer: None }),
            Ok(false) => self.devices.push(der),
            Err(_) if RevocationList::decode(&der).is_ok() => {
                self.lists.push(List { der, issuers: Vec::new() })
            }
            Err(_) => (),
        }
    }

    fn find_issuer(&self, index: usize) -> Option<usize> {
        let certificate = Certificate::decode(&self.authorities[index].certificate).ok()?;
        self.authorities.iter().position(|issuer| {
            let issuer = Certificate::decode(&issuer.certificate);
            issuer.is_ok_and(|issuer| certificate.is_signed_by(&issuer))
        })
    }

    fn find_list_issuers(&self, index: usize) -> Vec<usize> {
        let Ok(list) = RevocationList::decode(&self.lists[index].der) else { return Vec::new() };
        let signed = |authority: &Authority| {
            Certificate::decode(&authority.certificate)
                .is_ok_and(|issuer| issuer.may_sign_lists() && list.is_signed_by(&issuer))
        };
        let authorities = self.authorities.iter().enumerate();
        authorities.filter(|(_, it)| signed(it)).map(|(index, _)| index).collect()
    }

    /// Checks a device's certificate up to a pinned root: signatures, validity, revocation.
    //= EV-KP-1: DRK, product CA, equipment CA; a failed chain is fatal
    pub(super) fn check_device(
        &self,
        device: &Certificate<'_>,
        request: &Request<'_>,
        anchor: &mut Option<Anchor>,
        checks: &mut Checks,
    ) -> Result<(), Stop> {
        let issuer = self.check_issuer(device, checks)?;
        let path = self.path(issuer);
        let found = path.iter().find_map(|(_, it)| root_of(it, request.anchors));
        let Some(found) = found else {
            return checks.fail(untrusted(path.last().map_or(device, |(_, last)| last)));
        };
        let check = Check::new("huawei.chain.root").seen(&found.spki_sha256.0);
        checks.note(check.source("trust anchors"));
        *anchor = Some(found.clone());
        let chain = || std::iter::once(device).chain(path.iter().map(|(_, it)| it));
        for certificate in chain() {
            checks.need(check_validity(certificate, request.now))?;
        }
        for (certificate, (issuer, _)) in chain().zip(&path) {
            self.check_revocation(certificate, *issuer, request.now, checks)?;
        }
        checks.need(check_standing(found, request.policy))
    }

    fn check_issuer(&self, device: &Certificate<'_>, checks: &mut Checks) -> Result<usize, Stop> {
        let name = device.issuer_common_name().unwrap_or("an authority without name").to_owned();
        let check = Check::new("huawei.device.certificate").source(name);
        let check = check.seen(device.common_name().unwrap_or_default().to_owned());
        //= EV-PERF-1: by the hash of the certificate; the authorities are fixed
        let key = crate::crypto::sha256(device.raw);
        if let Some(index) = self.issued.find(&key) {
            checks.note(check);
            return Ok(index);
        }
        let mut named = self.authorities.iter().enumerate().filter_map(|(index, authority)| {
            let authority = Certificate::decode(&authority.certificate).ok()?;
            (authority.subject == device.issuer).then_some((index, authority))
        });
        let unknown = named.clone().next().is_none();
        let signer = named.find(|(_, authority)| device.is_signed_by(authority));
        if let (Some((index, _)), true) = (signer, device.may_sign_data()) {
            self.issued.insert(key, index);
            checks.note(check);
            return Ok(index);
        }
        checks.fail(check.holds(false, || {
            if unknown {
                let remedy = "supply the certificate of the authority that issued this device's";
                return Failure::new(Reason::UntrustedRoot, Owner::EndorsementProvider, remedy);
            }
            let remedy = "send the device's certificate as its maker's authority signed it";
            Failure::new(Reason::BadSignature, Owner::Attester, remedy)
        }))
    }

    /// The issuer and those above it, each once, with the place of each.
    fn path(&self, issuer: usize) -> Vec<(usize, Certificate<'_>)> {
        let mut indices = vec![issuer];
        while let Some(next) = indices.last().and_then(|last| self.authorities[*last].issuer)
            && !indices.contains(&next)
        {
            indices.push(next);
        }
        let decode = |index: usize| {
            Some((index, Certificate::decode(&self.authorities[index].certificate).ok()?))
        };
        indices.into_iter().filter_map(decode).collect()
    }

    /// Every supplied list of the issuer counts, and must be current.
    fn check_revocation(
        &self,
        certificate: &Certificate<'_>,
        issuer: usize,
        now: Timestamp,
        checks: &mut Checks,
    ) -> Result<(), Stop> {
        let of_issuer = self.lists.iter().filter(|list| list.issuers.contains(&issuer));
        for list in of_issuer.filter_map(|list| RevocationList::decode(&list.der).ok()) {
            let name = certificate.common_name().unwrap_or_default().to_owned();
            let check = Check::new("huawei.device.revocation").source(name);
            let current = list.this_update <= now && now <= list.next_update;
            let revoked = list.revokes(certificate.serial);
            let check = check.seen(if revoked { "revoked" } else { "not revoked" });
            checks.need(check.holds(current && !revoked, || {
                if revoked {
                    let remedy = "take this device out of service: its maker revoked it";
                    return Failure::new(Reason::Revoked, Owner::DeviceOperator, remedy);
                }
                let remedy = "fetch the revocation list that is valid at the appraisal's time";
                Failure::new(Reason::StaleEndorsement, Owner::EndorsementProvider, remedy)
            }))?;
        }
        Ok(())
    }
}

fn root_of<'a>(certificate: &Certificate<'_>, anchors: &'a Anchors) -> Option<&'a Anchor> {
    anchors.find(Vendor::Huawei, &certificate.spki_sha256())
}

fn check_validity(certificate: &Certificate<'_>, now: Timestamp) -> Check {
    let name = certificate.common_name().unwrap_or_default().to_owned();
    let check = Check::new("huawei.chain.validity").seen(now).source(name);
    let early = now < certificate.not_before;
    let bound = if early { certificate.not_before } else { certificate.not_after };
    check.expected(bound).holds(certificate.is_valid_at(now), || {
        let reason = if early { Reason::NotYetValid } else { Reason::Expired };
        let remedy = "renew this certificate with the device's maker, or check the clock";
        Failure::new(reason, Owner::DeviceOperator, remedy)
    })
}

fn untrusted(top: &Certificate<'_>) -> Check {
    let check = Check::new("huawei.chain.root").seen(&top.spki_sha256()).source("trust anchors");
    check.expected("the key of a listed anchor").holds(false, || {
        Failure::new(
            Reason::UntrustedRoot,
            Owner::PolicyOwner,
            "list the emulator's root if you mean to trust it; otherwise this device is not the \
             vendor's",
        )
    })
}

/// The authorities that Huawei publishes.
const BUILT_IN: [&[u8]; 2] = [
    include_bytes!("authorities/huawei-equipment-ca.pem"),
    include_bytes!("authorities/huawei-it-product-ca.pem"),
];
/// How many certificates and lists are looked at.
const MAX_FILES: usize = 64;
/// How many certificates of devices are remembered.
const MAX_KNOWN: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    //= EV-KP-1: the published product CA under the pinned equipment CA
    #[test]
    fn the_built_in_authorities_end_in_the_pinned_root() {
        let known = Authorities::prepare(&Collateral::default());

        let issuers = known.authorities.iter().map(|it| it.issuer).collect::<Vec<_>>();
        assert_eq!(issuers, [Some(0), Some(0)]);
        let (_, root) = &known.path(1)[1];
        assert!(root_of(root, &Anchors::vendors()).is_some_and(|it| !it.is_emulated()));
        let digests = [0, 1]
            .map(|index| hex::encode(crate::crypto::sha256(&known.authorities[index].certificate)));
        assert!(digests[0].starts_with("da2abe92") && digests[1].starts_with("91be99a2"));
    }
}

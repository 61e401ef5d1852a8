//! AMD's certificates and revocation lists, verified once; time is compared at each use.
//!
//! A file counts for what it contains, whatever its name: roots (ARK), authorities (ASK, ASVK),
//! endorsement keys (VCEK, VLEK) and revocation lists, in DER or PEM. The published authorities
//! of each product are built in, so that real hardware needs its VCEK and a list only.

use std::sync::{Arc, LazyLock};

use super::product::Product;
use super::report::{Report, SigningKey};
use super::vek::Vek;
use crate::Timestamp;
use crate::anchor::{Anchor, Anchors, Vendor};
use crate::check::{Check, Failure, Owner, Reason};
use crate::crypto::SignatureAlgorithm;
use crate::x509::{Certificate, RevocationList, decode_list_file, decode_pem};

/// Everything that was found and whose signatures hold up to a pinned root.
#[derive(Clone, Debug, Default)]
pub struct VerifiedEndorsements {
    roots: Vec<Arc<Root>>,
    authorities: Vec<Arc<Authority>>,
    lists: Vec<Arc<List>>,
    /// Lists that no trusted root signed: name of the file and contents.
    unsigned: Vec<(String, Vec<u8>)>,
    keys: Vec<Arc<EndorsedKey>>,
    /// Authorities under roots that nobody listed, to tell them from forged ones.
    untrusted: Vec<Untrusted>,
    /// What was wrong with files that could have been needed, keys first.
    problems: Vec<Check>,
}

/// An AMD Root Key that is an anchor.
#[derive(Debug)]
pub struct Root {
    /// Why it is trusted.
    pub anchor: Anchor,
    /// The product in its name.
    pub product: Product,
    certificate: Vec<u8>,
    window: Window,
}

/// A key under a root that issues endorsement keys: ASK or ASVK.
#[derive(Debug)]
pub struct Authority {
    /// The root.
    pub root: Arc<Root>,
    /// Which keys it issues.
    pub issues: SigningKey,
    /// The contents octets of the serial number.
    pub serial: Vec<u8>,
    certificate: Vec<u8>,
    window: Window,
}

/// A key that signs reports, with its chain.
#[derive(Debug)]
pub struct EndorsedKey {
    /// What the certificate says.
    pub vek: Vek,
    /// Who issued it.
    pub authority: Arc<Authority>,
    serial: Vec<u8>,
    window: Window,
}

/// A revocation list of a root.
#[derive(Debug)]
pub struct List {
    root: Arc<Root>,
    serials: Vec<Box<[u8]>>,
    window: Window,
}

#[derive(Clone, Debug)]
struct Untrusted {
    certificate: Vec<u8>,
    root: [u8; 32],
}

/// When a part is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) what: &'static str,
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
}

/// What certificates are by their names.
enum Role {
    Root(Product),
    Authority(Product, SigningKey),
    Key(Product, SigningKey),
}

impl VerifiedEndorsements {
    /// The published authorities of those roots that are anchors.
    #[must_use]
    pub fn built_in(anchors: &Anchors) -> Self {
        //= EV-PERF-1: verified once; the same bytes under the same roots always are
        static UNDER_VENDORS: LazyLock<(Anchors, VerifiedEndorsements)> = LazyLock::new(|| {
            let vendors = Anchors::vendors();
            let published = VerifiedEndorsements::default().with(PUBLISHED, &vendors);
            (vendors, published)
        });
        let (vendors, published) = &*UNDER_VENDORS;
        // A set of anchors begins with the vendors' roots, and the first of a key counts.
        if anchors.iter().take(vendors.iter().count()).eq(vendors.iter()) {
            return published.clone();
        }
        Self::default().with(PUBLISHED, anchors)
    }

    /// Adds what the files contain and what verifies.
    #[must_use]
    pub fn with<'f>(
        mut self,
        files: impl IntoIterator<Item = (&'f str, &'f [u8])>,
        anchors: &Anchors,
    ) -> Self {
        let mut certificates = Vec::new();
        for (name, bytes) in files {
            self.read(name, bytes, &mut certificates);
        }
        let named = certificates.iter().filter_map(|(file, der)| {
            let certificate = Certificate::decode(der).ok()?;
            Some((file.as_str(), role(&certificate)?, certificate))
        });
        let named = named.collect::<Vec<_>>();
        for (_, role, certificate) in &named {
            if let Role::Root(product) = role {
                self.add_root(certificate, *product, anchors);
            }
        }
        for (_, role, certificate) in &named {
            if let Role::Authority(product, issues) = role {
                self.add_authority(certificate, *product, *issues, &named);
            }
        }
        let lists = std::mem::take(&mut self.unsigned);
        self.unsigned = lists.into_iter().filter(|(_, der)| !self.add_list(der)).collect();
        let mut problems = Vec::new();
        for (file, role, certificate) in &named {
            if let Role::Key(product, kind) = role
                && let Err(problem) = self.add_key(file, certificate, *product, *kind)
            {
                problems.push(*problem);
            }
        }
        problems.append(&mut self.problems);
        self.problems = problems;
        self
    }

    /// The authorities that issue such keys of that product.
    pub fn authorities(
        &self,
        product: Product,
        issues: SigningKey,
    ) -> impl Iterator<Item = &Arc<Authority>> {
        let fits = move |authority: &&Arc<Authority>| {
            authority.root.product == product && authority.issues == issues
        };
        self.authorities.iter().filter(fits)
    }

    /// The endorsement keys.
    pub fn keys(&self) -> impl Iterator<Item = &Arc<EndorsedKey>> {
        self.keys.iter()
    }

    /// Whether a list of that root names the serial number.
    #[must_use]
    pub fn revokes(&self, root: &Root, serial: &[u8]) -> bool {
        self.lists_of(root).any(|list| list.serials.iter().any(|revoked| **revoked == *serial))
    }

    /// The newest list of that root.
    #[must_use]
    pub fn newest_list(&self, root: &Root) -> Option<&Arc<List>> {
        self.lists_of(root).max_by_key(|list| list.window.from)
    }

    /// What was wrong with files that could have been needed.
    pub(super) fn problems(&self) -> &[Check] {
        &self.problems
    }

    /// The files with lists in that root's name which it did not sign.
    pub(super) fn unsigned_lists(&self, root: &Root) -> impl Iterator<Item = &str> {
        let subject = Certificate::decode(&root.certificate).map(|root| root.subject.to_vec());
        let named = move |der: &[u8]| {
            let issuer = RevocationList::decode(der).map(|list| list.issuer.to_vec());
            issuer.is_ok() && issuer == subject
        };
        self.unsigned.iter().filter(move |(_, der)| named(der)).map(|(file, _)| file.as_str())
    }

    fn lists_of(&self, root: &Root) -> impl Iterator<Item = &Arc<List>> {
        self.lists.iter().filter(|list| list.root.anchor == root.anchor)
    }

    fn read(&mut self, file: &str, bytes: &[u8], certificates: &mut Vec<(String, Vec<u8>)>) {
        if bytes.starts_with(b"-----BEGIN CERTIFICATE-----") {
            match decode_pem(bytes) {
                Ok(chain) => {
                    certificates.extend(chain.into_iter().map(|der| (file.to_owned(), der)));
                }
                Err(error) => self.problems.push(unreadable(file, error.0)),
            }
        } else if let list = decode_list_file(bytes)
            && RevocationList::decode(&list).is_ok()
        {
            self.unsigned.push((file.to_owned(), list.into_owned()));
        } else {
            match Certificate::decode(bytes) {
                Ok(_) => certificates.push((file.to_owned(), bytes.to_vec())),
                Err(error) if EXTENSIONS.iter().any(|end| file.ends_with(end)) => {
                    self.problems.push(unreadable(file, error.0));
                }
                Err(_) => (),
            }
        }
    }

    //= EV-SNP-2: the ARK is pinned; its own signature says nothing more
    fn add_root(&mut self, certificate: &Certificate<'_>, product: Product, anchors: &Anchors) {
        let anchor = anchors.find(Vendor::Amd, &certificate.spki_sha256());
        let known = |anchor: &Anchor| {
            self.roots.iter().any(|root| root.anchor == *anchor && root.product == product)
        };
        if let Some(anchor) = anchor.filter(|anchor| certificate.is_authority() && !known(anchor)) {
            self.roots.push(Arc::new(Root {
                anchor: anchor.clone(),
                product,
                certificate: certificate.raw.to_vec(),
                window: Window::of("ARK certificate", certificate),
            }));
        }
    }

    //= EV-SNP-2: ASK and ASVK by the ARK of their product
    fn add_authority(
        &mut self,
        certificate: &Certificate<'_>,
        product: Product,
        issues: SigningKey,
        named: &[(&str, Role, Certificate<'_>)],
    ) {
        if self.authorities.iter().any(|known| known.certificate == certificate.raw) {
            return;
        }
        let root = self.roots.iter().find(|root| {
            root.product == product
                && Certificate::decode(&root.certificate)
                    .is_ok_and(|root| issued(certificate, &root))
        });
        if let Some(root) = root.filter(|_| certificate.is_authority()) {
            self.authorities.push(Arc::new(Authority {
                root: root.clone(),
                issues,
                serial: certificate.serial.to_vec(),
                certificate: certificate.raw.to_vec(),
                window: Window::of(authority_name(issues), certificate),
            }));
            return;
        }
        let foreign = named
            .iter()
            .find(|(_, role, root)| matches!(role, Role::Root(_)) && issued(certificate, root));
        if let Some((.., root)) = foreign {
            let certificate = certificate.raw.to_vec();
            self.untrusted.push(Untrusted { certificate, root: root.spki_sha256() });
        }
    }

    /// Takes a list over if a root signed it.
    //= EV-SNP-4: lists of the ARK
    fn add_list(&mut self, der: &[u8]) -> bool {
        let Ok(list) = RevocationList::decode(der) else { return false };
        let issuer = self.roots.iter().find(|root| {
            Certificate::decode(&root.certificate).is_ok_and(|root| {
                root.may_sign_lists() && strong(&list.algorithm) && list.is_signed_by(&root)
            })
        });
        let Some(root) = issuer.cloned() else { return false };
        let window = Window {
            what: "revocation list of the ARK",
            from: list.this_update,
            until: list.next_update,
        };
        let serials = list.serials().map(Box::from).collect();
        self.lists.push(Arc::new(List { root, serials, window }));
        true
    }

    //= EV-SNP-2: VCEK by ASK, VLEK by ASVK
    fn add_key(
        &mut self,
        file: &str,
        certificate: &Certificate<'_>,
        product: Product,
        kind: SigningKey,
    ) -> Result<(), Box<Check>> {
        let signers = self.authorities(product, kind).filter(|authority| {
            Certificate::decode(&authority.certificate)
                .is_ok_and(|authority| issued(certificate, &authority))
        });
        let good = |authority: &&Arc<Authority>| !self.revokes(&authority.root, &authority.serial);
        let signers = signers.collect::<Vec<_>>();
        let signer = signers.iter().find(|signer| good(signer)).or_else(|| signers.first());
        let Some(&authority) = signer else { return Err(self.unendorsed(file, certificate)) };
        let vek = Vek::decode(certificate, kind, product)
            .map_err(|error| Box::new(unreadable(file, error.0)))?;
        self.keys.push(Arc::new(EndorsedKey {
            vek,
            authority: authority.clone(),
            serial: certificate.serial.to_vec(),
            window: Window::of(key_name(kind), certificate),
        }));
        Ok(())
    }

    /// Why no trusted authority issued a key.
    fn unendorsed(&self, file: &str, certificate: &Certificate<'_>) -> Box<Check> {
        let foreign = self.untrusted.iter().find(|authority| {
            Certificate::decode(&authority.certificate)
                .is_ok_and(|authority| issued(certificate, &authority))
        });
        if let Some(Untrusted { root, .. }) = foreign {
            let check = Check::new("snp.root").seen(root).source("trust anchors");
            return check.expected("the key of a listed anchor").refused(Failure::new(
                Reason::UntrustedRoot,
                Owner::PolicyOwner,
                "list the emulator's root if you mean to trust it; otherwise this hardware is \
                 not the vendor's",
            ));
        }
        let issuer = certificate.issuer_common_name().unwrap_or_default().to_owned();
        let check = Check::new("snp.vek.chain").source(file.to_owned());
        check.expected(format!("a signature by a trusted {issuer}")).refused(Failure::new(
            Reason::BadSignature,
            Owner::EndorsementProvider,
            "fetch the certificate again from the key distribution service; for emulated \
             hardware supply its ARK and ASK as well",
        ))
    }
}

impl EndorsedKey {
    /// Whether this key is the one that must have signed the report.
    pub(super) fn fits(&self, report: &Report<'_>) -> bool {
        self.vek.kind == report.signing_key()
            && self.vek.is_of_chip(report)
            && self.vek.is_of_tcb(report)
    }

    /// The certificates of the chain by serial number, from the leaf; the root cannot be revoked.
    pub(super) fn serials(&self) -> [(&'static str, &[u8]); 2] {
        let Authority { issues, serial, .. } = &*self.authority;
        [(key_name(*issues), &self.serial), (authority_name(*issues), serial)]
    }

    /// When each certificate of the chain is valid.
    pub(super) fn windows(&self) -> [Window; 3] {
        [self.window, self.authority.window, self.authority.root.window]
    }
}

impl List {
    pub(super) const fn window(&self) -> Window {
        self.window
    }
}

impl Window {
    fn of(what: &'static str, certificate: &Certificate<'_>) -> Self {
        Self { what, from: certificate.not_before, until: certificate.not_after }
    }

    /// The reason why the part is not valid at `now`, if it is not.
    pub(super) fn reason_at(&self, now: Timestamp) -> Option<Reason> {
        if now < self.from {
            Some(Reason::NotYetValid)
        } else if now > self.until {
            Some(Reason::Expired)
        } else {
            None
        }
    }
}

fn role(certificate: &Certificate<'_>) -> Option<Role> {
    let named = |name: &str| Product::ALL.into_iter().find(|product| product.as_str() == name);
    let authority = |name: &str| {
        let name = name.strip_prefix("SEV-")?;
        match name.strip_prefix("VLEK-") {
            Some(name) => Some((named(name)?, SigningKey::Vlek)),
            None => Some((named(name)?, SigningKey::Vcek)),
        }
    };
    let subject = certificate.common_name().unwrap_or_default();
    let issuer = certificate.issuer_common_name().unwrap_or_default();
    if let Some(product) = subject.strip_prefix("ARK-").and_then(named) {
        return Some(Role::Root(product));
    }
    if let Some((product, issues)) = authority(subject) {
        return Some(Role::Authority(product, issues));
    }
    authority(issuer).map(|(product, kind)| Role::Key(product, kind))
}

//= EV-SNP-2: RSASSA-PSS, SHA-384, salt 48
fn issued(certificate: &Certificate<'_>, issuer: &Certificate<'_>) -> bool {
    strong(&certificate.algorithm) && certificate.is_signed_by(issuer)
}

fn strong(algorithm: &SignatureAlgorithm) -> bool {
    *algorithm == SignatureAlgorithm::PssSha384
}

fn unreadable(file: &str, expected: &'static str) -> Check {
    let check = Check::new("snp.endorsement.format").expected(expected).source(file.to_owned());
    *check.refused(Failure::new(
        Reason::Malformed,
        Owner::EndorsementProvider,
        format!("fetch {file} from the key distribution service again"),
    ))
}

const fn key_name(kind: SigningKey) -> &'static str {
    match kind {
        SigningKey::Vcek => "VCEK certificate",
        SigningKey::Vlek => "VLEK certificate",
    }
}

const fn authority_name(issues: SigningKey) -> &'static str {
    match issues {
        SigningKey::Vcek => "ASK certificate",
        SigningKey::Vlek => "ASVK certificate",
    }
}

/// ASK, ASVK and ARK of each product, as the key distribution service publishes them.
const PUBLISHED: [(&str, &[u8]); 3] = [
    ("milan.pem", include_bytes!("authorities/milan.pem")),
    ("genoa.pem", include_bytes!("authorities/genoa.pem")),
    ("turin.pem", include_bytes!("authorities/turin.pem")),
];

/// Names of files that are meant to be certificates or lists.
const EXTENSIONS: [&str; 5] = [".der", ".pem", ".crt", ".cer", ".crl"];

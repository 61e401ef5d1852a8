//! What a package consists of, by its own manifests.

use std::cell::RefCell;

use api::PackageName;
use cose::Key;
use suit::{ComponentId, Envelope, Hint, Signer, Verified, authority};

/// One manifest of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) kind: Kind,
    /// What it installs.
    pub(crate) component: ComponentId,
    /// Where the manifest is kept.
    pub(crate) manifest_component: ComponentId,
    /// SHA-256 of the manifest.
    pub(crate) manifest_digest: Vec<u8>,
}

/// What a manifest is about, by the name of its component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Ua,
    Ta,
    Pd,
    UaPd,
}

impl Kind {
    fn of(component: &ComponentId) -> Self {
        let name = component.name().unwrap_or_default();
        match component.is_in_ree() {
            true => Self::Ua,
            false if name.ends_with(".ua-pd") => Self::UaPd,
            false if name.ends_with(".pd") => Self::Pd,
            false => Self::Ta,
        }
    }

    const fn figure(self) -> &'static str {
        match self {
            Self::Ua => "UA",
            Self::Ta => "TA",
            Self::Pd => "PD",
            Self::UaPd => "UA,PD",
        }
    }
}

impl Part {
    /// The application that data is for: `[owner, name]`, or `[.., other, name]` for another
    /// owner's.
    pub(crate) fn of(&self) -> Option<ComponentId> {
        let name = self.component.name()?;
        let of = name.strip_suffix(".ua-pd").or_else(|| name.strip_suffix(".pd"))?;
        let owner = self.component.parts().iter().rev().nth(1)?;
        ComponentId::new([owner.as_slice(), of.as_bytes()]).ok()
    }
}

/// Authenticates an envelope by the key that travels with it, which its components name.
pub(crate) fn authenticate(envelope: &[u8]) -> Result<(Verified<'_>, Key), suit::Error> {
    let travelling = RefCell::new(Vec::new());
    let anchors = |hint: &Hint<'_>| {
        let key = hint.key.cloned();
        travelling.borrow_mut().extend(key.clone());
        key
    };
    let verified = Envelope::decode(envelope)?.authenticate(&anchors, &suit::SIGNATURES)?;
    authority::owner_prefix(&verified)?;
    let Signer::Key(signer) = *verified.signer() else {
        return Err(suit::Untrusted::UnknownKey.into());
    };
    let keys = travelling.into_inner();
    let owner = keys.into_iter().find(|key| key.thumbprint() == signer);
    Ok((verified, owner.ok_or(suit::Untrusted::UnknownKey)?))
}

/// The parts of a package in the order in which it holds them, each authenticated.
pub(crate) fn parts(envelope: &[u8], package: PackageName) -> Result<Vec<Part>, suit::Error> {
    let alone = |envelope| Ok(part(envelope)?.into_iter().collect());
    if !package.is_bundle() {
        return alone(envelope);
    }
    let (root, _) = authenticate(envelope)?;
    if root.manifest().common.dependencies.is_empty() {
        // No package of several parts: what it is instead shows what is missing.
        return alone(envelope);
    }
    let envelope = Envelope::decode(envelope)?;
    let mut parts = Vec::new();
    for payload in envelope.payloads().values() {
        parts.extend(part(payload)?);
    }
    Ok(parts)
}

fn part(envelope: &[u8]) -> Result<Option<Part>, suit::Error> {
    let (verified, _) = authenticate(envelope)?;
    let manifest = verified.manifest();
    let (Some(place), [component]) = (&manifest.component_id, &manifest.common.components[..])
    else {
        return Ok(None);
    };
    Ok(Some(Part {
        kind: Kind::of(component),
        component: component.clone(),
        manifest_component: place.clone(),
        manifest_digest: verified.digest().bytes().to_vec(),
    }))
}

/// The kinds that a package has to hold.
pub(crate) const fn expected(package: PackageName) -> &'static [Kind] {
    match package {
        PackageName::Ua => &[Kind::Ua],
        PackageName::Ta => &[Kind::Ta],
        PackageName::Pd => &[Kind::Pd],
        PackageName::UaTa => &[Kind::Ua, Kind::Ta],
        PackageName::UaTaPd => &[Kind::Ua, Kind::Ta, Kind::Pd],
        PackageName::TaPd => &[Kind::Ta, Kind::Pd],
        PackageName::UaPd => &[Kind::UaPd],
    }
}

/// As the figures write it.
pub(crate) fn figure(parts: &[Part]) -> String {
    let mut kinds: Vec<Kind> = parts.iter().map(|part| part.kind).collect();
    kinds.sort_unstable();
    let kinds: Vec<&str> = kinds.into_iter().map(Kind::figure).collect();
    format!("({})", kinds.join(","))
}

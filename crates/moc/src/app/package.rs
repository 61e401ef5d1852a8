//! Packages: what is checked before one is stored.

use std::cell::RefCell;

use api::{Owner, PackageName, PackageStored};
use cose::{Accept, Key};
use suit::{ComponentId, Envelope, Hint, Signer, authority};

use crate::{
    deployment::{Failure, need},
    store::{BlobDigest, Change, DeploymentRow, NewDecision, PackageRow},
};

use super::{Moc, Refusal, by_user, settle, user::conflict};

impl Moc {
    /// Stores a package of a deployment; `false` when the same bytes were there.
    ///
    /// Its signature, its owner's prefix and its sequence number are checked before; what the
    /// device makes of it is the device's own decision.
    //= teep 14.47 (M): only manifests of authorised signers are relayed, checked before sending
    pub async fn put_package(
        &self,
        tenant: &str,
        deployment: &str,
        package: PackageName,
        envelope: &[u8],
    ) -> Result<(bool, PackageStored), Refusal> {
        settle!(self.put_package_once(tenant, deployment, package, envelope).await)
    }

    async fn put_package_once(
        &self,
        tenant: &str,
        deployment: &str,
        package: PackageName,
        envelope: &[u8],
    ) -> Result<(bool, PackageStored), Refusal> {
        let mut row = self.own(tenant, deployment).await?;
        let digest = BlobDigest::of(envelope);
        if let Some(stored) = self.store.package(deployment, package).await?
            && stored.sha256 == digest.to_string()
        {
            return Ok((false, stored_package(&stored)));
        }
        row.machine.bring(need(package)).map_err(|no| conflict(package.as_str(), &no))?;
        let read = read(envelope, package)?;
        self.check_owner(&row, package, &read).await?;
        self.check_sequence(&row, &read).await?;

        self.store.blobs().put(envelope).await?;
        let stored = read.into_row(&row, package, digest, self.clock.now_ms());
        let shown = stored_package(&stored);
        let decision = NewDecision {
            tenant: tenant.to_owned(),
            at_ms: stored.created_ms,
            subject: format!("deployment/{deployment}"),
            decision: "package accepted".into(),
            reason: format!("{package} {} signed by {}", stored.manifest_digest, stored.owner),
        };
        self.store
            .commit(vec![
                Change::AddPackage(stored),
                self.save(&row),
                Change::AddDecision(decision),
            ])
            .await?;

        tracing::info!(%deployment, %package, manifest = %shown.manifest, "package accepted");
        self.changed(&row);
        Ok((true, shown))
    }

    /// Personalization Data belongs to the owner of the Trusted Application.
    async fn check_owner(
        &self,
        row: &DeploymentRow,
        package: PackageName,
        read: &Read,
    ) -> Result<(), Refusal> {
        if package != PackageName::Pd {
            return Ok(());
        }
        let found = self.store.package(&row.deployment, PackageName::Ta).await?;
        let Some(application) = found else { return Ok(()) };
        let owner = read.owner.thumbprint().to_string();
        match application.owner == owner {
            true => Ok(()),
            false => Err(Refusal::Untrusted(by_user(
                "owner",
                &format!("the owner of the Trusted Application, {}", application.owner),
                owner,
                "sign the Personalization Data with the key that owns the Trusted Application",
            ))),
        }
    }

    /// A manifest never goes back behind one that was accepted for the same device.
    async fn check_sequence(&self, row: &DeploymentRow, read: &Read) -> Result<(), Refusal> {
        let newest = self.store.newest_package(&row.device, &read.manifest_component).await?;
        let Some(newest) = newest else { return Ok(()) };
        let same = newest.manifest_digest == read.manifest_digest;
        if read.sequence_number > newest.sequence_number
            || (same && read.sequence_number == newest.sequence_number)
        {
            return Ok(());
        }
        Err(Refusal::Untrusted(by_user(
            "sequence-number",
            &format!("more than {}", newest.sequence_number),
            read.sequence_number.to_string(),
            "build the package again with a higher sequence number",
        )))
    }
}

/// What an envelope says, after its signature was checked.
#[derive(Debug)]
struct Read {
    owner: Key,
    manifest_component: Vec<String>,
    components: Vec<Vec<String>>,
    manifest_digest: String,
    sequence_number: u64,
}

impl Read {
    fn into_row(
        self,
        row: &DeploymentRow,
        package: PackageName,
        digest: BlobDigest,
        now_ms: u64,
    ) -> PackageRow {
        PackageRow {
            deployment: row.deployment.clone(),
            package,
            tenant: row.tenant.clone(),
            device: row.device.clone(),
            sha256: digest.to_string(),
            owner: self.owner.thumbprint().to_string(),
            owner_key: self.owner.encode(),
            manifest_component: self.manifest_component,
            components: self.components,
            manifest_digest: self.manifest_digest,
            sequence_number: self.sequence_number,
            created_ms: now_ms,
        }
    }
}

/// Authenticates an envelope by the key that travels with it, which its components name.
fn read(envelope: &[u8], package: PackageName) -> Result<Read, Refusal> {
    let travelling = RefCell::new(Vec::new());
    let anchors = |hint: &Hint<'_>| {
        let key = hint.key.cloned();
        travelling.borrow_mut().extend(key.clone());
        key
    };
    let verified = Envelope::decode(envelope)
        .and_then(|envelope| envelope.authenticate(&anchors, &Accept::CURRENT))
        .map_err(refused)?;
    authority::owner_prefix(&verified).map_err(|error| refused(error.into()))?;

    let Signer::Key(signer) = *verified.signer() else {
        return Err(refused(suit::Untrusted::UnknownKey.into()));
    };
    let keys = travelling.into_inner();
    let owner = keys.into_iter().find(|key| key.thumbprint() == signer);
    let owner = owner.ok_or_else(|| refused(suit::Untrusted::UnknownKey.into()))?;
    let manifest = verified.manifest();
    let Some(place) = &manifest.component_id else {
        return Err(incomplete("manifest-component-id", "a manifest with a place of its own"));
    };
    check_places(&manifest.common.components, package)?;
    if i64::try_from(manifest.sequence_number).is_err() {
        return Err(incomplete("sequence-number", "a sequence number below 2^63"));
    }
    Ok(Read {
        owner,
        manifest_component: parts(place),
        components: manifest.common.components.iter().map(parts).collect(),
        manifest_digest: hex::encode(verified.digest().bytes()),
        sequence_number: manifest.sequence_number,
    })
}

/// A UA stands in the REE, everything else in the TEE.
fn check_places(components: &[ComponentId], package: PackageName) -> Result<(), Refusal> {
    let in_ree = package == PackageName::Ua;
    match components.iter().find(|component| component.is_in_ree() != in_ree) {
        None => Ok(()),
        Some(component) => Err(Refusal::Unsupported(by_user(
            "component-place",
            if in_ree { "components that begin with 'REE'" } else { "components in the TEE" },
            component.to_string(),
            "build the package for the place where it belongs",
        ))),
    }
}

fn parts(component: &ComponentId) -> Vec<String> {
    component.parts().iter().map(hex::encode).collect()
}

fn incomplete(check: &str, expected: &str) -> Refusal {
    Refusal::Unsupported(by_user(check, expected, "none", "build the package again"))
}

fn refused(error: suit::Error) -> Refusal {
    let failure = |check: &str, expected: &str| Failure {
        check: check.to_owned(),
        expected: expected.to_owned(),
        seen: error.to_string(),
        owner: Owner::NetworkUser,
        remedy: "build and sign the package again with the key that owns its components".into(),
    };
    match &error {
        suit::Error::Malformed(_) => {
            Refusal::Malformed(failure("suit-envelope", "a SUIT_Envelope"))
        }
        suit::Error::Unsupported(_) => {
            Refusal::Unsupported(failure("suit-envelope", "what this M/OC relays"))
        }
        suit::Error::Untrusted(suit::Untrusted::Component(_)) => {
            Refusal::Untrusted(failure("owner", "components that begin with the signer's key"))
        }
        suit::Error::Untrusted(_) => {
            Refusal::Untrusted(failure("signature", "a valid signature of the owner"))
        }
    }
}

fn stored_package(row: &PackageRow) -> PackageStored {
    PackageStored {
        package: row.package,
        sha256: row.sha256.clone(),
        manifest: row.manifest_digest.clone(),
        sequence_number: row.sequence_number,
    }
}

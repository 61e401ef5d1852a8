//! Packages: what is checked before one is stored.

use std::collections::BTreeSet;

use api::{Need, Owner, PackageName, PackageStored};
use cose::Key;
use suit::ComponentId;

use crate::{
    deployment::{Failure, NotNow, Plan, need},
    store::{
        BlobDigest, BlobRow, Change, DeploymentRow, NamedBlobs, NewDecision, PackageRow,
        StoreFailed,
    },
};

use super::{
    Moc, Refusal, by_user,
    parts::{self, Kind, Part},
    settle,
    user::conflict,
};

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
        if let Some(stored) = self.store.of(tenant).package(deployment, package).await?
            && stored.sha256 == digest.to_string()
        {
            return Ok((false, stored_package(&stored)));
        }
        row.machine.bring(need(package)).map_err(|no| match no {
            NotNow::NotInPlan => not_in_case(row.machine.plan(), package),
            no => conflict(package.as_str(), &no),
        })?;
        let read = read(envelope, package)?;
        self.check_data(&row, package, &read).await?;
        self.check_sequence(&row, &read).await?;

        let digests = named(envelope, digest)?;
        let _held = self.store.blobs().hold().await;
        self.store.blobs().put(envelope).await?;
        let stored = read.into_row(&row, package, digest, self.clock.now_ms());
        let blob = BlobRow {
            tenant: tenant.to_owned(),
            digest,
            bytes: envelope.len() as u64,
            created_ms: stored.created_ms,
        };
        let named = NamedBlobs {
            deployment: row.deployment.clone(),
            tenant: tenant.to_owned(),
            device: row.device.clone(),
            digests,
        };
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
                Change::AddBlob(blob),
                self.within_blobs(tenant),
                Change::NameBlobs(named),
                self.save(&row),
                Change::AddDecision(decision),
            ])
            .await?;

        tracing::info!(%deployment, %package, manifest = %shown.manifest, "package accepted");
        self.changed(&row);
        Ok((true, shown))
    }

    /// Personalization Data says which Trusted Application it is for, and never is the M/OC's own.
    async fn check_data(
        &self,
        row: &DeploymentRow,
        package: PackageName,
        read: &Read,
    ) -> Result<(), Refusal> {
        let Some(data) = read.parts.iter().find(|part| part.of().is_some()) else { return Ok(()) };
        // The data's own owner: the package around it may be another one's.
        let owner = data.component.owner().unwrap_or_else(|| read.owner.thumbprint());
        if self.tam().keys().public().iter().any(|key| key.thumbprint() == owner) {
            return Err(Refusal::Untrusted(by_user(
                "package.owner",
                "no Personalization Data in a package that the Network M/OC owns (draft section \
                 2.1)",
                format!("{} signed by the TAM", package.figure()),
                "sign Personalization Data with a key of the Network User",
            )));
        }
        let own = read.parts.iter().find(|part| part.kind == Kind::Ta).cloned();
        let Some(application) = own.or(self.application(&row.deployment).await?) else {
            return Ok(());
        };
        if data.of().as_ref() == Some(&application.component) {
            return Ok(());
        }
        let owns = application.component.owner();
        Err(Refusal::Untrusted(match owns.filter(|owns| *owns != owner) {
            Some(owns) => by_user(
                "owner",
                &format!("the owner of the Trusted Application, {owns}"),
                owner.to_string(),
                "sign the Personalization Data with the key that owns the Trusted Application",
            ),
            None => by_user(
                "data.application",
                &format!("data for the Trusted Application {}", application.component),
                data.component.to_string(),
                "name the data after its Trusted Application",
            ),
        }))
    }

    /// The Trusted Application of a deployment, by the package that brought it.
    pub(crate) async fn application(&self, deployment: &str) -> Result<Option<Part>, StoreFailed> {
        for package in [PackageName::Ta, PackageName::UaTa] {
            let Some(row) = self.store.package(deployment, package).await? else { continue };
            let digest = row.sha256.parse().map_err(|_| StoreFailed::Corrupt("packages.sha256"))?;
            let Some(envelope) = self.store.blobs().get(digest).await? else { continue };
            let parts = parts::parts(&envelope, package).unwrap_or_default();
            return Ok(parts.into_iter().find(|part| part.kind == Kind::Ta));
        }
        Ok(None)
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
    parts: Vec<Part>,
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

/// Authenticates a package and its parts, and checks that they are those of its case.
fn read(envelope: &[u8], package: PackageName) -> Result<Read, Refusal> {
    let (verified, owner) = parts::authenticate(envelope).map_err(refused)?;
    let manifest = verified.manifest();
    let Some(place) = &manifest.component_id else {
        return Err(incomplete("manifest-component-id", "a manifest with a place of its own"));
    };
    if i64::try_from(manifest.sequence_number).is_err() {
        return Err(incomplete("sequence-number", "a sequence number below 2^63"));
    }
    let found = parts::parts(envelope, package).map_err(refused)?;
    check_parts(&found, &manifest.common.components, package)?;
    // A TA comes first: it is what a UA may load.
    let (first, rest): (Vec<_>, Vec<_>) = found.iter().partition(|part| part.kind == Kind::Ta);
    let components = first.into_iter().chain(rest).map(|part| in_hex(&part.component)).collect();
    Ok(Read {
        owner,
        manifest_component: in_hex(place),
        components,
        manifest_digest: hex::encode(verified.digest().bytes()),
        sequence_number: manifest.sequence_number,
        parts: found,
    })
}

/// The blobs that a package makes its device fetch: itself, and what its URIs name.
///
/// The path of a blob counts wherever it stands, also in a part that is a payload of another. More
/// than the Agent asks for does no harm: a tenant opens nothing but what it has itself.
fn named(envelope: &[u8], own: BlobDigest) -> Result<Vec<BlobDigest>, Refusal> {
    let prefix = api::path::blob("");
    let mut digests: BTreeSet<BlobDigest> = [own].into();
    for place in envelope.windows(prefix.len() + DIGEST_DIGITS) {
        let Some(text) = place.strip_prefix(prefix.as_bytes()) else { continue };
        digests.extend(str::from_utf8(text).ok().and_then(|text| text.parse::<BlobDigest>().ok()));
    }
    match digests.len() <= BLOBS_MAX {
        true => Ok(digests.into_iter().collect()),
        false => Err(Refusal::Unsupported(by_user(
            "package.blobs",
            &format!("at most {BLOBS_MAX} blobs"),
            digests.len().to_string(),
            "put more into one payload, or into the envelope",
        ))),
    }
}

/// A package that the case of the deployment does not have.
fn not_in_case(plan: &Plan, package: PackageName) -> Refusal {
    let case = plan.case;
    let needs: Vec<Need> =
        plan.steps().unwrap_or_default().into_iter().flat_map(|step| step.needs).collect();
    let has = PackageName::ALL.into_iter().filter(|has| needs.contains(&need(*has)));
    let has: Vec<&str> = has.map(PackageName::figure).collect();
    Refusal::conflict(
        "plan",
        &format!("a package of case {case}: {} (draft section 4.{case})", has.join(" ")),
        package.figure(),
        "build the packages of the case that was requested, or request the package's case",
    )
}

/// A package holds what its case says: nothing else, and nothing less.
fn check_parts(
    found: &[Part],
    components: &[ComponentId],
    package: PackageName,
) -> Result<(), Refusal> {
    let mut kinds: Vec<Kind> = found.iter().map(|part| part.kind).collect();
    kinds.sort_unstable();
    if kinds == parts::expected(package) {
        return Ok(());
    }
    let in_ree = package == PackageName::Ua;
    let misplaced = components.iter().find(|component| component.is_in_ree() != in_ree);
    if let (Some(component), false) = (misplaced, package.is_bundle()) {
        return Err(Refusal::Unsupported(by_user(
            "component-place",
            if in_ree { "components that begin with 'REE'" } else { "components in the TEE" },
            component.to_string(),
            "build the package for the place where it belongs",
        )));
    }
    Err(Refusal::Unsupported(by_user(
        "package.parts",
        &format!("{}, as draft section {} says", package.figure(), section(package)),
        parts::figure(found),
        "build the package of the case that was requested, with all of its parts",
    )))
}

/// Where the draft describes a package.
const fn section(package: PackageName) -> &'static str {
    match package {
        PackageName::UaTaPd => "4.1",
        PackageName::UaTa => "4.2",
        PackageName::Ua | PackageName::Ta | PackageName::Pd => "4.3",
        PackageName::TaPd => "4.4",
        PackageName::UaPd => "4.5",
    }
}

fn in_hex(component: &ComponentId) -> Vec<String> {
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

/// A digest in a path: SHA-256 in hexadecimal digits.
const DIGEST_DIGITS: usize = 64;
/// More than any package of the draft has, and few enough to be rows.
const BLOBS_MAX: usize = 256;

fn stored_package(row: &PackageRow) -> PackageStored {
    PackageStored {
        package: row.package,
        sha256: row.sha256.clone(),
        manifest: row.manifest_digest.clone(),
        sequence_number: row.sequence_number,
    }
}

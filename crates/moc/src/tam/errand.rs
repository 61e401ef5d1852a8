//! What the TAM decides to do with a device that has shown who it is.

use std::sync::OnceLock;

use cose::Key;
use suit::{Anchors, Envelope, authority::OwnerPrefix};
use teep::tam::{Decision, Inventory, Manifest, Work};

use super::{TamFailed, run::Run};
use crate::{
    app::by_user,
    deployment::{Task, Turn},
    store::{DeploymentRow, Errand, PackageRow, Purpose, StoreFailed},
};

impl Run<'_> {
    /// The next Update of the exchange, or nothing.
    ///
    /// `envelope` is where the package stays that goes out.
    pub(super) async fn decide<'e>(
        &mut self,
        inventory: Option<&Inventory<'_>>,
        envelope: &'e OnceLock<Vec<u8>>,
    ) -> Result<Decision<'e>, TamFailed> {
        //= teep 14.46 (M): an Agent that is not enrolled, or is blocked, gets no Update
        let usable = self.device.as_ref().is_some_and(|row| row.standing().is_served());
        if !usable {
            return Ok(Decision::Nothing);
        }
        match self.errand.purpose {
            Purpose::Enrol | Purpose::Attest | Purpose::Renew | Purpose::Place => {
                Ok(Decision::Nothing)
            }
            Purpose::Deploy => self.deploy(false, envelope).await,
            Purpose::Unasked => match self.wanted(inventory).await? {
                true => self.deploy(true, envelope).await,
                false => Ok(Decision::Nothing),
            },
        }
    }

    /// The package whose turn it is.
    ///
    /// A TA that the UA loads waits for an exchange of its own, which the UA starts.
    async fn deploy<'e>(
        &mut self,
        asked: bool,
        envelope: &'e OnceLock<Vec<u8>>,
    ) -> Result<Decision<'e>, TamFailed> {
        self.load().await?;
        let Some(Task::Install { package, loaded_by_ua }) = self.task() else {
            return Ok(Decision::Nothing);
        };
        let Some(row) = &self.deployment else { return Ok(Decision::Nothing) };
        let step = row.machine.next_event().map_or_else(String::new, |event| event.to_string());
        if loaded_by_ua && !asked && self.errand.step != step {
            return Ok(Decision::Nothing);
        }
        let found = self.moc.store().package(&row.deployment, package).await?;
        let Some(found) = found else { return Ok(Decision::Nothing) };
        self.errand.step = step;
        match self.manifest(&found, envelope).await? {
            Some(manifest) => {
                let device = &self.errand.device;
                tracing::info!(%device, deployment = %found.deployment, %package, "update");
                let work = Work { manifests: vec![manifest], ..Work::default() };
                Ok(Decision::Update(work))
            }
            None => {
                let failure = by_user(
                    "package",
                    "the package as it was accepted",
                    "it cannot be read or its signature does not hold any more",
                    "request a new deployment and upload the packages again",
                );
                self.fail(failure);
                Ok(Decision::Nothing)
            }
        }
    }

    //= teep 14.47 (M): only manifests of authorised signers are relayed, checked before sending
    async fn manifest<'e>(
        &self,
        row: &PackageRow,
        envelope: &'e OnceLock<Vec<u8>>,
    ) -> Result<Option<Manifest<'e>>, StoreFailed> {
        let digest = row.sha256.parse().map_err(|_| StoreFailed::Corrupt("packages.sha256"))?;
        let Some(bytes) = self.moc.store().blobs().get(digest).await? else { return Ok(None) };
        let owner =
            Key::decode(&row.owner_key).map_err(|_| StoreFailed::Corrupt("packages.owner_key"))?;
        let anchors = Anchors::none().with_key(owner);
        let authorised = Envelope::decode(envelope.get_or_init(|| bytes))
            .and_then(|envelope| envelope.authenticate(&anchors, &suit::SIGNATURES))
            .and_then(|verified| Ok(Manifest::authorised(&verified, &OwnerPrefix)?));
        Ok(match authorised {
            Ok(manifest) if row.package.holds_data() => Some(manifest.with_personalization_data()),
            Ok(manifest) => Some(manifest),
            Err(error) => {
                tracing::error!(%error, package = %row.package, "a stored package is refused");
                None
            }
        })
    }

    /// Looks for the deployment that a device means which came by itself.
    async fn wanted(&mut self, inventory: Option<&Inventory<'_>>) -> Result<bool, TamFailed> {
        let Some(device) = &self.device else { return Ok(false) };
        let requested: Vec<Vec<String>> = inventory
            .map(|inventory| inventory.requested.as_slice())
            .unwrap_or_default()
            .iter()
            .map(|wanted| wanted.component.parts().iter().map(hex::encode).collect())
            .collect();
        for row in self.moc.store().open_deployments(&device.device).await? {
            let Turn::Device(Task::Install { package, .. }) = row.machine.turn() else { continue };
            let Some(found) = self.moc.store().package(&row.deployment, package).await? else {
                continue;
            };
            let names = found.components.iter().chain([&found.manifest_component]);
            if names.into_iter().any(|name| requested.contains(name)) {
                self.errand = errand(&row);
                self.deployment = Some(row);
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn errand(row: &DeploymentRow) -> Errand {
    Errand {
        tenant: row.tenant.clone(),
        device: row.device.clone(),
        deployment: row.deployment.clone(),
        attestation: String::new(),
        purpose: Purpose::Deploy,
        step: row.machine.next_event().map_or_else(String::new, |event| event.to_string()),
    }
}

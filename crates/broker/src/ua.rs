//! Untrusted Applications: placed, started, restarted and removed by the Broker.
//!
//! A UA's manifest is processed here, by the second manifest processor of the device
//! (draft-ietf-suit-trust-domains section 5.4.1), after the TEEP Agent has authenticated it. What
//! is said about UAs is the word of the REE: nobody's secret rests on it.

mod conversation;
mod install;
mod log;
mod placed;
pub(crate) mod rights;
mod staging;
mod supervise;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use device::ComponentId;
use tokio::sync::Mutex;
use tracing::{info, warn};

use crate::{loads::Loads, moc::MocClient, refusal::UaFailed};
use placed::Placed;
use supervise::Running;

pub use install::Identity;
pub use rights::Folder;
pub use supervise::Care;

/// What of the machine UAs may have when their manifests ask for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// Folders, each with all that is below.
    pub folders: Vec<Folder>,
    /// The OCI runtime that runs containers.
    pub runtime: Option<PathBuf>,
}

/// Hosts the UAs of this device.
#[derive(Clone)]
pub struct Host {
    directory: PathBuf,
    identity: Identity,
    care: Care,
    loads: Loads,
    /// Held while a UA is placed or removed: one at a time.
    placing: Arc<Mutex<()>>,
    running: Arc<Mutex<BTreeMap<ComponentId, Running>>>,
}

impl Host {
    /// A host whose UAs live under `state_dir`.
    #[must_use]
    pub fn new(state_dir: &Path, identity: Identity, care: Care, loads: Loads) -> Self {
        let directory = state_dir.join("ua");
        let (placing, running) = (Arc::default(), Arc::default());
        Self { directory, identity, care, loads, placing, running }
    }

    /// What the UAs ask for.
    pub(crate) const fn loads(&self) -> &Loads {
        &self.loads
    }

    /// Starts the UAs that an earlier run of this Broker placed.
    ///
    /// # Errors
    /// [`UaFailed::Io`] when the directory cannot be read.
    pub async fn resume(&self) -> Result<(), UaFailed> {
        let _alone = self.placing.lock().await;
        for placed in placed::placed(&self.directory)? {
            if placed.is_whole(&self.directory).await {
                info!(ua = %placed.name(), "started again");
                self.start(placed).await;
            } else {
                warn!(ua = %placed.name(), "not started: its program is not the one it was");
            }
        }
        Ok(())
    }

    /// Processes a UA's manifest: fetches, checks, stores and starts it. The answer is the REE's
    /// SUIT_Report.
    ///
    /// # Errors
    /// See [`UaFailed`]; an earlier version of the UA goes on running.
    pub async fn install(&self, moc: &MocClient, envelope: &[u8]) -> Result<Vec<u8>, UaFailed> {
        let _alone = self.placing.lock().await;
        let (placed, report) =
            install::process(&self.directory, &self.identity, &self.care.grants, moc, envelope)
                .await?;
        info!(ua = %placed.name(), sequence_number = placed.sequence_number, "placed");
        self.start(placed).await;
        Ok(report)
    }

    /// Stops and removes the UA that a manifest placed; nothing happens when there is none.
    ///
    /// # Errors
    /// [`UaFailed::Io`] when its files cannot be removed.
    pub async fn remove(&self, manifest: &ComponentId) -> Result<Vec<u8>, UaFailed> {
        let _alone = self.placing.lock().await;
        let placed = placed::placed(&self.directory)?;
        let Some(placed) = placed.into_iter().find(|placed| placed.manifest() == *manifest) else {
            return Ok(Vec::new());
        };
        let running = self.running.lock().await.remove(&placed.component());
        if let Some(ua) = running {
            ua.stop().await;
        }
        placed.delete(&self.directory)?;
        info!(ua = %placed.name(), "removed");
        Ok(Vec::new())
    }

    /// Stops every UA and waits until all are gone.
    pub async fn stop(&self) {
        let running = std::mem::take(&mut *self.running.lock().await);
        let stopping: Vec<_> = running.into_values().map(|ua| tokio::spawn(ua.stop())).collect();
        for stopped in stopping {
            // A task that panicked has dropped its process, which kills it.
            let _gone = stopped.await;
        }
    }

    async fn start(&self, placed: Placed) {
        let component = placed.component();
        let old = self.running.lock().await.remove(&component);
        // The old program ends before the new one begins: they may share a port.
        if let Some(old) = old {
            old.stop().await;
        }
        let ua = supervise::start(&self.directory, placed, self.care.clone(), self.loads.clone());
        self.running.lock().await.insert(component, ua);
    }
}

//! Untrusted Applications: placed, started, restarted and removed by the Broker.
//!
//! A UA's manifest is processed here, by the second manifest processor of the device
//! (draft-ietf-suit-trust-domains section 5.4.1), after the TEEP Agent has authenticated it. What
//! is said about UAs is the word of the REE: nobody's secret rests on it.

mod conversation;
mod install;
mod supervise;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use device::ComponentId;
use tokio::sync::Mutex;
use tracing::{info, warn};

use crate::{moc::MocClient, refusal::UaFailed, wake::Loads};
use install::Placed;
use supervise::Running;

/// Hosts the UAs of this device.
#[derive(Clone)]
pub struct Host {
    directory: PathBuf,
    running: Arc<Mutex<BTreeMap<ComponentId, Running>>>,
    loads: Loads,
}

impl Host {
    /// A host whose UAs live under `state_dir`.
    #[must_use]
    pub fn new(state_dir: &Path, loads: Loads) -> Self {
        Self { directory: state_dir.join("ua"), running: Arc::default(), loads }
    }

    /// Starts the UAs that an earlier run of this Broker placed.
    ///
    /// # Errors
    /// [`UaFailed::Io`] when the directory cannot be read.
    pub async fn resume(&self) -> Result<(), UaFailed> {
        for placed in install::placed(&self.directory)? {
            info!(ua = %placed.name(), "started again");
            self.start(placed).await;
        }
        Ok(())
    }

    /// Processes a UA's manifest: fetches, checks, stores and starts it. The answer is the REE's
    /// SUIT_Report.
    ///
    /// # Errors
    /// See [`UaFailed`]; an earlier version of the UA goes on running.
    pub async fn install(&self, moc: &MocClient, envelope: &[u8]) -> Result<Vec<u8>, UaFailed> {
        let (placed, report) = install::process(&self.directory, moc, envelope).await?;
        info!(ua = %placed.name(), "placed");
        self.start(placed).await;
        Ok(report)
    }

    /// Stops and removes the UA that a manifest placed; nothing happens when there is none.
    ///
    /// # Errors
    /// [`UaFailed::Io`] when its files cannot be removed.
    pub async fn remove(&self, manifest: &ComponentId) -> Result<Vec<u8>, UaFailed> {
        let Some(placed) = install::placed(&self.directory)?
            .into_iter()
            .find(|placed| placed.manifest() == *manifest)
        else {
            return Ok(Vec::new());
        };
        drop(self.running.lock().await.remove(&placed.component()));
        placed.delete(&self.directory)?;
        info!(ua = %placed.name(), "removed");
        Ok(Vec::new())
    }

    /// Stops every UA.
    pub async fn stop(&self) {
        self.running.lock().await.clear();
    }

    async fn start(&self, placed: Placed) {
        let component = placed.component();
        let mut running = self.running.lock().await;
        // The old program ends before the new one begins: they may share a port.
        if let Some(old) = running.remove(&component) {
            old.stop().await;
        }
        match supervise::start(&self.directory, placed, self.loads.clone()) {
            Ok(ua) => drop(running.insert(component, ua)),
            Err(error) => warn!(%error, "a UA did not start"),
        }
    }
}

//! What the tests have in common: a scripted Agent, a scripted server, a Broker between them.

pub(crate) mod agent;
pub(crate) mod certificate;
pub(crate) mod manifest;
pub(crate) mod server;

use std::{path::Path, sync::Arc, time::Duration};

use broker::{
    capture::Capture,
    config::Config,
    loads::{Loads, Patience},
    moc::MocClient,
    payloads::Payloads,
    session::Sessions,
    tam::TamClient,
    ua::{Care, Host, Identity},
    wake::{Rhythm, Wakes},
};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use self::{agent::FakeAgent, server::Server};

/// A Broker, assembled as its program does it, with short times.
pub(crate) struct Bench {
    pub(crate) directory: TempDir,
    pub(crate) agent: FakeAgent,
    pub(crate) moc: Server,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) loads: Loads,
    pub(crate) host: Host,
}

impl Bench {
    pub(crate) fn new(agent: FakeAgent, moc: Server) -> Self {
        Self::with(agent, moc, patience(), care())
    }

    pub(crate) fn with(agent: FakeAgent, moc: Server, patience: Patience, care: Care) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = config(&moc.base, directory.path());
        let loads = Loads::new(agent.agent(), patience);
        let host = host(directory.path(), care, loads.clone());
        let sessions = Arc::new(Sessions {
            tam: TamClient::answering_within(None, Duration::from_secs(5)).unwrap(),
            moc: MocClient::new(&config, TOKEN, None).unwrap(),
            host: host.clone(),
            payloads: Payloads::default(),
            capture: Capture::new(Some(directory.path().join("captured"))),
        });
        loads.serve_with(Arc::clone(&sessions));
        Self { directory, agent, moc, sessions, loads, host }
    }

    pub(crate) fn wakes(&self, rhythm: Rhythm) -> Arc<Wakes> {
        let sessions = Arc::clone(&self.sessions);
        Arc::new(Wakes::new(sessions, self.loads.clone(), rhythm))
    }

    /// One policy check: a session with each TAM that the Agent names.
    pub(crate) async fn check(
        &self,
        ticket: Option<&str>,
    ) -> Result<(), broker::refusal::SessionFailed> {
        self.wakes(rhythm()).policy_check(ticket).await
    }
}

pub(crate) fn host(state: &Path, care: Care, loads: Loads) -> Host {
    let config = config("http://127.0.0.1", state);
    let identity = Identity { vendor: config.vendor_id, classes: config.class_ids };
    Host::new(state, identity, care, loads)
}

pub(crate) fn config(moc: &str, directory: &Path) -> Config {
    let path = directory.join("broker.toml");
    let text = format!(
        "device = \"edge-7\"\nmoc = \"{moc}\"\ntoken_file = \"token\"\n\
         agent_socket = \"agent.sock\"\nstate_dir = \".\"\n"
    );
    std::fs::write(&path, text).unwrap();
    Config::read(&path).unwrap()
}

pub(crate) fn client(moc: &str) -> MocClient {
    let directory = tempfile::tempdir().unwrap();
    MocClient::new(&config(moc, directory.path()), TOKEN, None).unwrap()
}

pub(crate) fn patience() -> Patience {
    Patience { ticket_within: Duration::from_secs(5), ua_within: Duration::from_secs(5) }
}

pub(crate) fn care() -> Care {
    Care {
        launcher: Vec::new(),
        pause_min: Duration::from_millis(5),
        pause_max: Duration::from_millis(40),
        end_within: Duration::from_millis(500),
        ..Care::default()
    }
}

pub(crate) fn rhythm() -> Rhythm {
    Rhythm {
        policy_check_every: Duration::from_hours(1),
        pause_min: Duration::from_millis(5),
        pause_max: Duration::from_millis(20),
    }
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, so: impl Fn() -> bool) {
    let waited = timeout(Duration::from_secs(20), async {
        while !so() {
            sleep(Duration::from_millis(2)).await;
        }
    });
    assert!(waited.await.is_ok(), "in vain: {what}");
}

pub(crate) const TOKEN: &str = "device-token";

//! A Network M/OC with its vendor, its reference values and its policy, served on loopback.

use std::{path::Path, sync::Arc};

use api::{DeviceAdded, PostDevice, Role, Scope, TenantAdded, TokenAdded};
use cose::{Algorithm, Signer as _};
use emulator::family::sgx::{Measurement, Vendor};
use keys::SigningKey;
use moc::{
    app::{Moc, NotOpened},
    clock::Clock,
    config::Config,
    http::{self, Identity},
};
use rats::corim::Meta;
use serde_json::json;
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    audience::Caller,
    certificate::{Authority, Name, VALID},
};

pub(crate) const PROGRAM: &[u8] = b"agent";
pub(crate) const SETTINGS: &[u8] = b"settings";

/// 2026-07-01T12:00:00Z
pub(crate) const START_MS: u64 = 1_782_907_200_000;

pub(crate) struct Bench {
    pub(crate) dir: TempDir,
    pub(crate) clock: Clock,
    pub(crate) moc: Arc<Moc>,
    pub(crate) url: String,
    pub(crate) operator: Caller,
    /// Whom clients trust for TLS.
    pub(crate) authority: Authority,
    /// Who the M/OC is by TLS.
    pub(crate) identity: Option<Arc<Identity>>,
    server: JoinHandle<()>,
}

impl Bench {
    pub(crate) async fn start() -> Self {
        Self::start_with("").await
    }

    /// Starts with more lines in the configuration.
    pub(crate) async fn start_with(limits: &str) -> Self {
        Self::open(limits, false).await
    }

    /// The same over HTTPS.
    pub(crate) async fn start_tls(limits: &str) -> Self {
        Self::open(limits, true).await
    }

    async fn open(limits: &str, tls: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::manual(START_MS);
        prepare(dir.path());
        let authority = Authority::new();
        std::fs::write(dir.path().join("agents.pem"), authority.root()).unwrap();
        let mut config = config(dir.path(), limits);
        if tls {
            let mut files = authority.issue(Name::Loopback, VALID).write(dir.path());
            let clients = dir.path().join("clients.pem");
            std::fs::write(&clients, authority.root()).unwrap();
            files.client_roots = Some(clients);
            config.tls = Some(files);
            config.public_url = "https://moc.example".into();
        }
        let identity = config.tls.as_ref().map(|files| Arc::new(Identity::open(files).unwrap()));
        let moc = Arc::new(Moc::open(&config, clock.clone()).await.unwrap());
        let initialised = moc.initialise(&config).await.unwrap();
        let (url, server) = serve(moc.clone(), identity.clone()).await;
        let root = authority.root();
        let operator = Caller::trusting(Some(&root), &url, &initialised.bootstrap_token);
        Self { dir, clock, moc, url, operator, authority, identity, server }
    }

    /// Somebody with a token.
    pub(crate) fn caller(&self, token: &str) -> Caller {
        Caller::trusting(Some(&self.authority.root()), &self.url, token)
    }

    /// Ends the program as a crash would, and starts it again over the same files.
    pub(crate) async fn restart(mut self) -> Self {
        self.server.abort();
        let _ended = (&mut self.server).await;
        self.moc.close();
        let operator = self.operator.clone();
        let Self { dir, clock, moc, authority, identity, .. } = self;
        let mut left = Arc::try_unwrap(moc);
        // Connections that the clients keep open hold the M/OC a little longer.
        while let Err(shared) = left {
            tokio::task::yield_now().await;
            left = Arc::try_unwrap(shared);
        }
        drop(left);
        let config = config(dir.path(), "");
        let moc = loop {
            match Moc::open(&config, clock.clone()).await {
                Ok(moc) => break Arc::new(moc),
                Err(_) => tokio::task::yield_now().await,
            }
        };
        let (url, server) = serve(moc.clone(), identity.clone()).await;
        let operator = operator.at(&url);
        Self { dir, clock, moc, url, operator, authority, identity, server }
    }

    /// Another program over the same rows and secrets, with its own lock: SQLite lets them share a
    /// database, though the M/OC lets no two of them do so by mistake.
    pub(crate) async fn replica(&self) -> Arc<Moc> {
        self.replica_with("").await.unwrap()
    }

    /// The same with more lines in the configuration.
    pub(crate) async fn replica_with(&self, more: &str) -> Result<Arc<Moc>, NotOpened> {
        let data = self.dir.path().join("moc");
        let other = self.dir.path().join("replica");
        std::fs::create_dir(&other).unwrap();
        for shared in ["moc.db", "blobs", "keys"] {
            std::os::unix::fs::symlink(data.join(shared), other.join(shared)).unwrap();
        }
        let config = Config { data_dir: other, ..config(self.dir.path(), more) };
        Moc::open(&config, self.clock.clone()).await.map(Arc::new)
    }

    pub(crate) async fn tenant(&self, name: &str) -> Caller {
        let answer = self.operator.post("/v1/tenants", &json!({ "name": name })).await;
        let added: TenantAdded = answer.expect(201);
        self.caller(&added.token)
    }

    /// Somebody with a new credential of a role that belongs to no tenant.
    pub(crate) async fn holder(&self, role: Role, scopes: &[Scope]) -> Caller {
        let asked = json!({ "role": role, "name": "test", "scopes": scopes });
        let added: TokenAdded = self.operator.post(api::path::TOKENS, &asked).await.expect(201);
        self.caller(&added.token.unwrap())
    }

    pub(crate) async fn device(&self, name: &str) -> DeviceAdded {
        self.add(&sgx(name)).await
    }

    pub(crate) async fn add(&self, device: &PostDevice) -> DeviceAdded {
        self.operator.post("/v1/devices", device).await.expect(201)
    }

    pub(crate) fn vendor_dir(&self) -> std::path::PathBuf {
        self.dir.path().join("vendor")
    }

    pub(crate) fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::from_millisecond(self.clock.now_ms().try_into().unwrap()).unwrap()
    }
}

/// A device for processes in SGX, of which nothing else is said.
pub(crate) fn sgx(name: &str) -> PostDevice {
    PostDevice {
        device: name.into(),
        hardware: api::Hardware::Sgx,
        instances: vec![api::InstanceType::Process],
        zone: None,
        jurisdiction: None,
        latency_ms: None,
        hardware_id: None,
        capacity: api::Capacity::default(),
    }
}

async fn serve(moc: Arc<Moc>, identity: Option<Arc<Identity>>) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let scheme = if identity.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{}", listener.local_addr().unwrap());
    let (router, limits) = (http::router(moc.clone()), *moc.limits());
    drop(moc);
    let server = tokio::spawn(async move {
        let end = std::future::pending();
        http::serve(listener, identity, router, &limits, end).await.unwrap();
    });
    (url, server)
}

/// The vendor's collateral and the signed reference values of the Agent.
fn prepare(dir: &Path) {
    let now = jiff::Timestamp::from_millisecond(START_MS.try_into().unwrap()).unwrap();
    Vendor::open(&dir.join("vendor"), now).unwrap();
    let signer = SigningKey::generate(Algorithm::Esp256).unwrap();
    keys::file::save_public(dir.join("reference.pub"), signer.key()).unwrap();
    let mrenclave = Measurement::of(PROGRAM, SETTINGS).unwrap().mrenclave;
    let configuration = cose::sha256(SETTINGS);
    let corim = verifier::corim::sgx_enclave("agent 1", mrenclave, configuration, None);
    let meta = Meta { signer: "bench".into(), validity: None };
    std::fs::write(dir.join("agent.corim"), corim.sign(&meta, &signer).unwrap()).unwrap();
}

pub(crate) fn config(dir: &Path, limits: &str) -> Config {
    let now = jiff::Timestamp::from_millisecond(START_MS.try_into().unwrap()).unwrap();
    let anchor = Vendor::open(&dir.join("vendor"), now).unwrap().anchor();
    let anchor: String = anchor.iter().map(|byte| format!("{byte:02x}")).collect();
    let burst = if limits.contains("teep_burst_max") { "" } else { "teep_burst_max = 100000\n" };
    let tenant = match limits.contains("tenant_burst_max") {
        true => "",
        false => "tenant_burst_max = 100000\n",
    };
    let poll = if limits.contains("poll_ms_max") { "" } else { "poll_ms_max = 0\n" };
    let text = format!(
        "listen = '127.0.0.1:0'\npublic_url = 'http://moc.example'\ndata_dir = 'moc'\n\
         [appraisal]\nemulated_anchors = ['{anchor}']\ncollateral = 'vendor/collateral'\n\
         [appraisal.policy]\nid = 'bench'\nemulated_allowed = true\n\
         [[appraisal.reference_values]]\ncorim = 'agent.corim'\nsigner = 'reference.pub'\n\
         [limits]\n{burst}{tenant}{poll}{limits}"
    );
    Config::from_toml(&text, dir).unwrap()
}

//! A store full of enrolled devices, some of which have a manifest to install, and the devices.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, anyhow};
use api::{Capacity, DeviceState, Hardware, InstanceType, PackageName, Role};
use cose::{Algorithm, Signer as _};
use emulator::Misbehaviour;
use emulator::family::sgx::{Machine, Measurement, Vendor};
use jiff::Timestamp;
use keys::SigningKey;
use moc::app::Moc;
use moc::clock::Clock;
use moc::config::Config;
use moc::deployment::{Machine as Steps, Plan};
use moc::store::{Change, DeploymentRow, DeviceRow, Duty, Store, TokenRow};
use moc::verification::Question;
use rats::corim::Meta;
use suit::Uuid;
use suit::build::{Compatibility, Name, Payload, Ta};
use tempfile::TempDir;

use super::certificate::{Authority, Name as Host, VALID};
use super::device::{Device, Shared, evidence};
use super::wire::Wire;

/// What stands when the M/OC starts.
pub(crate) struct Field {
    dir: TempDir,
    address: SocketAddr,
    root: String,
    devices: Mutex<Vec<Device>>,
}

impl Field {
    /// Enrols devices; the first of them get a deployment whose manifest they have to install.
    pub(crate) async fn prepare(devices: usize, deployments: usize) -> Result<Self> {
        // Every device of the warm-up is one more.
        let devices = devices.max(deployments);
        let dir = tempfile::tempdir()?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let authority = Authority::new();
        let shared = prepare(dir.path(), address, &authority)?;
        let config = Config::load(&dir.path().join(CONFIG))?;
        let moc = Moc::open(&config, Clock::system()).await?;
        moc.initialise(&config).await?;
        let tam_keys = moc.tam().keys().public().into_iter().cloned().collect();
        let owner = SigningKey::generate(Algorithm::Esp256)?;
        let shared = Arc::new(Shared { tam_keys, owner: owner.key().thumbprint(), ..shared });
        let devices = make(devices, &shared)?;
        enrol(&moc, &devices).await?;
        deploy(&moc, &devices[..deployments], &owner).await?;
        drop(moc);
        while Store::open(&dir.path().join("moc")).await.is_err() {
            tokio::task::yield_now().await;
        }
        Ok(Self { dir, address, root: authority.root(), devices: Mutex::new(devices) })
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.dir.path().join(CONFIG)
    }

    pub(crate) fn wire(&self) -> Result<Wire> {
        Wire::new(self.address, &self.root)
    }

    /// The devices, which are handed out once.
    pub(crate) fn devices(&self) -> Vec<Device> {
        std::mem::take(&mut self.devices.lock().expect("nobody panics with it"))
    }

    /// The database with its log of writes.
    pub(crate) fn store_bytes(&self) -> Result<f64> {
        let data = self.dir.path().join("moc");
        let mut bytes = 0;
        for entry in fs::read_dir(data)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with("moc.db") {
                bytes += entry.metadata()?.len();
            }
        }
        Ok(bytes as f64)
    }
}

/// Vendor, reference values, TLS and configuration; what the devices share but for the M/OC's keys.
fn prepare(dir: &Path, address: SocketAddr, authority: &Authority) -> Result<Shared> {
    let now = Timestamp::now();
    let vendor = Vendor::open(&dir.join("vendor"), now)?;
    let measurement = Measurement::of(b"agent", b"settings")?;
    let signer = SigningKey::generate(Algorithm::Esp256)?;
    keys::file::save_public(dir.join("reference.pub"), signer.key())?;
    let settings = cose::sha256(b"settings");
    let corim = verifier::corim::sgx_enclave("agent 1", measurement.mrenclave, settings, None);
    let meta = Meta { signer: "bench".into(), validity: None };
    fs::write(dir.join("agent.corim"), corim.sign(&meta, &signer)?)?;
    let issued = authority.issue(Host::Loopback, VALID);
    fs::write(dir.join("moc.pem"), &issued.certificate)?;
    fs::write(dir.join("moc.key"), &issued.key)?;
    fs::set_permissions(dir.join("moc.key"), fs::Permissions::from_mode(0o600))?;
    let anchor = hex::encode(vendor.anchor());
    fs::write(
        dir.join(CONFIG),
        format!(
            "listen = '{address}'\npublic_url = 'https://moc.example'\ndata_dir = 'moc'\n\
             [tls]\ncertificate = 'moc.pem'\nkey = 'moc.key'\n\
             [appraisal]\nemulated_anchors = ['{anchor}']\ncollateral = 'vendor/collateral'\n\
             [appraisal.policy]\nid = 'bench'\nemulated_allowed = true\n\
             [[appraisal.reference_values]]\ncorim = 'agent.corim'\nsigner = 'reference.pub'\n\
             [limits]\nteep_per_second_max = 1000000\nteep_burst_max = 1000000\n\
             [log]\nlevel = 'warn'\n"
        ),
    )?;
    let start = |number: usize| {
        let state = dir.join(format!("platform-{number}"));
        let none = Misbehaviour::None;
        let machine = Machine::start(&dir.join("vendor"), &state, measurement.clone(), none, now)?;
        anyhow::Ok(Mutex::new(machine))
    };
    let esp256 = || SigningKey::generate(Algorithm::Esp256);
    Ok(Shared {
        platforms: (0..PLATFORMS).map(start).collect::<Result<_>>()?,
        report: esp256()?,
        receipt: esp256()?,
        tam_keys: Vec::new(),
        owner: signer.key().thumbprint(),
    })
}

fn make(devices: usize, shared: &Arc<Shared>) -> Result<Vec<Device>> {
    let one = |index: usize| {
        Ok(Device {
            index,
            teep: SigningKey::generate(Algorithm::Esp256)?,
            evidence: SigningKey::generate(Algorithm::Esp256)?,
            shared: shared.clone(),
        })
    };
    (0..devices).map(one).collect()
}

/// The rows that enrolment leaves behind, with the verdict of a real appraisal.
async fn enrol(moc: &Moc, devices: &[Device]) -> Result<()> {
    let now_ms = moc.clock().now_ms();
    let first = &devices[0];
    let challenge = [7; 32];
    let appraised = moc.verification().appraise(&Question {
        format: Some(api::media::CMW),
        evidence: &evidence(first, &challenge, None)?,
        challenge: &challenge,
        tam_nonce: &challenge,
        user_nonce: None,
        signer: first.teep.key().thumbprint(),
        tenant: None,
        hardware: Some(Hardware::Sgx),
        application: None,
        quoted: None,
        now_ms,
    });
    let facts = appraised.facts.with_context(|| format!("refused: {:?}", appraised.failure))?;
    for devices in devices.chunks(4096) {
        let mut changes = Vec::with_capacity(3 * devices.len());
        for device in devices {
            let row = DeviceRow {
                device: device.name(),
                hardware: Hardware::Sgx,
                instances: vec![InstanceType::Process],
                zone: String::new(),
                jurisdiction: String::new(),
                latency_ms: None,
                capacity: Capacity::default(),
                state: DeviceState::Attested,
                duty: Duty::Serving,
                reason: String::new(),
                hardware_id: String::new(),
                seen_hardware_id: String::new(),
                version: 0,
                agent_key: Some(device.teep.key().encode()),
                agent_kid: Some(device.teep.key().thumbprint().to_string()),
                report_key: Some(facts.report_key.encode()),
                receipt_key: Some(facts.receipt_key.encode()),
                suite: Some(teep::Suite::Esp256.id()),
                emulated: Some(true),
                tcb_status: appraised.tcb_status.clone(),
                verdict: Some(appraised.verdict.clone()),
                attested_ms: Some(now_ms),
                epoch: 0,
                created_ms: now_ms,
            };
            let token = TokenRow {
                hash: hex::encode(cose::sha256(device.token().as_bytes())),
                name: "first".into(),
                role: Role::Device,
                tenant: String::new(),
                device: row.device.clone(),
                scopes: Default::default(),
                created_ms: now_ms,
                expires_ms: None,
            };
            changes.push(Change::AddDevice(row.clone()));
            changes.push(Change::SaveDevice(row));
            changes.push(Change::AddToken(token));
        }
        moc.store().commit(changes).await?;
    }
    Ok(())
}

async fn deploy(moc: &Moc, devices: &[Device], owner: &SigningKey) -> Result<()> {
    let uuid = |filler| {
        let mut bytes = [filler; 16];
        (bytes[6], bytes[8]) = (0x40, 0x80);
        Uuid::new(bytes)
    };
    let compatibility = Compatibility { vendor: uuid(1)?, class: uuid(2)? };
    let ta = Ta::new(Name::new("ta")?, 1, compatibility, Payload::integrated(b"ta"));
    let envelope = ta.sign(owner).map_err(|error| anyhow!("{error}"))?.envelope;
    let now_ms = moc.clock().now_ms();
    let tenant = "acme";
    for device in devices {
        let plan = Plan {
            case: 3,
            instance: InstanceType::Process,
            hardware: Hardware::Sgx,
            with_ua: false,
        };
        let row = DeploymentRow {
            deployment: format!("deployment-{}", device.index),
            tenant: tenant.into(),
            request: String::new(),
            device: device.name(),
            emulated: true,
            machine: Steps::new(plan)?,
            seq: 0,
            deadline_ms: None,
            fence: 0,
            reserved_until_ms: None,
            created_ms: now_ms,
        };
        let deployment = row.deployment.clone();
        moc.store().commit(vec![Change::AddDeployment(row)]).await?;
        moc.put_package(tenant, &deployment, PackageName::Ta, &envelope)
            .await
            .map_err(|refusal| anyhow!("{refusal:?}"))?;
    }
    Ok(())
}

/// Machines on which the devices run, each with a certificate of its own.
const PLATFORMS: usize = 1_200;
const CONFIG: &str = "moc.toml";

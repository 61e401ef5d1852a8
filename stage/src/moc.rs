//! The operator's Network M/OC.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    choices::Choices,
    http::{self, Answer, Ask},
    layout::{Layout, Programs},
    party::{self, Party},
};

/// A running Network M/OC and what its first start printed.
#[derive(Debug)]
pub struct Moc {
    /// The program.
    pub party: Party,
    /// Its address.
    pub url: String,
    /// The Verifier's public key, hexadecimal COSE_Key.
    pub verifier_key: String,
    /// The public key of the log of decisions, hexadecimal COSE_Key.
    pub audit_key: String,
    /// Where the operator's token lies.
    pub operator_token: PathBuf,
    port: u16,
    config: PathBuf,
    log: PathBuf,
    policy: PathBuf,
    /// The Network Users whose launches count.
    launching: Mutex<Vec<String>>,
}

#[derive(Clone, Debug)]
pub(crate) struct Tam {
    pub(crate) uri: String,
    pub(crate) keys: Vec<String>,
    pub(crate) encryption_key: String,
}

/// What `tamarack-moc init` prints once.
#[derive(Deserialize)]
struct Initialised {
    bootstrap_token: String,
    tam_keys: Vec<String>,
    tam_encryption_key: String,
    verifier_key: String,
    audit_key: String,
    tam_uri: String,
}

/// An M/OC that has its keys and does not serve yet.
pub(crate) struct Prepared {
    pub(crate) tam: Tam,
    settings: String,
    verifier_key: String,
    audit_key: String,
    operator_token: PathBuf,
    port: u16,
    config: PathBuf,
}

impl Prepared {
    /// Initialises an M/OC in a directory of its own.
    ///
    /// The keys come first: the Agents' settings name them, and the reference values, which the
    /// Verifier reads when it starts, cover those settings.
    pub(crate) fn new(directory: &Path, programs: &Programs, choices: &Choices) -> Result<Self> {
        fs::create_dir_all(directory)?;
        let port = party::free_port()?;
        let config = directory.join("moc.toml");
        let settings = address(port) + &format!("\n[tam]\n{}\n", choices.tam);
        fs::write(&config, &settings).context("writing the M/OC's settings")?;
        let mut init = programs.command("tamarack-moc");
        let printed = party::json(init.arg("init").arg("--config").arg(&config))?;
        let first: Initialised = serde_json::from_value(printed)?;
        let operator_token = directory.join("operator.token");
        write_secret(&operator_token, &first.bootstrap_token)?;
        let encryption_key = first.tam_encryption_key;
        let tam = Tam { uri: first.tam_uri, keys: first.tam_keys, encryption_key };
        Ok(Self {
            tam,
            settings,
            verifier_key: first.verifier_key,
            audit_key: first.audit_key,
            operator_token,
            port,
            config,
        })
    }

    /// Starts it, with what the release signer published.
    pub(crate) fn start(self, layout: &Layout, programs: &Programs, name: &str) -> Result<Moc> {
        fs::write(&self.config, self.settings + &appraisal(layout))?;
        let policy = self.config.with_file_name("policy.toml");
        fs::write(&policy, POLICY)?;
        let log = layout.log(name);
        let party = serve(&log, programs, &self.config, self.port)?;
        Ok(Moc {
            party,
            url: format!("http://127.0.0.1:{}", self.port),
            verifier_key: self.verifier_key,
            audit_key: self.audit_key,
            operator_token: self.operator_token,
            port: self.port,
            config: self.config,
            log,
            policy,
            launching: Mutex::default(),
        })
    }
}

impl Moc {
    /// Takes a Network User's word about the guests that the user launched.
    pub(crate) fn let_launch(&self, owner: &str) -> Result<()> {
        let mut launching = self.launching.lock().unwrap_or_else(PoisonError::into_inner);
        if !launching.iter().any(|known| known == owner) {
            launching.push(owner.to_owned());
        }
        let sev = format!("\n[sev]\nlaunched_by = {}\n", json!(*launching));
        fs::write(&self.policy, POLICY.to_owned() + &sev)?;
        self.read_again()
    }

    /// Has the M/OC read anchors, endorsements and reference values again, as an operator does.
    ///
    /// # Errors
    /// It does not say that it has.
    pub(crate) fn read_again(&self) -> Result<()> {
        let log = self.log.clone();
        let read = move || {
            let said = fs::read_to_string(&log).unwrap_or_default();
            said.matches(READ_AGAIN).count()
        };
        let before = read();
        self.party.hang_up()?;
        self.party.wait("news that it reads the anchors again", || read() > before)
    }

    /// Starts the M/OC again after it ended or was killed.
    ///
    /// # Errors
    /// It does not start.
    pub fn restart(&mut self, programs: &Programs) -> Result<()> {
        // A party that was killed already is still to be reaped.
        let _ended = self.party.kill();
        self.party = serve(&self.log, programs, &self.config, self.port)?;
        Ok(())
    }

    /// Asks something that no program of the field would ask.
    ///
    /// # Errors
    /// It does not answer.
    pub fn ask(&self, ask: &Ask<'_>) -> Result<Answer> {
        http::ask(self.port, ask)
    }

    /// Calls the interface under `/v1`, in the name of a token, with JSON or nothing.
    ///
    /// # Errors
    /// It does not answer.
    pub fn api(&self, token: &str, method: &str, path: &str, body: &Value) -> Result<Answer> {
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.ask(&Ask { method, path, headers: &headers, body: body.as_bytes() })
    }

    /// What the M/OC tells who watches it.
    ///
    /// # Errors
    /// It does not answer.
    pub fn metrics(&self) -> Result<Vec<u8>> {
        let token = fs::read_to_string(&self.operator_token)?;
        let answer = self.api(&token, "GET", "/metrics", &Value::Null)?;
        ensure!(answer.status == 200, "no metrics: {}", answer.status);
        Ok(answer.body)
    }

    /// Posts bytes as a TEEP message.
    ///
    /// # Errors
    /// It does not answer.
    pub fn teep(&self, path: &str, message: &[u8]) -> Result<Answer> {
        let headers =
            [("Accept", "application/teep+cbor"), ("Content-Type", "application/teep+cbor")];
        self.ask(&Ask { method: "POST", path, headers: &headers, body: message })
    }

    /// Runs an operator's command of `tamarack`.
    pub(crate) fn operator(&self, programs: &Programs, arguments: &[&str]) -> Result<Value> {
        let mut command = programs.command("tamarack");
        command.arg("operator").args(["--moc", &self.url, "--token-file"]);
        command.arg(&self.operator_token).arg("--json").args(arguments);
        party::json(&mut command)
    }
}

fn serve(log: &Path, programs: &Programs, config: &Path, port: u16) -> Result<Party> {
    let mut command = programs.command("tamarack-moc");
    command.arg("serve").arg("--config").arg(config);
    let mut party = Party::start("tamarack-moc", &mut command, log)?;
    party.until("answer to /readyz", || party::answers(port, "/readyz"))?;
    Ok(party)
}

fn address(port: u16) -> String {
    format!(
        "listen = \"127.0.0.1:{port}\"\n\
         public_url = \"http://127.0.0.1:{port}\"\n\
         data_dir = \"data\"\n"
    )
}

fn appraisal(layout: &Layout) -> String {
    let text = |path: PathBuf| json!(path).to_string();
    format!(
        "\n\
         [appraisal]\n\
         policy = \"policy.toml\"\n\
         anchors = {anchors}\n\
         collateral = {collateral}\n\
         \n\
         [[appraisal.reference_values]]\n\
         corim = {corim}\n\
         signer = {signer}\n",
        anchors = text(layout.anchors()),
        collateral = text(layout.vendor().join("collateral")),
        corim = text(layout.release().join("agent.corim")),
        signer = text(layout.release().join("release.pub")),
    )
}

pub(crate) fn write_secret(path: &Path, secret: &str) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = fs::OpenOptions::new();
    let file = options.create_new(true).write(true).mode(0o600).open(path);
    let mut file = file.with_context(|| format!("making {}", path.display()))?;
    std::io::Write::write_all(&mut file, secret.as_bytes())?;
    Ok(())
}

/// The operator's own policy is lenient on purpose: it takes devices whose TCB is out of date or
/// that can be debugged, so that the stage shows a Network User's appraisal refusing what the M/OC
/// accepts.
const POLICY: &str = "\
id = \"operator\"
emulated_allowed = true
debug_allowed = true

[dcap]
tcb_statuses = [\"UpToDate\", \"OutOfDate\"]

[snp]
tcb_min_required = false
";

/// What the M/OC logs when it has read everything that it appraises by again.
const READ_AGAIN: &str = "reference values were read again";

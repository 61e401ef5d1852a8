//! The one file that configures the M/OC; `deploy/moc.toml` is its commented sample.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use verifier::anchor::{Listed, Vendor};

use crate::collateral::Endpoints;

/// Everything that can be configured.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where to listen; without `tls` a loopback address.
    pub listen: SocketAddr,
    /// How others reach it: prefix of the TAM URI. With `tls` an https URL.
    pub public_url: String,
    /// Keys, rows and blobs.
    pub data_dir: PathBuf,
    /// The identity to serve HTTPS with. Default: none, so plain HTTP on loopback.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// How the TAM speaks with devices. Default: as today's draft says, with all of them.
    #[serde(default)]
    pub tam: Tam,
    /// What the Verifier accepts. Default: the strict policy and no anchors beyond the vendors'.
    #[serde(default)]
    pub appraisal: Appraisal,
    /// Bounds.
    #[serde(default)]
    pub limits: Limits,
    /// What is logged.
    #[serde(default)]
    pub log: Log,
}

/// The identity of the interface, read again on SIGHUP.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate and those between it and its root, in this order: PEM.
    pub certificate: PathBuf,
    /// Its private key: PKCS#8 in PEM, unreadable for others than owner and group.
    pub key: PathBuf,
    /// Authorities of client certificates, PEM. Default: none, so clients show bearer tokens.
    #[serde(default)]
    pub client_roots: Option<PathBuf>,
}

/// How the TAM speaks with devices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tam {
    /// Devices, by name, whose Agents have the message types and labels of drafts -18 to -25 of the
    /// protocol. Nothing in a message tells them apart, so it is never guessed. Default: none.
    pub legacy_devices: BTreeSet<String>,
    /// Offer ML-DSA-65 beside the mandatory suites: a private suite until it is registered, for
    /// Agents that are set up for it. It makes each opening longer by about 3.4 KiB. Default:
    /// `false`.
    pub ml_dsa_65: bool,
    /// Authorities of the certificates of Agents' keys, PEM. With them a message counts only where
    /// its signature brings a chain to one of them; that does not take the place of the appraisal.
    /// Default: none, so that an Agent is known by its appraised key alone.
    pub device_roots: Option<PathBuf>,
    /// Certificates of the TAM's keys, for Agents that go by an authority. Default: none.
    pub certificates: Certificates,
}

/// Certificates of the TAM's keys: PEM, the key's own first, then those between it and its root.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Certificates {
    /// Of the key in `keys/tam-esp256.pem` of the data folder.
    pub esp256: Option<PathBuf>,
    /// Of the key in `keys/tam-ed25519.pem` of the data folder.
    pub ed25519: Option<PathBuf>,
}

/// What the Verifier accepts.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Appraisal {
    /// The operator's policy: a path, or its fields as a table. Default: the strict policy.
    pub policy: Option<PolicySource>,
    /// Roots of software emulators, each as hex of the SHA-256 of its SubjectPublicKeyInfo, or as
    /// a table with vendor and name. Default: none.
    pub emulated_anchors: Vec<EmulatedAnchor>,
    /// File with more anchors: roots of software emulators, and keys of enrolled devices, which
    /// vendors without a common root need. Read again when it changes. Default: none.
    pub anchors: Option<PathBuf>,
    /// Folder with endorsements. Default: none, so evidence that needs any is refused.
    pub collateral: Option<PathBuf>,
    /// The vendors' services from which that folder is kept fresh. Default: none is asked.
    pub collateral_service: Option<CollateralService>,
    /// Policies of single tenants, by identifier, for the results that they ask for; each a path,
    /// or its fields as a table. Default: none, so that the operator's applies to all.
    pub tenant_policies: BTreeMap<String, PolicySource>,
    /// Which form of EAR results have, for readers that know only the older one. Default: `ietf`.
    pub ear_profile: EarProfile,
    /// Signed reference values. Default: none.
    pub reference_values: Vec<ReferenceFile>,
}

/// Where collateral is fetched. It is fetched ahead and in the background, never for a request.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CollateralService {
    /// Intel's provisioning certification service, or a cache with the same paths, such as
    /// `https://api.trustedservices.intel.com`. Default: none.
    pub intel: Option<String>,
    /// AMD's key distribution service, such as `https://kdsintf.amd.com`. Default: none.
    pub amd: Option<String>,
    /// How often TCB info, identities and certificates are renewed, seconds. Default: a day.
    pub endorsements_s: u64,
    /// How often revocation lists are renewed, seconds. Default: 6 hours.
    pub revocation_s: u64,
    /// How long a service may take for a whole answer, milliseconds. Default: 10 000.
    pub timeout_ms: u64,
}

impl Default for CollateralService {
    fn default() -> Self {
        Self {
            intel: None,
            amd: None,
            endorsements_s: 86_400,
            revocation_s: 21_600,
            timeout_ms: 10_000,
        }
    }
}

/// Which form of EAR results have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EarProfile {
    /// draft-ietf-rats-ear.
    #[default]
    Ietf,
    /// draft-fv-rats-ear, which Veraison made common.
    Veraison,
}

/// Where the appraisal policy stands.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "toml::Value")]
pub enum PolicySource {
    /// In a file of its own.
    File(PathBuf),
    /// In this file.
    Inline(Box<verifier::Policy>),
}

/// The root of a software emulator.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "toml::Value")]
pub struct EmulatedAnchor(pub Listed);

/// Signed reference values and who has to have signed them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReferenceFile {
    /// A signed CoRIM.
    pub corim: PathBuf,
    /// The signer's public key: a file with a COSE_Key.
    pub signer: PathBuf,
}

/// Bounds on what others may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// A TEEP message, bytes. Default: 4 MiB.
    pub teep_bytes_max: usize,
    /// A blob, bytes. Default: 1 GiB.
    pub blob_bytes_max: u64,
    /// How long a blob stays that no deployment needs, milliseconds. Default: 2 592 000 000, that
    /// is 30 days.
    pub blob_unused_ms_max: u64,
    /// A SUIT_Envelope, bytes. Default: 3 MiB.
    pub package_bytes_max: usize,
    /// How long a long poll stays open, milliseconds. Default: 25 000; the most that is allowed.
    pub poll_ms_max: u64,
    /// How long a TLS handshake may take, milliseconds. Default: 10 000.
    pub handshake_ms_max: u64,
    /// How long a request's headers may take, for a connection's first request from its start,
    /// milliseconds. Default: 10 000.
    pub headers_ms_max: u64,
    /// How long a connection may be without a request between two, milliseconds. Default: 60 000.
    pub idle_ms_max: u64,
    /// How long a request's body may take, milliseconds. Default: 30 000.
    pub body_ms_max: u64,
    /// How long a device may take for one step, milliseconds. Default: 10 minutes.
    pub device_turn_ms_max: u64,
    /// How long a deployment that waits for its Network User keeps its place on the device,
    /// milliseconds. Default: 1 hour.
    pub reservation_ms_max: u64,
    /// How long an unanswered TEEP request is remembered, milliseconds. Default: 4 hours.
    pub exchange_ms_max: u64,
    /// After which time a device that was woken is woken again for the same work, milliseconds.
    /// Default: 60 000.
    pub wake_again_ms: u64,
    /// Connections at the same time. Default: 1024.
    pub connections_max: usize,
    /// Of them, connections of one address on which no request is under way. Default: 256.
    pub idle_per_address_max: usize,
    /// TEEP requests per second from one address. Default: 100.
    pub teep_per_second_max: u32,
    /// TEEP requests at once from one address. Default: 200.
    pub teep_burst_max: u32,
    /// Requests per second of one tenant, device or other credential. Default: 100.
    pub tenant_per_second_max: u32,
    /// Requests at once of one tenant, device or other credential. Default: 400.
    pub tenant_burst_max: u32,
    /// Deployments of one tenant that have not ended. Default: 1000.
    pub tenant_deployments_max: u64,
    /// Bytes of all blobs of one tenant. Default: 64 GiB.
    pub tenant_blob_bytes_max: u64,
    /// Credentials of one tenant that count; for the operator's, as if it were one. Default: 100.
    pub tenant_tokens_max: u64,
}

/// What is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// The least important level that is written. Default: info.
    pub level: Level,
    /// One JSON object a line. Default: false.
    pub json: bool,
}

/// A level of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Somebody must act.
    Error,
    /// Odd but working.
    Warn,
    /// Changes that a user cares about.
    #[default]
    Info,
    /// Branches taken.
    Debug,
    /// Follows the code.
    Trace,
}

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unusable {
    /// It cannot be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is not what it should be.
    #[error("{path} is not a valid configuration: {detail}")]
    Invalid {
        /// Which file.
        path: PathBuf,
        /// What is wrong, with line and column.
        detail: String,
    },
    /// The address is not loopback, and there is no TLS.
    #[error(
        "listen = \"{0}\" is not a loopback address, and plain HTTP would carry tokens and \
         packages in the clear: give `[tls]` a certificate and a key, or listen on 127.0.0.1 or \
         [::1] and put a TLS proxy in front"
    )]
    NotLoopback(SocketAddr),
    /// The URL is not one.
    #[error("public_url = \"{0}\" is not an http or https URL without query and fragment")]
    PublicUrl(String),
    /// The URL leads around TLS.
    #[error("public_url = \"{0}\" has to begin with https://, because `[tls]` is set")]
    PlainUrl(String),
    /// A vendor's service that cannot be used.
    #[error(
        "appraisal.collateral_service needs appraisal.collateral as its folder, and addresses \
         with https, or http on this machine"
    )]
    CollateralService,
    /// A bound that makes no sense.
    #[error("limits.{name} = {value} is out of range {min} to {max}")]
    Limit {
        /// Which one.
        name: &'static str,
        /// What it says.
        value: u64,
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
}

impl Config {
    /// Reads and checks a file; relative paths in it start at its folder.
    pub fn load(path: &Path) -> Result<Self, Unusable> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| Unusable::Unreadable { path: path.to_owned(), source })?;
        let base = path.parent().unwrap_or(Path::new("."));
        Self::parse(&text, base, path)
    }

    /// Reads and checks a text whose relative paths start at `base`.
    pub fn from_toml(text: &str, base: &Path) -> Result<Self, Unusable> {
        Self::parse(text, base, base)
    }

    fn parse(text: &str, base: &Path, path: &Path) -> Result<Self, Unusable> {
        let mut config: Self = toml::from_str(text).map_err(|error| Unusable::Invalid {
            path: path.to_owned(),
            detail: error.to_string(),
        })?;
        config.rebase(base);
        config.check()?;
        Ok(config)
    }

    /// The TAM URI of an Agent's settings.
    pub fn tam_uri(&self) -> String {
        format!("{}{}", self.public_url, api::path::TAM)
    }

    fn rebase(&mut self, base: &Path) {
        self.public_url.truncate(self.public_url.trim_end_matches('/').len());
        self.data_dir = base.join(&self.data_dir);
        if let Some(tls) = &mut self.tls {
            tls.certificate = base.join(&tls.certificate);
            tls.key = base.join(&tls.key);
            tls.client_roots = tls.client_roots.take().map(|path| base.join(path));
        }
        let Certificates { esp256, ed25519 } = &mut self.tam.certificates;
        for path in [&mut self.tam.device_roots, esp256, ed25519] {
            *path = path.take().map(|path| base.join(path));
        }
        let tenants = self.appraisal.tenant_policies.values_mut();
        for policy in self.appraisal.policy.iter_mut().chain(tenants) {
            if let PolicySource::File(path) = policy {
                *path = base.join(&*path);
            }
        }
        if let Some(path) = &mut self.appraisal.anchors {
            *path = base.join(&*path);
        }
        if let Some(dir) = &mut self.appraisal.collateral {
            *dir = base.join(&*dir);
        }
        for file in &mut self.appraisal.reference_values {
            file.corim = base.join(&file.corim);
            file.signer = base.join(&file.signer);
        }
    }

    fn check(&self) -> Result<(), Unusable> {
        if self.tls.is_none() && !self.listen.ip().is_loopback() {
            return Err(Unusable::NotLoopback(self.listen));
        }
        let url = &self.public_url;
        let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        if rest.is_none_or(|rest| rest.is_empty() || rest.contains(['?', '#', ' '])) {
            return Err(Unusable::PublicUrl(url.clone()));
        }
        if self.tls.is_some() && !url.starts_with("https://") {
            return Err(Unusable::PlainUrl(url.clone()));
        }
        if let Some(service) = &self.appraisal.collateral_service {
            service.check(self.appraisal.collateral.is_some())?;
        }
        self.limits.check()
    }
}

impl CollateralService {
    /// The addresses.
    #[must_use]
    pub fn endpoints(&self) -> Endpoints {
        let trimmed = |url: &String| url.trim_end_matches('/').to_owned();
        Endpoints { intel: self.intel.as_ref().map(trimmed), amd: self.amd.as_ref().map(trimmed) }
    }

    fn check(&self, has_store: bool) -> Result<(), Unusable> {
        if !has_store || !self.endpoints().are_usable() {
            return Err(Unusable::CollateralService);
        }
        let bounds = [
            ("endorsements_s", self.endorsements_s, 60, 2_592_000),
            ("revocation_s", self.revocation_s, 60, 2_592_000),
            ("timeout_ms", self.timeout_ms, 100, 120_000),
        ];
        for (name, value, min, max) in bounds {
            if value < min || value > max {
                return Err(Unusable::Limit { name, value, min, max });
            }
        }
        Ok(())
    }
}

impl Limits {
    fn check(&self) -> Result<(), Unusable> {
        let bounds = [
            ("teep_bytes_max", self.teep_bytes_max as u64, 4096, 64 << 20),
            ("blob_bytes_max", self.blob_bytes_max, 1, 1 << 40),
            ("blob_unused_ms_max", self.blob_unused_ms_max, 3_600_000, 315_360_000_000),
            ("package_bytes_max", self.package_bytes_max as u64, 1, 64 << 20),
            ("poll_ms_max", self.poll_ms_max, 0, 25_000),
            ("handshake_ms_max", self.handshake_ms_max, 1, 60_000),
            ("headers_ms_max", self.headers_ms_max, 1, 60_000),
            ("idle_ms_max", self.idle_ms_max, 1, 3_600_000),
            ("body_ms_max", self.body_ms_max, 1, 3_600_000),
            ("device_turn_ms_max", self.device_turn_ms_max, 1, 86_400_000),
            ("reservation_ms_max", self.reservation_ms_max, 1000, 2_592_000_000),
            ("exchange_ms_max", self.exchange_ms_max, 1, 604_800_000),
            ("wake_again_ms", self.wake_again_ms, 100, 3_600_000),
            ("connections_max", self.connections_max as u64, 1, 65_536),
            ("idle_per_address_max", self.idle_per_address_max as u64, 1, 65_536),
            ("teep_per_second_max", self.teep_per_second_max.into(), 1, 1_000_000),
            ("teep_burst_max", self.teep_burst_max.into(), 1, 1_000_000),
            ("tenant_per_second_max", self.tenant_per_second_max.into(), 1, 1_000_000),
            ("tenant_burst_max", self.tenant_burst_max.into(), 1, 1_000_000),
            ("tenant_deployments_max", self.tenant_deployments_max, 1, 1_000_000_000),
            ("tenant_blob_bytes_max", self.tenant_blob_bytes_max, 1, 1 << 60),
            ("tenant_tokens_max", self.tenant_tokens_max, 1, 1_000_000),
        ];
        for (name, value, min, max) in bounds {
            if value < min || value > max {
                return Err(Unusable::Limit { name, value, min, max });
            }
        }
        Ok(())
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            teep_bytes_max: 4 << 20,
            blob_bytes_max: 1 << 30,
            blob_unused_ms_max: 2_592_000_000,
            package_bytes_max: 3 << 20,
            poll_ms_max: 25_000,
            handshake_ms_max: 10_000,
            headers_ms_max: 10_000,
            idle_ms_max: 60_000,
            body_ms_max: 30_000,
            device_turn_ms_max: 600_000,
            reservation_ms_max: 3_600_000,
            exchange_ms_max: 14_400_000,
            wake_again_ms: 60_000,
            connections_max: 1024,
            idle_per_address_max: 256,
            teep_per_second_max: 100,
            teep_burst_max: 200,
            tenant_per_second_max: 100,
            tenant_burst_max: 400,
            tenant_deployments_max: 1000,
            tenant_blob_bytes_max: 64 << 30,
            tenant_tokens_max: 100,
        }
    }
}

impl TryFrom<toml::Value> for PolicySource {
    type Error = String;

    fn try_from(value: toml::Value) -> Result<Self, String> {
        if let toml::Value::String(path) = value {
            return Ok(Self::File(path.into()));
        }
        let policy = value.try_into::<verifier::Policy>();
        policy.map(|policy| Self::Inline(Box::new(policy))).map_err(|error| error.to_string())
    }
}

impl TryFrom<toml::Value> for EmulatedAnchor {
    type Error = String;

    fn try_from(value: toml::Value) -> Result<Self, String> {
        let listed = if let toml::Value::String(fingerprint) = value {
            let mut table = toml::Table::new();
            table.insert("vendor".into(), toml::Value::String("intel".into()));
            table.insert("name".into(), toml::Value::String("software emulator".into()));
            table.insert("spki_sha256".into(), toml::Value::String(fingerprint));
            toml::Value::Table(table)
        } else {
            value
        };
        listed.try_into::<Listed>().map(Self).map_err(|error| error.to_string())
    }
}

impl EmulatedAnchor {
    /// Whose evidence it may vouch for.
    pub const fn vendor(&self) -> Vendor {
        self.0.vendor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "listen = '127.0.0.1:8700'\npublic_url = 'http://moc.example/'\n\
                         data_dir = 'data'\n";

    fn load(extra: &str) -> Result<Config, Unusable> {
        Config::from_toml(&format!("{LEAST}{extra}"), Path::new("/etc/moc"))
    }

    #[test]
    fn the_sample_is_valid_and_spells_out_the_defaults() {
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/moc.toml");

        let config = Config::load(&sample).unwrap();

        assert_eq!(config.limits, Limits::default());
        assert_eq!(config.log, Log::default());
        assert!(config.data_dir.ends_with("deploy/moc-data"));
    }

    #[test]
    fn relative_paths_start_at_the_file() {
        let config = load(
            "[appraisal]\npolicy = 'p.toml'\ncollateral = 'c'\n\
             [[appraisal.reference_values]]\ncorim = 'a.corim'\nsigner = '/keys/a.pub'\n",
        )
        .unwrap();

        assert_eq!(config.data_dir, Path::new("/etc/moc/data"));
        assert_eq!(config.appraisal.collateral.unwrap(), Path::new("/etc/moc/c"));
        assert_eq!(config.appraisal.reference_values[0].corim, Path::new("/etc/moc/a.corim"));
        assert_eq!(config.appraisal.reference_values[0].signer, Path::new("/keys/a.pub"));
        assert!(matches!(
            config.appraisal.policy,
            Some(PolicySource::File(path)) if path == Path::new("/etc/moc/p.toml")
        ));
    }

    #[test]
    fn the_tam_uri_follows_from_the_public_url() {
        assert_eq!(load("").unwrap().tam_uri(), "http://moc.example/tam");
    }

    #[test]
    fn a_policy_may_stand_inline_and_unknown_fields_are_refused_there_too() {
        let config = load("[appraisal.policy]\nid = 'bench'\nemulated_allowed = true\n").unwrap();

        assert!(matches!(
            config.appraisal.policy,
            Some(PolicySource::Inline(policy)) if policy.emulated_allowed
        ));
        assert!(load("[appraisal.policy]\nemulated = true\n").is_err());
    }

    #[test]
    fn an_emulators_root_is_a_fingerprint_or_a_table() {
        let key = "11".repeat(32);
        let config = load(&format!(
            "[appraisal]\nemulated_anchors = ['{key}', \
             {{ vendor = 'amd', name = 'bench', spki_sha256 = '{key}' }}]\n"
        ))
        .unwrap();

        assert_eq!(config.appraisal.emulated_anchors[0].vendor(), Vendor::Intel);
        assert_eq!(config.appraisal.emulated_anchors[1].vendor(), Vendor::Amd);
        assert!(load("[appraisal]\nemulated_anchors = ['11']\n").is_err());
    }

    #[test]
    fn plain_http_beyond_loopback_is_refused_with_the_way_out() {
        let text = LEAST.replace("127.0.0.1", "0.0.0.0");

        let error = Config::from_toml(&text, Path::new(".")).unwrap_err();

        assert!(matches!(error, Unusable::NotLoopback(_)));
        assert!(error.to_string().contains("give `[tls]` a certificate"));
    }

    #[test]
    fn with_tls_any_address_is_fine_but_only_an_https_url() {
        let tls = "[tls]\ncertificate = 'moc.pem'\nkey = '/keys/moc.key'\n";
        let open = LEAST.replace("127.0.0.1", "[::]") + tls;

        let config = Config::from_toml(&open.replace("http:", "https:"), Path::new("/etc/moc"));

        let tls = config.unwrap().tls.unwrap();
        assert_eq!(tls.certificate, Path::new("/etc/moc/moc.pem"));
        assert_eq!(tls.key, Path::new("/keys/moc.key"));
        let error = Config::from_toml(&open, Path::new(".")).unwrap_err();
        assert!(matches!(error, Unusable::PlainUrl(url) if url == "http://moc.example"));
    }

    #[test]
    fn tls_takes_both_files_and_nothing_else() {
        for extra in ["", "certificate = 'a'\n", "key = 'a'\n"] {
            assert!(matches!(load(&format!("[tls]\n{extra}")), Err(Unusable::Invalid { .. })));
        }
        let more = "[tls]\ncertificate = 'a'\nkey = 'b'\nversion = '1.2'\n";
        assert!(matches!(load(more), Err(Unusable::Invalid { .. })));
    }

    #[test]
    fn bounds_and_unknown_fields_are_checked() {
        assert!(matches!(
            load("[limits]\npoll_ms_max = 25001\n"),
            Err(Unusable::Limit { name: "poll_ms_max", value: 25_001, .. })
        ));
        assert!(matches!(load("[limits]\npoll = 1\n"), Err(Unusable::Invalid { .. })));
        assert!(matches!(load("tls = true\n"), Err(Unusable::Invalid { .. })));
    }

    #[test]
    fn the_public_url_has_to_be_one() {
        for url in ["", "moc.example", "ftp://moc.example", "http://", "http://moc.example/?a=b"] {
            let text = LEAST.replace("http://moc.example/", url);
            assert!(
                matches!(Config::from_toml(&text, Path::new(".")), Err(Unusable::PublicUrl(_))),
                "{url}"
            );
        }
    }
}

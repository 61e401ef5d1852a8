//! The settings of the agent, which are measured with it: who changes them has another agent.

use std::path::PathBuf;

use channel::{Suites, UnusableSuites};
use cose::Thumbprint;
use rats::eat::InstanceType;
use serde::Deserialize;
use suit::Uuid;

use crate::backend::process::Limits;
use crate::ta::Room;

/// The settings, as TOML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The TAMs that the agent talks to, in the order of a policy check.
    pub tams: Vec<Tam>,
    /// SUIT vendor identifier of the device.
    pub vendor_id: Uuid,
    /// SUIT class identifier of the device, beside those of its instance types. A package of
    /// this class runs as the first of [`Self::instances`].
    pub class_id: Uuid,
    /// The instance types that Trusted Applications may ask for, at least one.
    pub instances: Vec<InstanceType>,
    /// The OCI runtime that makes containers for native programs; without one, the agent's own
    /// launcher does.
    pub container_runtime: Option<PathBuf>,
    /// What the agent signs TEEP messages with.
    pub suite: Suite,
    /// Whether the TAMs have the message types and labels of drafts -18 to -25 of the protocol.
    pub legacy_numbering: bool,
    /// The suites of the channel that Evidence offers a receiver key for.
    pub channel: Suites,
    /// What one Trusted Application may use.
    pub limits: Limits,
    /// What all of them may use together.
    pub room: Room,
}

/// A TAM that the agent trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tam {
    /// Where the Broker finds it.
    pub uri: String,
    /// Its keys, one for each suite that it signs with.
    pub keys: Vec<cose::Key>,
    /// The authorities of its keys' certificates, DER: a key that is not named counts with a chain
    /// to one of them.
    pub roots: Vec<Vec<u8>>,
    /// Keys that such a chain vouched for since the start, the newest last.
    certified: Vec<Thumbprint>,
    /// The TAM's key that Evidence and reports for it are encrypted to; without one TLS has to do.
    pub encryption_key: Option<cose::Key>,
    /// The Verifiers whose results about this TAM count.
    pub verifiers: Vec<cose::Key>,
    /// Whether the TAM has to prove itself before it gets any attestation.
    pub attest: bool,
}

/// The TEEP cipher suite of the agent's own messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Suite {
    /// Ed25519.
    Ed25519,
    /// ECDSA on P-256 with SHA-256.
    #[default]
    Esp256,
    /// ML-DSA-65: a private suite until it is registered, for TAMs that offer it.
    #[serde(rename = "ml-dsa-65")]
    MlDsa65,
}

/// Why settings cannot be used.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Not UTF-8.
    #[error("the settings are not text")]
    NotText,
    /// Not the TOML that is expected, with what and where.
    #[error("the settings are not the expected TOML: {0}")]
    Toml(String),
    /// A key is not a hexadecimal COSE_Key.
    #[error("a key of the TAM `{0}` is not a hexadecimal COSE_Key")]
    Key(String),
    /// There is no TAM, or one with neither key nor authority.
    #[error("the settings name no TAM with a key")]
    NoTam,
    /// `roots` of a TAM are no certificates of authorities in PEM, or another TAM's as well.
    #[error("`roots` of the TAM `{0}` are not certificates of authorities of its own")]
    Roots(String),
    /// An identifier is not a UUID.
    #[error("`{0}` is not a UUID")]
    NotUuid(&'static str),
    /// `instances` names none, one twice, or one that does not exist.
    #[error("`instances` is not a list of different types of `process`, `container` and `vm`")]
    Instances,
    /// A program is not named by its whole path, or named where no container runs.
    #[error("`container_runtime` is a path from the root, for a device with container instances")]
    Runtime,
    /// `channel` names none, one twice, or one that does not exist.
    #[error("`channel` is unusable: {0}")]
    Channel(#[from] UnusableSuites),
    /// A limit is zero or larger than a frame or an address space can be.
    #[error("`{0}` is out of range")]
    OutOfRange(&'static str),
}

impl Settings {
    /// Reads settings.
    pub fn parse(bytes: &[u8]) -> Result<Self, Unusable> {
        let text = std::str::from_utf8(bytes).map_err(|_| Unusable::NotText)?;
        let file: File = toml::from_str(text).map_err(|e| Unusable::Toml(e.to_string()))?;
        let tams = file.tam.into_iter().map(Tam::parse).collect::<Result<Vec<_>, _>>()?;
        if tams.is_empty() || tams.iter().any(|tam| tam.keys.is_empty() && tam.roots.is_empty()) {
            return Err(Unusable::NoTam);
        }
        for (at, tam) in tams.iter().enumerate() {
            // Else nothing would tell whose a certified key is.
            let mut others = tams[..at].iter().flat_map(|other| &other.roots);
            if others.any(|root| tam.roots.contains(root)) {
                return Err(Unusable::Roots(tam.uri.clone()));
            }
        }
        let instances = instances(&file.instances)?;
        let container_runtime = file.container_runtime;
        let whole = container_runtime.as_ref().is_none_or(|path| path.is_absolute());
        if !whole || container_runtime.is_some() && !instances.contains(&InstanceType::Container) {
            return Err(Unusable::Runtime);
        }
        Ok(Self {
            tams,
            vendor_id: uuid("vendor_id", &file.vendor_id)?,
            class_id: uuid("class_id", &file.class_id)?,
            instances,
            container_runtime,
            suite: file.suite,
            legacy_numbering: file.legacy_numbering,
            channel: match &file.channel {
                Some(names) => Suites::parse(names.iter().map(String::as_str))?,
                None => Suites::default(),
            },
            room: file.limits.room()?,
            limits: file.limits.parse(file.interpreter)?,
        })
    }
}

impl Settings {
    /// The TAM whose key this is.
    pub fn tam_of(&self, key: Thumbprint) -> Option<&Tam> {
        self.tams.iter().find(|tam| tam.has(key))
    }

    /// Whether the TAM with this key may know of what came from the TAM at this URI: its own, and
    /// what came from nobody that the settings still name, which else no TAM could remove.
    pub fn shows(&self, from: Option<&str>, tam: Thumbprint) -> bool {
        let from = from.and_then(|uri| self.tams.iter().find(|tam| tam.uri == uri));
        from.is_none_or(|from| from.has(tam))
    }
}

impl Tam {
    /// Whether a key is this TAM's: named, or certified for it since the start.
    fn has(&self, key: Thumbprint) -> bool {
        self.certified.contains(&key) || self.keys.iter().any(|named| named.thumbprint() == key)
    }

    /// Remembers whose a key is that a chain to one of the authorities vouched for.
    pub fn learn(&mut self, key: Thumbprint) {
        if !self.has(key) {
            if self.certified.len() >= CERTIFIED_MAX {
                self.certified.remove(0);
            }
            self.certified.push(key);
        }
    }

    fn parse(file: FileTam) -> Result<Self, Unusable> {
        let keys = |texts: &[String]| {
            texts
                .iter()
                .map(|text| hex::decode(text).ok().and_then(|b| cose::Key::decode(&b).ok()))
                .collect::<Option<Vec<_>>>()
                .ok_or_else(|| Unusable::Key(file.uri.clone()))
        };
        Ok(Self {
            keys: keys(&file.keys)?,
            verifiers: keys(&file.verifiers)?,
            encryption_key: keys(file.encryption_key.as_slice())?.pop(),
            roots: file
                .roots
                .as_deref()
                .map_or(Some(Vec::new()), roots)
                .ok_or_else(|| Unusable::Roots(file.uri.clone()))?,
            certified: Vec::new(),
            attest: file.attest,
            uri: file.uri,
        })
    }
}

/// The file, field by field.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// At least one `[[tam]]`.
    tam: Vec<FileTam>,
    /// A UUID in hexadecimal, with or without hyphens.
    vendor_id: String,
    /// A UUID in hexadecimal, with or without hyphens.
    class_id: String,
    /// Any of `process`, `container` and `vm`; default `["process"]`.
    #[serde(default = "process")]
    instances: Vec<String>,
    /// `/usr/sbin/runc`, or another OCI runtime; default none.
    #[serde(default)]
    container_runtime: Option<PathBuf>,
    /// `esp256` (the default), `ed25519`, or `ml-dsa-65` for TAMs that offer it.
    #[serde(default)]
    suite: Suite,
    /// Whether messages have the types and labels of drafts -18 to -25, as the TAMs' operators
    /// agreed; nothing in a message tells. Default false.
    #[serde(default)]
    legacy_numbering: bool,
    /// Any of `x-wing`, `p-256` and `x25519`; default all of them.
    #[serde(default)]
    channel: Option<Vec<String>>,
    /// Whether components are interpreted instead of compiled to machine code, for a TEE where
    /// no memory may become code; default false.
    #[serde(default)]
    interpreter: bool,
    /// Optional `[limits]`.
    #[serde(default)]
    limits: FileLimits,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileTam {
    uri: String,
    /// Hexadecimal COSE_Keys; may be left out where there are `roots`.
    #[serde(default)]
    keys: Vec<String>,
    /// Certificates of authorities, PEM; default none, so that a key counts by its name alone.
    #[serde(default)]
    roots: Option<String>,
    /// A hexadecimal COSE_Key on P-256; default none, so that neither Evidence nor reports
    /// are encrypted.
    #[serde(default)]
    encryption_key: Option<String>,
    /// Hexadecimal COSE_Keys; default none.
    #[serde(default)]
    verifiers: Vec<String>,
    /// Default false.
    #[serde(default)]
    attest: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileLimits {
    /// Linear memory of a Trusted Application; default 64.
    memory_mib: u64,
    /// Time for one call; default 10 000.
    call_ms: u64,
    /// Processor time in the life of a worker; default one day.
    cpu_s: u64,
    /// Memory of all Trusted Applications together, each counted with its own limit and its
    /// content; default 2048.
    total_mib: u64,
}

impl Default for FileLimits {
    fn default() -> Self {
        Self { memory_mib: 64, call_ms: 10_000, cpu_s: 24 * 60 * 60, total_mib: 2048 }
    }
}

fn within(what: &'static str, value: u64, max: u64) -> Result<u64, Unusable> {
    if (1..=max).contains(&value) { Ok(value) } else { Err(Unusable::OutOfRange(what)) }
}

impl FileLimits {
    fn room(&self) -> Result<Room, Unusable> {
        Ok(Room {
            total_bytes: within("total_mib", self.total_mib, u64::MAX >> 20)? << 20,
            each_bytes: within("memory_mib", self.memory_mib, 4095)? << 20,
        })
    }

    fn parse(self, interpret: bool) -> Result<Limits, Unusable> {
        Ok(Limits {
            memory_bytes_max: within("memory_mib", self.memory_mib, 4095)? << 20,
            call_ms_max: within("call_ms", self.call_ms, 10 * 60 * 1000)?,
            cpu_s_max: within("cpu_s", self.cpu_s, u64::MAX)?,
            interpret,
        })
    }
}

/// Certificates of authorities.
fn roots(pem: &str) -> Option<Vec<Vec<u8>>> {
    let roots = x509::decode_pem(pem.as_bytes()).ok()?;
    let authority =
        |der: &Vec<u8>| x509::Certificate::decode(der).is_ok_and(|root| root.is_authority());
    roots.iter().all(authority).then_some(roots)
}

fn process() -> Vec<String> {
    vec![InstanceType::Process.name().to_owned()]
}

fn instances(names: &[String]) -> Result<Vec<InstanceType>, Unusable> {
    let mut instances = Vec::new();
    for name in names {
        let instance = InstanceType::from_name(name).map_err(|_| Unusable::Instances)?;
        if instances.contains(&instance) {
            return Err(Unusable::Instances);
        }
        instances.push(instance);
    }
    if instances.is_empty() { Err(Unusable::Instances) } else { Ok(instances) }
}

fn uuid(what: &'static str, text: &str) -> Result<Uuid, Unusable> {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    let bytes = hex::decode(digits).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.and_then(|bytes| Uuid::new(bytes).ok()).ok_or(Unusable::NotUuid(what))
}

/// Certified keys of one TAM that are remembered: one for each suite, and those before them.
const CERTIFIED_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_with_nothing_but_what_is_needed_have_defaults() {
        let settings = Settings::parse(text("").as_bytes()).unwrap();

        assert_eq!(settings.suite, Suite::Esp256);
        assert!(!settings.legacy_numbering);
        assert_eq!(settings.channel, Suites::default());
        assert_eq!(settings.tams[0].uri, "http://tam.example/tam");
        assert_eq!(settings.tams[0].keys, [key()]);
        assert_eq!(settings.tams[0].encryption_key, None);
        assert_eq!(settings.vendor_id.bytes()[..4], [0x11; 4]);
        assert_eq!(settings.limits.memory_bytes_max, 64 << 20);
        assert_eq!(settings.limits.call_ms_max, 10_000);
        assert_eq!(settings.room, Room { total_bytes: 2048 << 20, each_bytes: 64 << 20 });
        assert_eq!(settings.instances, [InstanceType::Process]);
    }

    #[test]
    fn every_setting_is_read() {
        let more = "instances = [\"vm\", \"container\"]\nsuite = \"ed25519\"\ninterpreter = true\n\
            legacy_numbering = true\nchannel = [\"x25519\"]\n\
            container_runtime = \"/usr/sbin/runc\"\n\
            [limits]\nmemory_mib = 1\ncall_ms = 5\ncpu_s = 7\n";

        let settings = Settings::parse(text(more).as_bytes()).unwrap();

        assert_eq!(settings.suite, Suite::Ed25519);
        assert!(settings.legacy_numbering);
        assert_eq!(settings.channel, Suites::parse(["x25519"]).unwrap());
        assert_eq!(settings.instances, [InstanceType::Vm, InstanceType::Container]);
        assert_eq!(settings.container_runtime, Some(PathBuf::from("/usr/sbin/runc")));
        let limits =
            Limits { memory_bytes_max: 1 << 20, call_ms_max: 5, cpu_s_max: 7, interpret: true };
        assert_eq!(settings.limits, limits);
    }

    #[test]
    fn a_tam_may_have_a_key_that_evidence_is_encrypted_to() {
        let with = |key: &str| {
            let text = format!("{}encryption_key = \"{key}\"\n", text(""));
            Settings::parse(text.as_bytes())
        };

        let settings = with(&hex::encode(key().encode())).unwrap();

        assert_eq!(settings.tams[0].encryption_key, Some(key()));
        assert_eq!(with("00"), Err(Unusable::Key("http://tam.example/tam".to_owned())));
    }

    #[test]
    fn what_is_unknown_or_wrong_is_refused() {
        let parse = |text: String| Settings::parse(text.as_bytes()).unwrap_err();

        assert!(matches!(parse(text("colour = 1\n")), Unusable::Toml(_)));
        assert_eq!(parse(text("[limits]\nmemory_mib = 0\n")), Unusable::OutOfRange("memory_mib"));
        assert_eq!(parse(text("").replace("-4111-", "-1111-")), Unusable::NotUuid("vendor_id"));
        let wrong = text("").replace(&hex::encode(key().encode()), "00");
        assert_eq!(parse(wrong), Unusable::Key("http://tam.example/tam".to_owned()));
        for wrong in ["[]", "[\"process\", \"process\"]", "[\"enclave\"]"] {
            assert_eq!(parse(text(&format!("instances = {wrong}\n"))), Unusable::Instances);
        }
        let unknown = UnusableSuites::Unknown("rsa".to_owned());
        assert_eq!(parse(text("channel = [\"rsa\"]\n")), Unusable::Channel(unknown));
        for wrong in ["container_runtime = \"/usr/sbin/runc\"\n", CONTAINERS_BY_NAME] {
            assert_eq!(parse(text(wrong)), Unusable::Runtime);
        }
        assert_eq!(Settings::parse(&[0xff]), Err(Unusable::NotText));
        let rooted = |pem: &str| text("") + &format!("roots = \"{pem}\"\n");
        let tam = || "http://tam.example/tam".to_owned();
        assert_eq!(parse(rooted("no certificate")), Unusable::Roots(tam()));
        let none = format!("tam = []\n{IDS}");
        assert_eq!(parse(none), Unusable::NoTam);
    }

    fn text(more: &str) -> String {
        let tam = format!(
            "[[tam]]\nuri = \"http://tam.example/tam\"\nkeys = [\"{}\"]\n",
            hex::encode(key().encode())
        );
        format!("{IDS}{more}\n{tam}")
    }

    /// The base point of P-256.
    fn key() -> cose::Key {
        let point = hex::decode(
            "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
             4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
        );
        cose::Key::from_sec1(cose::Curve::P256, &point.unwrap()).unwrap()
    }

    const CONTAINERS_BY_NAME: &str = "instances = [\"container\"]\ncontainer_runtime = \"runc\"\n";
    const IDS: &str = "vendor_id = \"11111111-1111-4111-9111-111111111111\"\n\
        class_id = \"22222222222242229222222222222222\"\n";
}

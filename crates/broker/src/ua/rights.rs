//! What a UA is started with and may do: the invocation that its manifest names.
//!
//! ```json
//! {
//!   "instance": "container",
//!   "arguments": ["--listen", "[::]:8443"],
//!   "network": { "tcp": { "listen": [8443], "connect": [] } },
//!   "folders": [{ "path": "/srv/maps", "write": false }],
//!   "limits": { "memory_mib": 256, "processes": 32, "descriptors": 256, "file_mib": 16 }
//! }
//! ```
//!
//! What is not named is not given: no network, no folder of the machine. An array of texts stands
//! for a process with these arguments and the whole network.

use std::path::{Component, Path};

pub use api::rights::Folder;
pub(crate) use api::rights::{Form, Network};
use serde::{Deserialize, Serialize};

use super::Grants;
use crate::refusal::UaFailed;

/// Arguments and rights of a UA.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Invocation {
    /// What the program or image is started as.
    #[serde(default)]
    pub(crate) instance: Form,
    #[serde(default)]
    pub(crate) arguments: Vec<String>,
    #[serde(default)]
    pub(crate) network: Network,
    #[serde(default)]
    pub(crate) folders: Vec<Folder>,
    #[serde(default)]
    pub(crate) limits: Limits,
}

/// What a UA may use up; the defaults are the most that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// Memory of its own.
    pub(crate) memory_mib: u64,
    /// Processes and threads.
    pub(crate) processes: u64,
    /// Open files and sockets.
    pub(crate) descriptors: u64,
    /// The longest file that it may write.
    pub(crate) file_mib: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory_mib: 4096, processes: 512, descriptors: 1024, file_mib: 256 }
    }
}

impl Invocation {
    /// Reads the arguments of a manifest's invoke command.
    pub(crate) fn read(given: &[u8]) -> Result<Self, UaFailed> {
        let check = "invoke-args";
        let expected = "a JSON array of text, or an object with arguments and rights";
        let wrong = |error: serde_json::Error| UaFailed::check(check, expected, error.to_string());
        let read = match given.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'{') => serde_json::from_slice(given).map_err(wrong)?,
            _ => Self::of_arguments(serde_json::from_slice(given).map_err(wrong)?),
        };
        match read.arguments.iter().find(|argument| argument.contains('\0')) {
            Some(argument) => {
                let expected = "a JSON array of text without NUL";
                Err(UaFailed::check(check, expected, format!("{argument:?}")))
            }
            None => Ok(read),
        }
    }

    /// A process with these arguments, the whole network and no folder.
    pub(crate) fn of_arguments(arguments: Vec<String>) -> Self {
        Self {
            instance: Form::Process,
            arguments,
            network: Network::All,
            folders: Vec::new(),
            limits: Limits::default(),
        }
    }

    /// Refuses what this device does not grant.
    pub(crate) fn check(&self, grants: &Grants) -> Result<(), UaFailed> {
        if self.instance == Form::Container && grants.runtime.is_none() {
            let expected = "`process`, or `container_runtime` in the Broker's settings";
            return Err(UaFailed::check("instance", expected, "container"));
        }
        if self.folders.len() > FOLDERS_MAX {
            let seen = format!("{} of them", self.folders.len());
            return Err(UaFailed::check("folders", format!("at most {FOLDERS_MAX}"), seen));
        }
        for folder in &self.folders {
            let granted = |shared: &Folder| {
                folder.path.starts_with(&shared.path) && (shared.write || !folder.write)
            };
            if !is_plain(&folder.path) || !grants.folders.iter().any(granted) {
                let way = if folder.write { "written" } else { "read" };
                let expected = format!("a folder below one of `[[ua_folder]]` that may be {way}");
                let seen = folder.path.display().to_string();
                return Err(UaFailed::check("folders", expected, seen));
            }
        }
        let (asked, most) = (self.limits, Limits::default());
        for (name, asked, most) in [
            ("memory_mib", asked.memory_mib, most.memory_mib),
            ("processes", asked.processes, most.processes),
            ("descriptors", asked.descriptors, most.descriptors),
            ("file_mib", asked.file_mib, most.file_mib),
        ] {
            if !(1..=most).contains(&asked) {
                let check = format!("limits.{name}");
                return Err(UaFailed::check(check, format!("1 to {most}"), asked.to_string()));
            }
        }
        Ok(())
    }
}

/// Absolute, and without steps back.
fn is_plain(path: &Path) -> bool {
    let plain = |part| matches!(part, Component::RootDir | Component::Normal(_));
    path.is_absolute() && path.components().all(plain)
}

const FOLDERS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_names_every_right_and_an_array_only_arguments() {
        let named = Invocation::read(
            br#"{"instance": "container", "arguments": ["a"],
                 "network": {"tcp": {"listen": [8443]}},
                 "folders": [{"path": "/srv/maps"}], "limits": {"memory_mib": 64}}"#,
        )
        .unwrap();
        let bare = Invocation::read(b"{}").unwrap();
        let old = Invocation::read(br#" ["a", "b"]"#).unwrap();

        assert_eq!(named.instance, Form::Container);
        assert_eq!(named.network, Network::Tcp { listen: vec![8443], connect: vec![] });
        assert_eq!(named.limits, Limits { memory_mib: 64, ..Limits::default() });
        assert_eq!(named.folders, [Folder { path: "/srv/maps".into(), write: false }]);
        assert_eq!((bare.instance, bare.network), (Form::Process, Network::None));
        assert_eq!(old, Invocation::of_arguments(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(old.network, Network::All);
    }

    #[test]
    fn what_is_no_invocation_is_refused() {
        for given in [
            &br#"{"arguments": ["a"], "root": true}"#[..],
            br#"{"network": "some"}"#,
            br#"{"network": {"tcp": {"listen": [70000]}}}"#,
            br#"{"arguments": ["\u0000"]}"#,
            br#""text""#,
            b"",
        ] {
            let refused = Invocation::read(given).unwrap_err();
            assert!(matches!(&refused, UaFailed::Check { check, .. } if check == "invoke-args"));
        }
    }

    #[test]
    fn what_the_device_does_not_grant_is_refused_by_name() {
        let shared = |path: &str, write| Folder { path: path.into(), write };
        let grants = Grants {
            folders: vec![shared("/srv/maps", false), shared("/srv/spool", true)],
            runtime: None,
        };
        let check = |text: &str| match Invocation::read(text.as_bytes()).unwrap().check(&grants) {
            Err(UaFailed::Check { check, .. }) => check,
            other => format!("{other:?}"),
        };
        let folder = |path: &str, write: bool| {
            check(&format!(r#"{{"folders": [{{"path": "{path}", "write": {write}}}]}}"#))
        };

        assert_eq!(check("{}"), "Ok(())");
        assert_eq!(folder("/srv/maps/berlin", false), "Ok(())");
        assert_eq!(folder("/srv/spool", true), "Ok(())");
        for (path, write) in [
            ("/srv/maps", true),
            ("/srv/mapsecret", false),
            ("/srv/maps/../spool", false),
            ("srv/maps", false),
            ("/etc", false),
        ] {
            assert_eq!(folder(path, write), "folders", "{path}");
        }
        assert_eq!(check(r#"{"instance": "container"}"#), "instance");
        assert_eq!(check(r#"{"limits": {"memory_mib": 5000}}"#), "limits.memory_mib");
        assert_eq!(check(r#"{"limits": {"processes": 0}}"#), "limits.processes");
    }
}

//! What an Untrusted Application may use of the device that it runs on. The device grants it or
//! refuses the package; what is not named is not given.

pub use api::rights::{Folder, Form, Network};
use serde::{Deserialize, Serialize};

/// `[ua.rights]` of a project.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rights {
    /// `process` for a program, `container` for an OCI image. Default: `process`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<Form>,
    /// `none`, `all`, or `tcp` with the ports for `listen` and `connect`. Default: `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// Folders of the device, among those that its operator shares. Default: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub folders: Vec<Folder>,
    /// Default: what the device gives at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
}

/// What is used up at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Memory of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u64>,
    /// Processes and threads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processes: Option<u64>,
    /// Open files and sockets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub descriptors: Option<u64>,
    /// The longest file that is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_mib: Option<u64>,
}

/// What an Untrusted Application is started with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invocation {
    /// Its arguments.
    pub arguments: Vec<String>,
    /// What it may use. Without any, it is a process with the whole network and no folder.
    pub rights: Option<Rights>,
}

impl Invocation {
    /// The arguments of the manifest's invoke command, JSON.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        #[derive(Serialize)]
        struct Whole<'a> {
            arguments: &'a [String],
            #[serde(flatten)]
            rights: &'a Rights,
        }
        match &self.rights {
            Some(rights) => serde_json::to_vec(&Whole { arguments: &self.arguments, rights }),
            None => serde_json::to_vec(&self.arguments),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_of_a_project_are_the_manifest_s_words_for_them() {
        let rights: Rights = toml::from_str(
            "instance = 'container'\nnetwork = { tcp = { listen = [8443] } }\n\
             folders = [{ path = '/srv/maps' }]\nlimits = { memory_mib = 64 }",
        )
        .unwrap();
        let arguments = vec!["a".to_owned()];

        let named = Invocation { arguments: arguments.clone(), rights: Some(rights) };
        let bare = Invocation { arguments, rights: None };

        let named = String::from_utf8(named.encode().unwrap()).unwrap();
        assert_eq!(
            named,
            "{\"arguments\":[\"a\"],\"instance\":\"container\",\
             \"network\":{\"tcp\":{\"listen\":[8443],\"connect\":[]}},\
             \"folders\":[{\"path\":\"/srv/maps\",\"write\":false}],\
             \"limits\":{\"memory_mib\":64}}"
        );
        assert_eq!(bare.encode().unwrap(), b"[\"a\"]");
        assert!(toml::from_str::<Rights>("network = 'some'").is_err());
        assert!(toml::from_str::<Rights>("capabilities = []").is_err());
    }
}

//! What an Untrusted Application may use of the device that it runs on: what its manifest names,
//! in JSON, is what the Broker reads and enforces.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What the payload of an Untrusted Application is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// A program or script of the device's operating system.
    #[default]
    Process,
    /// An OCI image layout in a tar archive, run by the OCI runtime of the Broker's settings.
    Container,
}

/// What of the network is used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Network {
    /// Nothing.
    #[default]
    None,
    /// TCP at these ports, and nothing else.
    Tcp {
        /// Where callers are waited for.
        #[serde(default)]
        listen: Vec<u16>,
        /// What is called.
        #[serde(default)]
        connect: Vec<u16>,
    },
    /// What the device has.
    All,
}

/// A folder of the device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
    /// Whether it may be written. Default: no.
    #[serde(default)]
    pub write: bool,
}

//! OCI images (image-spec 1.1) as one file: an image layout in a tar archive.
//!
//! [`build`] makes one from programs and files, with the same digests every time; [`open`] takes
//! one apart into an [`Image`], whose tree of files has been checked: no path leaves the root, no
//! link leads out of it, nothing but files, folders and links is in it, and neither count nor
//! size nor compression can exhaust who opens it.
//!
//! It deliberately does not know where images come from, where a tree is put, and what runs it.
//! It reads bytes and gives bytes: no file system, no network, no clock.

pub mod build;
mod layer;
mod layout;
mod refused;
mod tree;

#[cfg(test)]
mod tests;

pub use build::Recipe;
pub use layout::{Image, manifest_digest, open};
pub use refused::Refused;
pub use tree::{Node, Tree};

/// What an image may make its reader spend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Files, folders and links of all layers together.
    pub entries: usize,
    /// Bytes of all files of all layers together.
    pub bytes: u64,
    /// How many times larger than its compressed form a layer may be.
    pub ratio: u64,
    /// Layers.
    pub layers: usize,
}

impl Limits {
    /// Limits for an image that arrives in one message.
    pub const DEFAULT: Self = Self { entries: 16 * 1024, bytes: 256 << 20, ratio: 100, layers: 64 };
}

/// How a program is started, from the image's configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// The program and its arguments: entry point and command.
    pub arguments: Vec<String>,
    /// `NAME=value`.
    pub environment: Vec<String>,
    /// Where it starts; the root when it is empty.
    pub folder: String,
}

/// The architecture of an image whose program is a WebAssembly component: any.
pub const ANY_MACHINE: &str = "wasm";

/// The name of this machine's architecture in image configurations.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

//! Making an image: from files to one archive, with the same bytes every time.

use flate2::{Compression, GzBuilder};
use serde_json::json;
use std::io::Write as _;
use tar::{Builder, EntryType, Header};

use crate::layout::{CONFIG, INDEX, LAYER_GZIP, LAYOUT, LAYOUT_VERSION, MANIFEST};
use crate::tree::{Node, Tree};
use crate::{Refused, Start};

/// What goes into an image of one layer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recipe {
    tree: Tree,
    start: Start,
    architecture: String,
}

impl Recipe {
    /// An image for machines of this architecture, started in this way.
    pub fn new(architecture: &str, start: Start) -> Self {
        Self { tree: Tree::default(), start, architecture: architecture.to_owned() }
    }

    /// An image of one program, which is all that it holds.
    pub fn of_program(architecture: &str, name: &str, program: Vec<u8>) -> Result<Self, Refused> {
        let start = Start { arguments: vec![format!("/{name}")], ..Start::default() };
        Self::new(architecture, start).with(name, true, program)
    }

    /// Adds a file.
    pub fn with(mut self, path: &str, executable: bool, content: Vec<u8>) -> Result<Self, Refused> {
        let normal = crate::tree::normal(path).filter(|normal| *normal == path);
        let path = normal.ok_or_else(|| Refused::Path(path.to_owned()))?;
        self.tree.put(&path, Node::File { executable, content })?;
        Ok(self)
    }

    /// Makes the archive.
    pub fn build(&self) -> Vec<u8> {
        let layer = tar_of(&self.tree);
        let diff = named(&layer);
        let layer = gzip(&layer);
        let platform = json!({ "architecture": self.architecture, "os": "linux" });
        let config = json!({
            "architecture": self.architecture,
            "os": "linux",
            "config": {
                "Entrypoint": self.start.arguments,
                "Env": self.start.environment,
                "WorkingDir": self.start.folder,
            },
            "rootfs": { "type": "layers", "diff_ids": [diff] },
        });
        let config = config.to_string().into_bytes();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor(CONFIG, &config),
            "layers": [descriptor(LAYER_GZIP, &layer)],
        });
        let manifest = manifest.to_string().into_bytes();
        let mut listed = descriptor(MANIFEST, &manifest);
        listed["platform"] = platform;
        let index = json!({ "schemaVersion": 2, "manifests": [listed] });

        let mut files: Vec<(String, Vec<u8>)> = vec![
            (INDEX.to_owned(), index.to_string().into_bytes()),
            (
                LAYOUT.to_owned(),
                json!({ "imageLayoutVersion": LAYOUT_VERSION }).to_string().into_bytes(),
            ),
        ];
        for blob in [config, manifest, layer] {
            files.push((format!("blobs/sha256/{}", hex::encode(cose::sha256(&blob))), blob));
        }
        files.sort();
        let mut archive = Builder::new(Vec::new());
        for (path, content) in &files {
            append(&mut archive, path, EntryType::Regular, 0o644, content);
        }
        archive.into_inner().expect(TO_MEMORY)
    }
}

/// A tree as a tar archive without times, owners, or anything else that differs between machines.
pub fn tar_of(tree: &Tree) -> Vec<u8> {
    let mut archive = Builder::new(Vec::new());
    for (path, node) in tree.entries() {
        match node {
            Node::Folder => append(&mut archive, path, EntryType::Directory, 0o755, &[]),
            Node::File { executable, content } => {
                let mode = if *executable { 0o755 } else { 0o644 };
                append(&mut archive, path, EntryType::Regular, mode, content);
            }
            Node::Link { target } => {
                let mut header = header(EntryType::Symlink, 0o777, 0);
                archive.append_link(&mut header, path, target).expect(TO_MEMORY);
            }
        }
    }
    archive.into_inner().expect(TO_MEMORY)
}

fn append(archive: &mut Builder<Vec<u8>>, path: &str, kind: EntryType, mode: u32, content: &[u8]) {
    let mut header = header(kind, mode, content.len() as u64);
    archive.append_data(&mut header, path, content).expect(TO_MEMORY);
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(size);
    header
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut compressor = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    compressor.write_all(plain).expect(TO_MEMORY);
    compressor.finish().expect(TO_MEMORY)
}

fn named(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(cose::sha256(bytes)))
}

fn descriptor(media_type: &str, bytes: &[u8]) -> serde_json::Value {
    json!({ "mediaType": media_type, "digest": named(bytes), "size": bytes.len() })
}

const TO_MEMORY: &str = "writing to memory does not fail";

//! Images that were checked, by the digest of their bytes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use image::{Image, Limits, Node};
use rats::eat::ImageId;
use rustix::fs::{MemfdFlags, SealFlags};
use serde::{Deserialize, Serialize};

use crate::backend::{Crash, Failed};

/// Checked images, kept for the next start. Content decides what an image is, nobody's name.
#[derive(Debug, Default)]
pub(super) struct ImageStore {
    images: Mutex<BTreeMap<[u8; 32], Arc<Prepared>>>,
}

/// An image in the form in which its container gets it.
#[derive(Debug)]
pub(super) struct Prepared {
    /// What it is, for evidence.
    pub(super) id: ImageId,
    /// SHA-256 of its program, where that is a component which the custodian runs itself.
    pub(super) component: Option<[u8; 32]>,
    /// A sealed file without a name: the plan and the tree.
    pub(super) content: File,
}

/// What the custodian is told about the image, before the tree.
#[derive(Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(super) struct Plan {
    pub(super) arguments: Vec<String>,
    pub(super) environment: Vec<String>,
    pub(super) folder: String,
}

impl ImageStore {
    /// An image of these bytes, checked now or before.
    pub(super) fn open(&self, archive: &[u8]) -> Result<Arc<Prepared>, Failed> {
        let digest = cose::sha256(archive);
        let mut images = self.images.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(image) = images.get(&digest) {
            return Ok(Arc::clone(image));
        }
        let image = image::open(
            archive,
            image::architecture(),
            Limits { bytes: IMAGE_BYTES_MAX, ..Limits::DEFAULT },
        )?;
        let prepared = Arc::new(Prepared::new(image).map_err(|_| Crash::NotStarted)?);
        if images.len() >= IMAGES_MAX {
            // Those that run have their own hold on it.
            images.pop_first();
        }
        images.insert(digest, Arc::clone(&prepared));
        Ok(prepared)
    }
}

impl Prepared {
    fn new(image: Image) -> std::io::Result<Self> {
        let program = image.start.arguments.first().and_then(|path| image.tree.find(path));
        let component = match program {
            Some(Node::File { content, .. }) if content.starts_with(COMPONENT) => {
                Some(cose::sha256(content))
            }
            Some(Node::File { .. } | Node::Folder | Node::Link { .. }) | None => None,
        };
        let id = ImageId { manifest: image.manifest_digest, config: image.config_digest };
        let plan = Plan {
            arguments: image.start.arguments,
            environment: image.start.environment,
            folder: image.start.folder,
        };
        let plan = serde_json::to_vec(&plan)?;
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let mut content = File::from(rustix::fs::memfd_create("image", flags)?);
        let length = u32::try_from(plan.len()).map_err(std::io::Error::other)?;
        content.write_all(&length.to_be_bytes())?;
        content.write_all(&plan)?;
        content.write_all(&image::build::tar_of(&image.tree))?;
        let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
        rustix::fs::fcntl_add_seals(&content, seals)?;
        Ok(Self { id, component, content })
    }
}

/// How WebAssembly begins.
pub(super) const COMPONENT: &[u8] = b"\0asm";
const IMAGES_MAX: usize = 8;
pub(crate) const IMAGE_BYTES_MAX: u64 = 64 << 20;

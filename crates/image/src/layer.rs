//! One layer: a tar archive of changes to the tree, which may be compressed.

use std::io::Read;

use flate2::read::GzDecoder;
use tar::{Archive, EntryType};

use crate::tree::{Node, Tree, normal};
use crate::{Limits, Refused};

/// What is left of the limits while layers are read.
#[derive(Debug)]
pub(crate) struct Budget {
    limits: Limits,
    entries: usize,
    bytes: u64,
}

impl Budget {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, entries: limits.entries, bytes: limits.bytes }
    }
}

/// Applies a layer to the tree.
pub(crate) fn apply(
    tree: &mut Tree,
    layer: &[u8],
    compressed: bool,
    budget: &mut Budget,
) -> Result<(), Refused> {
    let ratio = budget.limits.ratio;
    if !compressed {
        return unpack(tree, layer, budget);
    }
    // The archive's own headers count too, so that a bomb of empty entries is one.
    let most = (layer.len() as u64).saturating_mul(ratio).max(RATIO_FROM_BYTES);
    let mut plain = Vec::new();
    let read = GzDecoder::new(layer).take(most + 1).read_to_end(&mut plain);
    if plain.len() as u64 > most {
        return Err(Refused::Ratio(ratio));
    }
    read.map_err(|_| Refused::NotAnArchive("compressed layer"))?;
    unpack(tree, plain.as_slice(), budget)
}

fn unpack(tree: &mut Tree, layer: &[u8], budget: &mut Budget) -> Result<(), Refused> {
    let broken = |_| Refused::NotAnArchive("layer");
    for entry in Archive::new(layer).entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        budget.entries =
            budget.entries.checked_sub(1).ok_or(Refused::Entries(budget.limits.entries))?;
        let path = path(&entry.path_bytes())?;
        if path.is_empty() {
            // The root itself: its rights are not the image's business.
            continue;
        }
        if let Some((folder, name)) = whiteout(&path) {
            match name {
                OPAQUE => tree.empty(folder),
                gone => tree.remove(&join(folder, gone)),
            }
            continue;
        }
        let mode = entry.header().mode().map_err(broken)?;
        let node = match entry.header().entry_type() {
            EntryType::Directory => Node::Folder,
            EntryType::Regular | EntryType::Continuous => {
                if mode & SET_ID != 0 {
                    return Err(Refused::SetUid(path));
                }
                let content = content(&mut entry, budget)?;
                Node::File { executable: mode & 0o111 != 0, content }
            }
            EntryType::Symlink => {
                let target = target(&entry, &path)?;
                let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                if target.starts_with('/') || normal(&format!("{folder}/{target}")).is_none() {
                    return Err(Refused::Link { path, target });
                }
                Node::Link { target }
            }
            EntryType::Link => {
                let target = target(&entry, &path)?;
                hard_link(tree, &path, target, budget)?
            }
            // Extended headers are read by the archive reader.
            EntryType::XGlobalHeader => continue,
            _ => return Err(Refused::Special(path)),
        };
        tree.put(&path, node)?;
    }
    Ok(())
}

fn content(entry: &mut impl Read, budget: &mut Budget) -> Result<Vec<u8>, Refused> {
    let mut content = Vec::new();
    let read = entry.by_ref().take(budget.bytes + 1).read_to_end(&mut content);
    read.map_err(|_| Refused::NotAnArchive("layer"))?;
    budget.bytes = budget
        .bytes
        .checked_sub(content.len() as u64)
        .ok_or(Refused::Bytes(budget.limits.bytes))?;
    Ok(content)
}

/// A second name of a file that is there already; it becomes a file of its own.
fn hard_link(
    tree: &Tree,
    path: &str,
    target: String,
    budget: &mut Budget,
) -> Result<Node, Refused> {
    let named = if target.starts_with('/') { None } else { normal(&target) };
    match named.and_then(|named| tree.get(&named)) {
        Some(Node::File { executable, content }) => {
            budget.bytes = budget
                .bytes
                .checked_sub(content.len() as u64)
                .ok_or(Refused::Bytes(budget.limits.bytes))?;
            Ok(Node::File { executable: *executable, content: content.clone() })
        }
        Some(Node::Folder | Node::Link { .. }) | None => {
            Err(Refused::Link { path: path.to_owned(), target })
        }
    }
}

fn target<R: Read>(entry: &tar::Entry<'_, R>, path: &str) -> Result<String, Refused> {
    let bytes = entry.link_name_bytes().unwrap_or_default();
    let target = std::str::from_utf8(&bytes).map_err(|_| Refused::Path(path.to_owned()))?;
    Ok(target.to_owned())
}

fn path(bytes: &[u8]) -> Result<String, Refused> {
    let shown = || String::from_utf8_lossy(bytes).into_owned();
    let text = std::str::from_utf8(bytes).map_err(|_| Refused::Path(shown()))?;
    let strange = text.starts_with('/')
        || text.contains('\0')
        || text.len() > PATH_BYTES_MAX
        || text.split('/').any(|part| part == ".." || part.len() > NAME_BYTES_MAX);
    if strange {
        return Err(Refused::Path(shown()));
    }
    normal(text).ok_or_else(|| Refused::Path(shown()))
}

/// The folder and the name that a whiteout takes away.
fn whiteout(path: &str) -> Option<(&str, &str)> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    name.strip_prefix(WHITEOUT).map(|name| (folder, name))
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

const NAME_BYTES_MAX: usize = 255;
/// What follows [`WHITEOUT`] in the name that hides everything below its folder.
const OPAQUE: &str = ".wh..opq";
const PATH_BYTES_MAX: usize = 4096;
/// A layer up to this size may be compressed in any way: it is no burden.
const RATIO_FROM_BYTES: u64 = 1 << 20;
const SET_ID: u32 = 0o6000;
const WHITEOUT: &str = ".wh.";

//! The files of an image, checked.

use std::collections::BTreeMap;

use crate::layer::{self, Budget};
use crate::{Limits, Refused};

/// Files, folders and links by their path from the root: no leading slash, no `.`, no `..`.
///
/// Every parent of an entry is a folder of the tree, so who writes it in its order never goes
/// through a link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree(BTreeMap<String, Node>);

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A folder.
    Folder,
    /// A file.
    File {
        /// Whether it can be run.
        executable: bool,
        /// What it holds.
        content: Vec<u8>,
    },
    /// A symbolic link that stays in the tree.
    Link {
        /// Where it leads, from the folder it is in.
        target: String,
    },
}

impl Tree {
    /// The tree of one archive that is not compressed, as [`build::tar_of`](crate::build::tar_of)
    /// writes it; it is checked as any layer is.
    pub fn of_tar(archive: &[u8], limits: Limits) -> Result<Self, Refused> {
        let mut tree = Self::default();
        layer::apply(&mut tree, archive, false, &mut Budget::new(limits))?;
        Ok(tree)
    }

    /// The entries, folders before what they hold.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.0.iter().map(|(path, node)| (path.as_str(), node))
    }

    /// The entry of a path, with links followed, as a program inside would find it.
    pub fn find(&self, path: &str) -> Option<&Node> {
        let mut path = normal(path.trim_start_matches('/'))?;
        for _ in 0..LINKS_MAX {
            let Some((at, target)) = self.first_link(&path) else { return self.0.get(&path) };
            let folder = at.rsplit_once('/').map_or("", |(folder, _)| folder);
            let rest = path[at.len()..].trim_start_matches('/');
            path = normal(&format!("{folder}/{target}/{rest}"))?;
        }
        None
    }

    /// The size of all files, bytes.
    pub fn bytes(&self) -> u64 {
        self.0.values().map(Node::bytes).sum()
    }

    /// Puts an entry in the place of an older one, with the folders above it.
    pub(crate) fn put(&mut self, path: &str, node: Node) -> Result<(), Refused> {
        for (at, _) in path.match_indices('/') {
            match self.0.get(&path[..at]) {
                None => drop(self.0.insert(path[..at].to_owned(), Node::Folder)),
                Some(Node::Folder) => {}
                Some(Node::File { .. } | Node::Link { .. }) => {
                    return Err(Refused::Through(path.to_owned()));
                }
            }
        }
        if node == Node::Folder && self.0.get(path) == Some(&Node::Folder) {
            return Ok(());
        }
        self.remove(path);
        self.0.insert(path.to_owned(), node);
        Ok(())
    }

    /// Takes an entry away, with everything below it.
    pub(crate) fn remove(&mut self, path: &str) {
        self.0.remove(path);
        self.empty(path);
    }

    /// Takes everything below a folder away.
    pub(crate) fn empty(&mut self, path: &str) {
        let below = format!("{path}/");
        self.0.retain(|other, _| !other.starts_with(&below));
    }

    pub(crate) fn get(&self, path: &str) -> Option<&Node> {
        self.0.get(path)
    }

    /// The shortest beginning of a path that is a link, and where it leads.
    fn first_link<'a>(&'a self, path: &'a str) -> Option<(&'a str, &'a str)> {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        ends.map(|end| &path[..end]).find_map(|at| match self.0.get(at) {
            Some(Node::Link { target }) => Some((at, target.as_str())),
            _ => None,
        })
    }
}

impl Node {
    fn bytes(&self) -> u64 {
        match self {
            Self::File { content, .. } => content.len() as u64,
            Self::Folder | Self::Link { .. } => 0,
        }
    }
}

/// A relative path without `.` and `..`; nothing when it leaves the root.
pub(crate) fn normal(path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Links of one path; more are a circle.
const LINKS_MAX: usize = 16;

//! The layout: descriptors, the manifest, the configuration, and blobs named by their digest.

use std::collections::BTreeMap;
use std::io::Read as _;

use serde::Deserialize;
use tar::{Archive, EntryType};

use crate::layer::{self, Budget};
use crate::tree::{Node, Tree};
use crate::{ANY_MACHINE, Limits, Refused, Start};

/// An image that was taken apart and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// SHA-256 of its manifest: the digest by which OCI names an image.
    pub manifest_digest: [u8; 32],
    /// SHA-256 of its configuration.
    pub config_digest: [u8; 32],
    /// How its program is started.
    pub start: Start,
    /// Its files.
    pub tree: Tree,
}

/// Takes an image apart that runs on machines of this architecture (see
/// [`architecture`](crate::architecture)).
///
/// Of several manifests the first one for the architecture counts.
pub fn open(archive: &[u8], architecture: &str, limits: Limits) -> Result<Image, Refused> {
    let files = Files::read(archive, limits)?;
    let layout: LayoutFile = files.json(LAYOUT, "oci-layout")?;
    if layout.version != LAYOUT_VERSION {
        return Err(Refused::Json("oci-layout"));
    }
    let index: Index = files.json(INDEX, "index")?;
    let listed = chosen(&index.manifests, architecture)?;
    let manifest_bytes = files.blob(listed)?;
    let manifest: Manifest =
        serde_json::from_slice(manifest_bytes).map_err(|_| Refused::Json("manifest"))?;
    if manifest.config.media_type != CONFIG {
        return Err(Refused::MediaType(manifest.config.media_type));
    }
    let config_bytes = files.blob(&manifest.config)?;
    let config: Config =
        serde_json::from_slice(config_bytes).map_err(|_| Refused::Json("configuration"))?;
    let fits = [architecture, ANY_MACHINE].contains(&config.architecture.as_str());
    if !fits || config.os != "linux" {
        let seen = format!("{}/{}", config.os, config.architecture);
        return Err(Refused::Architecture { expected: format!("linux/{architecture}"), seen });
    }
    if manifest.layers.len() > limits.layers {
        return Err(Refused::Layers(limits.layers));
    }
    let mut tree = Tree::default();
    let mut budget = Budget::new(limits);
    for descriptor in &manifest.layers {
        let compressed = match descriptor.media_type.as_str() {
            LAYER => false,
            LAYER_GZIP => true,
            other => return Err(Refused::MediaType(other.to_owned())),
        };
        layer::apply(&mut tree, files.blob(descriptor)?, compressed, &mut budget)?;
    }
    let start = config.config.unwrap_or_default().start()?;
    let program = start.arguments.first().ok_or(Refused::NoProgram)?;
    if !matches!(tree.find(program), Some(Node::File { executable: true, .. })) {
        return Err(Refused::Program(program.clone()));
    }
    Ok(Image {
        manifest_digest: cose::sha256(manifest_bytes),
        config_digest: cose::sha256(config_bytes),
        start,
        tree,
    })
}

/// The digest by which OCI names the first image of an archive; nothing of it is checked.
///
/// # Errors
/// [`Refused`], when there is no such image.
pub fn manifest_digest(archive: &[u8]) -> Result<[u8; 32], Refused> {
    let files = Files::read(archive, Limits::DEFAULT)?;
    let index: Index = files.json(INDEX, "index")?;
    let first = index.manifests.first().ok_or_else(|| Refused::Absent("manifest".to_owned()))?;
    Ok(cose::sha256(files.blob(first)?))
}

fn chosen<'a>(listed: &'a [Descriptor], architecture: &str) -> Result<&'a Descriptor, Refused> {
    let fits = |descriptor: &&Descriptor| {
        let platform = descriptor.platform.as_ref();
        platform.is_none_or(|p| [architecture, ANY_MACHINE].contains(&p.architecture.as_str()))
    };
    let chosen = listed.iter().find(fits).ok_or_else(|| {
        let all = listed.iter().filter_map(|d| Some(d.platform.as_ref()?.architecture.clone()));
        let seen = all.collect::<Vec<_>>().join(", ");
        Refused::Architecture { expected: architecture.to_owned(), seen }
    })?;
    if chosen.media_type != MANIFEST {
        return Err(Refused::MediaType(chosen.media_type.clone()));
    }
    Ok(chosen)
}

/// The files of the layout, by path.
struct Files<'a>(BTreeMap<String, &'a [u8]>);

impl<'a> Files<'a> {
    fn read(archive: &'a [u8], limits: Limits) -> Result<Self, Refused> {
        let broken = |_| Refused::NotAnArchive("image");
        let mut files = BTreeMap::new();
        let mut reader = Archive::new(archive);
        for entry in reader.entries().map_err(broken)? {
            let mut entry = entry.map_err(broken)?;
            if files.len() >= limits.entries {
                return Err(Refused::Entries(limits.entries));
            }
            match entry.header().entry_type() {
                EntryType::Regular => {}
                EntryType::Directory | EntryType::XGlobalHeader => continue,
                _ => {
                    let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
                    return Err(Refused::Special(path));
                }
            }
            let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let at = usize::try_from(entry.raw_file_position())
                .map_err(|_| Refused::NotAnArchive("image"))?;
            let length =
                usize::try_from(entry.size()).map_err(|_| Refused::NotAnArchive("image"))?;
            // A sparse file is not where its header says; its blob's digest would differ.
            let end = at.checked_add(length);
            let content = end.and_then(|end| archive.get(at..end));
            let content = content.ok_or(Refused::NotAnArchive("image"))?;
            let mut first = [0];
            let _ = entry.read(&mut first);
            files.insert(path.trim_start_matches("./").to_owned(), content);
        }
        Ok(Self(files))
    }

    fn get(&self, path: &str) -> Result<&'a [u8], Refused> {
        self.0.get(path).copied().ok_or_else(|| Refused::Absent(path.to_owned()))
    }

    fn json<T: for<'de> Deserialize<'de>>(
        &self,
        path: &str,
        what: &'static str,
    ) -> Result<T, Refused> {
        serde_json::from_slice(self.get(path)?).map_err(|_| Refused::Json(what))
    }

    /// A blob that is what its descriptor says.
    fn blob(&self, descriptor: &Descriptor) -> Result<&'a [u8], Refused> {
        let digest = &descriptor.digest;
        let wrong = || Refused::Digest { digest: digest.clone() };
        let name = digest.strip_prefix("sha256:").ok_or_else(wrong)?;
        if name.len() != 64 || !name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let blob = self.get(&format!("blobs/sha256/{name}"))?;
        if blob.len() as u64 != descriptor.size || hex::encode(cose::sha256(blob)) != *name {
            return Err(wrong());
        }
        Ok(blob)
    }
}

/// Only what is used is read: image-spec lets others add members.
#[derive(Deserialize)]
struct LayoutFile {
    #[serde(rename = "imageLayoutVersion")]
    version: String,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Manifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    #[serde(rename = "mediaType")]
    media_type: String,
    digest: String,
    size: u64,
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    architecture: String,
}

#[derive(Deserialize)]
struct Config {
    architecture: String,
    os: String,
    config: Option<Execution>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Execution {
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    env: Option<Vec<String>>,
    working_dir: Option<String>,
}

impl Execution {
    fn start(self) -> Result<Start, Refused> {
        let mut arguments = self.entrypoint.unwrap_or_default();
        arguments.extend(self.cmd.unwrap_or_default());
        let start = Start {
            arguments,
            environment: self.env.unwrap_or_default(),
            folder: self.working_dir.unwrap_or_default(),
        };
        let texts = start.arguments.iter().chain(&start.environment).chain([&start.folder]);
        let (count, bytes) =
            texts.fold((0, 0), |(count, bytes), text| (count + 1, bytes + text.len()));
        if count > TEXTS_MAX || bytes > TEXT_BYTES_MAX {
            return Err(Refused::Json("configuration"));
        }
        Ok(start)
    }
}

pub(crate) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const INDEX: &str = "index.json";
pub(crate) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub(crate) const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub(crate) const LAYOUT: &str = "oci-layout";
pub(crate) const LAYOUT_VERSION: &str = "1.0.0";
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const TEXTS_MAX: usize = 256;
const TEXT_BYTES_MAX: usize = 64 * 1024;

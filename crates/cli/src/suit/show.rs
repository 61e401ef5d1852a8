//! `tamarack suit inspect`: an envelope explained, or turned back into its description.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anstream::println;
use anyhow::{Context as _, Result};
use clap::Args;
use cose::{Algorithm, Key, KeyUnusable, Signer, Thumbprint};
use serde_json::json;
use suit::{
    ComponentId, Envelope, Manifest, Parameter, Section, Sequence, TrustAnchors, Verified,
    authentication::Hint,
    build::{Built, Name},
    command::{Command, Selection},
    parameter::{VendorId, key},
    text::{component_key, manifest_key},
};

use super::{
    build::assemble,
    description::{Arguments, Dependency, Description, Kind, Payload, Place, Text},
    device::{Class, Vendor},
    read,
    refusal::{self, refusal, refused},
    write,
};
use crate::{
    inspect::{Keyring, explain},
    outcome::Failed,
};

/// `tamarack suit inspect`.
#[derive(Debug, Args)]
pub struct Inspect {
    /// The envelope
    #[arg(long, value_name = "FILE")]
    envelope: PathBuf,
    /// Directory with public keys (COSE_Key) to check signatures with
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
    /// Write the description that builds this manifest
    #[arg(long, conflicts_with = "json")]
    toml: bool,
    /// With --toml, where the description and the files that it names go
    #[arg(long, value_name = "DIR", requires = "toml")]
    out: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Inspect {
    /// Runs the command.
    ///
    /// # Errors
    /// See [`Failed`].
    pub fn run(self) -> Result<(), Failed> {
        let bytes = read(&self.envelope, "the envelope")?;
        let what = self.envelope.display().to_string();
        let refuse = |error| refused(refusal::envelope(&what, &error), json!({}));
        Envelope::decode(&bytes).map_err(refuse)?;
        let keys = self.keys.as_deref().map(Keyring::read).transpose()?.unwrap_or_default();
        if self.toml {
            return describe(&bytes, &keys, &what)?.put(self.out.as_deref());
        }
        let found = explain(&bytes, &keys).context("an envelope larger than what is explained")?;
        if self.json {
            println!("{:#}", json!({ "bytes": bytes.len(), "artefact": found.json() }));
        } else {
            println!("{}", found.lines(0).join("\n"));
        }
        Ok(())
    }
}

/// A description with the files that it names.
pub(super) struct Described {
    description: Description,
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Described {
    fn put(&self, out: Option<&Path>) -> Result<(), Failed> {
        let text = self.description.to_toml()?;
        let Some(directory) = out else {
            println!("{}", text.trim_end());
            return Ok(());
        };
        fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
        let own = PathBuf::from(format!("{}.toml", self.description.name));
        let files = self.files.iter().map(|(name, bytes)| (name, bytes.as_slice()));
        for (name, bytes) in files.chain([(&own, text.as_bytes())]) {
            let path = directory.join(name);
            write(&path, bytes)?;
            println!("{}", path.display());
        }
        Ok(())
    }
}

/// The description of an envelope, proven: it builds the same manifest and the same payloads.
fn describe(bytes: &[u8], keys: &Keyring, what: &str) -> Result<Described, Failed> {
    let refuse = |error| refused(refusal::envelope(what, &error), json!({}));
    let anchors = Carried { keys, seen: RefCell::default() };
    let verified = Envelope::decode(bytes)
        .and_then(|envelope| envelope.authenticate(&anchors, &suit::SIGNATURES))
        .map_err(refuse)?;
    let mut seen = anchors.seen.into_inner();
    let signer = verified.signer_thumbprint();
    let key = signer.and_then(|signer| seen.remove(&signer)).context("a signer without a key")?;
    let described = extract(&verified)
        .ok_or_else(|| inexpressible(what, "it has another structure".to_owned()))?;
    let files = |path: &Path| described.files.get(path).cloned().context("no such file");
    let stand_in = StandIn { key };
    let built = assemble(&described.description, &files, None, &stand_in)
        .map_err(|failed| inexpressible(what, because(failed)))?;
    match difference(&verified, &built) {
        Some(difference) => Err(inexpressible(what, difference)),
        None => Ok(described),
    }
}

/// Believes the key in the envelope and the listed ones, and remembers them.
struct Carried<'a> {
    keys: &'a Keyring,
    seen: RefCell<BTreeMap<Thumbprint, Key>>,
}

impl TrustAnchors for Carried<'_> {
    fn keys(&self, hint: &Hint<'_>) -> Vec<Key> {
        let keys: Vec<Key> = hint.key.into_iter().chain(self.keys.keys()).cloned().collect();
        let named = keys.iter().map(|key| (key.thumbprint(), key.clone()));
        self.seen.borrow_mut().extend(named);
        keys
    }
}

fn inexpressible(what: &str, seen: String) -> Failed {
    let refusal = refusal(
        "suit.describable",
        "a manifest as `tamarack suit build` makes it",
        format!("{what}: {seen}"),
        "nobody: a valid manifest may say more than a description",
        "look at it with `tamarack suit inspect` without --toml",
    );
    refused(refusal, json!({}))
}

fn because(failed: Failed) -> String {
    match failed {
        Failed::Refused { refusal, .. } => refusal.seen,
        Failed::Unusable(error) | Failed::Unreachable(error) => format!("{error:#}"),
    }
}

/// Builds for comparison: it has the owner's name and cannot sign.
struct StandIn {
    key: Key,
}

impl Signer for StandIn {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Esp256
    }

    fn key(&self) -> &Key {
        &self.key
    }

    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, KeyUnusable> {
        Ok(vec![0; 64])
    }
}

/// What in an envelope differs from what its description builds.
fn difference(verified: &Verified<'_>, built: &Built) -> Option<String> {
    let again = Envelope::decode(&built.envelope).ok()?;
    if verified.envelope().payloads() != again.payloads() {
        return Some("it has other integrated payloads".to_owned());
    }
    let (one, other) = (verified.manifest(), again.unverified_manifest().ok()?);
    if verified.envelope().manifest_bytes() == again.manifest_bytes() && *one == other {
        return None;
    }
    let keys = one.sections.keys().chain(other.sections.keys());
    if let Some(section) = keys.into_iter().find(|key| one.section(**key) != other.section(**key)) {
        return Some(format!("its section {section} has other commands"));
    }
    Some(if one.common != other.common {
        "its components or its shared sequence are others".to_owned()
    } else if one.text != other.text {
        "its text says more, or was severed".to_owned()
    } else {
        "it has members that no description has".to_owned()
    })
}

/// Reads a manifest as if it had been built here.
fn extract(verified: &Verified<'_>) -> Option<Described> {
    let manifest = verified.manifest();
    let mut files = BTreeMap::new();
    let of_root = !manifest.common.dependencies.is_empty();
    let shared = values(manifest.common.shared.as_ref());
    let text = text(manifest);
    let mut description = Description {
        kind: kind(manifest),
        name: name(manifest.component_id.as_ref()?)?,
        sequence: manifest.sequence_number,
        vendor: Vendor::default(),
        class: Class::default(),
        reference_uri: manifest.reference_uri.map(str::to_owned),
        arguments: None,
        payload: None,
        text,
        dependencies: Vec::new(),
    };
    for parameter in shared.get(&0)?.values() {
        match parameter {
            Parameter::VendorId(VendorId::Uuid(id)) => description.vendor = Vendor(*id),
            Parameter::ClassId(id) => description.class = Class(*id),
            _ => {}
        }
    }
    if of_root {
        let resolution = values(section(manifest, Section::DependencyResolution));
        for (index, place) in (0..).zip(&manifest.common.components) {
            let all = merged(shared.get(&index)?, resolution.get(&index)?);
            description.dependencies.push(dependency(verified, index, place, &all, &mut files)?);
        }
    } else {
        let install = values(section(manifest, Section::Install));
        let all = merged(shared.get(&0)?, install.get(&0)?);
        description.payload = Some(payload(verified, &description.name, &all, &mut files)?);
        let invoke = values(section(manifest, Section::Invoke));
        let arguments = invoke.get(&0).and_then(|all| all.get(&key::INVOKE_ARGS));
        if let Some(Parameter::InvokeArgs(bytes)) = arguments {
            description.arguments = Some(Arguments::of(bytes));
        }
    }
    Some(Described { description, files })
}

/// A TA is started, and Personalization Data is not; otherwise their manifests are alike.
fn kind(manifest: &Manifest<'_>) -> Kind {
    let outside = manifest.common.components.first().is_some_and(ComponentId::is_in_ree);
    if !manifest.common.dependencies.is_empty() {
        Kind::Root
    } else if outside {
        Kind::Ua
    } else if manifest.sections.contains_key(&Section::Invoke) {
        Kind::Ta
    } else {
        Kind::Pd
    }
}

/// The name of a manifest's component. What is no name could be a path, and names become files.
fn name(manifest_component: &ComponentId) -> Option<String> {
    let name = manifest_component.name()?.strip_suffix(".suit")?;
    Name::new(name).ok().map(|name| name.as_str().to_owned())
}

fn section<'m, 'b>(manifest: &'m Manifest<'b>, section: Section) -> Option<&'m Sequence<'b>> {
    manifest.section(section)?.content()
}

type Values<'b> = BTreeMap<i64, Parameter<'b>>;

/// The parameters that a sequence sets, by component index.
fn values<'b>(sequence: Option<&Sequence<'b>>) -> BTreeMap<u64, Values<'b>> {
    let mut found: BTreeMap<u64, Values<'b>> = BTreeMap::from([(0, BTreeMap::new())]);
    let mut index = 0;
    for (_, command) in sequence.into_iter().flat_map(Sequence::commands) {
        match command {
            Command::SetComponentIndex(Selection::One(selected)) => index = selected,
            Command::OverrideParameters(parameters) => {
                let all = found.entry(index).or_default();
                all.extend(parameters.iter().map(|one| (one.key(), one)));
            }
            _ => {}
        }
    }
    found
}

fn merged<'b>(one: &Values<'b>, other: &Values<'b>) -> Values<'b> {
    one.clone().into_iter().chain(other.clone()).collect()
}

/// Digest, size and URI.
fn source<'b>(all: &Values<'b>) -> Option<(String, u64, &'b str)> {
    let (digest, size, uri) =
        (all.get(&key::IMAGE_DIGEST)?, all.get(&key::IMAGE_SIZE)?, all.get(&key::URI)?);
    match (digest, size, uri) {
        (Parameter::ImageDigest(digest), Parameter::ImageSize(size), Parameter::Uri(uri)) => {
            Some((hex::encode(digest.bytes()), *size, uri))
        }
        _ => None,
    }
}

fn payload(
    verified: &Verified<'_>,
    name: &str,
    all: &Values<'_>,
    files: &mut BTreeMap<PathBuf, Vec<u8>>,
) -> Option<Payload> {
    let (sha256, size, uri) = source(all)?;
    if !uri.starts_with('#') {
        let (uri, sha256, size) = (Some(uri.to_owned()), Some(sha256), Some(size));
        return Some(Payload { uri, sha256, size, ..Payload::default() });
    }
    let file = PathBuf::from(format!("{name}.payload"));
    files.insert(file.clone(), verified.envelope().payloads().get(uri)?.to_vec());
    Some(Payload { file: Some(file), ..Payload::default() })
}

fn dependency(
    verified: &Verified<'_>,
    index: u64,
    place: &ComponentId,
    all: &Values<'_>,
    files: &mut BTreeMap<PathBuf, Vec<u8>>,
) -> Option<Dependency> {
    let (sha256, size, uri) = source(all)?;
    if uri.starts_with('#') {
        let file = PathBuf::from(format!("{index}-{}.suit", name(place)?));
        files.insert(file.clone(), verified.envelope().payloads().get(uri)?.to_vec());
        return Some(Dependency { file: Some(file), ..Dependency::default() });
    }
    let outside = place.parts().get(1).is_some_and(|part| part == b"REE");
    Some(Dependency {
        file: None,
        uri: Some(uri.to_owned()),
        name: Some(name(place)?),
        place: Some(if outside { Place::Ree } else { Place::Tee }),
        sha256: Some(sha256),
        size: Some(size),
    })
}

/// The text in the first language.
fn text(manifest: &Manifest<'_>) -> Option<Text> {
    let languages = manifest.text.as_ref()?.content()?.languages();
    let (tag, words) = languages.first_key_value()?;
    let part = words.components.values().next();
    let of_part = |key| part.and_then(|part| part.get(&key)).map(|text| (*text).to_owned());
    Some(Text {
        language: (*tag).to_owned(),
        manifest: words.manifest.get(&manifest_key::DESCRIPTION).map(|text| (*text).to_owned()),
        component: of_part(component_key::DESCRIPTION),
        vendor_name: of_part(component_key::VENDOR_NAME),
        vendor_domain: of_part(component_key::VENDOR_DOMAIN),
        model_name: of_part(component_key::MODEL_NAME),
        version: of_part(component_key::VERSION),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_component_becomes_a_file_outside_the_directory() {
        let named = |text: &str| name(&ComponentId::new([text]).unwrap());

        assert_eq!(named("planner.suit").as_deref(), Some("planner"));
        for hostile in ["../x.suit", "/x.suit", "a/b.suit", "..suit", ".suit", "planner"] {
            assert_eq!(named(hostile), None, "{hostile}");
        }
    }
}

//! `tamarack suit build`: from a description to a signed envelope.

use std::path::{Path, PathBuf};

use anstream::println;
use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use cose::{
    Key, Signer,
    encrypt::{ContentKey, Recipient},
};
use keys::{AgreementKey, SystemEntropy};
use serde_json::json;
use suit::{
    Anchors, ComponentId, Digest, Envelope, authority,
    build::{Built, Delivery, Name, Payload as Content, Pd, Root, Ta, Ua, Uri},
    encryption::{self, Sealed},
};

use super::{
    description::{Arguments, Dependency, Description, Kind, Payload, Place, sha256},
    read,
    refusal::{self, refused},
    signer, write,
};
use crate::{home::Home, outcome::Failed};

/// `tamarack suit build`.
#[derive(Debug, Args)]
pub struct Build {
    /// The description (TOML)
    #[arg(long, value_name = "FILE")]
    description: PathBuf,
    /// Where the envelope goes
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The owner's signing key: a file, or a `pkcs11:` URI [default: the key of `tamarack init`]
    #[arg(long, value_name = "KEY")]
    key: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Build {
    /// Runs the command.
    ///
    /// # Errors
    /// See [`Failed`].
    pub fn run(self, home: &dyn Fn() -> Result<Home>) -> Result<(), Failed> {
        let shown = self.description.display();
        let text = read(&self.description, "the description")?;
        let text = String::from_utf8(text).with_context(|| format!("{shown} is not text"))?;
        let description =
            Description::parse(&text).with_context(|| format!("{shown} describes no manifest"))?;
        let key = match self.key {
            Some(key) => key,
            None => home()?.owner_key(),
        };
        let owner = signer::load(&key).context("the owner's key")?;
        let directory = self.description.parent().unwrap_or(Path::new(""));
        let files = |file: &Path| read(&directory.join(file), "the file");
        let sealed = sealed(&description, &files)?;
        let built = assemble(&description, &files, sealed.as_ref(), owner.as_ref())?;
        write(&self.out, &built.envelope)?;
        let encryption = description.payload.as_ref().and_then(|all| all.encryption.as_ref());
        if let (Some(out), Some(sealed)) = (encryption.and_then(|it| it.out.as_ref()), &sealed) {
            write(&directory.join(out), &sealed.ciphertext)?;
        }
        if self.json {
            println!("{}", json!(Summary::of(&built)));
        } else {
            println!("{}: {}", self.out.display(), built.manifest_component);
            println!("  manifest digest {}", built.digest);
            println!("  {} bytes, signed by {}", built.envelope.len(), built.owner);
        }
        Ok(())
    }
}

/// What was built, for programs.
#[derive(serde::Serialize)]
struct Summary {
    manifest_component: String,
    component: Option<String>,
    digest: String,
    owner: String,
    bytes: usize,
}

impl Summary {
    fn of(built: &Built) -> Self {
        Self {
            manifest_component: built.manifest_component.to_string(),
            component: built.component.as_ref().map(ToString::to_string),
            digest: built.digest.to_string(),
            owner: built.owner.to_string(),
            bytes: built.envelope.len(),
        }
    }
}

/// Reads a file that a description names.
type Files<'a> = &'a dyn Fn(&Path) -> Result<Vec<u8>>;

/// Builds what a description says.
///
/// # Errors
/// [`Failed::Unusable`] where the description cannot be built, [`Failed::Refused`] where a part of
/// a package is not authentic.
pub(super) fn assemble(
    description: &Description,
    files: Files<'_>,
    sealed: Option<&Sealed>,
    owner: &dyn Signer,
) -> Result<Built, Failed> {
    let name = Name::new(&description.name).context("`name`")?;
    if description.kind == Kind::Root {
        return root(description, name, files, owner);
    }
    let payload = description.payload.as_ref().context("[payload] is missing")?;
    let content = payload.file.as_deref().map(files).transpose()?;
    let content = payload.content(content.as_deref())?;
    let content = sealed.into_iter().fold(content, Content::encrypted);
    let arguments = description.arguments.as_ref().map(Arguments::bytes).transpose()?;
    let arguments = arguments.as_deref();
    let (sequence, compatibility) = (description.sequence, description.compatibility());
    macro_rules! finish {
        ($builder:expr) => {{
            let mut builder = $builder;
            if let Some(text) = &description.text {
                builder = builder.described(text.words());
            }
            if let Some(uri) = description.reference()? {
                builder = builder.referenced_at(uri);
            }
            builder.sign(owner)
        }};
    }
    let built = match description.kind {
        Kind::Ta => {
            finish!(Ta::new(name, sequence, compatibility, content).invocable(arguments))
        }
        Kind::Ua => {
            finish!(Ua::new(name, sequence, compatibility, content).invocable(arguments))
        }
        Kind::Pd | Kind::Root => finish!(Pd::new(name, sequence, compatibility, content)),
    };
    Ok(built.context("building the manifest")?)
}

/// Encrypts the payload for its receivers, if the description names some.
fn sealed(description: &Description, files: Files<'_>) -> Result<Option<Sealed>> {
    let payload = description.payload.as_ref();
    let Some((payload, encryption)) = payload.and_then(|it| Some((it, it.encryption.as_ref()?)))
    else {
        return Ok(None);
    };
    let plaintext = files(payload.file.as_deref().context("`payload.file`")?)?;
    let mut receivers = Vec::new();
    for file in &encryption.receivers {
        let receiver = Key::decode(&files(file)?);
        let receiver = receiver.with_context(|| format!("{} is no COSE_Key", file.display()))?;
        let ephemeral = AgreementKey::generate(receiver.curve());
        let ephemeral = ephemeral.with_context(|| format!("a key for {}", file.display()))?;
        receivers.push((receiver, ephemeral));
    }
    let recipients: Vec<Recipient<'_>> = receivers
        .iter()
        .map(|(receiver, ephemeral)| Recipient::Agreement { receiver, ephemeral })
        .collect();
    let key = ContentKey::draw(encryption.cipher.algorithm(), &mut SystemEntropy);
    let sealed = encryption::seal(key, &recipients, &plaintext);
    Ok(Some(sealed.context("encrypting the payload")?))
}

fn root(
    description: &Description,
    name: Name,
    files: Files<'_>,
    owner: &dyn Signer,
) -> Result<Built, Failed> {
    let mut parts = Vec::new();
    for dependency in &description.dependencies {
        parts.push((dependency.part(files, owner)?, dependency.delivery()?));
    }
    let mut root = Root::new(name, description.sequence, description.compatibility());
    for (part, delivery) in &parts {
        root = root.with(part, delivery.clone());
    }
    if let Some(text) = &description.text {
        root = root.described(text.words());
    }
    if let Some(uri) = description.reference()? {
        root = root.referenced_at(uri);
    }
    Ok(root.sign(owner).context("building the manifest")?)
}

impl Payload {
    fn content<'a>(&self, file: Option<&'a [u8]>) -> Result<Content<'a>> {
        let uri = self.uri.as_deref().map(Uri::new).transpose().context("`payload.uri`")?;
        let measured = (&self.sha256, self.size);
        Ok(match (file, uri, measured) {
            (Some(content), None, (None, None)) => Content::integrated(content),
            (Some(content), Some(uri), (None, None)) => Content::at(uri, content),
            (None, Some(uri), (Some(digest), Some(size))) => {
                Content::measured(uri, sha256(digest).context("[payload]")?, size)
            }
            (Some(_), ..) => {
                bail!("[payload] has `file`, which is measured: drop `sha256`, `size`")
            }
            (None, ..) => bail!("[payload] needs `file`, or else `uri`, `sha256` and `size`"),
        })
    }
}

impl Dependency {
    fn delivery(&self) -> Result<Delivery> {
        Ok(match &self.uri {
            None => Delivery::Integrated,
            Some(uri) => Delivery::At(Uri::new(uri).context("`dependency.uri`")?),
        })
    }

    /// The part: its authentic envelope, or what the description tells of it.
    fn part(&self, files: Files<'_>, owner: &dyn Signer) -> Result<Built, Failed> {
        let told = (&self.name, self.place, &self.sha256, self.size);
        match (&self.file, told) {
            (Some(file), (None, None, None, None)) => {
                let bytes = files(file)?;
                authentic(&file.display().to_string(), bytes)
            }
            (None, (Some(name), place, Some(digest), Some(size))) if self.uri.is_some() => {
                let name = Name::new(name).context("`dependency.name`")?;
                let digest = sha256(digest).context("[[dependency]]")?;
                Ok(remote(&name, place.unwrap_or(Place::Tee), digest, size, owner)?)
            }
            (Some(_), _) => Err(Failed::Unusable(anyhow::anyhow!(
                "[[dependency]] has `file`, which tells the rest: drop all but `file` and `uri`"
            ))),
            (None, _) => Err(Failed::Unusable(anyhow::anyhow!(
                "[[dependency]] needs `file`, or else `uri`, `name`, `sha256` and `size`"
            ))),
        }
    }
}

/// A part that its own signature answers for.
fn authentic(what: &str, bytes: Vec<u8>) -> Result<Built, Failed> {
    let anchors = Anchors::none().with_self_certified();
    let verified = Envelope::decode(&bytes)
        .and_then(|envelope| envelope.authenticate(&anchors, &suit::SIGNATURES))
        .and_then(|verified| {
            authority::owner_prefix(&verified)?;
            Ok(verified)
        })
        .map_err(|error| {
            let what = format!("the dependency {what}");
            refused(refusal::envelope(&what, &error), json!({}))
        })?;
    let manifest = verified.manifest();
    let manifest_component = manifest.identity().clone();
    let component = manifest.common.components.first().cloned();
    let owner = verified.signer_thumbprint().context("a part is signed by a key")?;
    let (digest, component) =
        (verified.digest(), component.filter(|_| manifest.common.dependencies.is_empty()));
    Ok(Built { envelope: bytes, digest, owner, manifest_component, component })
}

/// A part that is not at hand: the root needs its place, its digest and its size alone.
fn remote(
    name: &Name,
    place: Place,
    sha256: [u8; 32],
    size: u64,
    owner: &dyn Signer,
) -> Result<Built> {
    ensure!(size <= ENVELOPE_BYTES_MAX, "`dependency.size` is above {ENVELOPE_BYTES_MAX} bytes");
    let owner = owner.key().thumbprint();
    let component = match place {
        Place::Tee => ComponentId::in_tee(owner, name.as_str()),
        Place::Ree => ComponentId::in_ree(owner, name.as_str()),
    }?;
    Ok(Built {
        envelope: vec![0; usize::try_from(size)?],
        digest: Digest::sha256(sha256),
        owner,
        manifest_component: component.manifest()?,
        component: Some(component),
    })
}

const ENVELOPE_BYTES_MAX: u64 = 16 << 20;

//! `tamarack suit verify`: who signed, what the signer may touch, and every digest.

use std::path::PathBuf;

use anstream::println;
use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};
use suit::{Digest, Envelope, Manifest, Severable, Signer, Verified, authority};

use super::{
    binding::{Binding, bindings},
    read,
    refusal::{self, refusal, refused},
    told::plain,
    trust::{Trust, Trusted},
};
use crate::outcome::Failed;

/// `tamarack suit verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// The envelope
    #[arg(long, value_name = "FILE")]
    envelope: PathBuf,
    #[command(flatten)]
    trust: Trust,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What was found about an envelope.
#[derive(Debug, Default, Serialize)]
struct Findings {
    signer: String,
    rejected_signatures: Vec<String>,
    digest: String,
    sequence_number: u64,
    components: Vec<Component>,
    severable: Vec<Member>,
    payloads: Vec<Payload>,
    elsewhere: Vec<Remote>,
}

#[derive(Debug, Serialize)]
struct Component {
    component: String,
    authority: &'static str,
}

#[derive(Debug, Serialize)]
struct Member {
    member: String,
    state: &'static str,
    digest: Option<String>,
}

#[derive(Debug, Serialize)]
struct Payload {
    payload: String,
    bytes: usize,
    sha256: String,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dependency: Option<Box<Findings>>,
}

/// What is not in the envelope.
#[derive(Debug, PartialEq, Serialize)]
struct Remote {
    uri: String,
    state: &'static str,
    digest: Option<String>,
    bytes: Option<u64>,
}

impl Verify {
    /// Runs the command.
    ///
    /// # Errors
    /// See [`Failed`].
    pub fn run(self) -> Result<(), Failed> {
        let bytes = read(&self.envelope, "the envelope")?;
        let trusted = self.trust.read()?;
        let findings = findings(&self.envelope.display().to_string(), &bytes, &trusted)?;
        if self.json {
            println!("{:#}", json!({ "verified": true, "envelope": findings }));
        } else {
            println!("{}: verified", self.envelope.display());
            findings.lines("  ").iter().for_each(|line| println!("{}", plain(line)));
        }
        Ok(())
    }
}

/// An envelope that somebody answers for, with authority over all that it names.
///
/// # Errors
/// [`Failed::Refused`] with what is not so.
pub(super) fn trusted<'b>(
    what: &str,
    bytes: &'b [u8],
    trusted: &Trusted,
) -> Result<Verified<'b>, Failed> {
    let verified = Envelope::decode(bytes)
        .and_then(|envelope| envelope.authenticate(&*trusted.anchors, &trusted.accept))
        .and_then(|verified| {
            authority::check(&*trusted.authority, verified.signer(), verified.manifest())?;
            Ok(verified)
        });
    verified.map_err(|error| refused(refusal::envelope(what, &error), json!({ "verified": false })))
}

fn findings(what: &str, bytes: &[u8], trust: &Trusted) -> Result<Findings, Failed> {
    let verified = trusted(what, bytes, trust)?;
    let manifest = verified.manifest();
    let named = manifest.component_id.iter().chain(&manifest.common.components);
    let authority = |id: &suit::ComponentId| match id.owner() {
        Some(_) => "the signer's own",
        None => "names no owner; given by --keys",
    };
    let components =
        named.map(|id| Component { component: id.to_string(), authority: authority(id) });
    let rejected = verified.rejected_blocks().iter();
    let rejected = rejected
        .map(|(place, error)| format!("{}: {:#}", place + 1, anyhow::Error::new(error.clone())));
    Ok(Findings {
        signer: signer(&verified, trust),
        rejected_signatures: rejected.collect(),
        digest: verified.digest().to_string(),
        sequence_number: manifest.sequence_number,
        components: components.collect(),
        severable: severable(manifest),
        payloads: payloads(what, &verified, trust)?,
        elsewhere: elsewhere(&verified),
    })
}

fn signer(verified: &Verified<'_>, trust: &Trusted) -> String {
    match verified.signer() {
        Signer::Key(thumbprint) => match trust.names.name(thumbprint) {
            Some(name) => format!("{thumbprint} ({name})"),
            None => thumbprint.to_string(),
        },
        Signer::Secret(digest) => format!("who knows the secret {}", hex::encode(digest)),
    }
}

fn severable(manifest: &Manifest<'_>) -> Vec<Member> {
    let sections = manifest.sections.iter().filter(|(section, _)| section.is_severable());
    let sections = sections.map(|(section, member)| state(section.to_string(), member));
    let coswid = manifest.coswid.iter().map(|member| state("coswid".to_owned(), member));
    let text = manifest.text.iter().map(|member| state("text".to_owned(), member));
    sections.chain(coswid).chain(text).collect()
}

fn state<T>(member: String, content: &Severable<T>) -> Member {
    let (state, digest) = match content {
        Severable::Inline(_) => ("in the manifest", None),
        Severable::Attached(digest, _) => ("severable, present, digest checked", Some(digest)),
        Severable::Severed(digest) => ("severed", Some(digest)),
    };
    Member { member, state, digest: digest.map(ToString::to_string) }
}

fn elsewhere(verified: &Verified<'_>) -> Vec<Remote> {
    let mut found = Vec::new();
    let here = verified.envelope().payloads();
    let bindings = bindings(verified.manifest()).into_iter();
    for binding in bindings.filter(|one| !here.contains_key(one.uri.as_str())) {
        let integrated = binding.uri.starts_with('#');
        let remote = Remote {
            uri: binding.uri,
            state: if integrated { "not in the envelope" } else { "fetched" },
            digest: binding.digest.map(|digest| digest.to_string()),
            bytes: binding.size,
        };
        if !found.contains(&remote) {
            found.push(remote);
        }
    }
    found
}

fn payloads(what: &str, verified: &Verified<'_>, trust: &Trusted) -> Result<Vec<Payload>, Failed> {
    let bindings = bindings(verified.manifest());
    let mut found = Vec::new();
    for (name, content) in verified.envelope().payloads() {
        let mut payload = Payload {
            payload: (*name).to_owned(),
            bytes: content.len(),
            sha256: hex::encode(cose::sha256(content)),
            state: "nothing fetches it",
            dependency: None,
        };
        for binding in bindings.iter().filter(|binding| binding.uri == *name) {
            let here = format!("{what}, payload {name}");
            if verified.manifest().common.dependencies.contains_key(&binding.index) {
                payload.dependency = Some(Box::new(dependency(&here, content, binding, trust)?));
                payload.state = "a dependency, digest of its manifest checked";
            } else {
                payload.state = bound(&here, content, binding)?;
            }
        }
        found.push(payload);
    }
    Ok(found)
}

fn dependency(
    what: &str,
    content: &[u8],
    binding: &Binding,
    trust: &Trusted,
) -> Result<Findings, Failed> {
    let digest = trusted(what, content, trust)?.digest();
    if binding.digest != Some(digest) {
        return Err(unbound(what, binding, digest.to_string()));
    }
    findings(what, content, trust)
}

fn bound(what: &str, content: &[u8], binding: &Binding) -> Result<&'static str, Failed> {
    if binding.encrypted {
        return Ok("encrypted: its digest is that of the plaintext");
    }
    let Some(expected) = binding.digest else {
        return Err(unbound(what, binding, "no digest".to_owned()));
    };
    let seen = Digest::of(expected.algorithm(), content).map_err(suit::Error::from);
    let seen = seen.map_err(|error| refused(refusal::envelope(what, &error), json!({})))?;
    if seen != expected || binding.size.is_some_and(|size| size != content.len() as u64) {
        return Err(unbound(what, binding, format!("{seen}, {} bytes", content.len())));
    }
    Ok("digest checked")
}

fn unbound(what: &str, binding: &Binding, seen: String) -> Failed {
    let digest = binding.digest.map(|digest| digest.to_string());
    let size = binding.size.map(|size| format!(", {size} bytes")).unwrap_or_default();
    let expected = match digest {
        Some(digest) => format!("{digest}{size}"),
        None => "a digest in the manifest that binds the payload".to_owned(),
    };
    let refusal = refusal(
        "suit.payload",
        &expected,
        format!("{what} has {seen}"),
        "whoever changed the envelope, or its author",
        "take the envelope from its author again, or build it again",
    );
    refused(refusal, json!({ "verified": false }))
}

impl Findings {
    fn lines(&self, indentation: &str) -> Vec<String> {
        let mut lines = vec![
            format!("signed by {}", self.signer),
            format!("manifest digest {}", self.digest),
            format!("sequence number {}", self.sequence_number),
        ];
        let rejected = self.rejected_signatures.iter();
        lines.extend(rejected.map(|one| format!("warning: signature {one}")));
        let components = self.components.iter();
        lines.extend(components.map(|one| format!("{}: {}", one.component, one.authority)));
        lines.extend(self.severable.iter().map(|one| {
            let digest = one.digest.as_ref().map(|digest| format!(" {digest}"));
            format!("{}: {}{}", one.member, one.state, digest.unwrap_or_default())
        }));
        let mut lines: Vec<String> =
            lines.into_iter().map(|line| format!("{indentation}{line}")).collect();
        for one in &self.payloads {
            let Payload { payload, bytes, sha256, state, .. } = one;
            lines.push(format!("{indentation}{payload}: {state}"));
            lines.push(format!("{indentation}  {bytes} bytes, SHA-256 {sha256}"));
            if let Some(inside) = &one.dependency {
                lines.extend(inside.lines(&format!("{indentation}  ")));
            }
        }
        for Remote { uri, state, digest, bytes } in &self.elsewhere {
            let digest = digest.as_deref().unwrap_or("no digest");
            let bytes = bytes.map(|bytes| format!(", {bytes} bytes")).unwrap_or_default();
            lines.push(format!("{indentation}{uri}: {state}, {digest}{bytes}"));
        }
        lines
    }
}

/// The summary of an envelope that programs read beside what a run reports.
pub(super) fn summary(verified: &Verified<'_>, trust: &Trusted) -> Value {
    json!({
        "signer": signer(verified, trust),
        "digest": verified.digest().to_string(),
        "sequence_number": verified.manifest().sequence_number,
    })
}

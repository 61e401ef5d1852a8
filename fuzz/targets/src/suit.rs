//! SUIT envelopes, from bytes to a procedure that has ended, and SUIT reports.

use std::collections::BTreeMap;
use std::sync::Arc;

use cose::cbor::{Limits as CborLimits, check};
use cose::{Accept, Header, Payload, Signer as _};
use minicbor::data::{Tag, Type};
use minicbor::{Decoder, Encoder};
use suit::authority::{AnyComponent, Authority as _, OwnerPrefix};
use suit::process::{Ending, Obstacle, References};
use suit::report::{self, Properties};
use suit::{
    Anchors, ComponentId, Context, Device, Digest, DigestAlgorithm, Envelope, Intake, Limits,
    Outcome, Parameter, Procedure, Processor, Report, Request, Uuid, Verified, encryption,
};

use crate::known::{ED25519, NOW, REPORTER, SILENT};

/// An envelope is decoded, authenticated and processed; then again with its manifest signed by a
/// known owner, so that every manifest gets behind the signature.
pub fn suit_envelope(bytes: &[u8]) {
    let Ok(envelope) = Envelope::decode(bytes) else { return };
    let again = envelope.encode();
    let decoded = Envelope::decode(&again).expect("an encoded envelope is an envelope");
    assert_eq!(decoded.manifest_bytes(), envelope.manifest_bytes());
    assert_eq!(decoded.authentication(), envelope.authentication());
    assert_eq!(decoded.payloads(), envelope.payloads());
    assert_eq!(decoded.encode(), again, "the encoding is not stable");

    let silent = SILENT.iter().fold(Anchors::none(), |all, key| all.with_key((*key).clone()));
    let believed = envelope.clone().authenticate(&silent, &Accept::WITH_LEGACY);
    assert!(believed.is_err(), "a manifest of nobody is believed");
    let anchors = Anchors::none().with_self_certified();
    if let Ok(verified) = envelope.clone().authenticate(&anchors, &Accept::WITH_LEGACY) {
        process(&verified);
    }
    manifest_is_stable(bytes, &envelope);
    let resigned = resigned(bytes, envelope.manifest_bytes());
    let envelope = Envelope::decode(&resigned).expect("a signed envelope is an envelope");
    if let Ok(verified) = envelope.authenticate(&anchors, &Accept::CURRENT) {
        assert_eq!(verified.signer_thumbprint(), Some(ED25519.key().thumbprint()));
        process(&verified);
    }
}

/// Opens a payload as it streams in.
fn in_pieces(
    info: &encryption::Info<'_>,
    opener: &cose::encrypt::Opener<'_>,
    ciphertext: &[u8],
) -> Option<cose::Secret> {
    let limit = ciphertext.len() as u64;
    let mut intake = Intake::encrypted(info, opener, DigestAlgorithm::Sha256, limit).ok()?;
    let mut text = Vec::new();
    let mut sink = |piece: &[u8]| {
        text.extend_from_slice(piece);
        Ok(())
    };
    ciphertext.chunks(7).try_for_each(|piece| intake.take(piece, &mut sink)).ok()?;
    let measured = intake.finish(&mut sink).ok()?;
    assert_eq!(measured.digest, Digest::sha256(cose::sha256(&text)));
    Some(cose::Secret::new(text))
}

/// A report comes back from its encoding, and none is believed that nobody signed.
pub fn suit_report(bytes: &[u8]) {
    for key in &SILENT {
        assert!(report::unprotect(bytes, key, &Accept::WITH_LEGACY).is_err());
    }
    let _ = report::unprotect_mac(bytes, &crate::known::secret(), &report::Opening::Readable);
    if let Ok(report) = Report::decode(bytes) {
        report_is_stable(&report);
        let signed = report::protect(&report, &*REPORTER).expect("the key signs");
        let opened = report::unprotect(&signed, REPORTER.key(), &Accept::CURRENT);
        assert_eq!(opened.map(|opened| opened.report), Ok(report));
    }
    if let Ok((component, properties)) = Properties::decode_system(bytes) {
        let again = Properties::decode_system(&properties.encode_system(&component));
        assert_eq!(again, Ok((component, properties)));
    }
    if let Ok(references) = References::decode(bytes) {
        assert_eq!(References::decode(&references.encode()), Ok(references));
    }
    if let Ok(component) = ComponentId::decode(bytes) {
        assert_eq!(ComponentId::decode(&component.encode()), Ok(component));
    }
    if let Ok(digest) = Digest::decode(bytes) {
        assert_eq!(Digest::decode(&digest.encode()), Ok(digest));
    }
    for key in Parameter::KEYS {
        if let Ok(parameter) = Parameter::decode(key, bytes) {
            let encoded = parameter.encode();
            assert_eq!(Parameter::decode(key, &encoded), Ok(parameter));
        }
    }
    if let Ok(info) = encryption::Info::decode(bytes) {
        let opener = cose::encrypt::Opener::Agreement(&*crate::known::RECEIVER);
        let whole = info.decrypt(&opener, crate::known::SIGNED).ok();
        assert_eq!(in_pieces(&info, &opener, crate::known::SIGNED), whole);
    }
}

fn report_is_stable(report: &Report) {
    let encoded = report.encode();
    assert_eq!(Report::decode(&encoded).as_ref(), Ok(report));
    assert_eq!(check(&encoded, CborLimits::DEFAULT), Ok(()));
}

/// What a manifest says survives its own encoding.
fn manifest_is_stable(bytes: &[u8], envelope: &Envelope<'_>) {
    let Ok(manifest) = envelope.unverified_manifest() else { return };
    let encoded = manifest.encode();
    let moved = resigned(bytes, &encoded);
    let moved = Envelope::decode(&moved).expect("a signed envelope is an envelope");
    let again = moved.unverified_manifest().expect("an encoded manifest is a manifest");
    assert_eq!(again, manifest, "a manifest changes by encoding");
    assert_eq!(again.encode(), encoded, "the encoding is not stable");
}

/// The same envelope around a manifest, with an authentication by the known owner.
pub(crate) fn resigned(envelope: &[u8], manifest: &[u8]) -> Vec<u8> {
    let digest = Digest::of_member(DigestAlgorithm::Sha256, manifest).expect("SHA-256 is there");
    let digest = digest.encode();
    let unprotected = Header { kccs: Some(ED25519.key().clone()), ..Header::default() };
    let payload = Payload::Detached(&digest);
    let block = cose::sign1(&*ED25519, Header::default(), unprotected, &[], payload);
    let authentication = cose::cbor::encode(|e| {
        e.array(2)?.bytes(&digest)?.bytes(&block.expect("the key signs"))?.ok()
    });
    let replaced = |key: i64, value| match key {
        2 => authentication.clone(),
        3 => manifest.to_vec(),
        _ => value,
    };
    rewritten(envelope, &replaced).expect("the envelope was decoded before")
}

/// Copies an envelope member by member.
fn rewritten(
    envelope: &[u8],
    replaced: &dyn Fn(i64, Vec<u8>) -> Vec<u8>,
) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let mut d = Decoder::new(envelope);
    let mut e = Encoder::new(Vec::new());
    if d.datatype()? == Type::Tag {
        let tag = d.tag()?;
        e.tag(Tag::new(tag.as_u64()))?;
    }
    let members = d.map()?.ok_or("a definite map")?;
    e.map(members)?;
    for _ in 0..members {
        if d.datatype()? == Type::String {
            e.str(d.str()?)?.bytes(d.bytes()?)?;
        } else {
            let key = d.i64()?;
            e.i64(key)?.bytes(&replaced(key, d.bytes()?.to_vec()))?;
        }
    }
    Ok(e.into_writer())
}

/// Runs every procedure, first with the owner's components only, then with all.
fn process(verified: &Verified<'_>) {
    let anchors = Arc::new(Anchors::none().with_self_certified());
    let mut context = Context::new(device());
    context.anchors = anchors;
    context.limits = LIMITS;
    context.nonce = Some(vec![7; 8]);
    let strict = Processor::new(verified, context.clone());
    if strict.is_ok() {
        let own = suit::authority::owner_prefix(verified);
        assert_eq!(own, Ok(()), "a manifest that names foreign components is run");
    }
    let loose = Context { authority: Arc::new(AnyComponent), ..context.clone() };
    for (context, strict) in [(context, true), (loose, false)] {
        let Ok(mut processor) = Processor::new(verified, context) else { continue };
        let mut shell = Shell { store: BTreeMap::new(), strict };
        for procedure in PROCEDURES {
            processor.run(procedure).expect("no procedure is running");
            shell.finish(&mut processor, verified);
        }
    }
}

/// Store and network of a device.
struct Shell {
    store: BTreeMap<ComponentId, Vec<u8>>,
    /// Whether a signer is held to its own components.
    strict: bool,
}

impl Shell {
    /// Answers until the procedure has ended, which takes no more steps than its limits say.
    fn finish(&mut self, processor: &mut Processor<'_>, verified: &Verified<'_>) {
        for _ in 0..STEPS {
            let outcome = match processor.step() {
                Request::Done(ending) => {
                    check_ending(ending);
                    let newest = verified.manifest().sequence_number;
                    let installed = &processor.installed().sequence_numbers;
                    let kept = installed.get(verified.manifest().identity());
                    assert!(kept.is_none_or(|number| *number == newest), "another number is kept");
                    report_is_stable(&processor.invoke_pending());
                    return;
                }
                request => self.serve(&request, verified),
            };
            processor.resume(outcome).expect("every request has the answer it asks for");
        }
        panic!("a procedure does not end");
    }

    fn serve(&mut self, request: &Request<'_>, verified: &Verified<'_>) -> Outcome {
        match request {
            Request::Fetch { component, uri, limit, encryption, .. } => {
                self.may_touch(component, verified);
                match (uri.len() as u64 <= *limit, encryption) {
                    (true, None) => self.put(component, uri.as_bytes()),
                    _ => Outcome::Failed(Obstacle::Unreachable),
                }
            }
            Request::Write { component, content, .. } => {
                self.may_touch(component, verified);
                self.put(component, content)
            }
            Request::Copy { component, source, .. } => {
                self.may_touch(component, verified);
                self.may_touch(source, verified);
                match self.store.get(*source).cloned() {
                    Some(content) => self.put(component, &content),
                    None => Outcome::Failed(Obstacle::Absent),
                }
            }
            Request::Swap { component, source } => {
                self.may_touch(component, verified);
                self.may_touch(source, verified);
                let (one, other) = (self.store.remove(*component), self.store.remove(*source));
                other.map(|content| self.put(component, &content));
                one.map(|content| self.put(source, &content));
                Outcome::Done
            }
            Request::Digest { component, algorithm } => match self.store.get(*component) {
                Some(content) => Outcome::Measured {
                    digest: Digest::of(*algorithm, content).expect("only what can be computed"),
                    size: content.len() as u64,
                },
                None => Outcome::Absent,
            },
            Request::CheckContent { component, content } => {
                let own = self.store.get(*component).map(Vec::as_slice);
                Outcome::Holds(own == Some(*content))
            }
            Request::Load { component } => match self.store.get(*component) {
                Some(content) => Outcome::Envelope(content.clone()),
                None => Outcome::Absent,
            },
            Request::Invoke { component, .. } => {
                self.may_touch(component, verified);
                Outcome::Done
            }
            Request::Remove { component } => {
                self.may_touch(component, verified);
                self.store.remove(*component);
                Outcome::Done
            }
            Request::Authorize { .. } => Outcome::Holds(true),
            Request::Version { .. } => Outcome::Version(vec![1, 2]),
            Request::Delegate { .. } | Request::Wait { .. } | Request::Custom { .. } => {
                Outcome::Done
            }
            Request::Done(_) => unreachable!("answered before"),
        }
    }

    fn put(&mut self, component: &ComponentId, content: &[u8]) -> Outcome {
        self.store.insert(component.clone(), content.to_vec());
        Outcome::Done
    }

    /// Signers of one envelope, with dependencies of their own, are all the known owner here.
    fn may_touch(&self, component: &ComponentId, verified: &Verified<'_>) {
        let known = suit::Signer::Key(ED25519.key().thumbprint());
        let own = OwnerPrefix.permits(verified.signer(), component);
        let of_dependency = !verified.manifest().common.dependencies.is_empty();
        let allowed = own || OwnerPrefix.permits(&known, component) || of_dependency;
        assert!(!self.strict || allowed, "{component} belongs to somebody else");
    }
}

fn check_ending(ending: &Ending) {
    report_is_stable(&ending.report);
    assert_eq!(ending.report.nonce.as_deref(), Some(&[7; 8][..]), "the nonce is lost");
    assert!(ending.report.records.len() <= LIMITS.records, "a report outgrows its limit");
}

fn device() -> Device {
    let uuid = Uuid::new(*b"\x5a\x5a\x5a\x5a\x5a\x5a\x5a\x5a\x9a\x5a\x5a\x5a\x5a\x5a\x5a\x5a");
    let uuid = uuid.expect("a UUID of a known variant");
    let mut device = Device::new(uuid, uuid);
    device.device = Some(uuid);
    device.now = u64::try_from(NOW).ok();
    device.battery = Some(1000);
    device
}

const PROCEDURES: [Procedure; 3] = [Procedure::Update, Procedure::Invocation, Procedure::Uninstall];

const LIMITS: Limits = Limits {
    components: 16,
    commands: 300,
    manifests: 4,
    dependency_depth: 2,
    payload_bytes: 1 << 16,
    records: 32,
    invoke_unvalidated: true,
};

/// More than every command of every section can ask for.
const STEPS: usize = 20_000;

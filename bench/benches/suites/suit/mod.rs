//! Verifying and processing a manifest, beyond the one signature that protects it; installing a
//! large payload.

pub(crate) mod install;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use bench::{Row, seconds};
use cose::{Accept, Key};
use minicbor::Decoder;
use minicbor::data::Type;
use suit::authority::AnyComponent;
use suit::process::Obstacle;
use suit::{
    Anchors, ComponentId, Context, Device, Digest, Envelope, Outcome, Procedure, Processor,
    Request, Uuid,
};

use crate::bare::Signed;
use crate::vectors::read;

/// One example of a draft.
struct Example {
    name: &'static str,
    file: &'static str,
    procedure: Procedure,
    vendor: [u8; 16],
    class: [u8; 16],
    /// For reading, checking and running, beyond the signature.
    goal_us: f64,
}

pub(crate) fn measure(vectors: &Path) -> Result<Vec<Row>> {
    let key = Key::decode(&read(&vectors.join("suit/keys/K1.public.cosekey.cbor"))?)?;
    let rows = EXAMPLES.iter().map(|example| measure_one(example, vectors, &key));
    let mut rows = rows.collect::<Result<Vec<_>>>()?;
    rows.extend(install::measure()?);
    Ok(rows)
}

fn measure_one(example: &Example, vectors: &Path, key: &Key) -> Result<Row> {
    let bytes = read(&vectors.join(example.file))?;
    let bare = signature(&bytes, key)?;
    let anchors = Arc::new(Anchors::none().with_key(key.clone()));
    let context = example.context(anchors.clone())?;
    let run = || run(&bytes, &anchors, &context, &Accept::WITH_LEGACY, example.procedure);
    run()?;
    let times = seconds([&mut || run().expect("the example ran before"), &mut || bare.verify()]);
    let name = format!("{}: verify and process (goal: µs beyond)", example.name);
    Ok(Row::beyond(name, times, example.goal_us))
}

/// What a device does with a manifest that comes in.
fn run(
    bytes: &[u8],
    anchors: &Anchors,
    context: &Context,
    accept: &Accept,
    procedure: Procedure,
) -> Result<()> {
    let verified = Envelope::decode(bytes)?.authenticate(anchors, accept)?;
    let mut processor = Processor::new(&verified, context.clone())?;
    let mut store = Store::default();
    processor.run(procedure)?;
    loop {
        let request = processor.step();
        if let Request::Done(ending) = request {
            return match &ending.failure {
                None => Ok(()),
                Some(failure) => bail!("{failure}"),
            };
        }
        let outcome = store.serve(&request);
        processor.resume(outcome)?;
    }
}

/// A device's storage: what it is told to write, and the image that the example is about.
#[derive(Default)]
struct Store(BTreeMap<ComponentId, Vec<u8>>);

impl Store {
    fn serve(&mut self, request: &Request<'_>) -> Outcome {
        match request {
            Request::Write { component, content, encryption: None } => {
                self.0.insert((*component).clone(), content.to_vec());
                Outcome::Done
            }
            Request::Digest { component, algorithm } => match self.0.get(*component) {
                Some(content) => match Digest::of(*algorithm, content) {
                    Ok(digest) => Outcome::Measured { digest, size: content.len() as u64 },
                    Err(_) => Outcome::Failed(Obstacle::Unsupported),
                },
                // Hashing the image is not what is measured: its digest is known.
                None => Outcome::Measured { digest: Digest::sha256(IMAGE), size: IMAGE_BYTES },
            },
            Request::Invoke { .. } => Outcome::Done,
            _ => Outcome::Failed(Obstacle::Unsupported),
        }
    }
}

impl Example {
    fn context(&self, anchors: Arc<Anchors>) -> Result<Context> {
        let uuid = |bytes| Uuid::new(bytes).context("a version of UUID that SUIT uses");
        let mut device = Device::new(uuid(self.vendor)?, uuid(self.class)?);
        device.schemes = BTreeSet::new();
        Ok(Context {
            anchors,
            authority: Arc::new(AnyComponent),
            accept: Accept::WITH_LEGACY,
            ..Context::new(device)
        })
    }
}

/// The first signature of an envelope, and what it signs.
///
/// ```cddl
/// SUIT_Authentication = [ bstr .cbor SUIT_Digest, * bstr .cbor SUIT_Authentication_Block ]
/// ```
pub(crate) fn signature(envelope: &[u8], key: &Key) -> Result<Signed> {
    let mut d = Decoder::new(envelope);
    if d.datatype()? == Type::Tag {
        d.tag()?;
    }
    d.map()?;
    if d.u8()? != AUTHENTICATION_WRAPPER {
        bail!("no authentication wrapper in front");
    }
    let mut wrapper = Decoder::new(d.bytes()?);
    wrapper.array()?;
    let digest = wrapper.bytes()?;
    Signed::of_sign1(wrapper.bytes()?, key, Some(digest))
}

const EXAMPLES: [Example; 2] = [
    Example {
        name: "suit-manifest example 0",
        file: "suit/manifest-37/example0-secure-boot-signed.cbor",
        procedure: Procedure::Invocation,
        vendor: *b"\xfa\x6b\x4a\x53\xd5\xad\x5f\xdf\xbe\x9d\xe6\x63\xe4\xd4\x1f\xfe",
        class: *b"\x14\x92\xaf\x14\x25\x69\x5e\x48\xbf\x42\x9b\x2d\x51\xf2\xab\x45",
        goal_us: 8.0,
    },
    Example {
        name: "teep-protocol integrated payload",
        file: "teep/draft-26/suit_integrated.cbor",
        procedure: Procedure::Update,
        vendor: *b"\xc0\xdd\xd5\xf1\x52\x43\x56\x60\x87\xdb\x4f\x5b\x0a\xa2\x6c\x2f",
        class: *b"\xdb\x42\xf7\x09\x3d\x8c\x55\xba\xa8\xc5\x26\x5f\xc5\x82\x0f\x4e",
        goal_us: 10.0,
    },
];

const AUTHENTICATION_WRAPPER: u8 = 2;

/// The digest and the size of the image that example 0 prints.
const IMAGE: [u8; 32] = *b"\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff\
                           \x01\x23\x45\x67\x89\xab\xcd\xef\xfe\xdc\xba\x98\x76\x54\x32\x10";
const IMAGE_BYTES: u64 = 34768;

//! Streaming an encrypted payload into a device: throughput beside its floor, and memory.
//!
//! Each profile runs in a process of its own, so that the peak of its memory is that of streaming
//! and of nothing else. This process makes the payload: a piece that repeats as ciphertext, so
//! that the other one can be the network without holding it. The provider seals it at once, which
//! is what the streamed decryption has to agree with.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use aws_lc_rs::aead::{self, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::{digest, iv::FixedLength};
use bench::{Row, thread_seconds};
use cose::encrypt::{ContentAlgorithm, ContentKey, Opener, Recipient};
use cose::{Accept, Agreement as _, Algorithm, Curve, Entropy as _, Secret};
use keys::{AgreementKey, SigningKey, SystemEntropy};
use serde::{Deserialize, Serialize};
use suit::build::{Compatibility, Name, Payload, Ta, Uri};
use suit::encryption::{Info, seal};
use suit::process::Obstacle;
use suit::slot::Sealing;
use suit::{Anchors, Context, Device, Digest, DigestAlgorithm, Envelope, Intake, Limits, Measured};
use suit::{Outcome, Procedure, Processor, Request, Uuid};

/// What the measuring process is told.
#[derive(Deserialize, Serialize)]
struct Order {
    /// The content cipher, as COSE numbers it.
    cipher: i64,
    /// The signed manifest.
    envelope: Vec<u8>,
    /// The private key of the device.
    receiver: Vec<u8>,
    /// How often the piece repeats.
    pieces: usize,
    /// What follows the last piece: the tag.
    end: Vec<u8>,
}

/// What it found.
#[derive(Deserialize, Serialize)]
struct Found {
    /// CPU seconds of an installation into a null sink.
    plain: f64,
    /// The same with the sink behind a slot sealed under an install key.
    slot: f64,
    /// CPU seconds of cipher and hash of the provider alone.
    floor: f64,
    /// The most memory that the process ever had, in KiB.
    peak_kib: f64,
}

/// The rows of every profile.
pub(super) fn measure() -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (algorithm, name, goal) in [
        (ContentAlgorithm::A128Ctr, "A128CTR", 0.85),
        (ContentAlgorithm::A128Gcm, "A128GCM", 0.50),
        (ContentAlgorithm::ChaCha20Poly1305, "ChaCha20/Poly1305", 0.50),
    ] {
        let found = in_a_process(&Order::new(algorithm)?)?;
        let install = format!("install 1 GiB of {name}");
        let slot = format!("{install} into a sealed slot");
        rows.push(Row::throughput(&*install, PAYLOAD_BYTES, [found.plain, found.floor], goal));
        rows.push(Row::throughput(slot, PAYLOAD_BYTES, [found.slot, found.floor], SLOT_GOAL));
        rows.push(Row::memory(format!("{install}: peak memory"), found.peak_kib, MEMORY_MIB));
    }
    Ok(rows)
}

impl Order {
    fn new(algorithm: ContentAlgorithm) -> Result<Self> {
        let receiver = AgreementKey::generate(Curve::P256)?;
        let ephemeral = AgreementKey::generate(Curve::P256)?;
        let recipient = Recipient::Agreement { receiver: receiver.key(), ephemeral: &ephemeral };
        let key = Secret::draw(&mut SystemEntropy, algorithm.key_len());
        let mut iv = vec![0; algorithm.iv_len()];
        SystemEntropy.fill(&mut iv);
        // Twice the same key and IV: the first time only to learn the key stream.
        let seal = |text: &[u8]| -> Result<_> {
            let key = Secret::new(key.expose().to_vec());
            let content = ContentKey::new(algorithm, key, iv.clone()).context("a content key")?;
            Ok(seal(content, &[recipient], text)?)
        };
        let pieces = PAYLOAD_BYTES / PIECE_BYTES;
        let mut text = vec![0; PAYLOAD_BYTES];
        let stream = seal(&text)?.ciphertext;
        let piece = piece();
        for (text, stream) in text.chunks_mut(PIECE_BYTES).zip(stream.chunks(PIECE_BYTES)) {
            text.copy_from_slice(stream);
            text.iter_mut().zip(&piece).for_each(|(byte, cipher)| *byte ^= cipher);
        }
        drop(stream);
        let sealed = seal(&text)?;
        let mut repeated = sealed.ciphertext.chunks_exact(PIECE_BYTES);
        ensure!(repeated.by_ref().all(|chunk| chunk == piece), "the piece repeats");
        let end = repeated.remainder().to_vec();

        let payload = Payload::at(Uri::new(URI)?, &text).encrypted(&sealed);
        let owner = SigningKey::generate(Algorithm::Esp256)?;
        let ta = Ta::new(Name::new("large")?, 1, compatibility()?, payload).sign(&owner)?;
        let receiver = receiver.to_scalar()?.expose().to_vec();
        Ok(Self { cipher: algorithm.id(), envelope: ta.envelope, receiver, pieces, end })
    }
}

/// Runs an order in a process of its own.
fn in_a_process(order: &Order) -> Result<Found> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg(ARGUMENT)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting a process to measure in")?;
    let mut stdin = child.stdin.take().context("the standard input of the process")?;
    serde_json::to_writer(&mut stdin, order)?;
    drop(stdin);
    let out = child.wait_with_output()?;
    ensure!(out.status.success(), "measuring an installation failed");
    Ok(serde_json::from_slice(&out.stdout)?)
}

/// The other process.
pub(crate) fn serve() -> Result<()> {
    let mut order = Vec::new();
    std::io::stdin().read_to_end(&mut order)?;
    let order: Order = serde_json::from_slice(&order)?;
    let piece = piece();
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let mut network = Network { piece: &piece, order: &order, meter: Meter::new(&order)? };
        let plain = network.install(false)?;
        let (floor, slot) = (network.meter.floor, network.install(true)?);
        rounds.push((plain, slot, floor));
    }
    let median = |of: fn(&(f64, f64, f64)) -> f64| {
        let mut values: Vec<f64> = rounds.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let found = Found {
        plain: median(|round| round.0),
        slot: median(|round| round.1),
        floor: median(|round| round.2),
        peak_kib: peak_kib()?,
    };
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, &found)?;
    Ok(out.flush()?)
}

/// The network and the store of a device.
struct Network<'a> {
    piece: &'a [u8],
    order: &'a Order,
    meter: Meter,
}

impl Network<'_> {
    /// Installs the payload and tells the CPU seconds of it, those of the floor left out.
    fn install(&mut self, sealed: bool) -> Result<f64> {
        let started = thread_seconds();
        let floor_before = self.meter.floor;
        let anchors = Anchors::none().with_self_certified();
        let envelope = Envelope::decode(&self.order.envelope)?;
        let verified = envelope.authenticate(&anchors, &Accept::CURRENT)?;
        let Compatibility { vendor, class } = compatibility()?;
        let mut context = Context::new(Device::new(vendor, class));
        context.limits = Limits { payload_bytes: 2 << 30, ..Limits::DEFAULT };
        context.anchors = Arc::new(anchors);
        let mut processor = Processor::new(&verified, context)?;
        processor.run(Procedure::Update)?;
        let mut stored: Option<Measured> = None;
        loop {
            let outcome = match processor.step() {
                Request::Done(ending) => {
                    if let Some(failure) = &ending.failure {
                        bail!("{failure}");
                    }
                    let floor = self.meter.floor - floor_before;
                    return Ok(thread_seconds() - started - floor);
                }
                Request::Digest { .. } => match stored {
                    Some(Measured { digest, size }) => Outcome::Measured { digest, size },
                    None => Outcome::Absent,
                },
                Request::Fetch { limit, encryption: Some(info), expected, .. } => {
                    match self.stream(info, expected, limit, sealed) {
                        Ok(measured) => {
                            stored = Some(measured);
                            Outcome::Done
                        }
                        Err(obstacle) => Outcome::Failed(obstacle),
                    }
                }
                _ => Outcome::Failed(Obstacle::Unsupported),
            };
            processor.resume(outcome)?;
        }
    }

    fn stream(
        &mut self,
        info: &[u8],
        expected: Option<Digest>,
        limit: u64,
        sealed: bool,
    ) -> Result<Measured, Obstacle> {
        let receiver = AgreementKey::from_scalar(Curve::P256, &self.order.receiver);
        let receiver = receiver.map_err(|_| Obstacle::Decryption)?;
        let info = Info::decode(info).map_err(|_| Obstacle::Decryption)?;
        let algorithm = expected.map_or(DigestAlgorithm::Sha256, |digest| digest.algorithm());
        let opener = Opener::Agreement(&receiver);
        let mut intake = Intake::encrypted(&info, &opener, algorithm, limit)?;
        let install_key = Secret::draw(&mut SystemEntropy, suit::slot::KEY_BYTES);
        let mut slot = Sealing::new(&install_key).map_err(|_| Obstacle::Storage)?;
        let null = &mut |bytes: &[u8]| {
            std::hint::black_box(bytes);
            Ok(())
        };
        let mut sink = |text: &[u8]| if sealed { slot.take(text, null) } else { null(text) };
        for _ in 0..self.order.pieces {
            for arrived in self.piece.chunks(ARRIVAL_BYTES) {
                intake.take(arrived, &mut sink)?;
            }
            if !sealed {
                self.meter.run();
            }
        }
        intake.take(&self.order.end, &mut sink)?;
        let measured = intake.finish(&mut sink)?;
        if sealed {
            slot.finish(null)?;
        }
        Ok(measured)
    }
}

/// The floor: cipher and hash of the provider over as many bytes, in turns with the payload.
struct Meter {
    cipher: Cipher,
    text: Vec<u8>,
    hash: digest::Context,
    floor: f64,
}

enum Cipher {
    Ctr(Box<EncryptingKey>),
    Gcm(LessSafeKey),
}

impl Meter {
    fn new(order: &Order) -> Result<Self> {
        let cipher = if order.cipher == ContentAlgorithm::A128Ctr.id() {
            Cipher::Ctr(Box::new(EncryptingKey::ctr(UnboundCipherKey::new(&AES_128, &[1; 16])?)?))
        } else {
            // Every AEAD is compared with AES-GCM.
            Cipher::Gcm(LessSafeKey::new(UnboundKey::new(&aead::AES_128_GCM, &[1; 16])?))
        };
        let hash = digest::Context::new(&digest::SHA256);
        Ok(Self { cipher, text: vec![7; ARRIVAL_BYTES], hash, floor: 0. })
    }

    fn run(&mut self) {
        let started = thread_seconds();
        for _ in 0..PIECE_BYTES / ARRIVAL_BYTES {
            match &self.cipher {
                Cipher::Ctr(key) => {
                    let context = EncryptionContext::Iv128(FixedLength::from(&[9; 16]));
                    key.less_safe_encrypt(&mut self.text, context).map(drop)
                }
                Cipher::Gcm(key) => {
                    let nonce = Nonce::assume_unique_for_key([0; 12]);
                    let aad = aead::Aad::empty();
                    key.seal_in_place_separate_tag(nonce, aad, &mut self.text).map(drop)
                }
            }
            .expect("the key and the length fit");
            self.hash.update(&self.text);
        }
        self.floor += thread_seconds() - started;
    }
}

/// The most resident memory of this process.
fn peak_kib() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let value = line.and_then(|line| line.split_whitespace().next()).context("VmHWM")?;
    Ok(value.parse()?)
}

fn piece() -> Vec<u8> {
    let hashes = (0..(PIECE_BYTES / 32) as u64).map(|at| cose::sha256(&at.to_be_bytes()));
    hashes.flatten().collect()
}

fn compatibility() -> Result<Compatibility> {
    let uuid = || Uuid::new(DEVICE).context("a UUID of version 5");
    Ok(Compatibility { vendor: uuid()?, class: uuid()? })
}

/// The argument that makes this program the other process.
pub(crate) const ARGUMENT: &str = "install";

/// Version 5 stands in byte 6, the variant of RFC 9562 in byte 8.
const DEVICE: [u8; 16] = [0, 0, 0, 0, 0, 0, 0x50, 0, 0x80, 0, 0, 0, 0, 0, 0, 0];
const URI: &str = "https://example.org/large";
const PAYLOAD_BYTES: usize = 1 << 30;
const PIECE_BYTES: usize = 8 << 20;
/// What a network gives at once.
const ARRIVAL_BYTES: usize = 64 << 10;
/// Sealing is a second AES-256-GCM over every byte, which the floor has not.
const SLOT_GOAL: f64 = 0.40;
const MEMORY_MIB: f64 = 32.;
const ROUNDS: usize = 3;

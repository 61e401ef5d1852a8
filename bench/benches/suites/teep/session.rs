//! A whole session: QueryRequest, QueryResponse, Update, Success, by both machines.

use anyhow::{Context as _, Result};
use bench::{Row, seconds};
use cose::{Accept, Algorithm, Key, Signer as _};
use keys::SigningKey;
use std::hint::black_box;
use suit::build::{self, Built, Compatibility};
use suit::{Anchors, Envelope, Uuid};
use teep::Suite;

use super::parties::Pair;
use crate::bare::{self, Signed};

/// Who owns the Trusted Application that is installed.
pub(super) struct Owner {
    pub(super) key: Key,
    pub(super) package: Built,
}

impl Owner {
    pub(super) fn new() -> Result<Self> {
        let key = SigningKey::generate(Algorithm::Esp256)?;
        let uuid = Uuid::new(UUID).context("a version of UUID that SUIT uses")?;
        let compatibility = Compatibility { vendor: uuid, class: uuid };
        let payload = build::Payload::integrated(b"\0asm\x0d\0\x01\0");
        let name = build::Name::new("route-planner")?;
        let package = build::Ta::new(name, 1, compatibility, payload).sign(&key)?;
        Ok(Self { key: key.key().clone(), package })
    }

    /// The signature of the manifest.
    fn signature(&self) -> Result<Signed> {
        crate::suit::signature(&self.package.envelope, &self.key)
    }
}

/// Measures whole sessions in one suite.
pub(super) fn measure(suite: Suite) -> Result<Row> {
    let owner = Owner::new()?;
    let mut pair = Pair::new(suite, &owner)?;
    let wire = pair.session()?;
    let manifest = owner.signature()?;
    let mut messages = Vec::new();
    for (at, bytes) in wire.iter().enumerate() {
        let signer = if at % 2 == 0 { pair.tam_key() } else { pair.agent_key() };
        messages.push((bare::Pair::of(signer)?, Signed::of_sign1(bytes, signer.key(), None)?));
    }
    let times = seconds([
        &mut || {
            let wire = pair.session().expect("it ran before");
            assert_eq!(wire.len(), messages.len(), "every session is alike");
        },
        &mut || {
            for (pair, signed) in &messages {
                black_box(pair.sign(&signed.message));
                signed.verify();
            }
            manifest.verify();
        },
    ]);
    Ok(Row::times(format!("whole session, {suite:?}, one manifest"), times, SESSION_GOAL))
}

/// An envelope that a TAM may relay, since its owner was checked when it was uploaded.
pub(super) fn relayed(owner: &Owner) -> Result<teep::tam::Manifest<'_>> {
    let anchors = Anchors::none().with_key(owner.key.clone());
    let envelope = Envelope::decode(&owner.package.envelope)?;
    let verified = envelope.authenticate(&anchors, &Accept::CURRENT)?;
    Ok(teep::tam::Manifest::authorised(&verified, &suit::authority::OwnerPrefix)?)
}

const SESSION_GOAL: f64 = 1.15;
const UUID: [u8; 16] = *b"\x5a\x5a\x5a\x5a\x5a\x5a\x5a\x5a\x9a\x5a\x5a\x5a\x5a\x5a\x5a\x5a";

//! Each message of a session: encode, sign, decode, verify.

use std::hint::black_box;

use anyhow::{Context as _, Result};
use bench::{Row, seconds};
use cose::{Accept, Header, Payload, Sign1, Signer as _, Tagging};
use teep::envelope::{Dialect, Sealed};
use teep::{Message, Numbering, Suite};

use super::parties::Pair;
use crate::bare::{self, Signed};

/// Measures the messages of one session.
pub(super) fn measure(suite: Suite) -> Result<Vec<Row>> {
    let owner = super::session::Owner::new()?;
    let mut pair = Pair::new(suite, &owner)?;
    let wire = pair.session()?;
    let mut rows = Vec::new();
    for (at, bytes) in wire.iter().enumerate() {
        let signer = if at % 2 == 0 { pair.tam_key() } else { pair.agent_key() };
        rows.extend(measure_one(bytes, signer)?);
    }
    Ok(rows)
}

fn measure_one(bytes: &[u8], signer: &keys::SigningKey) -> Result<[Row; 4]> {
    let dialect = Dialect::default();
    let payload = Sealed::decode(bytes, &dialect)?.unverified_payload();
    let message = Message::decode(payload, Numbering::V26)?;
    let sign1 = Sign1::decode(bytes, Tagging::Tagged)?;
    let key = signer.key();
    let signed = Signed::of_sign1(bytes, key, None)?;
    let pair = bare::Pair::of(signer)?;
    sign1.verify(key, &Accept::CURRENT, &[]).context("the message verifies")?;

    let [encode, sign, bare_sign, decode, verify, bare_verify] = seconds([
        &mut || {
            black_box(message.encode(Numbering::V26));
        },
        &mut || {
            let header = Header::default;
            let attached = Payload::Attached(payload);
            black_box(cose::sign1(signer, header(), header(), &[], attached).expect("a key"));
        },
        &mut || {
            black_box(pair.sign(&signed.message));
        },
        &mut || {
            let sealed = Sealed::decode(black_box(bytes), &dialect).expect("a wrapper");
            let payload = sealed.unverified_payload();
            black_box(Message::decode(payload, Numbering::V26).expect("a message"));
        },
        &mut || {
            black_box(sign1.verify(key, &Accept::CURRENT, &[]).expect("verified before"));
        },
        &mut || signed.verify(),
    ]);
    let name = format!("{}, {} bytes", message.kind().name(), bytes.len());
    Ok([
        Row::within(format!("{name}: encode"), encode, CODEC_US),
        Row::times(format!("{name}: sign"), [sign, bare_sign], SIGNATURE_GOAL),
        Row::within(format!("{name}: decode"), decode, CODEC_US),
        Row::times(format!("{name}: verify"), [verify, bare_verify], SIGNATURE_GOAL),
    ])
}

/// For reading or writing one message, wrapper included.
const CODEC_US: f64 = 5.0;
const SIGNATURE_GOAL: f64 = 1.15;

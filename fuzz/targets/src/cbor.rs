//! The well-formedness pass that stands before every decoder.

use cose::cbor::{Limits, check, check_deterministic, check_preferred};
use minicbor::decode::Tokenizer;
use minicbor::{Decoder, Encoder};

/// The three checks agree with each other, with the limits and with the decoder behind them.
pub fn cbor(bytes: &[u8]) {
    let any = check(bytes, Limits::DEFAULT).is_ok();
    let preferred = check_preferred(bytes, Limits::DEFAULT).is_ok();
    let deterministic = check_deterministic(bytes, Limits::DEFAULT).is_ok();
    assert!(any || !preferred, "preferred and not well-formed");
    assert!(preferred || !deterministic, "deterministic and not preferred");
    for (depth, items) in [(1, 4), (3, 16)] {
        let tight = Limits { depth, bytes: 64, items };
        let within = check(bytes, tight).is_ok();
        assert!(!within || any && bytes.len() <= tight.bytes, "tighter limits accept more");
    }
    if any {
        let mut decoder = Decoder::new(bytes);
        decoder.skip().expect("what is well-formed can be skipped");
        assert_eq!(decoder.position(), bytes.len(), "something follows the one item");
    }
    if deterministic && let Some(again) = transcoded(bytes) {
        assert_eq!(again, bytes, "the deterministic encoding is not the only one");
    }
}

/// The same tokens, encoded again. Not-a-numbers lose their payload on the way, so they are out.
fn transcoded(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = Encoder::new(Vec::new());
    for token in Tokenizer::new(bytes) {
        use minicbor::data::Token;
        let token = token.expect("what is deterministic can be read");
        if let Token::F16(float) | Token::F32(float) = token
            && float.is_nan()
        {
            return None;
        }
        if let Token::F64(float) = token
            && float.is_nan()
        {
            return None;
        }
        encoder.encode(token).expect("writing to memory does not fail");
    }
    Some(encoder.into_writer())
}

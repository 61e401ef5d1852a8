//! What is fuzzed: one plain function for each decoder and each session machine.
//!
//! A target takes any bytes and panics when a promise is broken: a decoder that panics, an encoding
//! that does not come back, something accepted that nobody signed, a machine that calls its own
//! shell wrong. The binaries in `fuzz/` run the targets under libFuzzer; `cargo test` replays the
//! corpus. Where a signature would keep mutated bytes out, the target signs them itself, with keys
//! that are known to everybody, so that what lies behind the signature is reached as well.
//!
//! The crate deliberately does not know libFuzzer, files, or how long to run.

//= teep 15.122 (M): a target for each decoder and for both session machines
mod cbor;
mod channel;
#[cfg(test)]
mod corpus;
mod cose;
mod device;
#[expect(dead_code, reason = "the Verifier's tests use the rest")]
#[path = "../../../crates/verifier/tests/intel/vendor/mod.rs"]
mod intel;
mod known;
mod rats;
mod script;
mod suit;
mod teep;
mod verifier;

pub use crate::cbor::cbor;
pub use crate::channel::{channel_call, channel_receipt, channel_release};
pub use crate::cose::{
    cose_encrypt, cose_encrypt0, cose_key, cose_mac0, cose_sign, cose_sign1, cose_spki,
};
pub use crate::device::{device_broker, device_tee, device_ua};
pub use crate::rats::{rats_binding, rats_cmw, rats_corim, rats_ear, rats_eat};
pub use crate::suit::{suit_envelope, suit_report};
pub use crate::teep::{teep_agent, teep_message, teep_tam};
pub use crate::verifier::{
    verifier_cca, verifier_collateral, verifier_crl, verifier_event_log, verifier_sev,
    verifier_sev_snp, verifier_sgx, verifier_tdx, verifier_teep, verifier_trustzone, verifier_x509,
};

/// A target.
pub type Target = fn(&[u8]);

/// Every target by the name of its binary and its corpus.
pub const TARGETS: [(&str, Target); 35] = [
    ("cbor", cbor),
    ("channel_call", channel_call),
    ("channel_receipt", channel_receipt),
    ("channel_release", channel_release),
    ("cose_encrypt", cose_encrypt),
    ("cose_encrypt0", cose_encrypt0),
    ("cose_key", cose_key),
    ("cose_mac0", cose_mac0),
    ("cose_sign", cose_sign),
    ("cose_sign1", cose_sign1),
    ("cose_spki", cose_spki),
    ("device_broker", device_broker),
    ("device_tee", device_tee),
    ("device_ua", device_ua),
    ("rats_binding", rats_binding),
    ("rats_cmw", rats_cmw),
    ("rats_corim", rats_corim),
    ("rats_ear", rats_ear),
    ("rats_eat", rats_eat),
    ("suit_envelope", suit_envelope),
    ("suit_report", suit_report),
    ("teep_agent", teep_agent),
    ("teep_message", teep_message),
    ("teep_tam", teep_tam),
    ("verifier_cca", verifier_cca),
    ("verifier_collateral", verifier_collateral),
    ("verifier_crl", verifier_crl),
    ("verifier_event_log", verifier_event_log),
    ("verifier_sev", verifier_sev),
    ("verifier_sev_snp", verifier_sev_snp),
    ("verifier_sgx", verifier_sgx),
    ("verifier_tdx", verifier_tdx),
    ("verifier_teep", verifier_teep),
    ("verifier_trustzone", verifier_trustzone),
    ("verifier_x509", verifier_x509),
];

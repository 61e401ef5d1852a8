//! A launch that its owner vouches for, and the guest's proof that it is the one.
//!
//! The MAC of a launch says something to the owner of its session alone. So that a guest can be
//! appraised again and again, and by others, its owner signs what the launch was once it was
//! accepted, names in it a key that the injected secret brings, and injects the statement too. Who
//! believes the owner appraises the guest by that statement and by a signature of that key; the
//! owner keeps no secret for it.

use cose::cbor::{Limits, check_deterministic, encode, whole};
use cose::{
    Accept, Header, Key, KeyUnusable, Malformed, Payload, Sign1, Signer, Tagging, Untrusted,
};

use super::certificate::ecdsa_value;
use super::launch::Launch;
use crate::Collateral;
use crate::crypto::{PublicKey, SignatureAlgorithm};
use crate::value::Value;

/// What the owner of a session says about the launch that was measured in it.
///
/// A COSE_Sign1 by the owner's key, with the external data `tamarack sev-launch-v1`, over:
///
/// ```cddl
/// launch-statement = [
///   owner: bstr .cbor COSE_Key,       ; who signs
///   platform: bstr .size 32,          ; SHA-256 of the uncompressed point in pdh.cert
///   launch: bstr .cbor sev-launch,    ; without proof
///   proof-key: bstr .cbor COSE_Key,   ; on P-384
///   at: uint                          ; seconds since 1970
/// ]
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Who opened the session, appraised the launch and signs.
    pub owner: Key,
    /// SHA-256 of the platform's key.
    pub platform: [u8; 32],
    /// What was measured.
    pub launch: Launch,
    /// The public half of the key in the injected secret.
    pub proof_key: Key,
    /// When, seconds since 1970.
    pub at: u64,
}

/// Evidence of a guest whose owner made a [`Statement`].
///
/// ```cddl
/// sev-stated = [
///   statement: bstr .cbor COSE_Sign1,
///   proof: bstr .size 96,             ; ECDSA with SHA-384, r and s
///   [ark: bstr, ask: bstr, cek: bstr, oca: bstr, pek: bstr, pdh: bstr]
/// ]
/// ```
///
/// The proof is over `tamarack sev-proof-v1`, a zero octet and the user data.
#[derive(Clone, Debug)]
pub struct Stated<'b> {
    /// The owner's statement, not verified.
    pub statement: &'b [u8],
    proof: &'b [u8; 96],
    /// The platform's certificates, as the host gave them.
    pub certificates: Collateral,
}

/// The statement does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotStated {
    /// It is none.
    #[error("not a launch-statement")]
    Malformed(#[from] Malformed),
    /// Its signature is not that of the key in it.
    #[error("the signature is not the owner's")]
    Untrusted(#[from] Untrusted),
}

impl Statement {
    /// Signs the statement, by the key that it names.
    pub fn sign(&self, owner: &dyn Signer) -> Result<Vec<u8>, KeyUnusable> {
        if *owner.key() != self.owner {
            return Err(KeyUnusable);
        }
        let payload = encode(|e| {
            e.array(5)?.bytes(&self.owner.encode())?.bytes(&self.platform)?;
            e.bytes(&self.launch.encode())?.bytes(&self.proof_key.encode())?.u64(self.at)?.ok()
        });
        let payload = Payload::Attached(&payload);
        // Nothing is left that the signature does not cover.
        let kid = Some(self.owner.thumbprint().0.to_vec());
        let protected = Header { kid, ..Header::default() };
        cose::sign1(owner, protected, Header::default(), STATEMENT_LABEL, payload)
    }

    /// Reads a statement that the key in it signed; whether that key counts is another question.
    pub fn verify(bytes: &[u8]) -> Result<Self, NotStated> {
        let object = Sign1::decode(bytes, Tagging::Tagged)?;
        let payload = object.payload.ok_or(Malformed::Expected("an attached payload"))?;
        let statement = Self::decode(payload)?;
        object.verify(&statement.owner, &Accept::CURRENT, STATEMENT_LABEL)?;
        Ok(statement)
    }

    fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        check_deterministic(payload, Limits::DEFAULT)?;
        whole(payload, |d| {
            if d.array()? != Some(5) {
                return Err(Malformed::Expected("a launch-statement of five members"));
            }
            let owner = Key::decode(d.bytes()?)?;
            let platform = d.bytes()?.try_into();
            let platform = platform.map_err(|_| Malformed::Expected("a digest of 32 octets"))?;
            let launch = Launch::decode(d.bytes()?)?;
            let proof_key = Key::decode(d.bytes()?)?;
            if proof_key.curve() != cose::Curve::P384 || launch.proof.is_some() {
                return Err(Malformed::Expected("a key on P-384 and a launch without proof"));
            }
            Ok(Self { owner, platform, launch, proof_key, at: d.u64()? })
        })
    }

    /// Every field for showing.
    #[must_use]
    pub fn fields(&self) -> Vec<(&'static str, Value)> {
        let mut fields = self.launch.fields();
        fields.push(("launched_by", (&self.owner.thumbprint().0).into()));
        fields.push(("launched_at", self.at.into()));
        fields
    }

    /// Whether the guest that was launched made this proof.
    //= EV-SEV-7: later user data is bound by the injected key
    pub(super) fn proves(&self, proof: &[u8; 96], user_data: &[u8; 64]) -> bool {
        let (r, s) = proof.split_at(48);
        let key = PublicKey::P384(self.proof_key.public());
        let message = [PROOF_LABEL, user_data].concat();
        key.verify(&SignatureAlgorithm::EcdsaSha384, &message, &ecdsa_value(r, s))
    }
}

impl<'b> Stated<'b> {
    /// Whether the bytes claim to be such evidence, rather than that of the session's owner.
    pub(super) fn claims(bytes: &[u8]) -> bool {
        bytes.first() == Some(&ARRAY_OF_THREE)
    }

    /// Reads evidence; nothing in it is verified.
    pub fn decode(bytes: &'b [u8]) -> Result<Self, Malformed> {
        check_deterministic(bytes, Limits::DEFAULT)?;
        whole(bytes, |d| {
            if d.array()? != Some(3) {
                return Err(Malformed::Expected("a sev-stated of three members"));
            }
            let statement = d.bytes()?;
            let proof = d.bytes()?.try_into();
            let proof = proof.map_err(|_| Malformed::Expected("a proof of 96 octets"))?;
            if d.array()? != Some(CERTIFICATES.len() as u64) {
                return Err(Malformed::Expected("six certificates"));
            }
            let mut certificates = Collateral::default();
            for name in CERTIFICATES {
                certificates.insert(name, d.bytes()?);
            }
            Ok(Self { statement, proof, certificates })
        })
    }

    /// The proof.
    #[must_use]
    pub const fn proof(&self) -> &[u8; 96] {
        self.proof
    }
}

/// The names of a platform's certificates, in the order in which evidence has them.
pub const CERTIFICATES: [&str; 6] =
    ["ark.cert", "ask.cert", "cek.cert", "oca.cert", "pek.cert", "pdh.cert"];
const ARRAY_OF_THREE: u8 = 0x83;
const STATEMENT_LABEL: &[u8] = b"tamarack sev-launch-v1";
const PROOF_LABEL: &[u8] = b"tamarack sev-proof-v1\0";

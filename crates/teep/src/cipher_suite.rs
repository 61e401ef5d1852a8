//! TEEP cipher suites (section 8.1).

use cose::Algorithm;
use minicbor::decode::Decoder;

use crate::limits;
use crate::malformed::Malformed;
use crate::wire::{self, Writer, Written};

/// A cipher suite that is implemented here: how messages of a session are signed.
///
/// ```cddl
/// teep-cipher-suite-sign1-ed25519 = [ [ 18, -19 ] ]
/// teep-cipher-suite-sign1-esp256 = [ [ 18, -9 ] ]
/// ```
///
/// These two are mandatory for a TAM, so an Agent may answer in either. A third one is private,
/// for sites that want a signature which no quantum computer forges: it counts where both sides
/// are configured for it, and nothing lists it by default.
///
/// ```cddl
/// teep-cipher-suite-sign1-ml-dsa-65 = [ [ 18, -49 ] ]    ; not registered
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Suite {
    /// COSE_Sign1 with Ed25519.
    Ed25519,
    /// COSE_Sign1 with ECDSA on P-256 and SHA-256.
    Esp256,
    /// COSE_Sign1 with ML-DSA-65.
    MlDsa65,
}

impl Suite {
    /// The suites of the document, in the order in which a TAM lists them.
    pub const MANDATORY: [Self; 2] = [Self::Esp256, Self::Ed25519];

    /// The suite that uses this algorithm, or an older identifier of the same algorithm.
    pub const fn from_algorithm(algorithm: Algorithm) -> Option<Self> {
        match algorithm {
            Algorithm::Esp256 | Algorithm::Es256 => Some(Self::Esp256),
            Algorithm::Ed25519 | Algorithm::EdDsa => Some(Self::Ed25519),
            Algorithm::MlDsa65 => Some(Self::MlDsa65),
            Algorithm::Esp384 | Algorithm::Es384 | Algorithm::HssLms | Algorithm::Other(_) => None,
        }
    }

    /// The signature algorithm.
    pub const fn algorithm(self) -> Algorithm {
        match self {
            Self::Ed25519 => Algorithm::Ed25519,
            Self::Esp256 => Algorithm::Esp256,
            Self::MlDsa65 => Algorithm::MlDsa65,
        }
    }

    /// The suite as it stands in a message.
    pub fn offer(self) -> CipherSuite {
        CipherSuite(vec![Operation { cose_type: COSE_SIGN1, algorithm: self.algorithm().id() }])
    }

    /// The suites that stand in a peer's list and in ours, in our order.
    pub fn common(ours: &[Self], theirs: &[CipherSuite]) -> Vec<Self> {
        ours.iter().copied().filter(|suite| theirs.contains(&suite.offer())).collect()
    }

    /// The number that stands for this suite where it is stored.
    pub const fn id(self) -> i64 {
        self.algorithm().id()
    }

    /// The suite that is stored as `id`.
    pub fn from_id(id: i64) -> Option<Self> {
        Self::from_algorithm(Algorithm::from_id(id)).filter(|suite| suite.id() == id)
    }
}

/// A cipher suite as a peer names it, implemented here or not.
///
/// ```cddl
/// $teep-cipher-suite = [ + [ cose-type : int, cose-alg : int ] ]
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CipherSuite(pub Vec<Operation>);

/// One operation of a cipher suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The CBOR tag of the COSE structure.
    pub cose_type: i64,
    /// The COSE algorithm.
    pub algorithm: i64,
}

impl CipherSuite {
    /// What a peer's list holds when it lists what we have.
    pub fn offers(suites: &[Suite]) -> Vec<Self> {
        suites.iter().map(|suite| suite.offer()).collect()
    }

    /// Whether the suite signs with this algorithm.
    pub fn signs_with(&self, algorithm: Algorithm) -> bool {
        self.0.iter().any(|operation| operation.algorithm == algorithm.id())
    }

    pub(crate) fn decode(d: &mut Decoder<'_>) -> Result<Self, Malformed> {
        let operations =
            wire::list(d, "teep-cipher-suite", limits::SUITE_OPERATIONS, Operation::decode)?;
        Ok(Self(operations))
    }

    pub(crate) fn encode(&self, e: &mut Writer) -> Written {
        wire::put_array(e, &self.0, |e, operation| {
            e.array(2)?.i64(operation.cose_type)?.i64(operation.algorithm)?.ok()
        })
    }
}

impl Operation {
    fn decode(d: &mut Decoder<'_>) -> Result<Self, Malformed> {
        let pair = wire::array(d, "teep-operation", 2, |d| wire::int(d, "an integer"))?;
        match pair[..] {
            [cose_type, algorithm] => Ok(Self { cose_type, algorithm }),
            _ => Err(Malformed::Expected("a two-element teep-operation")),
        }
    }
}

/// The CBOR tag of COSE_Sign1, which is also its cose-type here.
const COSE_SIGN1: i64 = 18;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mandatory_suites_have_the_document_s_bytes() {
        let bytes = |suite: Suite| wire::encode(|e| suite.offer().encode(e));

        assert_eq!(bytes(Suite::Esp256), [0x81, 0x82, 18, 0x28]);
        assert_eq!(bytes(Suite::Ed25519), [0x81, 0x82, 18, 0x32]);
        assert_eq!(bytes(Suite::MlDsa65), [0x81, 0x82, 18, 0x38, 0x30]);
    }

    #[test]
    fn the_private_suite_is_known_by_its_number_and_not_mandatory() {
        assert_eq!(Suite::from_id(-49), Some(Suite::MlDsa65));
        assert_eq!(Suite::from_id(-7), None);
        assert!(!Suite::MANDATORY.contains(&Suite::MlDsa65));
    }

    #[test]
    fn the_common_suites_come_in_our_order() {
        let theirs = CipherSuite::offers(&[Suite::Ed25519, Suite::Esp256]);
        let es384 = CipherSuite(vec![Operation { cose_type: 18, algorithm: -35 }]);

        assert_eq!(Suite::common(&Suite::MANDATORY, &theirs), Suite::MANDATORY);
        assert_eq!(Suite::common(&[Suite::Ed25519], &theirs), [Suite::Ed25519]);
        assert_eq!(Suite::common(&Suite::MANDATORY, &[es384]), []);
    }
}

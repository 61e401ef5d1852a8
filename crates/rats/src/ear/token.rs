//! EAR as a CWT: signing, and what a Relying Party asks of one.

use cose::{Accept, Key, KeyUnusable, Signer, Verified};

use crate::ear::Ear;
use crate::eat;
use crate::label::claim;
use crate::refusal::{Malformed, Refused, Untrusted};
use crate::time::Timestamp;

/// What a Relying Party expects of a result.
#[derive(Clone, Debug)]
pub struct Expect<'a> {
    /// The Verifiers whose results count.
    pub verifiers: &'a [Key],
    /// The signature algorithms that count.
    pub accept: &'a Accept,
    /// The Relying Party's time.
    pub now: Timestamp,
    /// How many seconds a result may seem to come from the future.
    pub skew_s: i64,
    /// The nonce that the Relying Party sent for the result, if it sent one.
    pub nonce: Option<&'a [u8]>,
    /// Whether an appraisal may come without its vector.
    pub vector: VectorRule,
}

/// Whether the asker wants to see trustworthiness vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VectorRule {
    /// Every appraisal has a vector.
    Required,
    /// The asker waived it: the status is enough.
    Waived,
}

impl Ear {
    /// Signs the result as a CWT, without tags.
    pub fn sign(&self, signer: &dyn Signer) -> Result<Vec<u8>, KeyUnusable> {
        eat::sign_payload(&self.encode(), signer)
    }

    /// Verifies a CWT and reads the result in it.
    pub fn verify(token: &[u8], expect: &Expect<'_>) -> Result<Verified<Self>, Refused> {
        let verified = eat::verify_any(token, expect.verifiers, expect.accept)?;
        let signer = verified.thumbprint();
        verified.try_map(|payload| {
            let ear = Self::decode(payload)?;
            ear.check(expect)?;
            if ear.appraisals().values().any(|one| one.confirmed() == Some(signer)) {
                return Err(Untrusted::SelfSigned.into());
            }
            Ok(ear)
        })
    }

    fn check(&self, expect: &Expect<'_>) -> Result<(), Refused> {
        self.lifetime().check(expect.now, expect.skew_s)?;
        if let Some(sent) = expect.nonce {
            self.nonce.as_ref().ok_or(Untrusted::NonceMismatch)?.check(sent)?;
        }
        //= rats 11.21 (M): a result without a vector is accepted only when it was waived
        let bare = self.appraisals().values().any(|appraisal| appraisal.vector().is_none());
        if bare && expect.vector == VectorRule::Required {
            return Err(Malformed::Missing(claim::EAR_VECTOR.into()).into());
        }
        Ok(())
    }
}

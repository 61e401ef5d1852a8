//! Attestation Results in the TEEP profile of EAT (draft-ietf-teep-protocol section 5).

use cose::{Accept, Key, KeyUnusable, Signer, Thumbprint, Verified};

use crate::eat::{self, Claims, Confirmation, Manifest, OemId, Ueid, Version};
use crate::label::claim;
use crate::nonce::Nonce;
use crate::refusal::{Malformed, Refused, Untrusted};
use crate::time::Timestamp;

/// What a TEEP-profile result says, all of it required but the nonce and the times.
///
/// ```cddl
/// teep-result = { ? 4: exp, ? 6: iat, 8: { 3: kid }, ? 10: nonce, 256: ueid, 258: oemid,
///                 259: hwmodel, 260: hwversion, 265: eat_profile tstr, 272: manifests }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttestationResult {
    /// The key that signs the Agent's TEEP messages.
    pub agent: Thumbprint,
    /// The device.
    pub ueid: Ueid,
    /// Its maker.
    pub oemid: OemId,
    /// Its model.
    pub hwmodel: Vec<u8>,
    /// Its version.
    pub hwversion: Version,
    /// The TEEP Agent, what it depends on, and its Trusted Applications.
    pub manifests: Vec<Manifest>,
    /// The challenge, when freshness is by nonce.
    pub nonce: Option<Nonce>,
    /// When it was made.
    pub iat: Option<Timestamp>,
    /// When it ends.
    pub exp: Option<Timestamp>,
}

/// What the reader of a result expects.
#[derive(Clone, Debug)]
pub struct Expect<'a> {
    /// The Verifiers whose results count.
    pub verifiers: &'a [Key],
    /// The signature algorithms that count.
    pub accept: &'a Accept,
    /// The profile, exactly: its number is not assigned yet, so it is a setting.
    pub profile: &'a str,
    /// The signer of the TEEP message that brought the result.
    pub agent: Thumbprint,
    /// The challenge that was sent.
    pub nonce: Option<&'a [u8]>,
    /// The reader's time.
    pub now: Timestamp,
    /// How many seconds a result may seem to come from the future.
    pub skew_s: i64,
}

impl AttestationResult {
    /// Signs the result as a CWT, without tags.
    pub fn sign(&self, profile: &str, signer: &dyn Signer) -> Result<Vec<u8>, KeyUnusable> {
        let claims = Claims {
            exp: self.exp,
            iat: self.iat,
            cnf: Some(Confirmation::Kid(self.agent)),
            eat_nonce: self.nonce.clone(),
            ueid: Some(self.ueid.clone()),
            oemid: Some(self.oemid.clone()),
            hwmodel: Some(self.hwmodel.clone()),
            hwversion: Some(self.hwversion.clone()),
            eat_profile: Some(profile.to_owned()),
            manifests: self.manifests.clone(),
            ..Claims::default()
        };
        eat::sign(&claims, signer)
    }

    /// Verifies a CWT and reads the result in it.
    //= rats 11.9 (M): a result of an unknown Verifier, or of the Attester itself, is refused
    pub fn verify(token: &[u8], expect: &Expect<'_>) -> Result<Verified<Self>, Refused> {
        let verified = eat::verify_any(token, expect.verifiers, expect.accept)?;
        let signer = verified.thumbprint();
        verified.try_map(|payload| {
            let claims = Claims::decode(payload)?;
            let lifetime = claims.lifetime();
            let result = Self::from_claims(claims, expect.profile)?;
            lifetime.check(expect.now, expect.skew_s)?;
            if result.agent == signer {
                return Err(Untrusted::SelfSigned.into());
            }
            //= rats 11.6 (M): the confirmed key is the one that signed the message
            if result.agent != expect.agent {
                return Err(Untrusted::CnfMismatch.into());
            }
            if let Some(sent) = expect.nonce {
                result.nonce.as_ref().ok_or(Untrusted::NonceMismatch)?.check(sent)?;
            }
            Ok(result)
        })
    }

    /// Reads the required claims.
    //= rats 11.1 (M): each required claim that is missing gives a refusal
    fn from_claims(claims: Claims, profile: &str) -> Result<Self, Malformed> {
        let missing = |label: i64| Malformed::Missing(label.into());
        if claims.eat_profile.as_deref() != Some(profile) {
            return Err(Malformed::Profile);
        }
        if claims.manifests.is_empty() {
            return Err(missing(claim::MANIFESTS));
        }
        Ok(Self {
            agent: claims.cnf.ok_or(missing(claim::CNF))?.thumbprint(),
            ueid: claims.ueid.ok_or(missing(claim::UEID))?,
            oemid: claims.oemid.ok_or(missing(claim::OEMID))?,
            hwmodel: claims.hwmodel.ok_or(missing(claim::HWMODEL))?,
            hwversion: claims.hwversion.ok_or(missing(claim::HWVERSION))?,
            manifests: claims.manifests,
            nonce: claims.eat_nonce,
            iat: claims.iat,
            exp: claims.exp,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{KEY, OTHER, Software};
    use crate::time::Timestamp;

    const PROFILE: &str = "urn:ietf:rfc:rfcXXXX";
    const AGENT: Thumbprint = Thumbprint([7; 32]);

    //= rats 11.1 (M): each required claim that is missing gives a refusal
    #[test]
    fn each_required_claim_that_is_missing_is_named() {
        let whole = claims();
        let without = |change: fn(&mut Claims)| {
            let mut claims = whole.clone();
            change(&mut claims);
            AttestationResult::from_claims(claims, PROFILE).unwrap_err()
        };
        let missing = |label: i64| Malformed::Missing(label.into());

        assert!(AttestationResult::from_claims(whole.clone(), PROFILE).is_ok());
        assert_eq!(without(|claims| claims.ueid = None), missing(claim::UEID));
        assert_eq!(without(|claims| claims.oemid = None), missing(claim::OEMID));
        assert_eq!(without(|claims| claims.hwmodel = None), missing(claim::HWMODEL));
        assert_eq!(without(|claims| claims.hwversion = None), missing(claim::HWVERSION));
        assert_eq!(without(|claims| claims.manifests.clear()), missing(claim::MANIFESTS));
        assert_eq!(without(|claims| claims.cnf = None), missing(claim::CNF));
    }

    #[test]
    fn a_result_survives_signing_and_verification() {
        let token = result().sign(PROFILE, &Software::new(KEY)).unwrap();

        let read = AttestationResult::verify(&token, &expect(&[key()])).unwrap();

        assert_eq!(read.into_inner(), result());
    }

    //= rats 11.9 (M): a result of an unknown Verifier, or of the Attester itself, is refused
    #[test]
    fn a_result_of_an_unknown_verifier_or_of_the_attester_itself_is_refused() {
        let foreign = result().sign(PROFILE, &Software::new(OTHER)).unwrap();
        let own = AttestationResult { agent: key().thumbprint(), ..result() }
            .sign(PROFILE, &Software::new(KEY))
            .unwrap();

        assert_eq!(
            AttestationResult::verify(&foreign, &expect(&[key()])).unwrap_err(),
            Untrusted::UnknownSigner.into()
        );
        assert_eq!(
            AttestationResult::verify(&own, &expect(&[key()])).unwrap_err(),
            Untrusted::SelfSigned.into()
        );
    }

    //= rats 11.6 (M): the confirmed key is the one that signed the message
    //= rats 11.10 (M): expired, or issued in the future beyond the skew, is refused
    //= rats 11.3 (M): a nonce that does not match is refused
    //= rats 11.13 (M): the profile claim is compared exactly
    #[test]
    fn a_result_for_another_agent_time_nonce_or_profile_is_refused() {
        let token = result().sign(PROFILE, &Software::new(KEY)).unwrap();
        let keys = [key()];
        let base = expect(&keys);
        let refused = |expect: &Expect<'_>| AttestationResult::verify(&token, expect).unwrap_err();

        assert_eq!(
            refused(&Expect { agent: Thumbprint([8; 32]), ..base.clone() }),
            Untrusted::CnfMismatch.into()
        );
        assert!(matches!(
            refused(&Expect { now: Timestamp(2_000), ..base.clone() }),
            Refused::Untrusted(Untrusted::Expired { .. })
        ));
        assert!(matches!(
            refused(&Expect { now: Timestamp(900), ..base.clone() }),
            Refused::Untrusted(Untrusted::FromTheFuture { .. })
        ));
        assert_eq!(
            refused(&Expect { nonce: Some(&[2; 32]), ..base.clone() }),
            Untrusted::NonceMismatch.into()
        );
        assert_eq!(
            refused(&Expect { profile: "urn:ietf:rfc:rfcxxxx", ..base.clone() }),
            Malformed::Profile.into()
        );
    }

    fn expect(verifiers: &[Key]) -> Expect<'_> {
        Expect {
            verifiers,
            accept: &Accept::CURRENT,
            profile: PROFILE,
            agent: AGENT,
            nonce: Some(&[1; 32]),
            now: Timestamp(1_000),
            skew_s: 60,
        }
    }

    fn key() -> Key {
        Software::new(KEY).key().clone()
    }

    fn result() -> AttestationResult {
        AttestationResult {
            agent: AGENT,
            ueid: Ueid::rand(&[1; 16]).unwrap(),
            oemid: OemId::Pen(32473),
            hwmodel: b"model".to_vec(),
            hwversion: Version::new("1"),
            manifests: vec![Manifest::suit_reference(60, "https://example.org/m", &[3; 32])],
            nonce: Some(Nonce::new([1; 32]).unwrap()),
            iat: Some(Timestamp(1_000)),
            exp: Some(Timestamp(2_000)),
        }
    }

    fn claims() -> Claims {
        let token = result().sign(PROFILE, &Software::new(KEY)).unwrap();
        eat::peek(&token).unwrap()
    }
}

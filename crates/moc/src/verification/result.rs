//! The Attestation Result for a Network User: an EAR, and with it everything that is needed to
//! appraise again without the M/OC.

use cose::KeyUnusable;
use keys::SigningKey;
use rats::{
    cmw::{Cmw, Collection, Indicator, Record},
    ear::{Appraisal, Ear, Profile, TrustClaim, TrustValue, Vector, VerifierId},
    eat::{Confirmation, TaEntry},
    evidence::{AGENT_PROFILE, COLLATERAL},
    nonce::Nonce,
};

use verifier::Collateral;

use super::{Facts, Question, sources::seconds};

/// Makes the EAR and the signed CMW around it.
pub(super) fn sign(
    question: &Question<'_>,
    collateral: &Collateral,
    profile: Profile,
    hardware: &verifier::Appraisal,
    facts: &Facts,
    key: &SigningKey,
) -> Result<Vec<u8>, KeyUnusable> {
    let mut ear = ear(question, hardware, facts);
    ear.profile = profile;
    let ear = ear.sign(key)?;
    let ear_type = format!("application/eat+cwt; eat_profile=\"{}\"", profile.uri());
    let record =
        |name: &str, value: &[u8], indicator| Cmw::Record(Record::new(name, value, indicator));
    let mut collection =
        Collection::new("ear", record(&ear_type, &ear, Indicator::ATTESTATION_RESULTS));
    let others = [
        ("evidence", record(api::media::CMW, question.evidence, Indicator::EVIDENCE)),
        ("endorsements", record(COLLATERAL, &collateral.encode(), Indicator::ENDORSEMENTS)),
        ("tam-nonce", record(api::media::OCTETS, question.tam_nonce, Indicator::EVIDENCE)),
    ];
    for (label, message) in others {
        collection.insert(label, message).expect("no label is the type of the collection");
    }
    Cmw::Collection(collection).sign(key)
}

fn ear(question: &Question<'_>, hardware: &verifier::Appraisal, facts: &Facts) -> Ear {
    let iat = seconds(question.now_ms);
    let verifier = VerifierId {
        developer: "Tamarack".to_owned(),
        build: concat!("tamarack-moc ", env!("CARGO_PKG_VERSION")).to_owned(),
    };
    let mut ear = Ear::new(verifier, iat, "agent", agent(question, hardware, facts));
    //= rats 11.35 (S): the lifetime of a result is short
    ear.exp = Some(iat.after(LIFETIME_S));
    ear.nonce = question.user_nonce.and_then(|nonce| Nonce::new(nonce).ok());
    for entry in &facts.applications {
        ear.insert(entry.submod_name(), application(question, entry));
    }
    ear
}

//= rats 11.36 (S): neither ueid nor location goes to the Network User
fn agent(question: &Question<'_>, hardware: &verifier::Appraisal, facts: &Facts) -> Appraisal {
    let mut appraisal = Appraisal::new(hardware.trust().clone());
    appraisal.profile = Some(AGENT_PROFILE.to_owned());
    appraisal.policies = vec![hardware.policy().to_owned()];
    appraisal.nonce = Nonce::new(question.challenge).ok();
    appraisal.cnf = Some(Confirmation::Kid(facts.agent_key.thumbprint()));
    appraisal
}

/// The Agent vouches for its Trusted Applications; this Verifier knows the one that it deployed.
fn application(question: &Question<'_>, entry: &TaEntry) -> Appraisal {
    let deployed = question.application.as_ref().is_some_and(|deployed| {
        deployed.manifest_component == entry.manifest.component_id
            && deployed.manifest_digest == entry.manifest.digest
    });
    let mut vector = Vector::default();
    let executables = match deployed {
        true => TrustValue::AFFIRMED,
        false => TrustValue::UNRECOGNISED_CODE,
    };
    vector.record(TrustClaim::Executables, executables);
    let mut appraisal = Appraisal::new(vector);
    appraisal.cnf = Some(Confirmation::Key(entry.service_key.clone()));
    appraisal
}

/// How long a result counts, seconds.
const LIFETIME_S: i64 = 600;

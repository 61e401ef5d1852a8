//! Launching a guest of AMD SEV or SEV-ES as its owner: the measurement of the launch is the
//! attestation, and the guest runs only with the owner's secret.
//!
//! The host carries messages between the owner and the platform's firmware, and can change none of
//! them unseen. What the owner accepted is stated in the secret, under the owner's signature: by it
//! the guest is appraised later, by the owner as by everybody who believes the owner.

use std::{
    net::{TcpStream, ToSocketAddrs as _},
    time::Duration,
};

use cose::{Curve, Entropy, KeyUnusable, Signer};
use device::{
    Failure,
    frame::{self, Broken},
    launch::{Reply, Request},
};
use keys::AgreementKey;
use rats::Timestamp;
use verifier::{
    Appraisal, Check, Collateral, Endorsements, Kind, UserData, appraise,
    crypto::sha256,
    evidence::sev::{
        chain::VerifiedChain,
        launch::{GuestPolicy, Launch},
        session::Session,
        stated::{CERTIFICATES, Statement},
    },
};

use crate::{Refusal, appraisal::refusal, trust::Trust};

/// A guest that runs.
#[derive(Clone, Debug)]
pub struct Launched {
    /// The appraisal of its launch.
    pub appraisal: Appraisal,
    /// What the owner stated, signed.
    pub statement: Vec<u8>,
}

/// No guest was launched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotLaunched {
    /// The host does not answer.
    #[error("the host {at} does not answer: {cause}; check its address, and that a guest waits")]
    Unreachable {
        /// Its address.
        at: String,
        /// What the attempt met.
        cause: String,
    },
    /// The connection broke.
    #[error("the host left in the middle of the launch")]
    Broken(#[from] Broken),
    /// The host, or the firmware of its platform, does not do what was asked.
    #[error("the platform refused: {0}")]
    Platform(Failure),
    /// It answered something else than what was asked.
    #[error("the host's answer does not fit the launch")]
    Answer,
    /// What was measured is not what the Network User accepts: no secret was released.
    #[error("the launch was refused by your own appraisal")]
    Refused {
        /// The check that failed.
        refusal: Box<Refusal>,
        /// Every check, as far as they went.
        checks: Box<Check>,
    },
    /// A key cannot be made or used.
    #[error("a key cannot be used")]
    Key(#[from] KeyUnusable),
}

/// Launches the guest that waits at a host. Blocks its thread.
///
/// # Errors
/// See [`NotLaunched`]; with any of them the guest got no secret of this owner, but with
/// [`NotLaunched::Broken`] it may have.
pub fn launch(
    at: &str,
    owner: &dyn Signer,
    trust: &Trust,
    now: Timestamp,
    entropy: &mut dyn Entropy,
) -> Result<Launched, NotLaunched> {
    let mut host = connect(at)?;
    let Reply::Platform(certificates) = ask(&mut host, &Request::Describe)? else {
        return Err(NotLaunched::Answer);
    };
    let certificates = Collateral::from_files(CERTIFICATES.into_iter().zip(*certificates));
    let chain = VerifiedChain::verify(&certificates, &trust.anchors);
    let chain = chain.map_err(|check| refused(*check))?;

    //= EV-SEV-6: a session to the platform's key, for one launch
    let [major, minor] = trust.policy.sev.api_min;
    let policy = GuestPolicy(FLAGS | u32::from(major) << 16 | u32::from(minor) << 24);
    let ephemeral = AgreementKey::generate(Curve::P384).map_err(|_| KeyUnusable)?;
    let (session, start) = Session::open(&chain, policy, &ephemeral, entropy)?;
    let (certificate, sealed) = (start.certificate, Box::new(start.session));
    let start = Request::Start { policy: policy.0, certificate, session: sealed };
    let launch = measured(ask(&mut host, &start)?)?;

    let endorsements = Endorsements::for_launch(session.keys(), &certificates, &trust.anchors);
    let request = verifier::Request {
        kind: Kind::Sev,
        evidence: &launch.encode(),
        event_log: None,
        user_data: UserData::Unchecked,
        anchors: &trust.anchors,
        reference: &trust.reference,
        policy: &trust.policy,
        now,
    };
    let accepted = appraise(&request, &endorsements).accept();
    let accepted = accepted.map_err(|appraisal| refused(appraisal.checks().clone()))?;

    let proof = AgreementKey::generate(Curve::P384).map_err(|_| KeyUnusable)?;
    let statement = Statement {
        owner: owner.key().clone(),
        platform: sha256(chain.pdh.public()),
        launch: launch.clone(),
        proof_key: cose::Agreement::key(&proof).clone(),
        at: u64::try_from(now.0).unwrap_or_default(),
    };
    let statement = statement.sign(owner)?;
    let mut token = [0; 16];
    entropy.fill(&mut token);
    let scalar = proof.to_scalar()?;
    let stated = Some((statement.as_slice(), &scalar));
    //= EV-SEV-1: the secret is injected only after the measurement was accepted
    let released = session.release_stated(&accepted, &launch, &token, stated, entropy);
    let (packet, _keys) = released.map_err(|_| NotLaunched::Answer)?;
    let (header, ciphertext) = (Box::new(packet.header), packet.ciphertext);
    match ask(&mut host, &Request::Secret { header, ciphertext })? {
        Reply::Started => Ok(Launched { appraisal: accepted.appraisal().clone(), statement }),
        Reply::Platform(_) | Reply::Measured { .. } | Reply::Failed(_) => Err(NotLaunched::Answer),
    }
}

/// What LAUNCH_MEASURE answered, as evidence.
fn measured(reply: Reply) -> Result<Launch, NotLaunched> {
    let Reply::Measured { firmware, policy, digest, measure } = reply else {
        return Err(NotLaunched::Answer);
    };
    let (mac, nonce) = measure.split_at(32);
    let (Ok(mac), Ok(nonce)) = (mac.try_into(), nonce.try_into()) else {
        return Err(NotLaunched::Answer);
    };
    Ok(Launch { firmware, policy: GuestPolicy(policy), digest, mac, nonce, proof: None })
}

fn connect(at: &str) -> Result<TcpStream, NotLaunched> {
    let unreachable = |cause: std::io::Error| NotLaunched::Unreachable {
        at: at.to_owned(),
        cause: cause.to_string(),
    };
    let address = at.to_socket_addrs().map_err(unreachable)?.next();
    let address = address.ok_or_else(|| unreachable(std::io::ErrorKind::NotFound.into()))?;
    let stream = TcpStream::connect_timeout(&address, ANSWER_WITHIN).map_err(unreachable)?;
    let limited = stream.set_read_timeout(Some(ANSWER_WITHIN));
    limited.and_then(|()| stream.set_nodelay(true)).map_err(unreachable)?;
    Ok(stream)
}

fn ask(host: &mut TcpStream, request: &Request) -> Result<Reply, NotLaunched> {
    match frame::ask(host, request)? {
        Reply::Failed(failure) => Err(NotLaunched::Platform(failure)),
        reply => Ok(reply),
    }
}

fn refused(checks: Check) -> NotLaunched {
    let refusal = match checks.first_failure() {
        Some((check, failure)) => Box::new(refusal(check, failure)),
        None => return NotLaunched::Answer,
    };
    NotLaunched::Refused { refusal, checks: Box::new(checks) }
}

/// A host measures a guest of some hundred megabytes in that time.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// What the owner's appraisal asks of every guest.
const FLAGS: u32 = GuestPolicy::NODBG | GuestPolicy::NOKS | GuestPolicy::ES | GuestPolicy::NOSEND;

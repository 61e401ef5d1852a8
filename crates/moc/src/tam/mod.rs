//! The shell around [`teep::tam`]: keys, stored exchanges, and what follows from an answer.
//!
//! A message in, effects in order, one list of changes, one message out. The list is durable
//! before the message leaves; it holds the use of the token or challenge, so a replay has no
//! effect a second time. The first flight to a stranger leaves nothing behind.
//!
//! What a session may do next is decided by `teep` and by [`crate::deployment`], never here.

mod certificates;
mod errand;
mod keys;
mod outcome;
mod report;
mod run;

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use ::keys::SystemEntropy;
use api::Problem;
use cose::{Entropy as _, Key, Thumbprint};
use teep::{
    Fresh, Misbehaved, Numbering, Suite, Timestamp, UserNonce,
    envelope::{Dialect, Hint, NoKey, Outgoing, PeerKey, Sealed, Standing},
    tam::{Correlation, Effect, Exchange, Peer, Purpose as Opening, Tam, correlate},
};

pub use self::{
    certificates::{Certificates, Unusable},
    keys::TamKeys,
};

use crate::{
    app::{ATTEMPTS_MAX, Moc, by_user, hash, is_stale},
    config::Config as Settings,
    http,
    store::{Change, DeviceRow, Duty, Errand, ExchangeRow, NotCommitted, Purpose, StoreFailed},
};
use run::Run;

/// The TAM: its keys and its settings.
#[derive(Debug)]
pub struct TamShell {
    keys: TamKeys,
    tam: Tam,
    legacy_devices: BTreeSet<String>,
}

/// The TAM could not do its work. The peer learns nothing of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TamFailed {
    /// A file.
    #[error("file {path}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A key.
    #[error("key")]
    Key(#[from] ::keys::Error),
    /// Certificates.
    #[error(transparent)]
    Certificates(#[from] Unusable),
    /// The store.
    #[error("store")]
    Store(#[from] StoreFailed),
    /// The session machine was called wrongly.
    #[error("session")]
    Misuse(#[from] teep::Misuse),
    /// A stored exchange cannot be read.
    #[error("stored exchange")]
    Stored(#[source] teep::Malformed),
    /// Others were faster too often.
    #[error("others were faster too often")]
    Contention,
}

impl TamShell {
    /// Loads or makes the keys.
    pub fn open(dir: &Path, settings: &Settings) -> Result<Self, TamFailed> {
        let keys = TamKeys::open(dir, &settings.tam)?;
        let mut config = teep::tam::Config::new(keys::challenge_key(dir)?);
        config.receiver = Some(keys.receiver());
        let wait_s = settings.limits.exchange_ms_max / 1000;
        config.suites = keys.suites();
        config.reply_wait_s = i64::try_from(wait_s).unwrap_or(i64::MAX);
        let legacy_devices = settings.tam.legacy_devices.clone();
        Ok(Self { keys, tam: Tam::new(config), legacy_devices })
    }

    /// The code points of a device: a setting, never a guess.
    fn numbering(&self, device: &str) -> Numbering {
        if self.legacy_devices.contains(device) { Numbering::Legacy18 } else { Numbering::V26 }
    }

    /// The keys.
    pub const fn keys(&self) -> &TamKeys {
        &self.keys
    }
}

/// What a round of effects came to.
enum Round {
    /// Everything is durable; this goes out.
    Answer(Option<Vec<u8>>),
    /// The message was used before, or is not welcome.
    Empty,
    /// Somebody else was faster: again from the start.
    Again,
}

impl Moc {
    /// RFC 9397 section 6.2.1 ProcessConnect.
    ///
    /// A ticket that is unknown, expired or was shown before is as good as none.
    //= teep 14.21 (M): ProcessConnect yields a QueryRequest
    pub async fn process_connect(
        &self,
        ticket: Option<&str>,
    ) -> Result<Option<Vec<u8>>, TamFailed> {
        for _ in 0..ATTEMPTS_MAX {
            let now_ms = self.clock().now_ms();
            let known = match ticket {
                Some(ticket) => self.store().ticket(&hash(ticket), now_ms).await?,
                None => None,
            };
            let opened = match known {
                Some(row) => self.open_errand(row.ticket, row.errand).await?,
                None => None,
            };
            let (mut run, opening) = match opened {
                Some(opened) => opened,
                None => (Run::stranger(self), stranger()),
            };
            let tam = &self.tam().tam;
            let effects = tam.process_connect(run.now(), draw(), opening, Vec::new())?;
            let outgoing = run.connect(effects).await?;
            match self.settle_round(run, outgoing).await? {
                Round::Answer(answer) => return Ok(answer),
                Round::Empty | Round::Again => {}
            }
        }
        Err(TamFailed::Contention)
    }

    /// What an errand opens its exchange with; nothing when there is no such device any more.
    async fn open_errand(
        &self,
        ticket: String,
        errand: Errand,
    ) -> Result<Option<(Run<'_>, Opening)>, TamFailed> {
        let Some(device) = self.live_device(&errand.device).await? else { return Ok(None) };
        let numbering = self.tam().numbering(&device.device);
        let agent = peer(&device, numbering);
        let opening = match (errand.purpose, agent) {
            (Purpose::Enrol, _) => {
                Opening::Attest { agent: None, numbering, user_nonce: None, renewal: false }
            }
            (Purpose::Attest, Some(agent)) => {
                let Some(user_nonce) = self.user_nonce(&errand).await? else { return Ok(None) };
                let user_nonce = Some(user_nonce);
                Opening::Attest { agent: Some(agent), numbering, user_nonce, renewal: false }
            }
            (Purpose::Renew, Some(agent)) => {
                let lease = self.store().lease(&errand.deployment).await?;
                let Some(lease) = lease.filter(|lease| !lease.ended) else { return Ok(None) };
                let renewal = lease.fresh_quote(self.clock().now_ms()).is_some();
                Opening::Attest { agent: Some(agent), numbering, user_nonce: None, renewal }
            }
            (Purpose::Deploy | Purpose::Unasked, Some(agent)) => Opening::Manage { agent },
            (Purpose::Place, _)
            | (Purpose::Attest | Purpose::Renew | Purpose::Deploy | Purpose::Unasked, None) => {
                return Ok(None);
            }
        };
        let mut run = Run::new(self, errand, Some(device));
        run.change(Change::ShowTicket { ticket });
        Ok(Some((run, opening)))
    }

    async fn user_nonce(&self, errand: &Errand) -> Result<Option<UserNonce>, TamFailed> {
        let result = self.store().result(&errand.attestation).await?;
        Ok(result.and_then(|result| UserNonce::new(result.user_nonce).ok()))
    }

    /// RFC 9397 section 6.2.1 ProcessTeepMessage. What is not valid has an empty answer.
    //= teep 14.32 (M): an invalid message is dropped with an empty answer
    pub async fn process_teep_message(&self, message: &[u8]) -> Result<Option<Vec<u8>>, TamFailed> {
        for _ in 0..ATTEMPTS_MAX {
            match self.message_once(message).await? {
                Round::Answer(answer) => return Ok(answer),
                Round::Empty => return Ok(None),
                Round::Again => {}
            }
        }
        Err(TamFailed::Contention)
    }

    async fn message_once(&self, message: &[u8]) -> Result<Round, TamFailed> {
        let shell = self.tam();
        let now = Timestamp(i64::try_from(self.clock().now_ms() / 1000).unwrap_or(i64::MAX));
        let suites = shell.tam.config().suites.clone();
        let mut dialect = Dialect { suites, ..Dialect::default() };
        let sealed = match Sealed::decode(message, &dialect) {
            Ok(sealed) => sealed,
            Err(error) => return Ok(dropped(&error)),
        };
        dialect.numbering = self.numbering_of(&sealed).await?;
        let found = self.peer_keys(&sealed, dialect.numbering, now).await?;
        let opened = match sealed.open(&dialect, &|hint: &Hint<'_>| lookup(&found, hint)) {
            Ok(opened) => opened,
            Err(error) => return Ok(dropped(&error)),
        };
        let opened = match shell.tam.reveal(opened) {
            Ok(opened) => opened,
            Err(error) => return Ok(dropped(&error)),
        };
        let correlation = correlate(&opened);
        let signer = opened.signer().thumbprint;
        let signed = |found: &&Peered<'_>| {
            found.key.as_ref().is_ok_and(|peer| peer.key.thumbprint() == signer)
        };
        let holder = found.iter().find(signed).and_then(|found| found.device.clone());
        let row = self.exchange_row(&correlation, holder.as_ref()).await?;
        let stored = row.as_ref().map(|row| Exchange::decode(&row.session)).transpose();
        let stored = stored.map_err(TamFailed::Stored)?;
        let session = shell.tam.resume(now, &correlation, stored);
        let mut session = match session {
            Ok(session) => session,
            Err(error) => return Ok(dropped(&error)),
        };
        let effects = match session.process_teep_message(&shell.tam, now, draw(), opened) {
            Ok(effects) => effects,
            Err(error) => {
                if let (Misbehaved::AnotherSigner, Some(row)) = (error, &row) {
                    self.another_agent(&row.errand, signer).await?;
                }
                return Ok(dropped(&error));
            }
        };
        let mut run = self.resume_run(row, holder).await?;
        let envelope = OnceLock::new();
        let outgoing = run.answer(&mut session, effects, &envelope).await?;
        self.settle_round(run, outgoing).await
    }

    /// Makes everything durable, then seals what goes out.
    async fn settle_round(
        &self,
        run: Run<'_>,
        outgoing: Option<Outgoing<'_>>,
    ) -> Result<Round, TamFailed> {
        let (changes, touched) = run.into_changes();
        if !changes.is_empty() {
            match self.store().commit(changes).await {
                Ok(()) => {}
                //= teep 15.103: a replayed answer is ignored
                Err(NotCommitted::Used) => {
                    tracing::warn!("an answer was shown a second time");
                    return Ok(Round::Empty);
                }
                Err(NotCommitted::Failed(failed)) => return Err(failed.into()),
                Err(error) if is_stale(&error) => return Ok(Round::Again),
                Err(error) => {
                    tracing::warn!(%error, "the outcome of an exchange does not fit");
                    return Ok(Round::Empty);
                }
            }
        }
        touched.iter().for_each(|topic| self.hub().changed(topic));
        let sealed = outgoing.map(|outgoing| outgoing.seal(&self.tam().keys)).transpose()?;
        Ok(Round::Answer(sealed))
    }

    /// Notes whose Agent answered in the place of the one that was asked. It decides nothing: a
    /// REE can send what it likes, and the one that was asked may still answer.
    async fn another_agent(&self, errand: &Errand, signer: Thumbprint) -> Result<(), TamFailed> {
        if errand.purpose != Purpose::Attest {
            return Ok(());
        }
        let holder = self.store().device_by_agent(&signer.to_string()).await?;
        let whose = holder.map_or_else(|| "nobody".to_owned(), |holder| holder.device);
        let expected = format!("the Agent of {}", errand.device);
        tracing::warn!(device = %errand.device, %whose, "another Agent answered");
        let problem = by_user(
            "device.agent-key",
            &expected,
            format!("another Agent answered in its place: that of {whose}"),
            "ask the operator which TEE this device has",
        );
        let detail = Some(problem.seen.clone());
        let problem = Problem { detail, ..http::failure(&problem) };
        let attestation = errand.attestation.clone();
        match self.store().commit(vec![Change::HintResult { attestation, problem }]).await {
            Ok(()) => Ok(()),
            Err(NotCommitted::Failed(failed)) => Err(failed.into()),
            // Decided meanwhile.
            Err(_) => Ok(()),
        }
    }

    async fn resume_run(
        &self,
        row: Option<ExchangeRow>,
        holder: Option<DeviceRow>,
    ) -> Result<Run<'_>, TamFailed> {
        let (errand, device) = match row {
            Some(row) => {
                let device = holder.filter(|holder| holder.device == row.errand.device);
                let device = match device {
                    None => self.live_device(&row.errand.device).await?,
                    same => same.filter(|row| row.duty != Duty::Retired),
                };
                match device {
                    None if !row.errand.device.is_empty() => (unasked(None), None),
                    device => (row.errand, device),
                }
            }
            None => (unasked(holder.as_ref()), holder),
        };
        Ok(Run::new(self, errand, device))
    }

    /// A device that has not been retired: one that has is a stranger.
    async fn live_device(&self, device: &str) -> Result<Option<DeviceRow>, StoreFailed> {
        let found = self.store().device(device).await?;
        Ok(found.filter(|row| row.duty != Duty::Retired))
    }

    /// The code points of a message: those of the device whose key it names, else those of the
    /// device whose exchange it answers.
    async fn numbering_of(&self, sealed: &Sealed<'_>) -> Result<Numbering, StoreFailed> {
        let shell = self.tam();
        if shell.legacy_devices.is_empty() {
            return Ok(Numbering::V26);
        }
        for thumbprint in sealed.hints().iter().filter_map(Hint::thumbprint) {
            if let Some(device) = self.store().device_by_agent(&thumbprint.to_string()).await? {
                return Ok(shell.numbering(&device.device));
            }
        }
        let correlation = shell.tam.correlate_sealed(sealed, Numbering::Legacy18);
        let Some(correlation) = correlation else { return Ok(Numbering::V26) };
        let now_ms = self.clock().now_ms();
        let row = self.store().exchange(&correlation.to_bytes(), now_ms).await?;
        Ok(row.map_or(Numbering::V26, |row| shell.numbering(&row.errand.device)))
    }

    /// The keys that the signatures of a message may be by, in the order of the signatures.
    async fn peer_keys<'s>(
        &self,
        sealed: &'s Sealed<'_>,
        numbering: Numbering,
        now: Timestamp,
    ) -> Result<Found<'s>, StoreFailed> {
        let mut found = Vec::new();
        for hint in sealed.hints() {
            let (key, device) = self.peer_key(sealed, &hint, numbering, now).await?;
            found.push(Peered { hint, key, device });
        }
        Ok(found)
    }

    /// The key that a signature may be by: that of an enrolled device, else the one that the
    /// message's own Evidence claims. Where Agents have to bring certificates, it is the certified
    /// one besides.
    //= teep 14.46 (M): an Agent key outside the device trust anchors gets no Update
    async fn peer_key(
        &self,
        sealed: &Sealed<'_>,
        hint: &Hint<'_>,
        numbering: Numbering,
        now: Timestamp,
    ) -> Result<(Result<PeerKey, NoKey>, Option<DeviceRow>), StoreFailed> {
        let roots = self.tam().keys.device_roots();
        if !roots.is_empty() {
            let certified = hint.certified(roots, now);
            let device = match &certified {
                Ok(peer) => self.holder(&peer.key.thumbprint()).await?,
                Err(_) => None,
            };
            return Ok((certified, device));
        }
        let Some(thumbprint) = hint.thumbprint() else { return Ok((Err(NoKey::Unknown), None)) };
        let device = self.holder(&thumbprint).await?;
        let anchored = device.as_ref().and_then(|device| device.agent_key.as_deref());
        if let Some(key) = anchored.and_then(|key| Key::decode(key).ok()) {
            return Ok((Ok(peer_key(key, Standing::Anchored)), device));
        }
        let claimed = self.tam().tam.claimed_key(sealed, numbering);
        let claimed = claimed.filter(|key| key.thumbprint() == thumbprint);
        let claimed = claimed.map(|key| peer_key(key, Standing::Claimed));
        Ok((claimed.ok_or(NoKey::Unknown), device))
    }

    /// The device whose Agent has this key.
    async fn holder(&self, agent: &Thumbprint) -> Result<Option<DeviceRow>, StoreFailed> {
        self.store().device_by_agent(&agent.to_string()).await
    }

    async fn exchange_row(
        &self,
        correlation: &Correlation,
        holder: Option<&DeviceRow>,
    ) -> Result<Option<ExchangeRow>, StoreFailed> {
        let now_ms = self.clock().now_ms();
        match correlation {
            Correlation::Token(_) | Correlation::Challenge(_) => {
                self.store().exchange(&correlation.to_bytes(), now_ms).await
            }
            Correlation::Agent(_) => match holder {
                Some(device) => self.store().newest_exchange(&device.device, now_ms).await,
                None => Ok(None),
            },
        }
    }
}

const fn peer_key(key: Key, standing: Standing) -> PeerKey {
    PeerKey { key, standing, valid_until: None }
}

/// What a signature says of its key, whether there is such a key, and whose it is.
struct Peered<'s> {
    hint: Hint<'s>,
    key: Result<PeerKey, NoKey>,
    device: Option<DeviceRow>,
}

type Found<'s> = Vec<Peered<'s>>;

fn lookup(found: &Found<'_>, hint: &Hint<'_>) -> Result<PeerKey, NoKey> {
    let found = found.iter().find(|found| found.hint == *hint);
    found.map_or(Err(NoKey::Unknown), |found| found.key.clone())
}

/// The Agent of a device that was appraised.
fn peer(device: &DeviceRow, numbering: Numbering) -> Option<Peer> {
    let key = Key::decode(device.agent_key.as_ref()?).ok()?.thumbprint();
    let suite = Suite::from_id(device.suite?)?;
    Some(Peer { key, suite, numbering })
}

fn unasked(device: Option<&DeviceRow>) -> Errand {
    Errand {
        tenant: String::new(),
        device: device.map(|device| device.device.clone()).unwrap_or_default(),
        deployment: String::new(),
        attestation: String::new(),
        purpose: Purpose::Unasked,
        step: String::new(),
    }
}

fn stranger() -> Opening {
    Opening::Stranger { numbering: Numbering::default() }
}

fn draw() -> Fresh {
    Fresh::deferred(|bytes| SystemEntropy.fill(bytes))
}

fn dropped(error: &dyn std::error::Error) -> Round {
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    tracing::info!(%error, cause, "a message was dropped");
    Round::Empty
}

/// One effect of a session, without what it borrows from a message.
type Effects<'b> = Vec<Effect<'b>>;

//! The Network User's own appraisal: what has to hold before Personalization Data moves.
//!
//! The M/OC's result is evidence of what the M/OC says, no more. Everything that decides is checked
//! again here, over the raw Evidence, with the user's own policy, pins, nonce and clock. A user who
//! is content with less says so by [`Strength`].

mod told;

use channel::{Suite, Suites};
use cose::{Accept, Key};
use rats::{
    Timestamp,
    cmw::{Cmw, Collection},
    ear::Tier,
    eat::{Claims, InstanceType, TaEntry, Token},
    nonce,
};
use verifier::{
    AgentAppraisal, Appraisal, Check, Collateral, Failure, Owner, Reason, appraise_teep,
    teep::{AppraisedAgent, Terms},
};

use crate::{
    Refusal,
    trust::{Strength, Trust},
};

/// What the Network User asked for and now expects to see.
#[derive(Clone, Debug)]
pub struct Expected<'a> {
    /// The user's own nonce of this exchange, used once.
    pub nonce: &'a [u8],
    /// When the nonce was made.
    pub nonce_made: Timestamp,
    /// The Trusted Application that has to run, where the channel ends at it (cases 2, 3 and 5).
    /// `None`: the channel ends at the TEEP Agent (cases 1 and 4).
    pub application: Option<Application<'a>>,
}

/// A Trusted Application that the Network User deployed.
#[derive(Clone, Debug)]
pub struct Application<'a> {
    /// The TA's manifest component identifier.
    pub manifest: &'a [Vec<u8>],
    /// SHA-256 digest of the TA's manifest, as the user signed or pinned it.
    pub manifest_digest: [u8; 32],
    /// The instance type.
    pub instance: InstanceType,
}

/// What was examined: the tree of checks, and the proof when everything holds.
#[derive(Debug)]
pub struct Examined {
    /// Every check, in order.
    pub checks: Check,
    /// What the hardware layer says; absent when the Evidence could not be read, or was not to be
    /// appraised.
    pub hardware: Option<Appraisal>,
    /// What the result of the pinned Verifier says, where its signature and nonce hold.
    pub told: Option<Tier>,
    accepted: Option<Accepted>,
}

/// The proof that the Network User's own appraisal accepted. Only [`examine`] makes one, and a
/// release of Personalization Data needs one.
#[derive(Clone, Debug)]
pub struct Accepted {
    pub(crate) receiver: Key,
    pub(crate) eat_digest: [u8; 32],
    /// Absent where the channel ends at the TEEP Agent.
    pub(crate) ta: Option<TaEntry>,
    receipt_key: Key,
    emulated: bool,
}

impl Examined {
    /// The proof, or the first refusal.
    ///
    /// # Errors
    /// The first check that does not hold, explained.
    pub fn accepted(&self) -> Result<&Accepted, Box<Refusal>> {
        match (&self.accepted, self.checks.first_failure()) {
            (Some(accepted), None) => Ok(accepted),
            (_, Some((check, failure))) => Err(Box::new(refusal(check, failure))),
            // Nothing failed and nothing was proved: that is a refusal too.
            (None, None) => Err(Box::new(Refusal {
                check: "network-user".to_owned(),
                expected: "evidence that could be appraised to its end".to_owned(),
                seen: "an appraisal that stopped early".to_owned(),
                owner: "Network M/OC".to_owned(),
                remedy: "ask for a new attestation".to_owned(),
            })),
        }
    }
}

impl Examined {
    /// Whether the Network User's own verdict is another one than that of the pinned Verifier:
    /// either way, nothing is released.
    #[must_use]
    pub fn differs(&self) -> bool {
        let mut own = self.checks.children.iter().filter(|check| check.name != told::CHECK);
        let own = own.all(|check| check.ok);
        self.told.is_some_and(|tier| told::is_positive(tier) != own)
    }
}

impl Accepted {
    /// The key to which callers seal their requests; where the channel ends at the Agent, the
    /// receipt names it.
    #[must_use]
    pub fn service_key(&self) -> Option<&Key> {
        self.ta.as_ref().map(|ta| &ta.service_key)
    }

    /// The key that signs receipts.
    #[must_use]
    pub fn receipt_key(&self) -> &Key {
        &self.receipt_key
    }

    /// The suite of the channel: of those that the Evidence offers, the one that the user's policy
    /// prefers.
    #[must_use]
    pub fn suite(&self) -> Option<Suite> {
        Suite::of(&self.receiver)
    }

    /// What keeps the TA apart from the rest of its device, as the Agent says; nothing where the
    /// TA did not run yet.
    #[must_use]
    pub fn isolation(&self) -> &[String] {
        self.ta.as_ref().map_or(&[], |ta| &ta.instance.isolation)
    }

    /// Whether the hardware is emulated.
    #[must_use]
    pub fn emulated(&self) -> bool {
        self.emulated
    }
}

/// Examines a signed CMW of the M/OC (rats.md section 8) at a time by the user's own clock.
#[must_use]
pub fn examine(result: &[u8], expected: &Expected<'_>, trust: &Trust, now: Timestamp) -> Examined {
    let mut root = Check::new("network-user");
    let mut hardware = None;
    let mut look = Look { expected, trust, now, checks: &mut root.children };
    let looked = look.at(result, &mut hardware);
    let told = told::tier(result, expected, trust, now);
    let appraised = hardware.as_ref().is_some_and(Appraisal::accepted);
    let enough = appraised || trust.strength == Strength::Result;
    let accepted = looked.ok().filter(|_| enough);
    root.ok = accepted.is_some() && root.children.iter().all(|check| check.ok);
    Examined { checks: root, hardware, told, accepted }
}

/// One look at a result: what it is held against, and what was checked so far.
struct Look<'a> {
    expected: &'a Expected<'a>,
    trust: &'a Trust,
    now: Timestamp,
    checks: &'a mut Vec<Check>,
}

impl Look<'_> {
    fn at(&mut self, result: &[u8], hardware: &mut Option<Appraisal>) -> Result<Accepted, Stopped> {
        let collection = open(result, self.trust, self.checks)?;
        let evidence = part(&collection, "evidence", self.checks)?;
        note_nonce(self.expected, self.now, self.checks)?;
        match self.trust.strength {
            Strength::Result => {
                let told = self.told(&collection)?;
                let token = told::unappraised(evidence, self.checks)?;
                let claims = &token.claims;
                let teep_key = claims.cnf.as_ref().map(rats::eat::Confirmation::thumbprint);
                self.agrees(told.as_ref(), teep_key)?;
                self.receiver(&token, None)
            }
            Strength::Evidence => {
                let told = self.told(&collection)?;
                let challenge = told::challenge(told.as_ref(), self.checks)?;
                let appraised = self.appraise(&collection, &challenge, hardware)?;
                let token = appraised.agent().token.get();
                let accepted = self.receiver(token, hardware.as_ref())?;
                self.agrees(told.as_ref(), Some(appraised.agent().teep_key.thumbprint()))?;
                Ok(accepted)
            }
            Strength::Own => {
                //= rats 11.33 (M): the user recomputes the combination of both nonces
                let tam_nonce = part(&collection, "tam-nonce", self.checks)?;
                let challenge = nonce::combine(tam_nonce, self.expected.nonce);
                let appraised = self.appraise(&collection, &challenge, hardware)?;
                let token = appraised.agent().token.get();
                let accepted = self.receiver(token, hardware.as_ref())?;
                let told = self.told(&collection)?;
                self.agrees(told.as_ref(), Some(appraised.agent().teep_key.thumbprint()))?;
                Ok(accepted)
            }
        }
    }

    /// The key that data is sealed to: the Agent's own, or that of the TA which was deployed.
    fn receiver(
        &mut self,
        token: &Token,
        hardware: Option<&Appraisal>,
    ) -> Result<Accepted, Stopped> {
        let claims = &token.claims;
        let ta = match &self.expected.application {
            Some(expected) => Some(application(claims, expected, self.checks)?),
            None => None,
        };
        let (named, keys) = match &ta {
            Some(ta) => ("ta.receiver", &ta.receivers),
            None => ("agent.receiver", &claims.receivers),
        };
        let receiver = chosen(named, keys, &self.trust.channel, self.checks)?.clone();
        let Some(session) = &claims.session_keys else {
            let check = Check::new("agent.receipt-key").expected("a key").seen("none");
            return stop(self.checks, check, Reason::BindingMismatch, "ask for a new attestation");
        };
        Ok(Accepted {
            receiver,
            eat_digest: token.digest(),
            ta: ta.clone(),
            receipt_key: session.receipt.clone(),
            // What is not known to be real counts as emulated.
            emulated: hardware.and_then(Appraisal::emulated).unwrap_or(true),
        })
    }

    /// The user's own appraisal.
    fn appraise(
        &mut self,
        collection: &Collection,
        challenge: &[u8],
        hardware: &mut Option<Appraisal>,
    ) -> Result<AppraisedAgent, Stopped> {
        let evidence = part(collection, "evidence", self.checks)?;
        let collateral = collateral(collection, self.trust, self.checks)?;
        let terms = Terms {
            challenge,
            event_log: None,
            anchors: &self.trust.anchors,
            reference: &self.trust.reference,
            policy: &self.trust.policy,
            now: self.now,
        };
        match appraise_teep(evidence, &collateral, &terms) {
            Ok(appraised) => accept(appraised, self.checks, hardware),
            Err(unreadable) => {
                self.checks.push(unreadable.check().clone());
                Err(Stopped)
            }
        }
    }
}

/// A check failed; it is in the list.
struct Stopped;

/// Opens the signed CMW; its signature is checked when the user pinned a Verifier.
fn open(result: &[u8], trust: &Trust, checks: &mut Vec<Check>) -> Result<Collection, Stopped> {
    let cmw = match &trust.verifier {
        Some(key) => {
            let verified = Cmw::verify(result, std::slice::from_ref(key), &Accept::CURRENT);
            let thumbprint = key.thumbprint();
            let check = Check::new("result.signature").expected(&thumbprint.0);
            match verified {
                Ok(verified) => {
                    checks.push(check.seen(&thumbprint.0).source("pinned Verifier"));
                    verified.into_inner()
                }
                Err(error) => {
                    let remedy = "ask the operator for the Verifier's new key, by another way";
                    return stop(
                        checks,
                        check.seen(error.to_string()),
                        Reason::BadSignature,
                        remedy,
                    );
                }
            }
        }
        None if trust.strength < Strength::Own => {
            let check = Check::new("result.verifier")
                .expected("the key of a Verifier that the Network User pinned")
                .seen("none");
            let remedy = "pin a Verifier, or let your own appraisal decide (strength `own`)";
            return stop(checks, check, Reason::ConfigurationNotAllowed, remedy);
        }
        None => match unsigned(result) {
            Some(cmw) => cmw,
            None => {
                let check =
                    Check::new("result.format").expected("a signed CMW").seen("other bytes");
                return stop(checks, check, Reason::Malformed, "ask for a new attestation");
            }
        },
    };
    match cmw {
        Cmw::Collection(collection) => Ok(collection),
        Cmw::Record(_) | Cmw::Tag { .. } => {
            let check =
                Check::new("result.format").expected("a CMW collection").seen("another CMW");
            stop(checks, check, Reason::Malformed, "ask for a new attestation")
        }
    }
}

fn unsigned(result: &[u8]) -> Option<Cmw> {
    let object = cose::Sign1::decode(result, cose::Tagging::Either).ok()?;
    Cmw::decode(object.payload?).ok()
}

fn part<'c>(
    collection: &'c Collection,
    label: &'static str,
    checks: &mut Vec<Check>,
) -> Result<&'c [u8], Stopped> {
    match collection.record(label) {
        Some(record) => Ok(&record.value),
        None => {
            let check = Check::new("result.parts").expected(label).seen("absent");
            stop(checks, check, Reason::Malformed, "the operator must deliver the whole result")
        }
    }
}

/// The user's own nonce has its time too.
fn note_nonce(
    expected: &Expected<'_>,
    now: Timestamp,
    checks: &mut Vec<Check>,
) -> Result<(), Stopped> {
    let age_s = now.0 - expected.nonce_made.0;
    let check = Check::new("nonce.age")
        .seen(format!("{age_s} s"))
        .expected(format!("at most {NONCE_AGE_S_MAX} s"))
        .source("the Network User's own clock");
    if (0..=NONCE_AGE_S_MAX).contains(&age_s) {
        checks.push(check);
        return Ok(());
    }
    stop(checks, check, Reason::BindingMismatch, "ask for a new attestation with a new nonce")
}

/// The user's own copy of the collateral, or the result's, which its vendor signed all the same.
fn collateral(
    collection: &Collection,
    trust: &Trust,
    checks: &mut Vec<Check>,
) -> Result<Collateral, Stopped> {
    let check = Check::new("collateral.origin");
    if let Some(own) = &trust.collateral {
        checks.push(check.seen("the Network User's own copy"));
        return Ok(own.clone());
    }
    let check = check.seen("delivered with the result, signed by the vendor");
    match Collateral::decode(part(collection, "endorsements", checks)?) {
        Ok(collateral) => {
            checks.push(check);
            Ok(collateral)
        }
        Err(error) => {
            let check = check.expected("a collateral bundle").seen(error.to_string());
            stop(checks, check, Reason::Malformed, "keep a copy of the collateral of your own")
        }
    }
}

fn accept(
    appraised: AgentAppraisal,
    checks: &mut Vec<Check>,
    hardware: &mut Option<Appraisal>,
) -> Result<AppraisedAgent, Stopped> {
    checks.push(appraised.appraisal().checks().clone());
    *hardware = Some(appraised.appraisal().clone());
    appraised.accept().map_err(|_| Stopped)
}

/// Of the receiver's keys, the one of the suite that the user prefers.
fn chosen<'k>(
    named: &'static str,
    keys: &'k [Key],
    allowed: &Suites,
    checks: &mut Vec<Check>,
) -> Result<&'k Key, Stopped> {
    if keys.is_empty() {
        let check = Check::new(named).expected("a key of this exchange").seen("none");
        return stop(checks, check, Reason::BindingMismatch, "ask for a new attestation");
    }
    let check = Check::new("channel.suite")
        .expected(format!("one of {allowed}"))
        .source("the Network User's own policy");
    let Some(chosen) = allowed.choose(keys) else {
        let offered: Vec<&str> =
            keys.iter().map(|key| Suite::of(key).map_or("another", Suite::as_str)).collect();
        let check = check.seen(offered.join(", "));
        let remedy = "ask for a device whose Agent offers a suite that you allow, or allow another \
            one: tamarack trust --channel";
        return stop(checks, check, Reason::ConfigurationNotAllowed, remedy);
    };
    checks.push(check.seen(Suite::of(chosen).map_or("another", Suite::as_str)));
    checks.push(Check::new(named).seen(&chosen.thumbprint().0));
    Ok(chosen)
}

/// The TA's own entry (rats.md section 10): evidence of the Agent alone releases nothing here.
//= rats 11.34 (R): release of PD to a TA requires the TA's own entry
fn application(
    claims: &Claims,
    expected: &Application<'_>,
    checks: &mut Vec<Check>,
) -> Result<TaEntry, Stopped> {
    let check = Check::new("ta.entry").source("the Agent's EAT");
    let Some(ta) = claims.submods.ta(expected.manifest) else {
        let check = check.expected("the TA that was deployed").seen("no such entry");
        return stop(checks, check, Reason::MeasurementMismatch, "deploy the TA again");
    };
    checks.push(check.seen(ta.submod_name()));

    let check = Check::new("ta.manifest-digest")
        .expected(&expected.manifest_digest)
        .seen(&ta.manifest.digest)
        .source("the manifest that the Network User signed");
    if ta.manifest.digest != expected.manifest_digest {
        let remedy = "another version of the TA runs: deploy yours, or pin that one";
        return stop(checks, check, Reason::MeasurementMismatch, remedy);
    }
    checks.push(check);

    let check = Check::new("ta.instance").expected(expected.instance.name()).seen(format!(
        "{} ({})",
        ta.instance.kind.name(),
        ta.instance.isolation.join(", ")
    ));
    if ta.instance.kind != expected.instance {
        let remedy = "ask for a device that offers the instance type";
        return stop(checks, check, Reason::ConfigurationNotAllowed, remedy);
    }
    checks.push(check);
    Ok(ta.clone())
}

fn stop<T>(
    checks: &mut Vec<Check>,
    check: Check,
    reason: Reason,
    remedy: &'static str,
) -> Result<T, Stopped> {
    checks.push(check.holds(false, || Failure::new(reason, Owner::Attester, remedy)));
    Err(Stopped)
}

pub(crate) fn refusal(check: &Check, failure: &Failure) -> Refusal {
    let shown = |value: &Option<verifier::Value>| {
        value.as_ref().map_or_else(|| "unknown".to_owned(), ToString::to_string)
    };
    Refusal {
        check: check.name.to_owned(),
        expected: shown(&check.expected),
        seen: shown(&check.seen),
        owner: failure.owner.to_string(),
        remedy: failure.remedy.clone().into_owned(),
    }
}

/// A result for an older nonce is refused, seconds.
const NONCE_AGE_S_MAX: i64 = 600;

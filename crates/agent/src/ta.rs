//! The Trusted Applications that run, and what becomes of those that crash.
//!
//! An application that ended is started again after a wait that doubles each time. It comes back
//! without its Personalization Data: a restart is a new epoch, and its owner has to release
//! again. Keys and receivers are new as well, so evidence from before names nothing any more.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use channel::Suites;
use cose::{Key, Secret, Thumbprint};
use device::broker::Piece;
use rats::eat::{Instance as InstanceClaim, InstanceType, ManifestId};
use suit::ComponentId;
use tracing::{info, warn};
use zeroize::Zeroizing;

use crate::attester::{Attester, RuntimeRegister};
use crate::backend::{Backend, Crash, Failed, Holds, Instance, Program, Progress};

/// All Trusted Applications of this device, by manifest component identifier.
pub struct Applications {
    backends: Backends,
    room: Room,
    register: Option<Arc<RuntimeRegister>>,
    all: Mutex<BTreeMap<ComponentId, Arc<Ta>>>,
}

/// One backend for each instance type that the device has.
pub type Backends = BTreeMap<InstanceType, Arc<dyn Backend>>;

/// The memory that a device gives to Trusted Applications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes for all of them.
    pub total_bytes: u64,
    /// Bytes that each may use beside its own content.
    pub each_bytes: u64,
}

impl Room {
    /// As much as there is: who asks for nothing is refused nothing.
    pub const ENOUGH: Self = Self { total_bytes: u64::MAX, each_bytes: 0 };

    /// Refuses an application that would not fit beside these.
    fn admit<'a>(self, beside: impl Iterator<Item = &'a Ta>, content: usize) -> Result<(), Failed> {
        let needed = |content: usize| self.each_bytes.saturating_add(content as u64);
        let taken = beside.map(|ta| needed(ta.module.len())).fold(0_u64, u64::saturating_add);
        let free = self.total_bytes.saturating_sub(taken);
        let needed = needed(content);
        if needed > free { Err(Failed::NoRoom { needed, free }) } else { Ok(()) }
    }
}

impl Applications {
    /// No applications yet.
    pub fn new(backends: Backends) -> Self {
        Self { backends, room: Room::ENOUGH, register: None, all: Mutex::default() }
    }

    /// The same with the register into which the backends measure.
    pub fn with_register(self, register: Arc<RuntimeRegister>) -> Self {
        Self { register: Some(register), ..self }
    }

    /// The register into which the backends measure; without one, that of the attester holds
    /// nothing of theirs.
    pub(crate) fn register(&self, attester: &Arc<dyn Attester>) -> Arc<RuntimeRegister> {
        let unused = || Arc::new(RuntimeRegister::new(Arc::clone(attester)));
        self.register.clone().unwrap_or_else(unused)
    }

    /// The same with a limit for all applications together.
    pub fn with_room(self, room: Room) -> Self {
        Self { room, ..self }
    }

    /// Starts an application that is not known yet to anybody; [`Self::admit`] makes it so.
    ///
    /// What would not fit is refused before it starts. A new version takes the place of the old
    /// one, which runs until then.
    pub fn start(&self, facts: Facts, module: Zeroizing<Vec<u8>>) -> Result<Arc<Ta>, Failed> {
        let all = self.all();
        let beside = all.iter().filter(|ta| ta.facts.manifest != facts.manifest);
        self.room.admit(beside.map(|ta| ta.as_ref()), module.len())?;
        let ta = self.application(facts, module)?;
        ta.with(|_| Ok(()))?;
        Ok(Arc::new(ta))
    }

    /// Knows an application that was installed before, and starts it if that is possible now.
    pub fn restore(&self, facts: Facts, module: Zeroizing<Vec<u8>>) -> Result<(), Failed> {
        let ta = self.application(facts, module)?;
        let _ = ta.with(|_| Ok(()));
        lock(&self.all).insert(ta.facts.manifest.clone(), Arc::new(ta));
        Ok(())
    }

    fn application(&self, facts: Facts, module: Zeroizing<Vec<u8>>) -> Result<Ta, Failed> {
        let backend = self.backends.get(&facts.instance);
        let backend = Arc::clone(backend.ok_or(Failed::NoBackend(facts.instance))?);
        let state = Mutex::new(State::Down { crash: None, starts: 0, not_before: None });
        Ok(Ta { facts, module, backend, state })
    }

    /// Knows an application from now on, in the place of an older one of its manifest.
    pub fn admit(&self, ta: Arc<Ta>) {
        info!(component = %ta.facts.component, "the application runs and awaits a release");
        lock(&self.all).insert(ta.facts.manifest.clone(), ta);
    }

    /// Follows the removal of a manifest: its application ends, and an application whose
    /// Personalization Data it was starts again without.
    pub fn forget(&self, manifest: &ComponentId) {
        lock(&self.all).remove(manifest);
        for ta in self.all() {
            if ta.facts.is_data(manifest) {
                ta.restart();
            }
        }
    }

    /// The application that this component is.
    pub fn component(&self, component: &ComponentId) -> Option<Arc<Ta>> {
        lock(&self.all).values().find(|ta| ta.facts.component == *component).cloned()
    }

    /// All of them, in the order of their manifests.
    pub fn all(&self) -> Vec<Arc<Ta>> {
        lock(&self.all).values().cloned().collect()
    }

    /// Makes a receiver in every application that runs and is to be shown, with a key for each
    /// suite.
    pub fn challenge(&self, suites: &Suites, shown: &dyn Fn(&Facts) -> bool) -> Vec<Challenged> {
        let all = self.all().into_iter().filter(|ta| shown(&ta.facts));
        all.filter_map(|ta| Ta::challenge(ta, suites).ok()).collect()
    }

    /// Every application that runs and is to be shown, with the key that callers seal to and how
    /// it runs.
    pub fn running(&self, shown: &dyn Fn(&Facts) -> bool) -> Vec<(Arc<Ta>, Key, InstanceClaim)> {
        let named = |ta: Arc<Ta>| {
            let (service_key, claim) =
                ta.with(|instance| Ok((instance.service_key().clone(), instance.claim()))).ok()?;
            Some((ta, service_key, claim))
        };
        self.all().into_iter().filter(|ta| shown(&ta.facts)).filter_map(named).collect()
    }

    /// Notices what ended, and starts it again when its wait is over.
    pub fn tend(&self) {
        for ta in self.all() {
            let _ = ta.with(|_| Ok(()));
        }
    }
}

impl std::fmt::Debug for Applications {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Applications").field("count", &lock(&self.all).len()).finish()
    }
}

/// What is known of an application from its verified manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Its own component identifier.
    pub component: ComponentId,
    /// The component identifier of its manifest.
    pub manifest: ComponentId,
    /// Who signed the manifest.
    pub owner: Thumbprint,
    /// SHA-256 of the manifest.
    pub manifest_digest: [u8; 32],
    /// The sequence number of the manifest.
    pub sequence_number: u64,
    /// The instance type that the manifest's class asks for.
    pub instance: InstanceType,
}

impl Facts {
    /// Whether this is a manifest of Personalization Data for this application, whoever's.
    fn is_data(&self, manifest: &ComponentId) -> bool {
        let (Some(name), Some(own)) = (manifest.name(), self.component.name()) else {
            return false;
        };
        let name = name.strip_suffix(".suit").unwrap_or_default();
        let of = name.strip_suffix(BUNDLE_SUFFIX).or_else(|| name.strip_suffix(DATA_SUFFIX));
        // The part before the name is the owner of the application.
        let owner = manifest.parts().iter().rev().nth(1);
        of == Some(own) && owner.is_some_and(|owner| *owner == self.owner.0)
    }
}

/// One Trusted Application.
pub struct Ta {
    facts: Facts,
    module: Zeroizing<Vec<u8>>,
    backend: Arc<dyn Backend>,
    state: Mutex<State>,
}

/// How an application is.
enum State {
    /// It runs.
    Up { instance: Box<dyn Instance>, released: bool, starts: u32 },
    /// It ended, or was never started.
    Down { crash: Option<Crash>, starts: u32, not_before: Option<Instant> },
}

/// What [`Ta::standing`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It runs without Personalization Data.
    AwaitingRelease,
    /// It runs with Personalization Data.
    Released,
    /// It ended and waits to be started again.
    Crashed(Crash),
}

/// An application with the receiver of one exchange.
#[derive(Clone)]
pub struct Challenged {
    /// The application.
    pub ta: Arc<Ta>,
    /// The key that callers seal to.
    pub service_key: Key,
    /// The keys that Personalization Data of this exchange may be sealed to, at least one.
    pub receivers: Vec<Key>,
    /// How it runs.
    pub claim: InstanceClaim,
}

impl Ta {
    /// Its component identifier.
    pub fn component(&self) -> &ComponentId {
        &self.facts.component
    }

    /// What is known of it from its manifest.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Its manifest, as evidence names it.
    pub fn manifest_id(&self) -> ManifestId {
        ManifestId {
            component_id: self.facts.manifest.parts().to_vec(),
            digest: self.facts.manifest_digest,
            sequence_number: self.facts.sequence_number,
        }
    }

    /// How it is.
    pub fn standing(&self) -> Standing {
        match &*lock(&self.state) {
            State::Up { released: true, .. } => Standing::Released,
            State::Up { released: false, .. } => Standing::AwaitingRelease,
            State::Down { crash, .. } => Standing::Crashed(crash.unwrap_or(Crash::NotStarted)),
        }
    }

    /// The key that callers seal to, of the instance that runs now.
    pub fn service_key(&self) -> Result<Key, Failed> {
        self.with(|instance| Ok(instance.service_key().clone()))
    }

    /// Tells which evidence names a receiver, by its first key.
    pub fn bind(&self, receiver: Thumbprint, eat_digest: [u8; 32]) -> Result<(), Failed> {
        self.with(|instance| instance.bind(receiver, eat_digest))
    }

    /// Hands over a piece of a release, still sealed. Its owner is the one of the manifest that
    /// it came with, or the application's own.
    pub fn take(&self, owner: Thumbprint, piece: Piece, holds: Holds) -> Result<Progress, Failed> {
        let progress = self.with(|instance| instance.take(owner, piece, holds))?;
        if !matches!(progress, Progress::Until(_)) {
            self.released();
        }
        Ok(progress)
    }

    /// Hands over some of the data of a release that was sealed to the agent.
    pub fn gather(&self, owner: Thumbprint, stream: [u8; 32], data: Secret) -> Result<(), Failed> {
        self.with(|instance| instance.personalize(owner, stream, data, None))
    }

    /// Ends a release that was sealed to the agent, and gives the key that its callers need.
    pub fn personalize(
        &self,
        owner: Thumbprint,
        stream: [u8; 32],
        callers: Vec<Key>,
    ) -> Result<Key, Failed> {
        let service_key = self.with(|instance| {
            instance.personalize(owner, stream, Secret::new(Vec::new()), Some(callers))?;
            Ok(instance.service_key().clone())
        })?;
        self.released();
        Ok(service_key)
    }

    fn released(&self) {
        if let State::Up { released, .. } = &mut *lock(&self.state) {
            *released = true;
        }
        info!(component = %self.facts.component, "personalization data was released");
    }

    /// Passes on a sealed request.
    pub fn call(&self, request: Vec<u8>) -> Result<Vec<u8>, Failed> {
        self.with(|instance| instance.call(request))
    }

    /// Ends it, with everything that it knew; it starts again without.
    pub fn restart(&self) {
        *lock(&self.state) = State::Down { crash: None, starts: 0, not_before: None };
        let _ = self.with(|_| Ok(()));
    }

    fn challenge(ta: Arc<Self>, suites: &Suites) -> Result<Challenged, Failed> {
        let (service_key, receivers, claim) = ta.with(|instance| {
            let receivers = instance.new_receiver(suites)?;
            Ok((instance.service_key().clone(), receivers, instance.claim()))
        })?;
        Ok(Challenged { ta, service_key, receivers, claim })
    }

    /// Does something with the running instance, which is started first if its wait is over.
    fn with<T>(
        &self,
        act: impl FnOnce(&mut dyn Instance) -> Result<T, Failed>,
    ) -> Result<T, Failed> {
        let mut state = lock(&self.state);
        if let State::Up { instance, starts, .. } = &mut *state
            && !instance.alive()
        {
            *state = self.down(Crash::Gone, *starts);
        }
        if let State::Down { crash, starts, not_before } = &*state {
            if not_before.is_some_and(|not_before| Instant::now() < not_before) {
                return Err(crash.unwrap_or(Crash::NotStarted).into());
            }
            let starts = starts.saturating_add(1);
            match self.backend.start(self.program()) {
                Ok(instance) => *state = State::Up { instance, released: false, starts },
                Err(failed) => {
                    *state = self.down(crash_of(&failed), starts);
                    return Err(failed);
                }
            }
        }
        let State::Up { instance, starts, .. } = &mut *state else {
            return Err(Crash::NotStarted.into());
        };
        let outcome = act(instance.as_mut());
        if let Err(Failed::Crashed(crash)) = &outcome {
            *state = self.down(*crash, *starts);
        }
        outcome
    }

    fn down(&self, crash: Crash, starts: u32) -> State {
        let wait = BACKOFF_MIN.saturating_mul(1 << starts.saturating_sub(1).min(10));
        let wait = wait.min(BACKOFF_MAX);
        let seconds = wait.as_secs();
        warn!(component = %self.facts.component, %crash, seconds, "the application ended");
        State::Down { crash: Some(crash), starts, not_before: Instant::now().checked_add(wait) }
    }

    fn program(&self) -> Program<'_> {
        Program { manifest_digest: self.facts.manifest_digest, module: &self.module }
    }
}

impl std::fmt::Debug for Ta {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ta").field("facts", &self.facts).finish_non_exhaustive()
    }
}

fn crash_of(failed: &Failed) -> Crash {
    match failed {
        Failed::Crashed(crash) => *crash,
        Failed::Runtime(_) | Failed::NotMeasured(_) => Crash::NotStarted,
        Failed::Refused(_)
        | Failed::NoBackend(_)
        | Failed::NoRoom { .. }
        | Failed::TooLong { .. }
        | Failed::Image(_) => Crash::Unexpected,
    }
}

/// A thread that panicked with the lock held leaves a whole value: every change is one store.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How the name of Personalization Data ends: `planner.pd` is the data of `planner`.
pub const DATA_SUFFIX: &str = ".pd";

/// How the name of a bundle of a UA and Personalization Data ends (case 5).
pub const BUNDLE_SUFFIX: &str = ".ua-pd";

/// The wait after the first end of an application.
const BACKOFF_MIN: Duration = Duration::from_secs(1);

/// The longest wait.
const BACKOFF_MAX: Duration = Duration::from_secs(300);

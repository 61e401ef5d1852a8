//! Being woken: by the Network M/OC, and by the clock.

use std::{sync::Arc, time::Duration};

use device::ComponentId;
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, sleep_until, timeout},
};
use tracing::{info, warn};

use crate::{
    loads::Loads,
    refusal::{SessionFailed, causes},
    session::Sessions,
};

/// How often the Broker does things by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rhythm {
    /// The time from one policy check to the next, if nobody asks for one.
    pub policy_check_every: Duration,
    /// The first pause after the M/OC could not be reached; it doubles.
    pub pause_min: Duration,
    /// The longest pause.
    pub pause_max: Duration,
}

impl Default for Rhythm {
    fn default() -> Self {
        Self {
            policy_check_every: Duration::from_hours(24),
            pause_min: Duration::from_millis(200),
            pause_max: Duration::from_secs(10),
        }
    }
}

/// What wakes the Broker, and what it then does.
pub struct Wakes {
    sessions: Arc<Sessions>,
    loads: Loads,
    rhythm: Rhythm,
    places: Arc<Semaphore>,
}

impl Wakes {
    /// Everything that follows from a wake-up goes to these.
    #[must_use]
    pub fn new(sessions: Arc<Sessions>, loads: Loads, rhythm: Rhythm) -> Self {
        let places = Arc::new(Semaphore::new(AT_ONCE_MAX));
        Self { sessions, loads, rhythm, places }
    }

    /// Waits to be woken, for ever. What each wake-up asks for runs in a task of its own.
    pub async fn serve(self: Arc<Self>) {
        let mut pause = self.rhythm.pause_min;
        let mut check_at = Instant::now() + self.rhythm.policy_check_every;
        loop {
            // The semaphore is never closed; with every place taken the M/OC waits.
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { return };
            //= teep 14.100 (S): a policy-check trigger exists: timer
            // A poll that is given up may take a ticket with it; the M/OC wakes again.
            let woken = tokio::select! {
                woken = self.sessions.moc.wake() => woken,
                () = sleep_until(check_at) => {
                    check_at = Instant::now() + self.rhythm.policy_check_every;
                    let wake = api::Wake {
                        ticket: None,
                        reason: api::WakeReason::Other,
                        load: None,
                        place: None,
                    };
                    Ok(Some(wake))
                }
            };
            match woken {
                Ok(Some(wake)) => {
                    pause = self.rhythm.pause_min;
                    info!(reason = ?wake.reason, "woken");
                    let wakes = Arc::clone(&self);
                    tokio::spawn(async move {
                        wakes.on_wake(wake).await;
                        drop(place);
                    });
                }
                Ok(None) => pause = self.rhythm.pause_min,
                Err(error) => {
                    warn!(%error, ?pause, "waiting to be woken failed");
                    sleep(pause).await;
                    pause = (pause * 2).min(self.rhythm.pause_max);
                }
            }
        }
    }

    /// Waits until the work of every wake-up is done, for a while; tells whether it is.
    ///
    /// For the end of the program: a session that is cut off is begun anew later, and an Update
    /// may then be installed whose Success nobody heard.
    pub async fn finished(&self, within: Duration) -> bool {
        let every = u32::try_from(AT_ONCE_MAX).unwrap_or(u32::MAX);
        timeout(within, self.places.acquire_many(every)).await.is_ok()
    }

    async fn on_wake(&self, wake: api::Wake) {
        if let (Some(ticket), Some(sha256)) = (&wake.ticket, &wake.place) {
            if let Err(error) = self.sessions.place(ticket, sha256).await {
                warn!(error = causes(&error), "a UA was not placed");
            }
            self.loads.session_ended();
            return;
        }
        if let (Some(ticket), Some(load)) = (&wake.ticket, &wake.load) {
            match component(load) {
                Some(component) => self.loads.offer(component, ticket.clone()).await,
                None => warn!("the M/OC named a component that is not one"),
            }
            return;
        }
        if let Err(error) = self.policy_check(wake.ticket.as_deref()).await {
            warn!(error = causes(&error), "a session failed");
        }
    }

    //= teep 14.100 (S): a policy-check trigger exists: the M/OC's wake-up, timer
    /// A session with each TAM that the Agent names.
    ///
    /// # Errors
    /// The first [`SessionFailed`], after every TAM had its turn.
    pub async fn policy_check(&self, ticket: Option<&str>) -> Result<(), SessionFailed> {
        self.loads.policy_check(&self.sessions, ticket).await
    }
}

fn component(hexadecimal: &[String]) -> Option<ComponentId> {
    let elements: Result<Vec<_>, _> = hexadecimal.iter().map(hex::decode).collect();
    ComponentId::new(elements.ok()?).ok()
}

/// Wake-ups whose work is under way.
const AT_ONCE_MAX: usize = 16;

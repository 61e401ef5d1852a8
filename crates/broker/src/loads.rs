//! TAs that UAs ask for, and the tickets under which the M/OC waits for them.
//!
//! On SGX the UA loads the TA (use-case draft section 4.2 step 3): the M/OC's ticket waits here
//! for the UA that asks, and the Broker asks in its place when no UA does.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
    time::Duration,
};

use device::{
    ComponentId,
    broker::{Cause, Session},
};
use tokio::{
    sync::{Mutex, Notify},
    time::{Instant, sleep, sleep_until, timeout},
};
use tracing::{info, warn};

use crate::{
    agent::{Agent, Conversation},
    refusal::{AgentFailed, SessionFailed, causes},
    session::Sessions,
};

/// How long either side waits for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// How long a UA's request for a TA waits for the M/OC's ticket.
    pub ticket_within: Duration,
    /// How long a ticket waits for a UA before the Broker asks in its place.
    pub ua_within: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            ticket_within: Duration::from_secs(15),
            ua_within: Duration::from_millis(api::UA_LOADS_WITHIN_MS),
        }
    }
}

/// TAs that are to be loaded, each with the ticket of its exchange.
#[derive(Clone)]
pub struct Loads {
    agent: Agent,
    patience: Patience,
    sessions: Arc<OnceLock<Arc<Sessions>>>,
    tickets: Arc<Mutex<BTreeMap<ComponentId, Ticket>>>,
    /// TAs that were there when a UA asked for them last.
    present: Arc<Mutex<BTreeSet<ComponentId>>>,
    arrived: Arc<Notify>,
    /// TAs that a UA has asked for since somebody began to wait for that.
    asked: Arc<Mutex<BTreeSet<ComponentId>>>,
    /// The Agent names its TAMs one by one, so two policy checks must not share them out.
    naming: Arc<Mutex<()>>,
    /// A session is over: what was missing may be there now.
    ended: Arc<Notify>,
}

/// The newest ticket of a TA that is to be loaded.
struct Ticket {
    text: String,
    /// When the first one came that nobody has used: a newer one does not start the wait anew.
    since: Instant,
}

impl Loads {
    /// Loads by way of this Agent.
    #[must_use]
    pub fn new(agent: Agent, patience: Patience) -> Self {
        Self {
            agent,
            patience,
            sessions: Arc::default(),
            tickets: Arc::default(),
            present: Arc::default(),
            arrived: Arc::default(),
            asked: Arc::default(),
            naming: Arc::default(),
            ended: Arc::default(),
        }
    }

    /// Says what sessions run with; before that every request for a TA fails.
    pub fn serve_with(&self, sessions: Arc<Sessions>) {
        // Only `main` calls this, once; a second call would change nothing.
        let _first_wins = self.sessions.set(sessions);
    }

    /// A UA asks for a TA; `Ok` when the TA is there or the session about it is over.
    ///
    /// # Errors
    /// See [`SessionFailed`].
    pub async fn request_ta(&self, component: &ComponentId) -> Result<(), SessionFailed> {
        self.asked.lock().await.insert(component.clone());
        self.arrived.notify_waiters();
        let until = Instant::now() + self.patience.ticket_within;
        loop {
            match self.load(component, until).await {
                // The TEE may be starting again; the UA asks only once.
                Err(SessionFailed::Agent(gone)) if gone.is_gone() && Instant::now() < until => {
                    info!(error = causes(&gone), "a UA's TA waits for the Agent");
                    sleep(AGENT_PAUSE).await;
                }
                loaded => return loaded,
            }
        }
    }

    /// Loads a TA with its ticket, or without one when none comes in time.
    async fn load(&self, component: &ComponentId, until: Instant) -> Result<(), SessionFailed> {
        let sessions = self.sessions.get().ok_or(SessionFailed::Starting)?;
        loop {
            // Made before the Agent is asked, so that no end between both is missed.
            let ended = self.ended.notified();
            let mut agent = self.agent.connect().await?;
            let Some(first) = agent.request_ta(component, sessions.moc.tam()).await? else {
                self.present.lock().await.insert(component.clone());
                let ticket = self.tickets.lock().await.remove(component);
                return match ticket {
                    Some(ticket) => self.policy_check(sessions, Some(&ticket.text)).await,
                    None => Ok(()),
                };
            };
            self.present.lock().await.remove(component);
            let ticket = tokio::select! {
                ticket = self.ticket(component) => Some(ticket),
                () = sleep_until(until) => None,
                () = ended => {
                    // Another session may have brought the TA; this one is not needed then.
                    agent.process_error(first.session, Cause::TimedOut).await?;
                    continue;
                }
            };
            return run_through(sessions, agent, first, ticket).await;
        }
    }

    /// Forgets who asked for a TA before now.
    pub(crate) async fn expect(&self, component: &ComponentId) {
        self.asked.lock().await.remove(component);
    }

    /// Waits until a UA has asked for a TA since [`Self::expect`], but not for ever.
    pub(crate) async fn asked(&self, component: &ComponentId) {
        let asked = async {
            loop {
                let arrived = self.arrived.notified();
                if self.asked.lock().await.contains(component) {
                    return;
                }
                arrived.await;
            }
        };
        if timeout(self.patience.ua_within, asked).await.is_err() {
            info!("no UA asks for this TA; it is loaded in its place");
        }
    }

    /// Says that a session is over.
    pub(crate) fn session_ended(&self) {
        self.ended.notify_waiters();
    }

    /// A UA no longer needs a TA.
    ///
    /// # Errors
    /// See [`SessionFailed`].
    pub async fn unrequest_ta(&self, component: &ComponentId) -> Result<(), SessionFailed> {
        let sessions = self.sessions.get().ok_or(SessionFailed::Starting)?;
        let mut agent = self.agent.connect().await?;
        let Some(first) = agent.unrequest_ta(component, sessions.moc.tam()).await? else {
            return Ok(());
        };
        run_through(sessions, agent, first, None).await
    }

    /// Carries sealed bytes to a TA.
    ///
    /// # Errors
    /// See [`AgentFailed`].
    pub async fn call_ta(
        &self,
        component: &ComponentId,
        request: Vec<u8>,
    ) -> Result<Vec<u8>, AgentFailed> {
        self.agent.connect().await?.call_ta(component, request).await
    }

    /// Keeps the ticket of a TA for the UA that asks, and asks itself when none does.
    ///
    /// A M/OC that wakes again before the wait is over gives a newer ticket to the same wait.
    //= teep 14.100 (S): a policy-check trigger exists: TA invocation
    pub(crate) async fn offer(&self, component: ComponentId, ticket: String) {
        let present = self.present.lock().await.contains(&component);
        let since = {
            let mut tickets = self.tickets.lock().await;
            let now = Instant::now();
            let since = tickets.get(&component).map_or(now, |earlier| earlier.since);
            tickets.insert(component.clone(), Ticket { text: ticket, since });
            self.arrived.notify_waiters();
            if since != now && !present {
                return;
            }
            since
        };
        if !present {
            sleep_until(since + self.patience.ua_within).await;
        }
        let unused = {
            let mut tickets = self.tickets.lock().await;
            match tickets.get(&component) {
                Some(waiting) if waiting.since == since => tickets.remove(&component),
                Some(_) | None => None,
            }
        };
        let Some(Ticket { text, .. }) = unused else { return };
        info!("no UA asks for this TA; the Broker does");
        if let Err(error) = self.ask_in_place(&component, &text).await {
            warn!(error = causes(&error), "a TA was not loaded");
        }
    }

    async fn ask_in_place(
        &self,
        component: &ComponentId,
        ticket: &str,
    ) -> Result<(), SessionFailed> {
        let sessions = self.sessions.get().ok_or(SessionFailed::Starting)?;
        let mut agent = self.agent.connect().await?;
        match agent.request_ta(component, sessions.moc.tam()).await? {
            Some(first) => sessions.run(&mut agent, first, Some(ticket)).await,
            None => self.policy_check(sessions, Some(ticket)).await,
        }
    }

    /// A session with each TAM that the Agent names; one that fails stops no other.
    ///
    /// Also where a TA is there already, so that nobody loads it: the M/OC waits for a session
    /// all the same.
    ///
    /// # Errors
    /// The first [`SessionFailed`], after every TAM had its turn.
    pub(crate) async fn policy_check(
        &self,
        sessions: &Sessions,
        ticket: Option<&str>,
    ) -> Result<(), SessionFailed> {
        let mut agent = self.agent.connect().await?;
        let named = {
            let _alone = self.naming.lock().await;
            named(&mut agent).await?
        };
        let mut failed = None;
        for first in named {
            if let Err(error) = sessions.run(&mut agent, first, ticket).await {
                match &error {
                    SessionFailed::Tam { .. } => {}
                    // The connection may be in the middle of something.
                    SessionFailed::Agent(_) | SessionFailed::Starting | SessionFailed::Stopping => {
                        agent = self.agent.connect().await?;
                    }
                }
                failed = failed.or(Some(error));
            }
        }
        match failed {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Waits for the ticket of a TA. Giving up loses no ticket.
    async fn ticket(&self, component: &ComponentId) -> String {
        loop {
            // Made before the look, so that no arrival between look and wait is missed.
            let arrived = self.arrived.notified();
            if let Some(ticket) = self.tickets.lock().await.remove(component) {
                return ticket.text;
            }
            arrived.await;
        }
    }
}

/// RequestPolicyCheck until the Agent names no further TAM.
async fn named(agent: &mut Conversation) -> Result<Vec<Session>, AgentFailed> {
    let mut named = Vec::new();
    while let Some(first) = agent.request_policy_check().await? {
        if named.len() == TAMS_MAX {
            return Err(AgentFailed::WrongReply("RequestPolicyCheck: TAMs without end"));
        }
        named.push(first);
    }
    Ok(named)
}

/// Runs a session to its end even if nobody waits for it any more: a UA that ends must not cut
/// off what the TAM has begun.
async fn run_through(
    sessions: &Arc<Sessions>,
    mut agent: Conversation,
    first: Session,
    ticket: Option<String>,
) -> Result<(), SessionFailed> {
    let sessions = Arc::clone(sessions);
    let running =
        tokio::spawn(async move { sessions.run(&mut agent, first, ticket.as_deref()).await });
    running.await.map_err(|_| SessionFailed::Stopping)?
}

/// TAMs of one policy check.
const TAMS_MAX: usize = 64;

/// Between two looks for an Agent that is gone.
const AGENT_PAUSE: Duration = Duration::from_millis(200);

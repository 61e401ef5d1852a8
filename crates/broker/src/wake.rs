//! Being woken by the Network M/OC, and TAs that UAs ask for.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use device::ComponentId;
use tokio::sync::{Mutex, Notify};
use tracing::{info, warn};

use crate::{
    agent::Agent,
    refusal::{AgentFailed, SessionFailed},
    session::Sessions,
};

/// TAs that are to be loaded, each with the ticket of its exchange.
///
/// On SGX the UA loads the TA (use-case draft section 4.2 step 3): the M/OC's ticket waits here
/// for the UA that asks, and the Broker asks in its place when it does not.
#[derive(Clone)]
pub struct Loads {
    agent: Agent,
    sessions: Arc<OnceLock<Arc<Sessions>>>,
    tickets: Arc<Mutex<BTreeMap<ComponentId, String>>>,
    arrived: Arc<Notify>,
}

impl Loads {
    /// Loads by way of this Agent.
    #[must_use]
    pub fn new(agent: Agent) -> Self {
        Self {
            agent,
            sessions: Arc::default(),
            tickets: Arc::default(),
            arrived: Arc::default(),
        }
    }

    /// Says what sessions run with; before that every request for a TA fails.
    pub fn serve_with(&self, sessions: Arc<Sessions>) {
        // A second call would be a mistake of `main` and changes nothing.
        let _first_wins = self.sessions.set(sessions);
    }

    /// A UA, or the Broker in its place, asks for a TA.
    ///
    /// # Errors
    /// See [`SessionFailed`].
    pub async fn request_ta(&self, component: &ComponentId) -> Result<(), SessionFailed> {
        let mut agent = self.agent.connect().await?;
        let Some(first) = agent.request_ta(component).await? else { return Ok(()) };
        let ticket = tokio::time::timeout(TICKET_WITHIN, self.ticket(component)).await.ok();
        let Some(sessions) = self.sessions.get() else { return Ok(()) };
        sessions.run(&mut agent, first, ticket.as_deref()).await
    }

    /// A UA no longer needs a TA.
    ///
    /// # Errors
    /// See [`SessionFailed`].
    pub async fn unrequest_ta(&self, component: &ComponentId) -> Result<(), SessionFailed> {
        let mut agent = self.agent.connect().await?;
        let Some(first) = agent.unrequest_ta(component).await? else { return Ok(()) };
        let Some(sessions) = self.sessions.get() else { return Ok(()) };
        sessions.run(&mut agent, first, None).await
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

    async fn ticket(&self, component: &ComponentId) -> String {
        loop {
            let arrived = self.arrived.notified();
            if let Some(ticket) = self.tickets.lock().await.remove(component) {
                return ticket;
            }
            arrived.await;
        }
    }

    async fn offer(&self, component: ComponentId, ticket: String) {
        self.tickets.lock().await.insert(component.clone(), ticket.clone());
        self.arrived.notify_waiters();
        tokio::time::sleep(Duration::from_millis(api::UA_LOADS_WITHIN_MS)).await;
        if self.tickets.lock().await.get(&component) == Some(&ticket) {
            info!("no UA asked for its TA; the Broker asks");
            if let Err(error) = self.request_ta(&component).await {
                warn!(%error, "a TA was not loaded");
            }
        }
    }
}

/// Waits to be woken, for ever. Each wake-up runs its sessions in a task of its own.
pub async fn serve(agent: Agent, sessions: Arc<Sessions>, loads: Loads) {
    let mut pause = PAUSE_MIN;
    loop {
        match sessions.moc.wake().await {
            Ok(Some(wake)) => {
                pause = PAUSE_MIN;
                info!(reason = ?wake.reason, "woken");
                let (agent, sessions, loads) = (agent.clone(), sessions.clone(), loads.clone());
                tokio::spawn(async move { on_wake(&agent, &sessions, &loads, wake).await });
            }
            Ok(None) => pause = PAUSE_MIN,
            Err(error) => {
                warn!(%error, pause_ms = pause.as_millis() as u64, "waiting to be woken failed");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

async fn on_wake(agent: &Agent, sessions: &Sessions, loads: &Loads, wake: api::Wake) {
    if let (Some(ticket), Some(load)) = (&wake.ticket, &wake.load) {
        match component(load) {
            Some(component) => loads.offer(component, ticket.clone()).await,
            None => warn!("the M/OC named a component that is not one"),
        }
        return;
    }
    if let Err(error) = policy_check(agent, sessions, wake.ticket.as_deref()).await {
        let causes = anyhow::Error::from(error);
        warn!(error = format!("{causes:#}"), "a session failed");
    }
}

/// RequestPolicyCheck until the Agent names no further TAM.
//= teep 14.100: a policy-check trigger exists: the wake-up
async fn policy_check(
    agent: &Agent,
    sessions: &Sessions,
    ticket: Option<&str>,
) -> Result<(), SessionFailed> {
    let mut conversation = agent.connect().await?;
    while let Some(first) = conversation.request_policy_check().await? {
        sessions.run(&mut conversation, first, ticket).await?;
    }
    Ok(())
}

fn component(hexadecimal: &[String]) -> Option<ComponentId> {
    let elements: Result<Vec<_>, _> = hexadecimal.iter().map(hex::decode).collect();
    ComponentId::new(elements.ok()?).ok()
}

/// How long a UA's request for a TA waits for the M/OC's ticket.
const TICKET_WITHIN: Duration = Duration::from_secs(15);
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(10);

//! A TEEP session as the Broker sees it: opaque bytes to and fro until one side is silent.

use device::{
    ComponentId,
    broker::{Action, Session},
};
use reqwest::Url;
use tracing::{debug, info, warn};

use crate::{
    agent::Conversation,
    capture::{Capture, Direction},
    moc::{MocClient, RANGE_BYTES_MAX},
    payloads::{self, Payloads},
    refusal::{AgentFailed, SessionFailed, TamFailed, causes},
    tam::TamClient,
    ua::Host,
};

/// What sessions work with.
pub struct Sessions {
    /// Towards TAMs.
    pub tam: TamClient,
    /// Towards the M/OC, for payloads.
    pub moc: MocClient,
    /// Untrusted Applications.
    pub host: Host,
    /// Payloads that their owners give live at the relay.
    pub payloads: Payloads,
    /// A copy of every message, when wanted.
    pub capture: Capture,
}

impl Sessions {
    //= teep 14.85 (M): concurrent sessions keep their own handle
    //= teep 14.98 (M): a conversation belongs to one Agent, so several TEEs stay apart
    /// Runs a session from the Agent's first reply to its end.
    ///
    /// # Errors
    /// [`SessionFailed`], after the Agent was told where the binding wants that.
    pub async fn run(
        &self,
        agent: &mut Conversation,
        first: Session,
        ticket: Option<&str>,
    ) -> Result<(), SessionFailed> {
        let outcome = self.run_through(agent, first, ticket).await;
        self.host.loads().session_ended();
        outcome
    }

    async fn run_through(
        &self,
        agent: &mut Conversation,
        first: Session,
        ticket: Option<&str>,
    ) -> Result<(), SessionFailed> {
        let Some(uri) = first.uri.clone() else {
            return Err(AgentFailed::WrongReply("the request for a session").into());
        };
        let target = self.target(&uri, ticket);
        let session = first.session;
        let _turns = self.payloads.until_end_of(session);
        debug!(session, %uri, "session begins");
        let waits_for_tam = first.message.is_none() && first.actions.is_empty();
        let mut outgoing = self.settle(agent, session, Some(first)).await?;
        if outgoing.is_none() && !waits_for_tam {
            return Ok(());
        }
        loop {
            let answer = match outgoing {
                Some(message) => {
                    self.capture.keep(Direction::ToTam, &message);
                    self.tam.send(&target, message).await
                }
                None => self.tam.connect(&target).await,
            };
            let incoming = match answer {
                Ok(Some(message)) => message,
                //= teep 14.78 (M): an empty answer ends the session with success
                Ok(None) => {
                    info!(session, "session ended by the TAM");
                    return Ok(());
                }
                Err(source) => return Err(self.failed(agent, session, uri, source).await),
            };
            self.capture.keep(Direction::FromTam, &incoming);
            //= teep 14.79 (M): exactly the received bytes go to ProcessTeepMessage
            //= teep 14.97 (M): relays opaque bytes
            //= teep 14.82 (M): Agent failure: caller told, no ProcessError
            //= teep 14.99 (M): the TAM hears nothing of what the Agent refuses
            let next = agent.process_teep_message(session, incoming).await?;
            outgoing = self.settle(agent, session, next).await?;
            if outgoing.is_none() {
                info!(session, "session ended by the Agent");
                return Ok(());
            }
        }
    }

    //= teep 14.83 (M): the Agent's TAM URI wins; a ticket only says which exchange it is
    /// Where the session's requests go. The ticket is for the M/OC alone.
    fn target(&self, uri: &str, ticket: Option<&str>) -> String {
        let Some(ticket) = ticket else { return uri.to_owned() };
        if !self.moc.is_own(uri) {
            debug!(%uri, "the ticket is for the M/OC, and this TAM is another");
            return uri.to_owned();
        }
        let Ok(mut url) = Url::parse(uri) else { return uri.to_owned() };
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push(ticket);
        }
        url.into()
    }

    //= teep 14.81 (M): ProcessError once, state deleted, caller told
    async fn failed(
        &self,
        agent: &mut Conversation,
        session: u64,
        uri: String,
        source: TamFailed,
    ) -> SessionFailed {
        match agent.process_error(session, source.cause()).await {
            Ok(()) => SessionFailed::Tam { uri, source },
            Err(failed) => {
                warn!(session, %uri, %source, "the TAM failed, and the Agent could not be told");
                SessionFailed::Agent(failed)
            }
        }
    }

    /// Does what the Agent asks for until it has nothing more to ask; gives its message.
    async fn settle(
        &self,
        agent: &mut Conversation,
        session: u64,
        mut reply: Option<Session>,
    ) -> Result<Option<Vec<u8>>, SessionFailed> {
        while let Some(Session { session: named, message, actions, .. }) = reply {
            if named != session {
                return Err(AgentFailed::WrongReply("a call about another session").into());
            }
            if actions.is_empty() {
                return Ok(message);
            }
            reply = None;
            for action in actions {
                let id = action.id();
                let outcome = self.act(session, action).await;
                reply = agent.action_done(session, id, outcome).await?;
            }
        }
        Ok(None)
    }

    /// Installs a UA; one that loads a TA is given the time to ask for it.
    async fn install(
        &self,
        envelope: &[u8],
        loads: Option<ComponentId>,
    ) -> Result<Vec<u8>, String> {
        let waiting = self.host.loads();
        if let Some(component) = &loads {
            waiting.expect(component).await;
        }
        let installed = self.host.install(&self.moc, envelope).await;
        if let (Ok(_), Some(component)) = (&installed, &loads) {
            waiting.asked(component).await;
        }
        installed.map_err(|error| causes(&error))
    }

    /// Places a UA that its Network User hands to this Broker, and tells the M/OC what became
    /// of it.
    ///
    /// # Errors
    /// [`TamFailed`]: the M/OC does not give the package, or does not hear the outcome.
    pub async fn place(&self, ticket: &str, sha256: &str) -> Result<(), TamFailed> {
        let envelope = self.moc.blob(sha256).await?;
        let outcome = self.install(&envelope, None).await;
        if let Err(cause) = &outcome {
            warn!(cause, "a UA of a Network User is refused");
        }
        self.moc.placed(ticket, outcome).await
    }

    async fn act(&self, session: u64, action: Action) -> Result<Vec<u8>, String> {
        match action {
            Action::Fetch { uri, offset, length, .. } => match payloads::named(&uri) {
                Some(sha256) => {
                    let given = self.payloads.fetch(
                        session,
                        sha256,
                        offset,
                        length.min(RANGE_BYTES_MAX as u64),
                    );
                    given.await.map_err(|error| causes(&error))
                }
                None => self.moc.fetch(&uri, offset, length).await.map_err(|error| causes(&error)),
            },
            Action::InstallUa { envelope, loads, .. } => self.install(&envelope, loads).await,
            Action::RemoveUa { manifest, .. } => {
                self.host.remove(&manifest).await.map_err(|error| causes(&error))
            }
        }
    }
}

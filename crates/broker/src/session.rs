//! A TEEP session as the Broker sees it: opaque bytes to and fro until one side is silent.

use device::broker::{Action, Session};
use tracing::{debug, info, warn};

use crate::{
    agent::Conversation,
    capture::{Capture, Direction},
    moc::MocClient,
    refusal::{SessionFailed, TamFailed},
    tam::TamClient,
    ua::Host,
};

/// What sessions work with.
pub struct Sessions {
    /// Towards TAMs.
    pub tam: TamClient,
    /// Towards the M/OC, for payloads.
    pub moc: MocClient,
    /// The M/OC's base address: tickets go there and nowhere else.
    pub base: String,
    /// Untrusted Applications.
    pub host: Host,
    /// A copy of every message, when wanted.
    pub capture: Capture,
}

impl Sessions {
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
        let Some(uri) = first.uri.clone() else { return Ok(()) };
        //= teep 14.83: the Agent's TAM URI wins; a ticket only says which exchange it is
        let target = match ticket {
            Some(ticket) if self.is_moc(&uri) => format!("{}/{ticket}", uri.trim_end_matches('/')),
            Some(_) | None => uri.clone(),
        };
        debug!(session = first.session, %uri, "session begins");
        let mut reply = self.settle(agent, Some(first)).await?;
        loop {
            let session = reply.as_ref().map_or(0, |reply| reply.session);
            let outgoing = reply.take().and_then(|reply| reply.message);
            let begins = outgoing.is_none();
            let answer = match outgoing {
                Some(message) => {
                    self.capture.keep(Direction::ToTam, &message);
                    self.tam.send(&target, message).await
                }
                None => self.tam.connect(&target).await,
            };
            let incoming = match answer {
                Ok(Some(message)) => message,
                Ok(None) => {
                    info!(session, "session ended");
                    return Ok(());
                }
                Err(source) => return Err(self.failed(agent, session, uri, source).await),
            };
            self.capture.keep(Direction::FromTam, &incoming);
            //= teep 14.79: exactly the received bytes go to ProcessTeepMessage
            let next = agent.process_teep_message(session, incoming).await?;
            reply = self.settle(agent, next).await?;
            if reply.as_ref().is_none_or(|reply| reply.message.is_none()) {
                info!(session, begins, "session ended by the Agent");
                return Ok(());
            }
        }
    }

    //= teep 14.81: ProcessError once, the session's state is dropped, the caller is told
    async fn failed(
        &self,
        agent: &mut Conversation,
        session: u64,
        uri: String,
        source: TamFailed,
    ) -> SessionFailed {
        warn!(session, %uri, %source, "the TAM failed");
        //= teep 14.82: a failure of the Agent itself is told to the caller alone
        match agent.process_error(session, source.cause()).await {
            Ok(()) => SessionFailed::Tam { uri, source },
            Err(failed) => SessionFailed::Agent(failed),
        }
    }

    /// Does what the Agent asks for until it has nothing more to ask.
    async fn settle(
        &self,
        agent: &mut Conversation,
        mut reply: Option<Session>,
    ) -> Result<Option<Session>, SessionFailed> {
        while let Some(Session { session, actions, .. }) = &reply
            && !actions.is_empty()
        {
            let (session, actions) = (*session, actions.clone());
            let mut last = None;
            for action in actions {
                let id = action.id();
                let outcome = self.act(action).await;
                last = agent.action_done(session, id, outcome).await?;
            }
            reply = last;
        }
        Ok(reply)
    }

    async fn act(&self, action: Action) -> Result<Vec<u8>, String> {
        match action {
            Action::Fetch { uri, offset, length, .. } => {
                self.moc.fetch(&uri, offset, length).await.map_err(|error| error.to_string())
            }
            Action::InstallUa { envelope, .. } => {
                self.host.install(&self.moc, &envelope).await.map_err(|error| error.to_string())
            }
            Action::RemoveUa { manifest, .. } => {
                self.host.remove(&manifest).await.map_err(|error| error.to_string())
            }
        }
    }

    fn is_moc(&self, uri: &str) -> bool {
        uri.strip_prefix(&self.base).is_some_and(|rest| rest.starts_with('/'))
    }
}

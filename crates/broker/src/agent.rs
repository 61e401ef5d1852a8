//! The TEEP Agent's side of RFC 9397 section 6.2.1, as the Broker calls it.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use device::{
    ComponentId, Message as _,
    broker::{Cause, Piece, Reply, Request, Session},
    frame::Broken,
};
use tokio::{net::UnixStream, time::timeout};

use crate::{frames, machine::Machine, refusal::AgentFailed};

/// Where the Agent listens. Each conversation has a connection of its own.
#[derive(Clone, Debug)]
pub struct Agent {
    socket: PathBuf,
    reply_within: Duration,
}

impl Agent {
    /// An Agent that listens at `socket`.
    #[must_use]
    pub fn at(socket: &Path) -> Self {
        Self { socket: socket.to_path_buf(), reply_within: REPLY_WITHIN }
    }

    /// The same Agent, waited for no longer than this.
    #[must_use]
    pub fn replying_within(self, reply_within: Duration) -> Self {
        Self { reply_within, ..self }
    }

    /// Opens a conversation.
    ///
    /// # Errors
    /// [`AgentFailed::Unreachable`] or [`AgentFailed::Machine`] when nothing listens.
    pub async fn connect(&self) -> Result<Conversation, AgentFailed> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| {
            let machine = Machine::gone_from(&self.socket);
            machine.map_or(AgentFailed::Unreachable(error), AgentFailed::Machine)
        })?;
        Ok(Conversation { stream, reply_within: self.reply_within })
    }
}

/// One connection: one call at a time.
#[derive(Debug)]
pub struct Conversation {
    stream: UnixStream,
    reply_within: Duration,
}

impl Conversation {
    /// RequestTA, of this TAM: an Agent may have several.
    ///
    /// # Errors
    /// See [`AgentFailed`].
    pub async fn request_ta(
        &mut self,
        component: &ComponentId,
        tam: String,
    ) -> Result<Option<Session>, AgentFailed> {
        let request = Request::RequestTa { component: component.clone(), tam_uri: Some(tam) };
        self.session(&request, "RequestTA").await
    }

    /// UnrequestTA, of this TAM.
    ///
    /// # Errors
    /// See [`AgentFailed`].
    pub async fn unrequest_ta(
        &mut self,
        component: &ComponentId,
        tam: String,
    ) -> Result<Option<Session>, AgentFailed> {
        let request = Request::UnrequestTa { component: component.clone(), tam_uri: Some(tam) };
        self.session(&request, "UnrequestTA").await
    }

    /// RequestPolicyCheck: one TAM a call, until none is left.
    ///
    /// # Errors
    /// See [`AgentFailed`].
    pub async fn request_policy_check(&mut self) -> Result<Option<Session>, AgentFailed> {
        self.session(&Request::RequestPolicyCheck, "RequestPolicyCheck").await
    }

    /// ProcessTeepMessage, with the bytes exactly as they came.
    ///
    /// # Errors
    /// See [`AgentFailed`].
    pub async fn process_teep_message(
        &mut self,
        session: u64,
        message: Vec<u8>,
    ) -> Result<Option<Session>, AgentFailed> {
        let request = Request::ProcessTeepMessage { session, message };
        self.session(&request, "ProcessTeepMessage").await
    }

    /// ProcessError.
    ///
    /// # Errors
    /// See [`AgentFailed`].
    pub async fn process_error(&mut self, session: u64, cause: Cause) -> Result<(), AgentFailed> {
        self.session(&Request::ProcessError { session, cause }, "ProcessError").await.map(drop)
    }

    /// Tells the outcome of an action that the Agent asked for.
    ///
    /// # Errors
    /// See [`AgentFailed`].
    pub async fn action_done(
        &mut self,
        session: u64,
        action: u64,
        outcome: Result<Vec<u8>, String>,
    ) -> Result<Option<Session>, AgentFailed> {
        let outcome = outcome.map_err(shortened);
        self.session(&Request::ActionDone { session, action, outcome }, "ActionDone").await
    }

    /// Carries a UA's sealed request to its TA.
    ///
    /// # Errors
    /// See [`AgentFailed`].
    pub async fn call_ta(
        &mut self,
        component: &ComponentId,
        request: Vec<u8>,
    ) -> Result<Vec<u8>, AgentFailed> {
        match self.call(&Request::CallTa { component: component.clone(), request }).await? {
            Reply::TaAnswer(answer) => Ok(answer),
            Reply::Failed(failure) => Err(AgentFailed::Refused(failure)),
            Reply::Nothing
            | Reply::Session(_)
            | Reply::Description(_)
            | Reply::Taken(_)
            | Reply::Received(_)
            | Reply::Wanted { .. } => Err(AgentFailed::WrongReply("CallTA")),
        }
    }

    /// Carries a piece of a release to a TA; the reply is the Agent's own word to the sender.
    ///
    /// # Errors
    /// See [`AgentFailed`].
    pub async fn take_release(
        &mut self,
        component: ComponentId,
        piece: Piece,
    ) -> Result<Reply, AgentFailed> {
        match self.call(&Request::TakeRelease { component, piece }).await? {
            reply @ (Reply::Taken(_) | Reply::Received(_) | Reply::Failed(_)) => Ok(reply),
            Reply::Nothing
            | Reply::Session(_)
            | Reply::TaAnswer(_)
            | Reply::Description(_)
            | Reply::Wanted { .. } => Err(AgentFailed::WrongReply("TakeRelease")),
        }
    }

    async fn session(
        &mut self,
        request: &Request,
        call: &'static str,
    ) -> Result<Option<Session>, AgentFailed> {
        match self.call(request).await? {
            Reply::Nothing => Ok(None),
            Reply::Session(session) => Ok(Some(session)),
            Reply::Failed(failure) => Err(AgentFailed::Refused(failure)),
            Reply::TaAnswer(_)
            | Reply::Description(_)
            | Reply::Taken(_)
            | Reply::Received(_)
            | Reply::Wanted { .. } => Err(AgentFailed::WrongReply(call)),
        }
    }

    async fn call(&mut self, request: &Request) -> Result<Reply, AgentFailed> {
        let asked = async {
            frames::write(&mut self.stream, &request.encode()).await?;
            frames::read(&mut self.stream).await?.ok_or(Broken::Ended)
        };
        let reply = timeout(self.reply_within, asked).await;
        let reply = reply.map_err(|_| AgentFailed::Silent(self.reply_within))??;
        Ok(Reply::decode(&reply).map_err(Broken::Malformed)?)
    }
}

/// Shortens a text to what the contract lets an outcome say.
fn shortened(mut text: String) -> String {
    let mut end = text.len().min(OUTCOME_TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

const OUTCOME_TEXT_BYTES_MAX: usize = 4096;

/// The Agent calls applications, asks for quotes and writes its store before it replies.
const REPLY_WITHIN: Duration = Duration::from_secs(15 * 60);

//! The TEEP Agent's side of RFC 9397 section 6.2.1, as the Broker calls it.

use std::path::{Path, PathBuf};

use device::{
    ComponentId, Message,
    broker::{Cause, Reply, Request, Session},
    frame,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};

use crate::refusal::AgentFailed;

/// Where the Agent listens. Each conversation has a connection of its own.
#[derive(Clone, Debug)]
pub struct Agent {
    socket: PathBuf,
}

impl Agent {
    /// An Agent that listens at `socket`.
    #[must_use]
    pub fn at(socket: &Path) -> Self {
        Self { socket: socket.to_path_buf() }
    }

    /// Opens a conversation.
    ///
    /// # Errors
    /// [`AgentFailed::Unreachable`] when nothing listens.
    pub async fn connect(&self) -> Result<Conversation, AgentFailed> {
        Ok(Conversation { stream: UnixStream::connect(&self.socket).await? })
    }
}

/// One connection: one call at a time.
#[derive(Debug)]
pub struct Conversation {
    stream: UnixStream,
}

impl Conversation {
    /// RequestTA.
    ///
    /// # Errors
    /// See [`AgentFailed`].
    pub async fn request_ta(
        &mut self,
        component: &ComponentId,
    ) -> Result<Option<Session>, AgentFailed> {
        let request = Request::RequestTa { component: component.clone(), tam_uri: None };
        self.session(&request, "RequestTA").await
    }

    /// UnrequestTA.
    ///
    /// # Errors
    /// See [`AgentFailed`].
    pub async fn unrequest_ta(
        &mut self,
        component: &ComponentId,
    ) -> Result<Option<Session>, AgentFailed> {
        let request = Request::UnrequestTa { component: component.clone(), tam_uri: None };
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
            Reply::Nothing | Reply::Session(_) | Reply::Description(_) => {
                Err(AgentFailed::WrongReply("CallTA"))
            }
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
            Reply::TaAnswer(_) | Reply::Description(_) => Err(AgentFailed::WrongReply(call)),
        }
    }

    async fn call(&mut self, request: &Request) -> Result<Reply, AgentFailed> {
        self.stream.write_all(&frame::encode(&request.encode())?).await?;
        let mut head = [0; 4];
        self.stream.read_exact(&mut head).await?;
        let mut body = vec![0; frame::length(head)?];
        self.stream.read_exact(&mut body).await?;
        Ok(Reply::decode(&body)?)
    }
}

//! A TEEP Agent that says what a test tells it to.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};

use broker::agent::Agent;
use device::{
    Message as _,
    broker::{Action, Reply, Request, Session},
    frame,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixStream},
};

/// What the Agent does with a call.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Reply(Reply),
    /// These bytes in a frame.
    Bytes(Vec<u8>),
    HangUp,
    Silence,
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

type Script = Box<dyn FnMut(&Request) -> Answer + Send>;

/// Listens on a Unix socket and notes every call.
pub(crate) struct FakeAgent {
    directory: TempDir,
    calls: Arc<Mutex<Vec<Request>>>,
}

impl FakeAgent {
    pub(crate) fn start<A: Into<Answer>>(
        mut script: impl FnMut(&Request) -> A + Send + 'static,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("agent.sock")).unwrap();
        let calls = Arc::new(Mutex::new(Vec::new()));
        let script: Script = Box::new(move |request| script(request).into());
        let script = Arc::new(Mutex::new(script));
        let noted = Arc::clone(&calls);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, Arc::clone(&script), Arc::clone(&noted)));
            }
        });
        Self { directory, calls }
    }

    /// One that names one TAM per policy check and says `outgoing` to whatever comes.
    pub(crate) fn with_one_tam(uri: &str, outgoing: Vec<Option<Vec<u8>>>) -> Self {
        let (uri, mut outgoing) = (uri.to_owned(), outgoing.into_iter());
        let mut named = false;
        Self::start(move |request| match request {
            Request::RequestPolicyCheck => {
                named = !named;
                if named { begin(1, &uri) } else { Reply::Nothing }
            }
            Request::ProcessTeepMessage { session, .. } => match outgoing.next().flatten() {
                Some(message) => say(*session, message),
                None => Reply::Nothing,
            },
            _ => Reply::Nothing,
        })
    }

    pub(crate) fn agent(&self) -> Agent {
        Agent::at(&self.socket())
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("agent.sock")
    }

    pub(crate) fn calls(&self) -> Vec<Request> {
        self.calls.lock().unwrap().clone()
    }

    pub(crate) fn count(&self, wanted: impl Fn(&Request) -> bool) -> usize {
        self.calls().iter().filter(|request| wanted(request)).count()
    }

    /// The messages that it was given, with their sessions.
    pub(crate) fn messages(&self) -> Vec<(u64, Vec<u8>)> {
        let message = |request| match request {
            Request::ProcessTeepMessage { session, message } => Some((session, message)),
            _ => None,
        };
        self.calls().into_iter().filter_map(message).collect()
    }
}

async fn converse(
    mut stream: UnixStream,
    script: Arc<Mutex<Script>>,
    calls: Arc<Mutex<Vec<Request>>>,
) {
    loop {
        let mut header = [0; frame::HEADER_BYTES];
        if stream.read_exact(&mut header).await.is_err() {
            return;
        }
        let mut body = vec![0; frame::body_length(header).unwrap()];
        stream.read_exact(&mut body).await.unwrap();
        let request = Request::decode(&body).unwrap();
        calls.lock().unwrap().push(request.clone());
        let answer = script.lock().unwrap()(&request);
        let bytes = match answer {
            Answer::Reply(reply) => reply.encode(),
            Answer::Bytes(bytes) => bytes,
            Answer::HangUp => return,
            Answer::Silence => std::future::pending().await,
        };
        if stream.write_all(&frame::encode(&bytes).unwrap()).await.is_err() {
            return;
        }
    }
}

/// A session begins with the TAM at `uri`.
pub(crate) fn begin(session: u64, uri: &str) -> Reply {
    Reply::Session(Session { session, uri: Some(uri.to_owned()), ..Session::default() })
}

/// The Agent has something to say to the TAM.
pub(crate) fn say(session: u64, message: Vec<u8>) -> Reply {
    Reply::Session(Session { session, message: Some(message), ..Session::default() })
}

/// The Agent wants something done first.
pub(crate) fn want(session: u64, actions: Vec<Action>) -> Reply {
    Reply::Session(Session { session, actions, ..Session::default() })
}

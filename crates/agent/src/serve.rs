//! Answers the Broker: one thread for each of its connections.
//!
//! Every request is hostile until it is proven otherwise. A connection that says something that
//! is no request is told so and closed; no request of one connection can end another.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use device::FailureCode;
use device::broker::{Reply, Request};
use device::frame::{self, Broken};
use tracing::{debug, warn};

/// Answers requests.
pub trait Answer: Send + Sync + 'static {
    /// Answers one request.
    fn answer(&self, request: Request) -> Reply;

    /// The connection of these sessions has ended: nobody will answer what they wait for.
    fn ended(&self, sessions: &BTreeSet<u64>) {
        let _ = sessions;
    }

    /// Looks after what goes on by itself; called about once a second.
    fn tend(&self);
}

/// Listens for the Broker; a socket that nobody listens on any more is replaced.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    let abandoned = || {
        let answer = UnixStream::connect(path);
        answer.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    };
    match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && abandoned() => {
            std::fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        listener => listener,
    }
}

/// Serves connections for as long as the process lives.
pub fn serve(listener: OwnedFd, agent: Arc<impl Answer>) -> io::Result<()> {
    let listener = UnixListener::from(listener);
    let tended = Arc::downgrade(&agent);
    std::thread::Builder::new().name("tend".to_owned()).spawn(move || {
        while let Some(agent) = tended.upgrade() {
            agent.tend();
            drop(agent);
            std::thread::sleep(TEND_EVERY);
        }
    })?;

    let open = Arc::new(AtomicUsize::new(0));
    for connection in listener.incoming() {
        let mut connection = match connection {
            Ok(connection) => connection,
            Err(error) => {
                // Too many open files, or a connection that is gone already: both pass.
                warn!(%error, "a connection of the Broker was not taken");
                std::thread::sleep(ACCEPT_AGAIN);
                continue;
            }
        };
        let place = Place::take(&open);
        if place.number > CONNECTIONS_MAX {
            let busy = Reply::failed(FailureCode::Busy, "too many connections");
            let _ = frame::send(&mut connection, &busy);
            continue;
        }
        let agent = Arc::clone(&agent);
        let spawned = std::thread::Builder::new().name("broker".to_owned()).spawn(move || {
            let _place = place;
            let mut sessions = BTreeSet::new();
            if let Err(broken) = converse(&mut connection, agent.as_ref(), &mut sessions) {
                debug!(%broken, "a connection of the Broker ended");
            }
            agent.ended(&sessions);
        });
        if let Err(error) = spawned {
            warn!(%error, "a connection of the Broker is dropped");
        }
    }
    Ok(())
}

/// Answers one request after the other, and notes the sessions that they open.
fn converse(
    connection: &mut UnixStream,
    agent: &impl Answer,
    sessions: &mut BTreeSet<u64>,
) -> Result<(), Broken> {
    loop {
        let request = match frame::receive(connection) {
            Ok(Some(request)) => request,
            Ok(None) => return Ok(()),
            Err(Broken::Malformed(malformed)) => {
                warn!(%malformed, "the Broker sent what is no request");
                let failed = Reply::failed(FailureCode::Malformed, malformed.to_string());
                return frame::send(connection, &failed);
            }
            Err(broken) => return Err(broken),
        };
        let reply = agent.answer(request);
        if let Reply::Session(session) = &reply
            && session.uri.is_some()
        {
            sessions.insert(session.session);
        }
        frame::send(connection, &reply)?;
    }
}

/// One of the places for connections, given back on drop.
struct Place {
    number: usize,
    open: Arc<AtomicUsize>,
}

impl Place {
    fn take(open: &Arc<AtomicUsize>) -> Self {
        let number = open.fetch_add(1, Ordering::SeqCst) + 1;
        Self { number, open: Arc::clone(open) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The wait after a connection that could not be taken.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Connections of the Broker at one time.
const CONNECTIONS_MAX: usize = 64;

/// How often running applications are looked after.
const TEND_EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use device::broker::Session;

    use super::*;

    #[test]
    fn the_sessions_of_a_connection_end_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent");
        let listener = OwnedFd::from(UnixListener::bind(&path).unwrap());
        let (ended, all) = mpsc::channel();
        std::thread::spawn(move || serve(listener, Arc::new(Opening(ended))));
        let mut broker = UnixStream::connect(&path).unwrap();

        let opened: Reply = frame::ask(&mut broker, &Request::RequestPolicyCheck).unwrap();
        assert!(matches!(opened, Reply::Session(_)));
        let message = Request::ProcessTeepMessage { session: 8, message: Vec::new() };
        let _unknown: Reply = frame::ask(&mut broker, &message).unwrap();
        assert_eq!(all.try_recv(), Err(mpsc::TryRecvError::Empty));
        drop(broker);

        // The session of another connection, which this one only named, goes on.
        assert_eq!(all.recv(), Ok(BTreeSet::from([7])));
    }

    /// Opens session 7; answers for any.
    struct Opening(mpsc::Sender<BTreeSet<u64>>);

    impl Answer for Opening {
        fn answer(&self, request: Request) -> Reply {
            let Request::ProcessTeepMessage { session, .. } = request else {
                let uri = Some("https://tam.example/".to_owned());
                return Reply::Session(Session { session: 7, uri, ..Session::default() });
            };
            Reply::Session(Session { session, ..Session::default() })
        }

        fn ended(&self, sessions: &BTreeSet<u64>) {
            self.0.send(sessions.clone()).unwrap();
        }

        fn tend(&self) {}
    }

    #[test]
    fn each_request_gets_its_reply_and_garbage_ends_the_connection() {
        let (mut broker, mut agent) = UnixStream::pair().unwrap();
        let thread = std::thread::spawn(move || converse(&mut agent, &Echo, &mut BTreeSet::new()));

        let reply: Reply = frame::ask(&mut broker, &Request::RequestPolicyCheck).unwrap();
        assert_eq!(reply, Reply::Nothing);
        frame::write_frame(&mut broker, b"garbage").unwrap();
        let reply: Option<Reply> = frame::receive(&mut broker).unwrap();

        let Some(Reply::Failed(failure)) = reply else { panic!("{reply:?}") };
        assert_eq!(failure.code, FailureCode::Malformed);
        assert_eq!(frame::receive::<Reply>(&mut broker), Ok(None));
        assert_eq!(thread.join().unwrap(), Ok(()));
    }

    #[test]
    fn one_connection_too_many_is_refused_and_the_others_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent");
        let listener = OwnedFd::from(UnixListener::bind(&path).unwrap());
        std::thread::spawn(move || serve(listener, Arc::new(Echo)));

        let mut open: Vec<UnixStream> =
            (0..CONNECTIONS_MAX).map(|_| UnixStream::connect(&path).unwrap()).collect();
        for connection in &mut open {
            let reply: Reply = frame::ask(connection, &Request::Describe).unwrap();
            assert_eq!(reply, Reply::Nothing);
        }
        let mut another = UnixStream::connect(&path).unwrap();

        let Some(Reply::Failed(failure)) = frame::receive(&mut another).unwrap() else { panic!() };
        assert_eq!(failure.code, FailureCode::Busy);
        let reply: Reply = frame::ask(&mut open[0], &Request::Describe).unwrap();
        assert_eq!(reply, Reply::Nothing);
    }

    struct Echo;

    impl Answer for Echo {
        fn answer(&self, _: Request) -> Reply {
            Reply::Nothing
        }

        fn tend(&self) {}
    }
}

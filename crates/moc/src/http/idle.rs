//! Connections on which nothing happens: for how long, and how many from one address.
//!
//! A connection costs room whether or not anybody asks for something over it. Who opens many and
//! says nothing, or says it byte by byte, gets no more than a share of the room.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use tokio::{sync::watch, time::timeout};

/// The idle connections of every address.
#[derive(Clone, Debug)]
pub(super) struct Idle {
    per_address_max: usize,
    counts: Arc<Mutex<BTreeMap<IpAddr, usize>>>,
}

/// One idle connection, as long as it is one.
#[derive(Debug)]
pub(super) struct Idler {
    idle: Idle,
    network: IpAddr,
}

impl Idle {
    pub(super) fn new(per_address_max: usize) -> Self {
        Self { per_address_max, counts: Arc::default() }
    }

    /// Counts a connection as idle; `None` when its address has too many of them.
    pub(super) fn admits(&self, address: IpAddr) -> Option<Idler> {
        let network = network(address);
        let mut counts = self.counts();
        let count = counts.get(&network).copied().unwrap_or(0);
        if count >= self.per_address_max {
            return None;
        }
        counts.insert(network, count + 1);
        drop(counts);
        Some(Idler { idle: self.clone(), network })
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<IpAddr, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Idler {
    fn drop(&mut self) {
        let mut counts = self.idle.counts();
        match counts.get_mut(&self.network) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => drop(counts.remove(&self.network)),
        }
    }
}

/// Whom an address stands for: of IPv6, one customer has a /64 at least.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address @ IpAddr::V4(_) => address,
    }
}

/// The requests of one connection.
#[derive(Clone, Debug)]
pub(super) struct Requests(watch::Sender<Seen>);

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    begun: u64,
    under_way: usize,
}

/// One request, until its answer has gone out.
#[derive(Debug)]
pub(super) struct UnderWay(Requests);

impl Requests {
    pub(super) fn new() -> Self {
        Self(watch::Sender::default())
    }

    pub(super) fn begin(&self) -> UnderWay {
        self.0.send_modify(|seen| {
            seen.begun += 1;
            seen.under_way += 1;
        });
        UnderWay(self.clone())
    }

    /// Returns why the connection is to end: it was idle for too long, first or later, or is one
    /// too many of its address that are.
    pub(super) async fn exhausted(
        self,
        idler: Idler,
        address: IpAddr,
        first: Duration,
        later: Duration,
    ) -> &'static str {
        let idle = idler.idle.clone();
        let (mut idler, mut wait, mut known) = (Some(idler), first, 0);
        let mut seen = self.0.subscribe();
        loop {
            match timeout(wait, seen.wait_for(|seen| seen.begun > known)).await {
                Ok(Ok(seen)) => known = seen.begun,
                Ok(Err(_)) | Err(_) => return "no request came in time",
            }
            drop(idler.take());
            if let Ok(seen) = seen.wait_for(|seen| seen.under_way == 0).await {
                known = seen.begun;
            }
            idler = idle.admits(address);
            if idler.is_none() {
                return "its address has too many idle connections";
            }
            wait = later;
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.0.send_modify(|seen| seen.under_way -= 1);
    }
}

/// An answer's body; the request is under way until it has gone out.
pub(super) struct Answer {
    body: Body,
    _under_way: UnderWay,
}

impl Answer {
    pub(super) fn until(body: Body, under_way: UnderWay) -> Body {
        Body::new(Self { body, _under_way: under_way })
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_share_of_idle_connections_and_gets_it_back() {
        let idle = Idle::new(2);
        let [one, neighbour, other] =
            ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"].map(|text| text.parse().unwrap());

        let first = idle.admits(one);
        let second = idle.admits(neighbour);

        assert!(first.is_some() && second.is_some());
        assert!(idle.admits(one).is_none() && idle.admits(neighbour).is_none());
        assert!(idle.admits(other).is_some());
        drop(first);
        assert!(idle.admits(one).is_some());
        drop(second);
        assert!(idle.counts().is_empty(), "an address that is gone leaves nothing");
    }

    #[tokio::test]
    async fn a_connection_is_idle_only_when_nothing_is_under_way() {
        let idle = Idle::new(1);
        let address = IpAddr::from([127, 0, 0, 1]);
        let requests = Requests::new();
        let long = Duration::from_secs(3600);
        let idler = idle.admits(address).unwrap();
        let exhausted = requests.clone().exhausted(idler, address, long, Duration::ZERO);
        let under_way = requests.begin();

        let still = timeout(Duration::from_millis(1), exhausted);
        assert!(still.await.is_err(), "it waits for the end of the request");
        drop(under_way);

        let idler = idle.admits(address).unwrap();
        let ended = requests.clone().exhausted(idler, address, Duration::ZERO, Duration::ZERO);
        // The requests that were before count as begun; then nothing comes.
        assert_eq!(ended.await, "no request came in time");
    }
}

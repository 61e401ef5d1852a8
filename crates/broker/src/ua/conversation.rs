//! What a UA may ask: for its TA, and to carry a sealed request to it.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use device::{
    ComponentId, FailureCode, Message as _,
    frame::Broken,
    ua::{Reply, Request},
};
use tokio::net::UnixStream;
use tracing::debug;

use crate::{
    frames,
    loads::Loads,
    refusal::{AgentFailed, SessionFailed, causes},
};

/// Answers a UA until its end of the socket closes or says what cannot be a frame.
pub(super) async fn serve(mut stream: UnixStream, loads: Loads) {
    if let Err(broken) = Conversation::new(loads).run(&mut stream).await {
        debug!(%broken, "a UA's socket is closed");
    }
}

/// What one run of a UA has asked for.
struct Conversation {
    loads: Loads,
    /// What it may say that it no longer needs.
    requested: BTreeSet<ComponentId>,
    allowance: Allowance,
}

impl Conversation {
    fn new(loads: Loads) -> Self {
        Self { loads, requested: BTreeSet::new(), allowance: Allowance::new(Instant::now()) }
    }

    async fn run(&mut self, stream: &mut UnixStream) -> Result<(), Broken> {
        while let Some(body) = frames::read(stream).await? {
            let reply = match Request::decode(&body) {
                Ok(request) => self.answer(request).await,
                Err(malformed) => Reply::failed(FailureCode::Malformed, malformed.to_string()),
            };
            frames::write(stream, &reply.encode()).await?;
        }
        Ok(())
    }

    async fn answer(&mut self, request: Request) -> Reply {
        match request {
            Request::RequestTa { component } => {
                if !self.allowance.take(Instant::now()) {
                    return too_fast();
                }
                let known = self.requested.contains(&component);
                if !known && self.requested.len() == REQUESTED_MAX {
                    return Reply::failed(FailureCode::Busy, "too many TAs for one UA");
                }
                self.requested.insert(component.clone());
                done(self.loads.request_ta(&component).await)
            }
            Request::UnrequestTa { component } => {
                if !self.allowance.take(Instant::now()) {
                    return too_fast();
                }
                if !self.requested.remove(&component) {
                    let text = "this UA has not asked for that TA";
                    return Reply::failed(FailureCode::Misbehaved, text);
                }
                done(self.loads.unrequest_ta(&component).await)
            }
            Request::Call { component, request } => {
                match self.loads.call_ta(&component, request).await {
                    Ok(answer) => Reply::Answer(answer),
                    Err(AgentFailed::Refused(failure)) => Reply::Failed(failure),
                    Err(other) => Reply::failed(FailureCode::Broken, causes(&other)),
                }
            }
        }
    }
}

/// How many sessions a UA may still cause.
struct Allowance {
    left: u32,
    counted_at: Instant,
}

impl Allowance {
    fn new(now: Instant) -> Self {
        Self { left: ALLOWANCE_MAX, counted_at: now }
    }

    fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.counted_at);
        let earned = passed.as_secs() / ALLOWANCE_EVERY.as_secs();
        if earned > 0 {
            let earned = u32::try_from(earned).unwrap_or(ALLOWANCE_MAX);
            self.left = self.left.saturating_add(earned).min(ALLOWANCE_MAX);
            self.counted_at = now;
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

fn done(outcome: Result<(), SessionFailed>) -> Reply {
    match outcome {
        Ok(()) => Reply::Done,
        Err(SessionFailed::Agent(AgentFailed::Refused(failure))) => Reply::Failed(failure),
        Err(other) => Reply::failed(FailureCode::Broken, causes(&other)),
    }
}

fn too_fast() -> Reply {
    Reply::failed(FailureCode::Busy, "too many requests; wait a little")
}

const ALLOWANCE_MAX: u32 = 8;
const ALLOWANCE_EVERY: Duration = Duration::from_secs(2);
const REQUESTED_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_ua_may_ask_for_comes_back_with_time() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);

        assert!((0..ALLOWANCE_MAX).all(|_| allowance.take(start)));
        assert!(!allowance.take(start));
        assert!(!allowance.take(start + ALLOWANCE_EVERY / 2));
        assert!(allowance.take(start + ALLOWANCE_EVERY));
        assert!(!allowance.take(start + ALLOWANCE_EVERY));

        let late = start + 1000 * ALLOWANCE_EVERY;
        assert!((0..ALLOWANCE_MAX).all(|_| allowance.take(late)));
        assert!(!allowance.take(late));
    }
}

//! The relay: releases of Personalization Data that flow live, past the Network M/OC.
//!
//! Whoever reaches the relay may send; what comes is ciphertext whose head the owner signed, and
//! the TEE alone says whether it is one. A connection is strictly one piece, then one reply, as
//! the Agent's own interface has them ([`device::broker`]); no other request passes. The relay
//! keeps nothing, so its memory does not grow with a release. Who has a payload that a manifest
//! names offers it here, and gives the ranges that the TEE wants ([`crate::payloads`]).

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use device::{
    FailureCode, Message as _,
    broker::{Reply, Request},
    frame::{self, Broken},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tracing::{debug, info, warn};

use crate::{agent::Agent, frames, payloads::Payloads, refusal::causes};

/// Listens for senders of releases.
pub struct Relay {
    listener: TcpListener,
    agent: Agent,
    payloads: Payloads,
    places: Arc<Semaphore>,
}

impl Relay {
    /// Listens at an address.
    ///
    /// # Errors
    /// The address is not to be had.
    pub async fn bind(address: SocketAddr, agent: Agent, payloads: Payloads) -> Result<Self> {
        let listener = TcpListener::bind(address).await;
        let listener =
            listener.with_context(|| format!("listening at {address}, `relay_listen`"))?;
        info!(address = %listener.local_addr()?, "relaying releases");
        Ok(Self { listener, agent, payloads, places: Arc::new(Semaphore::new(SENDERS_MAX)) })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The socket is gone.
    pub fn address(&self) -> Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Serves senders, for ever.
    pub async fn serve(self) {
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    warn!(%error, "a sender was not taken");
                    sleep(ACCEPT_AGAIN).await;
                    continue;
                }
            };
            // With every place taken the sender is let go, and comes again.
            let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { continue };
            let (agent, payloads) = (self.agent.clone(), self.payloads.clone());
            tokio::spawn(async move {
                if let Err(broken) = converse(stream, &agent, &payloads).await {
                    debug!(%broken, "a sender is left");
                }
                drop(place);
            });
        }
    }
}

/// Carries pieces until the sender hangs up, or is silent for too long.
async fn converse(mut stream: TcpStream, agent: &Agent, payloads: &Payloads) -> Result<(), Broken> {
    loop {
        let silent = |_| Broken::Io(std::io::ErrorKind::TimedOut);
        let Some(body) = timeout(PIECE_WITHIN, frames::read_at_most(&mut stream, FRAME_BYTES_MAX))
            .await
            .map_err(silent)??
        else {
            return Ok(());
        };
        let reply = match Request::decode(&body) {
            Ok(Request::TakeRelease { component, piece }) => {
                // A conversation of its own for each piece: the Agent may have started anew.
                let carried = async {
                    let mut conversation = agent.connect().await?;
                    conversation.take_release(component, piece).await
                };
                carried.await.unwrap_or_else(|failed| {
                    warn!(error = causes(&failed), "a piece of a release was not carried");
                    Reply::failed(FailureCode::Busy, failed.to_string())
                })
            }
            Ok(Request::OfferPayload { sha256 }) => wanted(payloads, sha256).await,
            Ok(Request::GivePayload { sha256, offset, bytes }) => {
                payloads.give(sha256, offset, bytes);
                wanted(payloads, sha256).await
            }
            Ok(_) => Reply::failed(FailureCode::Unsupported, "the relay carries releases alone"),
            Err(malformed) => Reply::failed(FailureCode::Malformed, malformed.to_string()),
        };
        let reply = reply.encode();
        timeout(PIECE_WITHIN, frames::write(&mut stream, &reply)).await.map_err(silent)??;
    }
}

async fn wanted(payloads: &Payloads, sha256: [u8; 32]) -> Reply {
    let (offset, length) = payloads.next(sha256).await.unwrap_or_default();
    Reply::Wanted { offset, length }
}

/// Senders at one time.
const SENDERS_MAX: usize = 16;

/// The longest frame: a piece and what names it.
const FRAME_BYTES_MAX: usize = 2 * 1024 * 1024;
const _: () = assert!(FRAME_BYTES_MAX <= frame::FRAME_BYTES_MAX);

/// The time for one piece, and between two.
const PIECE_WITHIN: Duration = Duration::from_secs(60);
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

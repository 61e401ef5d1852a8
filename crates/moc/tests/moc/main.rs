//! The M/OC as its three audiences meet it: over HTTP on loopback, with simulated devices that
//! hold software keys, run the real session machine of an Agent, and make emulated SGX quotes.
#![expect(clippy::unwrap_used, reason = "lets a test fail")]

mod audience;
mod audit;
mod bench;
mod case3;
mod certificate;
mod certificates;
mod confidential;
mod contract;
mod disorder;
mod figures;
mod hostile;
mod http_server;
mod joining;
mod lease;
mod legacy;
mod live;
mod once;
mod openapi;
mod ownership;
mod placement;
mod program;
mod silence;
mod sim;
mod tenancy;
mod tls;
mod unsolicited;

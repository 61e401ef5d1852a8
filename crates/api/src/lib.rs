//! The HTTP contract of the Network M/OC.
//!
//! Everything that crosses the M/OC's JSON interface is a type of this crate, so that a client
//! and the M/OC cannot drift apart. It deliberately knows nothing of HTTP libraries, of CBOR and
//! of how either side does its work: byte strings are text here (hex or base64, as each field
//! says), and signed bytes travel as bodies of their own media type.
//!
//! Unknown members are refused in requests and ignored in answers, so that an M/OC may tell more
//! than an older client knows.

mod attestation;
mod audit;
mod constraints;
mod deployment;
mod device;
mod event;
mod joining;
pub mod media;
pub mod path;
mod problem;
mod request;
pub mod rights;
mod tenant;
mod token;

pub use attestation::{AttestationAccepted, AttestationPending, PostAttestation};
pub use audit::{ExportedLog, LogConsistency, LogPage, LogProof, SignedCheckpoint};
pub use constraints::{Capacity, Constraints, Resources, Strategy, TcbLevel, UnknownConstraint};
pub use deployment::{
    Deployment, Enforcement, Lease, Need, PackageName, PackageStored, PostReceipt, Receipts,
    Reservation, State,
};
pub use device::{
    Check, DeviceAdded, DeviceState, DeviceView, EnrolmentOpened, Outcome, PostDevice,
    PostPlacement, UA_LOADS_WITHIN_MS, Verdict, Wake, WakeReason,
};
pub use event::{Actor, Event, EventName, InstanceType};
pub use joining::{
    JoinTokenAdded, JoinTokenView, JoinTokensAdded, Order, PostJoin, PostJoinTokens, PostOrder,
    UnknownOrder,
};
pub use problem::{Candidate, Kind, Owner, Problem};
pub use request::{Hardware, PostRequest, RequestPlaced};
pub use tenant::{BlobStored, Initialised, PostTenant, TenantAdded, TenantView};
pub use token::{PostToken, Role, Scope, TokenAdded, TokenView, UnknownGrant};

//! Every way in which the rows may change.

use api::Problem;

use super::{
    AnswerRow, BlobRow, DeploymentRow, DeviceRow, EventRow, ExchangeRow, JoinTokenRow, LeaseRow,
    NamedBlobs, NewDecision, NewReservation, NotCommitted, PackageRow, Quota, ReceiptRow,
    RequestRow, ResultRow, TicketRow, TokenRow, deployments, devices, exchanges, joining, leases,
    log, own, possession, reservations, results,
    sql::{self, Connection},
    tenants,
};

/// One change. A version that no longer matches, or a name that is taken, refuses the whole list.
#[derive(Clone, Debug)]
pub enum Change {
    /// A new tenant.
    AddTenant {
        /// Identifier.
        tenant: String,
        /// Name, unique.
        name: String,
        /// When.
        at_ms: u64,
    },
    /// A new credential.
    AddToken(TokenRow),
    /// A credential counts no more.
    RevokeToken {
        /// Its hash.
        hash: String,
        /// When.
        at_ms: u64,
    },
    /// No credential of a device counts any more.
    RevokeDevice {
        /// The device.
        device: String,
        /// When.
        at_ms: u64,
    },
    /// Refuses the whole list when the changes before lead beyond a bound.
    Within(Quota),
    /// A new device.
    AddDevice(DeviceRow),
    /// A device as it is from here on; `version` is the one that was read.
    SaveDevice(DeviceRow),
    /// A device may join.
    AddJoinToken(JoinTokenRow),
    /// A join token was used or is taken back; the second time refuses the whole list.
    EndJoinToken {
        /// SHA-256 of the token, hex.
        hash: String,
    },
    /// A request that found a place.
    AddRequest(RequestRow),
    /// A new deployment.
    AddDeployment(DeploymentRow),
    /// A new deployment gets a slot of its device.
    Reserve(NewReservation),
    /// A deployment as it is from here on; `seq` is the one that was read.
    SaveDeployment(DeploymentRow),
    /// A new deployment asks for a lease.
    AddLease(LeaseRow),
    /// A lease as it is from here on; `version` is the one that was read.
    SaveLease(LeaseRow),
    /// A package of a deployment.
    AddPackage(PackageRow),
    /// A tenant has sent a blob; again makes it as young as it was.
    AddBlob(BlobRow),
    /// Forgets who has blobs that came before a time and that no deployment needs.
    ForgetBlobs {
        /// The time.
        before_ms: u64,
    },
    /// A package makes its device fetch blobs.
    NameBlobs(NamedBlobs),
    /// A new ticket.
    AddTicket(TicketRow),
    /// A ticket was shown; the second time refuses the whole list.
    ShowTicket {
        /// SHA-256 of the ticket, hex.
        ticket: String,
    },
    /// A TEEP request that waits from here on.
    AddExchange(ExchangeRow),
    /// The answer to a TEEP request; the second one refuses the whole list.
    SpendExchange {
        /// Under which it waited.
        correlation: Vec<u8>,
    },
    /// Forgets every ticket, exchange, used value and answer that has expired.
    Expire {
        /// The time.
        now_ms: u64,
    },
    /// Consumes a self-describing challenge; the second time refuses the whole list.
    Use {
        /// The value.
        value: Vec<u8>,
        /// Until when it could be shown again.
        until_ms: u64,
    },
    /// A Network User asks for an Attestation Result.
    AddResult(ResultRow),
    /// Why a device could not answer yet; it decides nothing.
    HintResult {
        /// Which Attestation Result is pending.
        attestation: String,
        /// What it said.
        problem: Problem,
    },
    /// An Attestation Result as it was decided; only one that is pending can be decided.
    DecideResult(ResultRow),
    /// A step of a deployment.
    AddEvent(EventRow),
    /// A receipt; one that is there already changes nothing.
    AddReceipt(ReceiptRow),
    /// An answer to be given again under its idempotency key.
    AddAnswer(AnswerRow),
    /// The answer under a key that was claimed, or none, which gives the key back.
    SettleAnswer {
        /// Whose key.
        holder: String,
        /// The key.
        name: String,
        /// The answer.
        body: Option<String>,
    },
    /// A decision about trust.
    AddDecision(NewDecision),
}

impl Change {
    pub(super) async fn apply(&self, on: &mut Connection) -> Result<(), NotCommitted> {
        match self {
            Self::AddTenant { tenant, name, at_ms } => tenants::add(on, tenant, name, *at_ms).await,
            Self::AddToken(token) => tenants::add_token(on, token).await,
            Self::RevokeToken { hash, at_ms } => tenants::revoke_token(on, hash, *at_ms).await,
            Self::RevokeDevice { device, at_ms } => {
                tenants::revoke_device(on, device, *at_ms).await
            }
            Self::Within(quota) => tenants::within(on, quota).await,
            Self::AddDevice(device) => devices::add(on, device).await,
            Self::SaveDevice(device) => devices::save(on, device).await,
            Self::AddJoinToken(token) => joining::add(on, token).await,
            Self::EndJoinToken { hash } => joining::end(on, hash).await,
            Self::AddRequest(request) => deployments::add_request(on, request).await,
            Self::AddDeployment(deployment) => deployments::add(on, deployment).await,
            Self::Reserve(new) => reservations::reserve(on, new).await,
            Self::SaveDeployment(deployment) => deployments::save(on, deployment).await,
            Self::AddLease(lease) => leases::add(on, lease).await,
            Self::SaveLease(lease) => leases::save(on, lease).await,
            Self::AddPackage(package) => deployments::add_package(on, package).await,
            Self::AddBlob(blob) => possession::add(on, blob).await,
            Self::ForgetBlobs { before_ms } => possession::forget(on, *before_ms).await,
            Self::NameBlobs(named) => possession::name(on, named).await,
            Self::AddTicket(ticket) => exchanges::add_ticket(on, ticket).await,
            Self::ShowTicket { ticket } => exchanges::show_ticket(on, ticket).await,
            Self::AddExchange(exchange) => exchanges::add(on, exchange).await,
            Self::SpendExchange { correlation } => exchanges::spend(on, correlation).await,
            Self::Expire { now_ms } => exchanges::expire(on, *now_ms).await,
            Self::Use { value, until_ms } => exchanges::consume(on, value, *until_ms).await,
            Self::AddResult(result) => results::add(on, result).await,
            Self::HintResult { attestation, problem } => {
                results::hint(on, attestation, problem).await
            }
            Self::DecideResult(result) => results::decide(on, result).await,
            Self::AddEvent(event) => deployments::add_event(on, event).await,
            Self::AddReceipt(receipt) => deployments::add_receipt(on, receipt).await,
            Self::AddAnswer(answer) => own::add_answer(on, answer).await,
            Self::SettleAnswer { holder, name, body } => {
                own::settle_answer(on, holder, name, body.as_deref()).await
            }
            Self::AddDecision(decision) => log::add(on, decision, None).await,
        }
    }
}

/// Turns a unique violation into "exists".
pub(super) fn inserted(
    outcome: Result<sql::Outcome, sql::Error>,
    what: &'static str,
) -> Result<(), NotCommitted> {
    match outcome {
        Ok(_) => Ok(()),
        Err(error) if sql::is_unique_violation(&error) => Err(NotCommitted::Exists(what)),
        Err(error) => Err(error.into()),
    }
}

/// An update by version has to meet exactly one row.
pub(super) fn updated(outcome: sql::Outcome, what: &'static str) -> Result<(), NotCommitted> {
    match outcome.rows_affected() {
        1 => Ok(()),
        _ => Err(NotCommitted::Stale(what)),
    }
}

//! Receipts of releases that went live to the device, past the M/OC.

use api::{EventName, Need, Owner, PostReceipt};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use cose::{Accept, Key, Sign1, Tagging, cbor::minicbor::Decoder};

use crate::{
    deployment::Failure,
    store::{Change, NewDecision, ReceiptRow},
};

use super::{Moc, Refusal, happened, settle, user::conflict};

impl Moc {
    /// Takes the receipt of Personalization Data that the Network User released live: it stands
    /// for the step that this M/OC had no part in.
    pub async fn put_receipt(
        &self,
        tenant: &str,
        deployment: &str,
        posted: &PostReceipt,
    ) -> Result<(), Refusal> {
        settle!(self.put_receipt_once(tenant, deployment, posted).await)
    }

    async fn put_receipt_once(
        &self,
        tenant: &str,
        deployment: &str,
        posted: &PostReceipt,
    ) -> Result<(), Refusal> {
        let receipt = STANDARD.decode(&posted.receipt);
        let receipt =
            receipt.map_err(|_| Refusal::malformed("receipt", "base64", "something else"))?;
        let mut row = self.own(tenant, deployment).await?;
        let known = self.store.of(tenant).receipts(deployment).await?;
        if known.iter().any(|known| known.receipt == receipt) {
            return Ok(());
        }
        let device = self.store.device(&row.device).await?.ok_or(Refusal::NotFound("device"))?;
        let key = device.receipt_key.and_then(|key| Key::decode(&key).ok());
        check(&receipt, key.as_ref(), deployment).map_err(|seen| {
            Refusal::Untrusted(Failure {
                check: "receipt".into(),
                expected: format!(
                    "a receipt about this deployment, signed by the receipt key of {}",
                    row.device
                ),
                seen: seen.into(),
                owner: Owner::NetworkUser,
                remedy: "hand over the receipt that came back through the relay".into(),
            })
        })?;
        row.machine.bring(Need::Pd).map_err(|no| conflict("receipt", &no))?;
        let step = row.machine.next_step().filter(|step| step.event == EventName::PdToTa);
        let step = step.ok_or(Refusal::NotFound("step for a receipt"))?;
        let at_ms = self.clock.now_ms();
        let mut changes: Vec<Change> =
            happened(&mut row, &step, receipt.clone(), at_ms).into_iter().collect();
        changes.push(Change::AddReceipt(ReceiptRow {
            deployment: deployment.to_owned(),
            tenant: tenant.to_owned(),
            receipt,
            at_ms,
        }));
        changes.push(Change::AddDecision(NewDecision {
            tenant: tenant.to_owned(),
            at_ms,
            subject: format!("deployment/{deployment}"),
            decision: "receipt accepted".into(),
            reason: "PD was released live".into(),
        }));
        changes.push(self.save(&row));
        self.store.commit(changes).await?;
        self.changed(&row);
        Ok(())
    }
}

/// Whether a receipt is one of this device and this deployment; what was sealed is between its
/// owner and the TEE.
fn check(receipt: &[u8], key: Option<&Key>, deployment: &str) -> Result<(), &'static str> {
    let key = key.ok_or("the device's evidence named no receipt key")?;
    let object = Sign1::decode(receipt, Tagging::Tagged).map_err(|_| "no COSE_Sign1")?;
    let payload = object.verify(key, &Accept::CURRENT, &[]);
    let payload = payload.map_err(|_| "the signature of another key")?;
    let mut d = Decoder::new(payload.get());
    let read = d.array().and_then(|_| Ok((d.str()?, d.str()?)));
    match read {
        Ok((LABEL, named)) if named == deployment => Ok(()),
        Ok((LABEL, _)) => Err("a receipt about another deployment"),
        Ok(_) | Err(_) => Err("no receipt"),
    }
}

const LABEL: &str = "tamarack-receipt-v1";

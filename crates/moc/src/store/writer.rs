//! The one writer: group commit of lists of changes.

use sqlx::{AnyConnection, Connection as _};
use tokio::sync::{mpsc, oneshot};

use super::{Change, NotCommitted, StoreFailed};

/// A list of changes and where its outcome goes.
#[derive(Debug)]
pub(super) struct Job {
    changes: Vec<Change>,
    answer: oneshot::Sender<Result<(), NotCommitted>>,
}

impl Job {
    pub(super) fn new(changes: Vec<Change>) -> (Self, oneshot::Receiver<Result<(), NotCommitted>>) {
        let (answer, outcome) = oneshot::channel();
        (Self { changes, answer }, outcome)
    }
}

/// Starts the writer; it ends when every sender is gone.
pub(super) fn start(mut connection: AnyConnection) -> mpsc::Sender<Job> {
    let (sender, mut jobs) = mpsc::channel(QUEUE_MAX);
    tokio::spawn(async move {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while jobs.recv_many(&mut batch, BATCH_MAX).await > 0 {
            run(&mut connection, std::mem::take(&mut batch)).await;
        }
        if let Err(error) = connection.close().await {
            tracing::warn!(%error, "closing the database");
        }
    });
    sender
}

async fn run(connection: &mut AnyConnection, batch: Vec<Job>) {
    let (changes, answers): (Vec<_>, Vec<_>) =
        batch.into_iter().map(|job| (job.changes, job.answer)).unzip();
    let outcomes = match commit(connection, &changes).await {
        Ok(outcomes) => outcomes,
        Err(error) => {
            tracing::error!(%error, jobs = changes.len(), "transaction failed");
            let failed = || Err(StoreFailed::Batch(error.to_string()).into());
            changes.iter().map(|_| failed()).collect()
        }
    };
    for (answer, outcome) in answers.into_iter().zip(outcomes) {
        // Whoever no longer waits for the outcome does not need it.
        let _gone = answer.send(outcome);
    }
}

async fn commit(
    connection: &mut AnyConnection,
    batch: &[Vec<Change>],
) -> Result<Vec<Result<(), NotCommitted>>, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let mut outcomes = Vec::with_capacity(batch.len());
    for changes in batch {
        let mut savepoint = transaction.begin().await?;
        let mut outcome = Ok(());
        for change in changes {
            outcome = change.apply(&mut savepoint).await;
            if outcome.is_err() {
                break;
            }
        }
        match &outcome {
            Ok(()) => savepoint.commit().await?,
            Err(_) => savepoint.rollback().await?,
        }
        outcomes.push(outcome);
    }
    transaction.commit().await?;
    Ok(outcomes)
}

const QUEUE_MAX: usize = 1024;
const BATCH_MAX: usize = 128;

//! The one writer: group commit of lists of changes.

use std::thread;

use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
};

use super::{
    Change, NotCommitted, StoreFailed,
    sql::{self, Connection},
};

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

/// Starts the writer in a thread of its own, since it waits for the disk; it ends when every
/// sender is gone.
pub(super) fn start(mut connection: Connection) -> Result<mpsc::Sender<Job>, std::io::Error> {
    let (sender, mut jobs) = mpsc::channel(QUEUE_MAX);
    let runtime = Handle::current();
    let work = async move {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while jobs.recv_many(&mut batch, BATCH_MAX).await > 0 {
            run(&mut connection, std::mem::take(&mut batch)).await;
        }
        if let Err(error) = connection.close() {
            tracing::warn!(%error, "closing the database");
        }
    };
    thread::Builder::new().name("store-writer".into()).spawn(move || runtime.block_on(work))?;
    Ok(sender)
}

async fn run(connection: &mut Connection, batch: Vec<Job>) {
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
    connection: &mut Connection,
    batch: &[Vec<Change>],
) -> Result<Vec<Result<(), NotCommitted>>, sql::Error> {
    connection.run_often("BEGIN IMMEDIATE")?;
    let outcomes = match apply(connection, batch).await {
        Ok(outcomes) => connection.run_often("COMMIT").map(|()| outcomes),
        Err(error) => Err(error),
    };
    if outcomes.is_err() {
        // What is left of it would refuse the next one. The first error is the one to tell.
        let _rolled = connection.run_often("ROLLBACK");
    }
    outcomes
}

async fn apply(
    connection: &mut Connection,
    batch: &[Vec<Change>],
) -> Result<Vec<Result<(), NotCommitted>>, sql::Error> {
    let mut outcomes = Vec::with_capacity(batch.len());
    for changes in batch {
        connection.run_often("SAVEPOINT list")?;
        let mut outcome = Ok(());
        for change in changes {
            outcome = change.apply(connection).await;
            if outcome.is_err() {
                break;
            }
        }
        if outcome.is_err() {
            connection.run_often("ROLLBACK TO list")?;
        }
        connection.run_often("RELEASE list")?;
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

const QUEUE_MAX: usize = 1024;
const BATCH_MAX: usize = 128;

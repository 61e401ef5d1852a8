//! Migrations: they only go forward, each runs once, and one that ran must never be edited.

use super::{
    StoreFailed, log,
    sql::{self, Connection},
    text, uint,
};

/// Brings the schema to the newest version.
pub(super) async fn migrate(connection: &mut Connection) -> Result<(), StoreFailed> {
    migrate_to(connection, newest()).await
}

/// Brings the schema to a version, as the program did when that was its newest.
pub(super) async fn migrate_to(
    connection: &mut Connection,
    newest: i64,
) -> Result<(), StoreFailed> {
    connection.run(
        "CREATE TABLE IF NOT EXISTS schema_versions \
         (version BIGINT PRIMARY KEY, sha256 TEXT NOT NULL)",
    )?;
    let rows = sql::query("SELECT version, sha256 FROM schema_versions ORDER BY version")
        .fetch_all(&mut *connection)
        .await?;
    for row in &rows {
        let version = i64::try_from(uint(row, "version")?)
            .map_err(|_| StoreFailed::Corrupt("schema_versions.version"))?;
        let ran = text(row, "sha256")?;
        let (_, sql) = MIGRATIONS
            .iter()
            .find(|(known, _)| *known == version)
            .ok_or(StoreFailed::Newer { found: version, known: newest })?;
        if digest(sql) != ran {
            return Err(StoreFailed::Edited(version));
        }
    }
    let missing = &MIGRATIONS[rows.len()..];
    for (version, sql) in missing.iter().filter(|(version, _)| *version <= newest) {
        run(connection, *version, sql).await?;
    }
    Ok(())
}

async fn run(
    connection: &mut Connection,
    version: i64,
    sql: &'static str,
) -> Result<(), StoreFailed> {
    connection.run("BEGIN IMMEDIATE")?;
    let ran = run_within(connection, version, sql).await;
    match ran {
        Ok(()) => Ok(connection.run("COMMIT")?),
        Err(error) => {
            connection.run("ROLLBACK")?;
            Err(error)
        }
    }
}

async fn run_within(
    connection: &mut Connection,
    version: i64,
    sql: &'static str,
) -> Result<(), StoreFailed> {
    connection.run(sql)?;
    if version == LOG {
        log::import(connection).await?;
    }
    sql::query("INSERT INTO schema_versions (version, sha256) VALUES ($1, $2)")
        .bind(version)
        .bind(digest(sql))
        .execute(connection)
        .await?;
    Ok(())
}

fn digest(sql: &str) -> String {
    hex::encode(cose::sha256(sql.as_bytes()))
}

fn newest() -> i64 {
    MIGRATIONS.last().map_or(0, |(version, _)| *version)
}

const MIGRATIONS: [(i64, &str); 8] = [
    (1, include_str!("migrations/0001_first.sql")),
    (2, include_str!("migrations/0002_possession.sql")),
    (LOG, include_str!("migrations/0003_log.sql")),
    (4, include_str!("migrations/0004_tenancy.sql")),
    (5, include_str!("migrations/0005_answers.sql")),
    (6, include_str!("migrations/0006_placement.sql")),
    (7, include_str!("migrations/0007_enrolment.sql")),
    (8, include_str!("migrations/0008_leases.sql")),
];

/// The version that brings the Merkle tree.
const LOG: i64 = 3;

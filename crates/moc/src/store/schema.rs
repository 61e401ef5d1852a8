//! Migrations: they only go forward, each runs once, and one that ran must never be edited.

use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, Executor as _, Row as _};

use super::{StoreFailed, log};

/// Brings the schema to the newest version.
pub(super) async fn migrate(connection: &mut AnyConnection) -> Result<(), StoreFailed> {
    migrate_to(connection, newest()).await
}

/// Brings the schema to a version, as the program did when that was its newest.
pub(super) async fn migrate_to(
    connection: &mut AnyConnection,
    newest: i64,
) -> Result<(), StoreFailed> {
    connection
        .execute(
            "CREATE TABLE IF NOT EXISTS schema_versions \
             (version BIGINT PRIMARY KEY, sha256 TEXT NOT NULL)",
        )
        .await?;
    let rows = connection
        .fetch_all("SELECT version, sha256 FROM schema_versions ORDER BY version")
        .await?;
    for row in &rows {
        let version: i64 = row.try_get("version")?;
        let ran: String = row.try_get("sha256")?;
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
    connection: &mut AnyConnection,
    version: i64,
    sql: &'static str,
) -> Result<(), StoreFailed> {
    let types = match connection.backend_name() {
        "PostgreSQL" => sql.replace("BLOB", "BYTEA"),
        _ => sql.to_owned(),
    };
    let mut transaction = connection.begin().await?;
    for statement in types.split(";\n").filter(|statement| !statement.trim().is_empty()) {
        transaction.execute(AssertSqlSafe(statement.to_owned())).await?;
    }
    if version == LOG {
        log::import(&mut transaction).await?;
    }
    sqlx::query("INSERT INTO schema_versions (version, sha256) VALUES ($1, $2)")
        .bind(version)
        .bind(digest(sql))
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(())
}

fn digest(sql: &str) -> String {
    hex::encode(cose::sha256(sql.as_bytes()))
}

fn newest() -> i64 {
    MIGRATIONS.last().map_or(0, |(version, _)| *version)
}

const MIGRATIONS: [(i64, &str); 7] = [
    (1, include_str!("migrations/0001_first.sql")),
    (2, include_str!("migrations/0002_possession.sql")),
    (LOG, include_str!("migrations/0003_log.sql")),
    (4, include_str!("migrations/0004_tenancy.sql")),
    (5, include_str!("migrations/0005_answers.sql")),
    (6, include_str!("migrations/0006_placement.sql")),
    (7, include_str!("migrations/0007_enrolment.sql")),
];

/// The version that brings the Merkle tree.
const LOG: i64 = 3;

//! SQL on SQLite, in this process and without a hop to another thread.
//!
//! A point query costs a few microseconds, less than it takes to wake a thread, so reads run where
//! they are asked for; what may be long runs aside. Statements are prepared once for each
//! connection. The writer's futures never wait: it has a thread of its own.
//!
//! Nothing but this module and the settings in [`super`] knows SQLite: whoever brings another
//! database brings these few types.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rusqlite::{OpenFlags, ffi::ErrorCode, params_from_iter, types::Value};
use tokio::sync::Semaphore;

pub(super) use rusqlite::Error;

use super::StoreFailed;

/// A statement with its values: `$1` and so on.
#[derive(Clone, Debug)]
pub(super) struct Query {
    sql: &'static str,
    values: Vec<Value>,
}

/// A statement, whose values follow.
pub(super) const fn query(sql: &'static str) -> Query {
    Query { sql, values: Vec::new() }
}

/// A connection that may write.
#[derive(Debug)]
pub(super) struct Connection(rusqlite::Connection);

/// Connections that only read, at most so many at a time.
#[derive(Clone, Debug)]
pub(super) struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    settings: &'static str,
    idle: Mutex<Vec<rusqlite::Connection>>,
    room: Semaphore,
}

/// A row that was read.
#[derive(Clone, Debug)]
pub(super) struct Row {
    columns: Arc<[String]>,
    values: Vec<Value>,
}

/// What a statement that reads nothing has done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome(usize);

impl Outcome {
    /// How many rows it met.
    pub(super) const fn rows_affected(self) -> usize {
        self.0
    }
}

/// What a parameter of a statement may be.
pub(super) trait Bind {
    fn into_value(self) -> Value;
}

impl Query {
    /// The value of the next parameter.
    pub(super) fn bind(mut self, value: impl Bind) -> Self {
        self.values.push(value.into_value());
        self
    }

    /// Runs a statement that reads nothing.
    pub(super) async fn execute(self, on: &mut Connection) -> Result<Outcome, Error> {
        debug_assert!(is_portable(self.sql), "{}", self.sql);
        let mut statement = on.0.prepare_cached(self.sql)?;
        statement.execute(params_from_iter(self.values)).map(Outcome)
    }

    /// The first row.
    pub(super) async fn fetch_one(self, on: impl Executor) -> Result<Row, Error> {
        on.rows(self, Some(1)).await?.pop().ok_or(Error::QueryReturnedNoRows)
    }

    /// The first row, when there is one.
    pub(super) async fn fetch_optional(self, on: impl Executor) -> Result<Option<Row>, Error> {
        Ok(on.rows(self, Some(1)).await?.pop())
    }

    /// Every row, of which there are few.
    pub(super) async fn fetch_all(self, on: impl Executor) -> Result<Vec<Row>, Error> {
        on.rows(self, None).await
    }

    /// Every row, of which there may be many; others are served meanwhile.
    pub(super) async fn fetch_many(self, on: &Pool) -> Result<Vec<Row>, StoreFailed> {
        let permit = on.0.room.acquire().await;
        let _permit = permit.map_err(|_| StoreFailed::Stopped)?;
        let pool = on.clone();
        let read = tokio::task::spawn_blocking(move || pool.0.read(self, None)).await;
        Ok(read.map_err(|_| StoreFailed::Stopped)??)
    }
}

/// Where a query may run.
pub(super) trait Executor {
    /// The rows, or the first of them.
    fn rows(
        self,
        query: Query,
        most: Option<usize>,
    ) -> impl Future<Output = Result<Vec<Row>, Error>> + Send;
}

impl Executor for &Pool {
    async fn rows(self, query: Query, most: Option<usize>) -> Result<Vec<Row>, Error> {
        // The semaphore is never closed; were it, one reader more would do no harm.
        let _permit = self.0.room.acquire().await.ok();
        self.0.read(query, most)
    }
}

impl Executor for &mut Connection {
    fn rows(
        self,
        query: Query,
        most: Option<usize>,
    ) -> impl Future<Output = Result<Vec<Row>, Error>> + Send {
        std::future::ready(rows(&self.0, query, most))
    }
}

impl Connection {
    /// Opens a database, or makes it.
    pub(super) fn open(path: &Path, settings: &str) -> Result<Self, Error> {
        let connection = rusqlite::Connection::open(path)?;
        connection.execute_batch(settings)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        Ok(Self(connection))
    }

    /// Runs statements that read nothing and have no values.
    pub(super) fn run(&mut self, sql: &str) -> Result<(), Error> {
        self.0.execute_batch(sql)
    }

    /// The same for one that is run often.
    pub(super) fn run_often(&mut self, sql: &'static str) -> Result<(), Error> {
        self.0.prepare_cached(sql)?.execute([]).map(|_| ())
    }

    /// Writes what is in the log of writes into the database, and ends.
    pub(super) fn close(self) -> Result<(), Error> {
        self.0.close().map_err(|(_, error)| error)
    }
}

impl Pool {
    /// Opens a database for at most so many readers at a time.
    pub(super) fn open(path: &Path, settings: &'static str, readers: usize) -> Result<Self, Error> {
        let inner = Inner {
            path: path.to_owned(),
            settings,
            idle: Mutex::default(),
            room: Semaphore::new(readers),
        };
        let first = inner.connect()?;
        inner.idle().push(first);
        Ok(Self(Arc::new(inner)))
    }
}

impl Inner {
    fn connect(&self) -> Result<rusqlite::Connection, Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = rusqlite::Connection::open_with_flags(&self.path, flags)?;
        connection.execute_batch(self.settings)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        Ok(connection)
    }

    fn read(&self, query: Query, most: Option<usize>) -> Result<Vec<Row>, Error> {
        let idle = self.idle().pop();
        let connection = idle.map_or_else(|| self.connect(), Ok)?;
        let read = rows(&connection, query, most);
        self.idle().push(connection);
        read
    }

    /// A panic elsewhere leaves whole connections behind.
    fn idle(&self) -> MutexGuard<'_, Vec<rusqlite::Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn rows(on: &rusqlite::Connection, query: Query, most: Option<usize>) -> Result<Vec<Row>, Error> {
    debug_assert!(is_portable(query.sql), "{}", query.sql);
    let mut statement = on.prepare_cached(query.sql)?;
    let columns: Arc<[String]> = statement.column_names().map(str::to_owned).collect();
    let mut cursor = statement.query(params_from_iter(query.values))?;
    let mut rows = Vec::new();
    while most.is_none_or(|most| rows.len() < most)
        && let Some(row) = cursor.next()?
    {
        let values = (0..columns.len()).map(|index| row.get(index));
        rows.push(Row { columns: columns.clone(), values: values.collect::<Result<_, _>>()? });
    }
    Ok(rows)
}

impl Row {
    fn value(&self, column: &'static str) -> Result<&Value, StoreFailed> {
        let at = self.columns.iter().position(|name| name == column);
        at.and_then(|at| self.values.get(at)).ok_or(StoreFailed::Corrupt(column))
    }

    /// A text, or NULL.
    pub(super) fn text(&self, column: &'static str) -> Result<Option<&str>, StoreFailed> {
        match self.value(column)? {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text)),
            _ => Err(StoreFailed::Corrupt(column)),
        }
    }

    /// A number, or NULL.
    pub(super) fn int(&self, column: &'static str) -> Result<Option<i64>, StoreFailed> {
        match self.value(column)? {
            Value::Null => Ok(None),
            Value::Integer(value) => Ok(Some(*value)),
            _ => Err(StoreFailed::Corrupt(column)),
        }
    }

    /// Bytes, or NULL.
    pub(super) fn bytes(&self, column: &'static str) -> Result<Option<&[u8]>, StoreFailed> {
        match self.value(column)? {
            Value::Null => Ok(None),
            Value::Blob(bytes) => Ok(Some(bytes)),
            _ => Err(StoreFailed::Corrupt(column)),
        }
    }
}

/// Whether placeholders mean the same everywhere: SQLite counts them as they appear, PostgreSQL
/// goes by their numbers.
fn is_portable(sql: &str) -> bool {
    let numbers = sql.split('$').skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..end].parse().unwrap_or(0)
    });
    numbers.eq(1..sql.split('$').count())
}

/// Whether a row was refused because there is one like it.
pub(super) fn is_unique_violation(error: &Error) -> bool {
    let Error::SqliteFailure(failure, _) = error else { return false };
    failure.code == ErrorCode::ConstraintViolation
        && matches!(failure.extended_code, UNIQUE | PRIMARY_KEY)
}

impl Bind for &str {
    fn into_value(self) -> Value {
        Value::Text(self.to_owned())
    }
}

impl Bind for &String {
    fn into_value(self) -> Value {
        Value::Text(self.clone())
    }
}

impl Bind for String {
    fn into_value(self) -> Value {
        Value::Text(self)
    }
}

impl Bind for i64 {
    fn into_value(self) -> Value {
        Value::Integer(self)
    }
}

impl Bind for Vec<u8> {
    fn into_value(self) -> Value {
        Value::Blob(self)
    }
}

impl<T: Bind> Bind for Option<T> {
    fn into_value(self) -> Value {
        self.map_or(Value::Null, Bind::into_value)
    }
}

/// SQLITE_CONSTRAINT_UNIQUE.
const UNIQUE: i32 = rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE;
/// SQLITE_CONSTRAINT_PRIMARYKEY.
const PRIMARY_KEY: i32 = rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY;
/// Prepared statements that a connection keeps: all that there are.
const STATEMENTS: usize = 160;

#[cfg(test)]
mod tests {
    use super::is_portable;

    #[test]
    fn placeholders_are_numbered_as_they_appear() {
        assert!(is_portable("SELECT 1"));
        assert!(is_portable("UPDATE t SET a = $1 WHERE b = $2 AND c > $3"));
        assert!(!is_portable("UPDATE t SET a = $2 WHERE b = $1"));
        assert!(!is_portable("SELECT a FROM t WHERE b = $1 OR c = $1"));
    }
}

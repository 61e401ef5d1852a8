//! TEEP messages one by one, and a whole session, against the bare signatures in them.

mod message;
mod parties;
mod session;

use anyhow::Result;
use bench::Row;
use teep::Suite;

pub(crate) fn measure() -> Result<Vec<Row>> {
    let mut rows = message::measure(Suite::Esp256)?;
    for suite in Suite::MANDATORY {
        rows.push(session::measure(suite)?);
    }
    Ok(rows)
}

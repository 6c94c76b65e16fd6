//! `Values`: which values a field has.

use super::records::{filter, subject};
use crate::{daemon::Daemon, refusal::Refusal};
use piperoll_format::names::Name;
use piperoll_proto::v1;
use piperoll_store::ListValues;

/// Values of a request that sets no limit.
const VALUES_LIMIT: usize = 100;
/// Most values in an answer.
const VALUES_MAX: usize = 10_000;
/// Most bytes of values in an answer, half of what clients take unless told otherwise; one value always comes.
const ANSWER_BYTES_MAX: usize = 2 << 20;

/// Lists them.
pub(super) async fn answer(
    daemon: &Daemon,
    tenant: Name,
    request: v1::ValuesRequest,
) -> Result<v1::ValuesResponse, Refusal> {
    let limit = if request.limit == 0 { VALUES_LIMIT } else { (request.limit as usize).min(VALUES_MAX) };
    let subject = subject("field", &request.field)?;
    let filter = filter(&request.filter, daemon.now())?;
    let list = ListValues { tenant, filter, subject, begins: request.begins, limit };
    let listed = daemon.read(move |reader, asker| reader.values(&list, asker)).await?;
    let found = listed.values.len();
    let mut bytes = 0_usize;
    let fits = |(value, _): &(String, u64)| {
        let has_room = bytes < ANSWER_BYTES_MAX;
        bytes = bytes.saturating_add(value.len());
        has_room
    };
    let values: Vec<_> = listed.values.into_iter().take_while(fits).map(field_value).collect();
    let values_omitted = listed.values_omitted.saturating_add((found - values.len()) as u64);
    Ok(v1::ValuesResponse { values, values_omitted })
}

fn field_value((value, count): (String, u64)) -> v1::FieldValue {
    v1::FieldValue { value, count }
}

//! `Values`: which values a field has.

use super::{
    fitting::fitting,
    records::{filter, subject},
};
use crate::{daemon::Daemon, refusal::Refusal};
use piperoll_format::names::Name;
use piperoll_proto::v1;
use piperoll_store::ListValues;

/// Values of a request that sets no limit.
const VALUES_LIMIT: usize = 100;
/// Most values in an answer.
const VALUES_MAX: usize = 10_000;

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
    let (values, omitted) = fitting(listed.values, |(value, _)| value.len());
    Ok(v1::ValuesResponse {
        values: values.into_iter().map(field_value).collect(),
        values_omitted: listed.values_omitted.saturating_add(omitted),
    })
}

fn field_value((value, count): (String, u64)) -> v1::FieldValue {
    v1::FieldValue { value, count }
}

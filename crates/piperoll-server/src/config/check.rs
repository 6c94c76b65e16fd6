//! Whether the settings fit together.

use super::{Config, ConfigError, RetentionConfig, Size, StorageConfig};
use piperoll_format::{
    limits::{BATCH_BYTES_MAX, SEGMENT_BYTES_MAX},
    names::Name,
};
use std::{collections::HashSet, time::Duration};

/// Smallest segment: below it, headers and files outweigh events.
const SEGMENT_BYTES_MIN: u64 = 64 << 10;

pub(super) fn relations(config: &Config) -> Result<(), ConfigError> {
    storage(&config.storage)?;
    retention(&config.retention)?;
    let limits = &config.limits;
    at_least("limits.requests_bytes_max", limits.requests_bytes_max, 2 * BATCH_BYTES_MAX as u64)?;
    let amounts = [
        ("limits.connections_max", limits.connections_max),
        ("limits.stream_requests_max", limits.stream_requests_max),
        ("limits.reads_max", limits.reads_max),
        ("limits.queries_max", limits.queries_max),
        ("limits.tails_max", limits.tails_max),
    ];
    if let Some((key, _)) = amounts.iter().find(|(_, amount)| amount.0 == 0) {
        return Err(wrong(key, "0 would refuse everything; it is at least 1"));
    }
    at_least("limits.answer_bytes_max", limits.answer_bytes_max, 1 << 20)?;
    let spans = [
        ("limits.answer_time_max", limits.answer_time_max.0, 1),
        ("limits.reader_stall_max", limits.reader_stall_max.0, 1),
        ("limits.tail_heartbeat", limits.tail_heartbeat.0, 1),
        ("retention.sweep_interval", config.retention.sweep_interval.0, 1),
        ("storage.segment_age_max", config.storage.segment_age_max.0, 1),
    ];
    match spans.iter().find(|(_, span, least)| *span < Duration::from_secs(*least)) {
        Some((key, _, least)) => Err(wrong(key, &format!("it is at least {least}s"))),
        None => Ok(()),
    }
}

fn storage(storage: &StorageConfig) -> Result<(), ConfigError> {
    at_least("storage.segment_bytes_max", storage.segment_bytes_max, SEGMENT_BYTES_MIN)?;
    if storage.segment_bytes_max.0 > SEGMENT_BYTES_MAX {
        return Err(wrong(
            "storage.segment_bytes_max",
            &format!("it is at most {SEGMENT_BYTES_MAX}, just under 4GiB"),
        ));
    }
    // One request of the largest size must fit an empty queue, or it would be refused for ever.
    at_least("storage.queue_bytes_max", storage.queue_bytes_max, BATCH_BYTES_MAX as u64)?;
    at_least("storage.columns_bytes_max", storage.columns_bytes_max, 1 << 20)?;
    if storage.directory.as_os_str().is_empty() {
        return Err(wrong("storage.directory", "it is empty"));
    }
    Ok(())
}

fn retention(retention: &RetentionConfig) -> Result<(), ConfigError> {
    let mut names = HashSet::new();
    for (at, class) in retention.classes.iter().enumerate() {
        let key = format!("retention.classes[{at}].name");
        Name::from_outside(&class.name)
            .map_err(|error| wrong(&key, &format!("`{}`: {error}", class.name)))?;
        if !names.insert(class.name.as_str()) {
            return Err(wrong(&key, &format!("`{}` is there twice", class.name)));
        }
    }
    let known = |key: &str, class: &str| {
        let message =
            || format!("`{class}` is none of retention.classes; add `{{ name = \"{class}\", keep = … }}`");
        if names.contains(class) { Ok(()) } else { Err(wrong(key, &message())) }
    };
    known("retention.default_class", &retention.default_class)?;
    for (at, route) in retention.routes.iter().enumerate() {
        known(&format!("retention.routes[{at}].class"), &route.class)?;
        if [&route.action, &route.stage, &route.repo, &route.environment].into_iter().all(Option::is_none) {
            let message = "it matches every event; give it a pattern, or set retention.default_class instead";
            return Err(wrong(&format!("retention.routes[{at}]"), message));
        }
    }
    Ok(())
}

fn at_least(key: &str, found: Size, least: u64) -> Result<(), ConfigError> {
    if found.0 >= least {
        return Ok(());
    }
    Err(wrong(key, &format!("{found} is too little; it is at least {}", Size(least))))
}

fn wrong(key: &str, problem: &str) -> ConfigError {
    ConfigError::Relation { key: key.to_owned(), problem: problem.to_owned() }
}

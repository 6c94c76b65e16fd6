//! `-o parquet`, where the program was built with it.

use crate::daemon::Daemon;
use crate::input::{CLASSES, LINES, append_lines};
#[cfg(not(feature = "parquet"))]
use crate::program::run;
use tempfile::tempdir;

#[cfg(not(feature = "parquet"))]
#[test]
fn a_program_without_parquet_says_what_it_can_do() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    append_lines(&daemon, LINES);
    let ended = run(&daemon, &["query", "-o", "parquet"]);
    assert!(ended.err.contains("possible values: text, json, jsonl, csv"), "{}", ended.err);
    ended.with(2);
}

#[cfg(feature = "parquet")]
#[test]
fn a_parquet_file_holds_every_event_with_its_fields() {
    use crate::daemon::PROGRAM;
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use std::collections::BTreeMap;
    use std::fmt::Write as _;
    use std::fs::File;
    use std::process::Command;

    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    append_lines(&daemon, LINES);
    let mut lines = String::new();
    for number in 0..20_000 {
        writeln!(lines, r#"{{"id":"n{number}","actor":"n","action":"b.c"}}"#).unwrap();
    }
    append_lines(&daemon, &lines);
    for (arguments, expected) in
        [(&["query", "--oldest", "-n", "30000"][..], 20_006), (&["query", "actor = x"], 0)]
    {
        let path = folder.path().join("events.parquet");
        let status = Command::new(PROGRAM)
            .args(arguments)
            .args(["-o", "parquet"])
            .env("PIPEROLL_ENDPOINT", daemon.grpc())
            .stdout(File::create(&path).unwrap())
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(i32::from(expected == 0)));
        let file = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
        assert_eq!(file.metadata().file_metadata().num_rows(), expected);
        assert_eq!(file.num_row_groups(), if expected == 0 { 0 } else { 2 });
        let rows: Vec<BTreeMap<String, Option<String>>> =
            file.get_row_iter(None).unwrap().map(|row| columns(&row.unwrap())).collect();
        let with_id = |id: &str| rows.iter().find(|row| row["id"].as_deref() == Some(id));
        let (Some(first), Some(found)) = (with_id("e1"), with_id("e5")) else {
            assert_eq!(expected, 0);
            continue;
        };
        let text = |name: &str| found[name].as_deref();
        assert_eq!(text("event_address"), Some("default/deploys@1"));
        assert_eq!((text("actor"), text("outcome"), text("reason")), (Some("bob"), Some("denied"), None));
        let event: serde_json::Value = serde_json::from_str(text("event").unwrap()).unwrap();
        assert_eq!(event["on_behalf_of"], "carol");
        assert!(first["time"].is_some() && first["received"].is_some(), "{first:?}");
    }
}

#[cfg(feature = "parquet")]
fn columns(row: &parquet::record::Row) -> std::collections::BTreeMap<String, Option<String>> {
    use parquet::record::Field;
    let value = |field: &Field| match field {
        Field::Null => None,
        Field::Str(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    row.get_column_iter().map(|(name, field)| (name.clone(), value(field))).collect()
}

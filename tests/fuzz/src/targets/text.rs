//! What people and programs write: filters, settings, positions.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use piperoll_filter::parse;
use piperoll_format::units::UnixNanos;
use piperoll_server::{Overrides, load};
use piperoll_store::Position;
use std::{fs::File, io::Write as _};

const NOW: UnixNanos = UnixNanos(1_795_435_200_000_000_000);

/// A filter that was parsed prints as text which parses to the same filter.
pub(crate) fn filter(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    match parse(text, NOW) {
        Ok(filter) => {
            let printed = filter.to_string();
            let again = parse(&printed, UnixNanos(0));
            assert_eq!(again.as_ref(), Ok(&filter), "printed as {printed}");
        }
        Err(error) => {
            assert!((1..=text.chars().count() + 1).contains(&error.column), "column {}", error.column);
            assert!(!error.render().is_empty());
        }
    }
}

pub(crate) fn filter_seeds() -> Vec<Vec<u8>> {
    let texts = [
        r#"actor = alice AND (action = deploy.* OR NOT outcome IN (failure, "timeout"))"#,
        "time >= -24h AND received < 2026-11-23T13:00:00.5+01:00",
        r#"attr.n != 4 AND attr."odd key":* AND artifact = oci:9f86d081"#,
        "environment NOT IN (production, staging) OR run_attempt > 2",
        "trace_id = 0af7651916cd43dd8448eb211c80319c AND NOT NOT stage:*",
        r#"reason = "a\"b\\c"* "#,
        r#"reason ~ "timed out" AND NOT attr.region ~ eu OR actor ~ '[bot]'"#,
        "time >= 2026-11-23T09:00[Europe/Paris] AND time < 2026-10-25T02:30+01:00[Europe/Paris]",
        "received >= 2026-11-23[Asia/Kolkata] AND stage IN (deploy-*, sign)",
        "class = standard AND actor_type = bot AND time <= now",
        "",
    ];
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}

/// Any file is refused with words, or gives settings whose origins are all told.
pub(crate) fn config(bytes: &[u8]) {
    thread_local!(static FOLDER: tempfile::TempDir = tempfile::tempdir().expect("a temporary folder"));
    FOLDER.with(|folder| {
        let path = folder.path().join("piperoll.toml");
        File::create(&path).and_then(|mut file| file.write_all(bytes)).expect("a writable folder");
        match load(Some(&path), &Overrides::default()) {
            Ok(loaded) => assert!(!loaded.origins.is_empty()),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    });
}

pub(crate) fn config_seeds() -> Vec<Vec<u8>> {
    let texts = [
        "",
        "[storage]\ndirectory = \"/var/lib/piperoll\"\nsegment_bytes_max = \"64MiB\"\n",
        "[server]\nlisten = \"127.0.0.1:4190\"\n[log]\nformat = \"json\"\nlevel = \"info\"\n",
        "[retention]\nsweep_interval = \"1h\"\n[retention.classes.standard]\nkeep = \"90d\"\n",
        "[[retention.routes]]\nfilter = \"stage = deploy-*\"\nclass = \"long\"\n",
        "[limits]\nlogs_max = 4096\n[surprise]\n",
    ];
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}

/// The first byte says whether the others are a token's text, or its content that wants a checksum and base64.
pub(crate) fn position(bytes: &[u8]) {
    let Some((how, rest)) = bytes.split_first() else { return };
    let text = if how % 2 == 0 {
        String::from_utf8_lossy(rest).into_owned()
    } else {
        let check = blake3::hash(rest);
        URL_SAFE_NO_PAD.encode([rest, &check.as_bytes()[..8]].concat())
    };
    if let Ok(position) = Position::decode(&text) {
        assert_eq!(position.encode(), text, "one position, one text");
    }
}

pub(crate) fn position_seeds() -> Vec<Vec<u8>> {
    let mut content = vec![1, 1, 0];
    content.extend([7; 8]);
    content.extend(b"\x01t\x01a\x09\0\0\0\0\0\0\0\x01b\xFF\0\0\0\0\0\0\0");
    let newest = [&[1, 1, 0], &content[3..]].concat();
    let check = blake3::hash(&content[1..]);
    let text = URL_SAFE_NO_PAD.encode([&content[1..], &check.as_bytes()[..8]].concat());
    vec![content, newest, [b"\0", text.as_bytes()].concat()]
}

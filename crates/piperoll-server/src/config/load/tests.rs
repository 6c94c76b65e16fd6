//! Each kind of wrong setting gets a message that says which, where from, and what would be right.

use super::*;

fn load_text(
    text: &str,
    variables: &[(&str, &str)],
    flags: &[(&str, &str, &str)],
) -> Result<Loaded, ConfigError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    let variables = variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
    let mut overrides = Overrides::default();
    for (flag, key, value) in flags {
        overrides.set(flag, key, *value);
    }
    load_from(Some(file.path()), variables, &overrides)
}

fn origin_of<'a>(loaded: &'a Loaded, key: &str) -> &'a Origin {
    loaded.origins.iter().find(|origin| origin.key == key).unwrap()
}

#[test]
fn flags_win_over_variables_over_the_file_over_defaults() {
    let text =
        "[storage]\ndirectory = 'a'\nsegment_bytes_max = '1MiB'\n[server]\ngrpc_listen = '127.0.0.1:1'\n";
    let variables = [
        ("PIPEROLL_STORAGE__DIRECTORY", "b"),
        ("PIPEROLL_SERVER__GRPC_LISTEN", "127.0.0.1:2"),
        ("PIPEROLL_OTHER", "x"),
    ];
    let flags = [("--grpc-listen", "server.grpc_listen", "127.0.0.1:3")];
    let loaded = load_text(text, &variables, &flags).unwrap();
    assert_eq!(loaded.config.server.grpc_listen.port(), 3);
    assert_eq!(loaded.config.storage.directory, Path::new("b"));
    assert_eq!(loaded.config.storage.segment_bytes_max, crate::Size(1 << 20));
    assert_eq!(origin_of(&loaded, "server.grpc_listen").origin, "--grpc-listen");
    assert_eq!(
        origin_of(&loaded, "storage.directory").origin,
        "the environment variable PIPEROLL_STORAGE__DIRECTORY"
    );
    assert_ne!(origin_of(&loaded, "storage.segment_bytes_max").origin, "default");
    assert_eq!(origin_of(&loaded, "storage.segment_bytes_max").value, "\"1MiB\"");
    let age =
        Origin { key: "storage.segment_age_max".into(), value: "\"1d\"".into(), origin: "default".into() };
    assert_eq!(origin_of(&loaded, "storage.segment_age_max"), &age);
}

#[test]
fn the_defaults_fit_together_and_survive_being_written() {
    let loaded = load_text("", &[], &[]).unwrap();
    assert_eq!(loaded.config, Config::default());
    assert!(loaded.origins.iter().all(|origin| origin.origin == "default"), "{:?}", loaded.origins);
    let written = toml::to_string(&loaded.config).unwrap();
    assert_eq!(load_text(&written, &[], &[]).unwrap().config, loaded.config);
}

#[test]
fn lists_come_from_the_file_and_from_variables() {
    let text = "[retention]\nclasses = [{ name = 'default', keep = '7y' }, { name = 'short', keep = '1d' }]\n\
        [[retention.routes]]\nclass = 'short'\nstage = 'test'\n";
    let config = load_text(text, &[], &[]).unwrap().config;
    assert_eq!(config.retention.classes.len(), 2);
    assert_eq!(config.retention.routes.first().unwrap().stage.as_deref(), Some("test"));
    let classes = "[{name=\"default\", keep=\"1d\"}]";
    let config = load_text("", &[("PIPEROLL_RETENTION__CLASSES", classes)], &[]).unwrap().config;
    assert_eq!(config.retention.classes.first().unwrap().keep.to_string(), "1d");
}

fn check(text: &str, variables: &[(&str, &str)], expected: &[&str]) {
    let message = load_text(text, variables, &[]).unwrap_err().to_string();
    for part in expected {
        assert!(message.contains(part), "{text:?} gives {message:?}, which lacks {part:?}");
    }
}

#[test]
fn wrong_settings_are_named_with_their_place_and_a_hint() {
    check("[storage]\ndirectori = 'x'\n", &[], &["`storage.directori`", "did you mean `storage.directory`?"]);
    check("[storrage]\ndirectory = 'x'\n", &[], &["`storrage`", "did you mean `storage`?"]);
    check("storage = 1\n", &[], &["is a section"]);
    check("", &[("PIPEROLL_STORAGE__DIR", "x")], &["PIPEROLL_STORAGE__DIR", "`storage.dir`"]);
    check(
        "",
        &[("PIPEROLL_STORAGE__SEGMENT_BYTES_MAX", "big")],
        &["PIPEROLL_STORAGE__SEGMENT_BYTES_MAX", "64MiB"],
    );
    check(
        "[retention]\nclasses = [{ name = 'a', kepe = '1d' }]\n",
        &[],
        &["kepe", "`retention.classes.0.keep`?"],
    );
    check("[retention]\nclasses = [{ name = 'a' }]\n", &[], &["keep", "retention.classes.0"]);
    check("[server\n", &[], &["no TOML", "line 1"]);
    check("[server]\ngrpc_listen = 'localhost'\n", &[], &["server.grpc_listen", "socket address"]);
    check("[log]\nformat = 'xml'\n", &[], &["log.format", "xml", "json"]);
}

#[test]
fn settings_that_do_not_fit_together_are_refused() {
    check(
        "[retention]\ndefault_class = 'x'\n",
        &[],
        &["retention.default_class", "none of retention.classes"],
    );
    check(
        "[retention]\nclasses = [{ name = '../x', keep = '1d' }]\n",
        &[],
        &["retention.classes[0].name", "`../x`"],
    );
    check("[retention]\nclasses = [{ name = '_x', keep = '1d' }]\n", &[], &["daemon's own"]);
    let twice = "[retention]\nclasses = [{ name = 'a', keep = '1d' }, { name = 'a', keep = '1d' }]\n";
    check(twice, &[], &["retention.classes[1].name", "twice"]);
    check("[[retention.routes]]\nclass = 'x'\nstage = 'a'\n", &[], &["retention.routes[0].class"]);
    check("[[retention.routes]]\nclass = 'default'\n", &[], &["retention.routes[0]", "every event"]);
    check("[storage]\nsegment_bytes_max = '1KiB'\n", &[], &["at least 64KiB"]);
    check("[storage]\nsegment_bytes_max = '5GiB'\n", &[], &["just under 4GiB"]);
    check("[storage]\nqueue_bytes_max = '1MiB'\n", &[], &["at least 8MiB"]);
    check("[limits]\nreads_max = 0\n", &[], &["limits.reads_max", "at least 1"]);
    check("[limits]\ntail_heartbeat = '1ms'\n", &[], &["limits.tail_heartbeat", "1s"]);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error =
        load_from(Some(Path::new("/none/such.toml")), std::iter::empty(), &Overrides::default()).unwrap_err();
    assert!(error.to_string().contains("/none/such.toml"), "{error}");
}

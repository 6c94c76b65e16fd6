//! Completion and manual pages.

use crate::daemon::Daemon;
use crate::input::{CLASSES, append_lines};
use crate::program::{client_command, ended, run, run_alone, run_with};
use std::fs;
use std::process::{Command, Stdio};
use tempfile::tempdir;

const LINES: &str = r#"{"actor":"alice","action":"a.b","stage":"build","repo":"acme/shop"}
{"actor":"alice","action":"a.b","stage":"build"}
{"actor":"albert","action":"a.b","stage":"sign"}
{"actor":"al$(touch pwned)","action":"a.b"}
{"actor":"bob","action":"a.b"}
{"actor":"svc:deploy","action":"a.b"}
{"actor":"svc:sign","action":"a.b"}
{"actor":"d@example.com","action":"a.b"}
"#;

/// What fish is offered for the last of these words.
fn offered(daemon: &Daemon, words: &[&str]) -> Vec<String> {
    let mut command = client_command(daemon);
    command.env("PIPEROLL_COMPLETE", "fish").args(["--", "piperoll"]);
    run_with(command, words, b"").with(0).lines().map(str::to_owned).collect()
}

#[test]
fn values_and_fields_are_completed_from_the_daemon() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    append_lines(&daemon, LINES);
    // The one that a shell would run is not offered.
    assert_eq!(offered(&daemon, &["query", "--actor", "al"]), ["alice\t2 events", "albert\t1 events"]);
    assert_eq!(offered(&daemon, &["tail", "--stage", "si"]), ["sign\t1 events"]);
    assert_eq!(offered(&daemon, &["count", "--repo", "ac"]), ["acme/shop\t1 events"]);
    assert_eq!(offered(&daemon, &["query", "--tenant", "other", "--actor", "al"]), [""; 0]);
    assert_eq!(offered(&daemon, &["values", "sta"]), ["stage"]);
    assert_eq!(offered(&daemon, &["count", "--by", "stage,outc"]), ["stage,outcome"]);
    assert_eq!(offered(&daemon, &["histogram", "--zone", "Europe/Par"]), ["Europe/Paris"]);
    assert!(offered(&daemon, &["hist"])[0].starts_with("histogram"));
    let nobody = offered(&daemon, &["query", "--endpoint", "http://127.0.0.1:1", "--actor", "al"]);
    assert_eq!(nobody, [""; 0], "who types is not told of errors");
}

#[test]
fn bash_itself_completes() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    append_lines(&daemon, LINES);
    for (shell, word) in [("bash", "complete "), ("zsh", "compdef"), ("fish", "complete ")] {
        let script = run(&daemon, &["completion", shell]).with(0);
        assert!(script.contains(word) && script.contains("PIPEROLL_COMPLETE"), "{shell}: {script}");
    }
    run(&daemon, &["completion", "tcsh"]).with(2);
    if Command::new("bash").arg("--version").output().is_err() {
        println!("skipped, because there is no bash");
        return;
    }
    let script = folder.path().join("completion.bash");
    crate::daemon::write(&script, run(&daemon, &["completion", "bash"]).with(0));
    let typed = r#"
        source "$0"
        typed() {
            COMP_LINE=$1 COMP_POINT=${#1} COMP_CWORD=$(($# - 3)) COMP_TYPE=9 COMP_WORDS=("${@:3}")
            "$(complete -p piperoll | sed 's/.*-F \([^ ]*\).*/\1/')" piperoll "$2" before
            echo "${COMPREPLY[@]}"
        }
        typed 'piperoll query --actor al' al  piperoll query --actor al
        # Words as bash cuts them, and the part of the last one that it would replace.
        typed "piperoll query --endpoint $E --actor svc:s" s \
            piperoll query --endpoint http : "//127.0.0.1" : "${E##*:}" --actor svc : s
        typed 'piperoll query --actor=svc:' ''  piperoll query --actor = svc :
        typed 'piperoll query --actor d@' @  piperoll query --actor d @
        typed 'piperoll query --actor ' ''  piperoll query --actor '' | grep -o alice
    "#;
    let bash = Command::new("bash")
        .args(["-c", typed])
        .arg(&script)
        .env("PIPEROLL_ENDPOINT", daemon.grpc())
        .env("E", daemon.grpc())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    assert_eq!(ended(bash).with(0), "alice albert\nsign\ndeploy sign\n@example.com\nalice\n");
}

#[test]
fn zsh_and_fish_themselves_complete() {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), CLASSES, &[]);
    append_lines(&daemon, LINES);
    // A bare zsh has no completion begun. What it would offer is caught where the script hands it over.
    let zsh = r#"
        source <("$0" completion zsh)
        (( $+functions[compdef] )) || echo "nothing completes"
        _describe() { print -rl -- "${other[@]}" }
        words=(piperoll query --actor svc:s); CURRENT=4
        PATH=${0:h}:$PATH _clap_dynamic_completer_piperoll
    "#;
    let fish = r#"
        set -x PATH (dirname $argv[1]) $PATH
        piperoll completion fish | source
        complete -C "piperoll query --endpoint $E --actor svc:s"
    "#;
    for (shell, script, expected) in
        [("zsh", zsh, "svc\\:sign:1 events"), ("fish", fish, "svc:sign\t1 events")]
    {
        let mut command = Command::new(shell);
        command.env("PIPEROLL_ENDPOINT", daemon.grpc()).env("E", daemon.grpc()).env("HOME", folder.path());
        let started = command
            .args(["-c", script, crate::daemon::PROGRAM])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(started) = started else {
            println!("skipped, because there is no {shell}");
            continue;
        };
        assert_eq!(ended(started).with(0).trim_end(), expected, "{shell}");
    }
}

#[test]
fn each_command_has_a_manual_page() {
    let folder = tempdir().unwrap();
    let written = run_alone(folder.path(), &["man", "share/man1"]);
    assert!(written.err.contains("manual pages in share/man1"), "{}", written.err);
    written.with(0);
    let page = |name: &str| fs::read_to_string(folder.path().join("share/man1").join(name)).unwrap();
    assert!(page("piperoll.1").contains(".TH piperoll 1"));
    assert!(page("piperoll-timeline.1").contains("oldest first"));
    for command in ["append", "query", "count", "values", "histogram", "tail", "status", "seal", "sweep"] {
        assert!(page(&format!("piperoll-{command}.1")).contains("SYNOPSIS"), "{command}");
    }
    let help = run_alone(folder.path(), &["query", "--help"]).with(0);
    assert!(help.contains("Newest first, unless --oldest"), "{help}");
    let ended = run_alone(folder.path(), &["man", "/dev/null/x"]);
    assert!(ended.err.contains("cannot write manual pages into /dev/null/x"), "{}", ended.err);
    ended.with(3);
}

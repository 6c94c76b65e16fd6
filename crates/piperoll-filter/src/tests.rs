//! What the language accepts, refuses, prints and matches.

mod events;
mod needles;
mod properties;

use crate::{
    DEPTH_MAX, Expression, Filter, Operator, PATTERNS_MAX, Subject, TEXT_BYTES_MAX, VALUES_MAX, parse,
};
use piperoll_format::units::UnixNanos;

/// 2026-11-23T12:00:00Z.
pub(crate) const NOW: UnixNanos = UnixNanos(1_795_435_200_000_000_000);

#[track_caller]
fn prints(text: &str, canonical: &str) {
    let filter = parse(text, NOW).unwrap_or_else(|error| panic!("{text}: {}", error.render()));
    assert_eq!(filter.to_string(), canonical, "{text}");
    assert_eq!(parse(canonical, UnixNanos(0)).as_ref(), Ok(&filter), "{canonical}");
}

#[track_caller]
fn refused(text: &str, error: &str) {
    assert_eq!(parse(text, NOW).expect_err(text).to_string(), error, "{text}");
}

#[test]
fn and_binds_tighter_than_or_and_not_tighter_than_and() {
    let a_or_both = "actor = a OR stage = b AND run = c";
    prints(a_or_both, a_or_both);
    prints("(actor = a) OR (stage = b AND run = c)", a_or_both);
    prints("(actor = a OR stage = b) AND run = c", "(actor = a OR stage = b) AND run = c");
    prints("not actor=a and stage=b", "NOT actor = a AND stage = b");
    prints("NOT(actor=a and stage=b)", "NOT (actor = a AND stage = b)");
    prints("NOT NOT actor = a", "actor = a");
    prints("((actor = a AND stage = b) AND (run = c))", "actor = a AND stage = b AND run = c");
    prints("actor = a OR (stage = b OR run = c)", "actor = a OR stage = b OR run = c");
}

#[test]
fn every_event_is_nothing_or_a_star() {
    prints("", "*");
    prints(" \n ", "*");
    prints("*", "*");
    prints("* AND actor = a", "actor = a");
    prints("* OR actor = a", "*");
    prints("NOT *", "NOT *");
    assert_eq!(parse("", NOW), Ok(Filter::all()));
}

#[test]
fn bare_words_reach_as_far_as_they_are_clear() {
    prints("ref = refs/heads/main", "ref = refs/heads/main");
    prints("actor=alice@example.com", "actor = alice@example.com");
    prints("actor = 'github-actions[bot]'", r#"actor = "github-actions[bot]""#);
    prints("actor = github-actions[bot]", r#"actor = "github-actions[bot]""#);
    prints("artifact = oci:9f86d081", "artifacts = oci:9f86d081");
    prints("source = https://ci.example.com/a?b&c", r#"source = "https://ci.example.com/a?b&c""#);
    prints("reason = o'brien", r#"reason = "o'brien""#);
    prints("stage = zürich", r#"stage = "zürich""#);
    prints(r"actor = CORP\alice", r#"actor = "CORP\\alice""#);
    prints("actor = 42", "actor = 42");
    prints("actor = -x", "actor = -x");
    prints(r#"actor = "or""#, r#"actor = "or""#);
    prints(r#"actor = """#, r#"actor = """#);
    prints("actor = now", "actor = now");
}

#[test]
fn escapes_in_quotes_mean_characters() {
    prints(r#"reason = "a \"b\" \\ \u{e9} \n""#, r#"reason = "a \"b\" \\ é \n""#);
    prints(r#"reason = 'it\'s "so"'"#, r#"reason = "it's \"so\"""#);
    prints("reason = \"a\u{202E}b\u{1b}\"", r#"reason = "a\u{202e}b\u{1b}""#);
    refused(
        r#"reason = "a\x""#,
        r#"column 12: expected one of \\ \" \' \n \r \t \u{1f600}, found `\`; write \\ for a backslash"#,
    );
    refused(
        r#"reason = "\u{110000}""#,
        r#"column 11: expected one of \\ \" \' \n \r \t \u{1f600}, found `\`; write \\ for a backslash"#,
    );
    refused(r#"reason = "a"#, r#"column 10: expected a " that closes the one here, found the end"#);
}

#[test]
fn lists_are_sorted_sets() {
    prints("stage IN (sign, deploy, sign)", "stage IN (deploy, sign)");
    prints("stage in (deploy)", "stage = deploy");
    prints("stage NOT IN (b, a)", "stage NOT IN (a, b)");
    prints("stage != a", "stage != a");
    prints("action IN (deploy.*, run)", "action = deploy.* OR action = run");
    refused("stage IN ()", r#"column 11: expected a value, such as alice or "two words", found `)`"#);
    refused("stage IN (a b)", "column 13: expected `,` or `)`, found `b`");
    refused("stage IN a", "column 10: expected `(` and values, as in IN (deploy, sign), found `a`");
    refused(
        "stage NOT IN (a*)",
        "column 15: expected a whole value, for `*` follows = and IN only, found `a*`; write NOT field = begin*",
    );
}

#[test]
fn stars_ask_for_beginnings_and_presence() {
    prints("action = deploy.*", "action = deploy.*");
    prints(r#"reason = "two words"*"#, r#"reason = "two words"*"#);
    prints(r#"reason = "a*""#, r#"reason = "a*""#);
    prints("actor:*", "actor:*");
    prints("actor = *", "actor:*");
    prints("attributes:*", "attributes:*");
    prints(r#"actor = "or"*"#, r#"actor = "or"*"#);
    refused(
        "actor != a*",
        "column 10: expected a whole value, for `*` follows = and IN only, found `a*`; write NOT field = begin*",
    );
    refused(
        "actor = *a",
        "column 9: expected a value with `*` at its end only, found `*a`; put quotes around a value that has a real `*`",
    );
    refused(
        "actor:alice",
        "column 7: expected `*`, as in actor:*, which asks whether the field is there, found `alice`; write = to compare, ~ to search",
    );
    refused(
        "outcome:success",
        "column 9: expected `*`, as in actor:*, which asks whether the field is there, found `success`; write = to compare",
    );
    refused("outcome = succ*", "column 11: expected a whole value, for outcome is no text, found `succ*`");
    refused(
        "artifact = sha256:ab*",
        "column 12: expected a whole value, for artifacts is no text, found `sha256:ab*`",
    );
}

#[test]
fn tildes_ask_for_parts_of_texts() {
    prints(r#"reason ~ "two words""#, r#"reason ~ "two words""#);
    prints("reason~timeout", "reason ~ timeout");
    prints("reason ~ 'a*b'", r#"reason ~ "a*b""#);
    prints("attr.region ~ eu", "attr.region ~ eu");
    prints(r#"attr."any key" ~ "~""#, r#"attr."any key" ~ "~""#);
    prints(
        "NOT actor ~ bot AND label ~ x64 AND link ~ 7",
        "NOT actor ~ bot AND runner_labels ~ x64 AND links ~ 7",
    );
    prints("actor = ~a", r#"actor = "~a""#);
    refused(
        r#"reason ~ """#,
        "column 10: expected some text to search for, found ``; write reason:* for every event that has one",
    );
    refused(
        "reason ~ tim*",
        "column 10: expected text without `*`, for ~ finds it anywhere, found `tim*`; write = for a beginning",
    );
    refused(
        "outcome ~ fail",
        "column 9: expected another test than ~, for outcome is no text, found `~`; write = for a whole value",
    );
    refused(
        "attributes ~ eu",
        "column 12: expected `:*`, for attributes are compared one by one, found `~`; write attr.KEY for the attribute KEY",
    );
    refused("reason ~ (a)", r#"column 10: expected a value, such as alice or "two words", found `(`"#);
    refused("reason NOT ~ a", "column 8: expected one of = != ~ IN, NOT IN or :*, found `NOT`");
}

#[test]
fn times_may_name_their_zone() {
    prints("time >= 2026-11-23T09:00[Europe/Paris]", "time >= 2026-11-23T08:00:00Z");
    prints("time >= 2026-07-23T09:00:00.5[europe/paris]", "time >= 2026-07-23T07:00:00.5Z");
    prints("time >= 2026-11-23T09:00+01:00[Europe/Paris]", "time >= 2026-11-23T08:00:00Z");
    prints(r#"time >= "2026-11-23 09:00[America/New_York]""#, "time >= 2026-11-23T14:00:00Z");
    prints("time >= 2026-11-23[Asia/Kolkata]", "time >= 2026-11-22T18:30:00Z");
    // Clocks jumped from 24:00 to 01:00: the day begins at one.
    prints("time >= 2024-04-26[Africa/Cairo]", "time >= 2024-04-25T22:00:00Z");
    prints("time >= 2026-10-25T02:30+01:00[Europe/Paris]", "time >= 2026-10-25T01:30:00Z");
    let once = "column 9: expected a time that the clocks of `Europe/Paris` show once";
    let how = "they are set forward or back then: write the offset, such as +01:00, and no zone";
    for twice_or_never in ["2026-10-25T02:30", "2026-03-29T02:30"] {
        let text = format!("{twice_or_never}[Europe/Paris]");
        refused(&format!("time >= {text}"), &format!("{once}, found `{text}`; {how}"));
    }
    refused(
        "time >= 2026-11-23T09:00+05:00[Europe/Paris]",
        "column 9: expected the offset that `Europe/Paris` has at that time, found `2026-11-23T09:00+05:00[Europe/Paris]`; leave the offset or the zone out",
    );
    refused(
        "time >= 2026-11-23T09:00[Europe/Pariss]",
        "column 9: expected a time zone of the IANA database, such as [Europe/Paris], found `2026-11-23T09:00[Europe/Pariss]`; did you mean Europe/Paris?",
    );
    refused(
        "time = 2026-11-23[Europe/Paris]",
        "column 8: expected one instant, such as 2026-11-23T08:00:00Z, found `2026-11-23[Europe/Paris]`; for that day write time >= 2026-11-23[Europe/Paris] AND time < the next day",
    );
    for no_time in
        ["2026-11-23T09:00[Europe/Paris", "x[Europe/Paris]", "[Europe/Paris]", "2026-11-23T09:00[]"]
    {
        assert!(parse(&format!("time >= {no_time}"), NOW).is_err(), "{no_time}");
    }
}

#[test]
fn times_are_absolute_relative_or_days() {
    prints("time >= -24h", "time >= 2026-11-22T12:00:00Z");
    prints("time > -1h30m", "time > 2026-11-23T10:30:00Z");
    prints("time < +1w", "time < 2026-11-30T12:00:00Z");
    prints("received <= now", "received <= 2026-11-23T12:00:00Z");
    prints("received >= 2026-11-23", "received >= 2026-11-23T00:00:00Z");
    prints("time = 2026-11-23T13:00:00.5+01:00", "time = 2026-11-23T12:00:00.5Z");
    prints(r#"time >= "2026-11-23 13:00:00+01:00""#, "time >= 2026-11-23T12:00:00Z");
    refused(
        "time >= 2026-11-23T13:00:00",
        "column 9: expected a time: -24h, now, 2026-11-23 or 2026-11-23T08:00:00Z, found `2026-11-23T13:00:00`; add the zone: 2026-11-23T13:00:00Z, 2026-11-23T13:00:00+01:00 or 2026-11-23T13:00:00[Europe/Paris]",
    );
    refused(
        "time >= 24h",
        "column 9: expected a time: -24h, now, 2026-11-23 or 2026-11-23T08:00:00Z, found `24h`; write -24h for that long ago",
    );
    refused(
        "time >= -24",
        "column 9: expected a time from now with the units w d h m s, such as -24h or -1h30m, found `-24`",
    );
    refused(
        "time >= -99999999999w",
        "column 9: expected a time between the years 1678 and 2261, found `-99999999999w`",
    );
    refused(
        "time >= 9000-01-01",
        "column 9: expected a time between the years 1678 and 2261, found `9000-01-01`",
    );
    refused(
        "time >= 2026-02-30",
        "column 9: expected a time: -24h, now, 2026-11-23 or 2026-11-23T08:00:00Z, found `2026-02-30`",
    );
    refused(
        "time = 2026-11-23",
        "column 8: expected one instant, such as 2026-11-23T08:00:00Z, found `2026-11-23`; for that day write time >= 2026-11-23 AND time < the next day",
    );
}

#[test]
fn values_are_of_the_fields_kind() {
    prints("outcome = SUCCESS", "outcome = success");
    prints("outcome IN (2, 99)", "outcome IN (failure, 99)");
    prints("actor_type = agent AND auth_method != oidc", "actor_type = agent AND auth_method != oidc");
    prints("run_attempt > 1", "run_attempt > 1");
    prints("trace_id = 4BF92F", "trace_id = 4bf92f");
    prints(r#"original = """#, r#"original = """#);
    refused(
        "outcome = sucess",
        "column 11: expected one of unspecified, success, failure, error, timeout, cancelled, skipped, denied, found `sucess`; did you mean success?",
    );
    for (text, meant) in [
        ("outcome = Refused", "denied"),
        ("outcome = canceled", "cancelled"),
        ("actor_type = user", "human"),
        ("actor_type = agnet", "agent"),
        ("auth_method = pat", "personal_token"),
    ] {
        let hint = parse(text, NOW).expect_err(text).hint;
        assert_eq!(hint.as_deref(), Some(format!("did you mean {meant}?").as_str()), "{text}");
    }
    refused(
        "outcome = 2147483648",
        "column 11: expected one of unspecified, success, failure, error, timeout, cancelled, skipped, denied, found `2147483648`",
    );
    refused("run_attempt = +1", "column 15: expected a number from 0 to 18446744073709551615, found `+1`");
    refused("span_id = abc", "column 11: expected bytes in hexadecimal, two digits each, found `abc`");
    refused(
        "artifact = abc",
        "column 12: expected a digest as algorithm:hexadecimal, such as sha256:9f86d081…, found `abc`; write the algorithm before it, sha256: perhaps",
    );
    refused(
        "actor < b",
        "column 7: expected one of = != ~ IN, NOT IN or :*, for actor has no order, found `<`; only time, received, run_attempt, source_epoch and source_sequence have one",
    );
    refused(
        "attributes = b",
        "column 12: expected `:*`, for attributes are compared one by one, found `=`; write attr.KEY for the attribute KEY",
    );
}

#[test]
fn part_of_a_digest_is_refused_for_it_would_find_nothing() {
    for (digest, digits) in
        [("sha256:9f86d081", 64), ("sha256:9f86d081…", 64), ("SHA1:", 40), ("sha512:0", 128)]
    {
        let error = parse(&format!("artifact = {digest}"), NOW).expect_err(digest);
        assert!(error.expected.contains(&format!("{digits} digits")), "{error}");
        parse(&format!("attestation IN (oci:0, {digest})"), NOW).expect_err(digest);
    }
    let whole = format!("artifacts = sha256:{}", "0".repeat(64));
    prints(&whole, &whole);
}

#[test]
fn attributes_are_named_by_key() {
    prints("attr.region = eu", "attr.region = eu");
    prints("attributes.region = eu", "attr.region = eu");
    prints(r#"attr."any key" = eu"#, r#"attr."any key" = eu"#);
    prints(r#"attr."region":*"#, "attr.region:*");
    prints("attr.in = x", "attr.in = x");
    prints(r#"attr."" = x"#, r#"attr."" = x"#);
    prints("attr.a/b.c = x", "attr.a/b.c = x");
    refused(
        "attr. = x",
        r#"column 1: expected the attribute's key, as in attr.region or attr."any key", found `attr.`"#,
    );
}

#[test]
fn errors_point_and_suggest() {
    refused("actr = alice", "column 1: expected the name of a field, found `actr`; did you mean actor?");
    refused(
        "stage = a AND evironment = b",
        "column 15: expected the name of a field, found `evironment`; did you mean environment?",
    );
    refused(
        "status = failed",
        "column 1: expected the name of a field, found `status`; did you mean outcome? (attr.status is the attribute)",
    );
    refused("xyzzy = a", "column 1: expected the name of a field, found `xyzzy`; an attribute is attr.KEY");
    refused("alice", "column 1: expected the name of a field, found `alice`; name the field that it is in");
    refused("attr = a", "column 1: expected the name of a field, found `attr`; attributes are attr.KEY");
    refused("-actor = a", "column 1: expected the name of a field, found `-actor`; write NOT to negate");
    refused("actor", "column 6: expected one of = != ~ IN, NOT IN or :*, found the end");
    refused("time", "column 5: expected one of = != < <= > >= IN, NOT IN or :*, found the end");
    refused("attributes", "column 11: expected one of :*, found the end");
    let operators = "expected one of = != ~ IN, NOT IN or :*, found";
    refused("actor == a", &format!("column 7: {operators} `=`; write one ="));
    refused("actor <> a", &format!("column 7: {operators} `<`; write !="));
    refused("reason =~ a.*", &format!("column 8: {operators} `=`; write ~ and a text, which is no pattern"));
    refused("reason !~ a", &format!("column 8: {operators} `!~`; write NOT reason ~ and a text"));
    refused(r#"reason contains "a""#, &format!("column 8: {operators} `contains`; write ~ and a text"));
    refused(
        "attr.zone IS NULL",
        &format!(
            "column 11: {operators} `IS`; write attr.zone:* where it is there, NOT attr.zone:* where it is not"
        ),
    );
    refused("actor not = x", "column 7: expected one of = != ~ IN, NOT IN or :*, found `not`");
    refused("actor = ", r#"column 9: expected a value, such as alice or "two words", found the end"#);
    refused(
        "actor = AND stage = b",
        r#"column 9: expected a value, such as alice or "two words", found `AND`; put quotes around it if it is the value"#,
    );
    refused(
        "actor = alice smith",
        "column 15: expected AND, OR or the end, found `smith`; join conditions with AND or OR, and put quotes around a value with spaces",
    );
    refused("actor = a && stage = b", "column 11: expected AND, OR or the end, found `&&`; write AND");
    refused("actor = a)", "column 10: expected AND, OR or the end, found `)`; there is no `(` for it");
    refused("(actor = a", "column 11: expected AND, OR or the closing `)`, found the end");
    refused("()", "column 2: expected the name of a field, found `)`");
    refused(
        "actor = ü AND \u{1b}[2J = x",
        "column 15: expected the name of a field, found `\u{FFFD}[2J`; an attribute is attr.KEY",
    );
}

#[test]
fn a_caret_stands_under_the_place() {
    let render = |text: &str| parse(text, NOW).expect_err("an error").render();
    let error = "column 15: expected the name of a field, found `evironment`; did you mean environment?";
    assert_eq!(
        render("stage = a AND evironment = b"),
        format!("{error}\n  stage = a AND evironment = b\n                ^")
    );
    let long = format!("actor = {} AND x = y", "a".repeat(500));
    let rendered = render(&long);
    let lines: Vec<_> = rendered.lines().collect();
    let caret = lines[2].find('^').expect("a caret");
    assert_eq!(lines[1].chars().nth(caret), Some('x'), "{rendered}");
    assert!(lines[1].chars().count() < 100);
}

#[test]
fn what_no_event_can_meet_is_refused() {
    let time = "column 24: expected conditions on time that one event can meet, found `time < 2026-11-21T00:00:00Z`; the lower bound is not below the upper one";
    refused("time >= 2026-11-23 AND time < 2026-11-21", time);
    refused(
        "run_attempt > 3 AND run_attempt < 3",
        "column 21: expected conditions on run_attempt that one event can meet, found `run_attempt < 3`; the lower bound is not below the upper one",
    );
    refused(
        "run_attempt = 1 AND run_attempt > 1",
        "column 21: expected conditions on run_attempt that one event can meet, found `run_attempt > 1`",
    );
    refused(
        "stage = a AND stage = b",
        "column 15: expected conditions on stage that one event can meet, found `stage = b`; write IN (…) for one of several values",
    );
    refused(
        "stage IN (a, b) AND (run = x AND stage = c)",
        "column 21: expected conditions on stage that one event can meet, found `stage = c`; write IN (…) for one of several values",
    );
    prints("run_attempt >= 3 AND run_attempt <= 3", "run_attempt >= 3 AND run_attempt <= 3");
    prints("label = a AND label = b", "runner_labels = a AND runner_labels = b");
    prints("stage = a AND stage IN (a, b)", "stage = a AND stage IN (a, b)");
    prints("stage = a OR stage = b", "stage = a OR stage = b");
}

#[test]
fn limits_are_errors_and_no_overflows() {
    let nested = |depth| format!("{}actor = a{}", "(".repeat(depth), ")".repeat(depth));
    prints(&nested(DEPTH_MAX), "actor = a");
    let deep = "expected at most 64 brackets and NOTs around a condition, found more";
    refused(&nested(DEPTH_MAX + 1), &format!("column 66: {deep}"));
    refused(&"(".repeat(TEXT_BYTES_MAX), &format!("column 66: {deep}"));
    assert!(parse(&"NOT ".repeat(10_000), NOW).is_err());
    let list = |count: usize| {
        format!("actor IN ({})", (0..count).map(|n| n.to_string()).collect::<Vec<_>>().join(","))
    };
    assert!(parse(&list(VALUES_MAX), NOW).is_ok());
    assert!(
        parse(&list(VALUES_MAX + 1), NOW).expect_err("too many").expected.starts_with("at most 4096 values")
    );
    let parts = |count: usize| vec!["NOT reason ~ a"; count].join(" AND ");
    assert!(parse(&parts(PATTERNS_MAX), NOW).is_ok());
    for many in [parts(PATTERNS_MAX + 1), format!("actor IN ({})", vec!["a*"; PATTERNS_MAX + 1].join(","))] {
        let refused = parse(&many, NOW).expect_err("too many");
        assert_eq!(refused.expected, "at most 256 beginnings and substrings in a filter");
    }
    let long = parse(&" ".repeat(TEXT_BYTES_MAX + 1), NOW).expect_err("too long");
    assert_eq!(
        long.to_string(),
        "column 1: expected a filter of at most 65536 bytes, found one of 65537 bytes"
    );
    // Short as typed, long where every `now` is written out.
    let times = vec!["time > now"; 3_000].join(" OR ");
    assert!(parse(&times, NOW).expect_err("long").found.starts_with("one that is written out"));
    // A list of beginnings becomes an OR, which needs brackets of its own.
    let lists = |depth: usize| {
        format!("{}actor IN (a*, b*){}", "NOT (actor = a AND ".repeat(depth), ")".repeat(depth))
    };
    prints(&lists(31), &lists(31).replace("actor IN (a*, b*)", "(actor = a* OR actor = b*)"));
    assert!(
        parse(&lists(DEPTH_MAX / 2), NOW).expect_err("too deep when printed").to_string().ends_with(deep)
    );
}

#[test]
fn subjects_are_parsed_and_named() {
    let name =
        |text: &str| Subject::parse(text).map(|subject| subject.name()).map_err(|error| error.to_string());
    assert_eq!(name("stage").as_deref(), Ok("stage"));
    assert_eq!(name(" artifact ").as_deref(), Ok("artifacts"));
    assert_eq!(name("label").as_deref(), Ok("runner_labels"));
    assert_eq!(name(r#"attr."a b""#).as_deref(), Ok(r#"attr."a b""#));
    assert_eq!(name("received").as_deref(), Ok("received"));
    assert_eq!(
        name("stge"),
        Err("column 1: expected the name of a field, found `stge`; did you mean stage?".into())
    );
    assert_eq!(name("stage,x"), Err("column 6: expected nothing after the field's name, found `,`".into()));
    assert_eq!(name(""), Err("column 1: expected the name of a field, found the end".into()));
}

#[test]
fn builders_make_what_the_parser_makes() {
    let subject = |name: &str| Subject::parse(name).expect("a subject");
    let actor = Filter::equals(subject("actor"), "a* (b)", NOW).expect("a filter");
    let since = Filter::compare(subject("time"), Operator::AtLeast, "-24h", NOW).expect("a filter");
    let built = Filter::all().and(actor.clone()).and(since.clone().or(actor.clone()).negate());
    assert_eq!(
        built.to_string(),
        r#"actor = "a* (b)" AND NOT (time >= 2026-11-22T12:00:00Z OR actor = "a* (b)")"#
    );
    assert_eq!(parse(&built.to_string(), NOW), Ok(built));
    assert!(matches!(actor.expression(), Expression::Compare(_)));
    assert_eq!(
        Filter::equals(subject("outcome"), "failed", NOW).expect_err("no outcome").hint.as_deref(),
        Some("did you mean failure?")
    );
    assert!(Filter::compare(subject("actor"), Operator::Less, "a", NOW).is_err());
    assert_eq!(since.clone().and(Filter::all()), since);
    let part = Filter::contains(subject("reason"), "a* (b)").expect("a filter");
    assert_eq!(part.to_string(), r#"reason ~ "a* (b)""#);
    assert!(
        Filter::contains(subject("outcome"), "a").is_err() && Filter::contains(subject("actor"), "").is_err()
    );
}

#[test]
fn values_of_one_flag_are_a_list() {
    let any_of = |name: &str, values: &[&str]| {
        let values: Vec<_> = values.iter().map(|&value| value.to_owned()).collect();
        Filter::any_of(&Subject::parse(name).expect("a subject"), &values, NOW)
    };
    let prints = |name: &str, values: &[&str], canonical: &str| {
        let filter = any_of(name, values).expect("a filter");
        assert_eq!(filter.to_string(), canonical);
        assert_eq!(parse(canonical, NOW), Ok(filter));
    };
    prints("actor", &[], "*");
    prints("actor", &["alice"], "actor = alice");
    prints("actor", &["carol", "alice", "carol"], "actor IN (alice, carol)");
    prints(
        "stage",
        &["deploy-*", "two words*", "build"],
        r#"stage = deploy-* OR stage = "two words"* OR stage = build"#,
    );
    prints("stage", &[r#"a" OR actor = "b"#], r#"stage = "a\" OR actor = \"b""#);
    prints("outcome", &["FAILURE", "error"], "outcome IN (failure, error)");
    prints("environment", &["*"], "environment:*");
    prints("attr.region", &["eu", "us"], "attr.region IN (eu, us)");
    let wrong = any_of("outcome", &["success", "fail"]).expect_err("no outcome");
    assert!(wrong.to_string().contains("found `fail`"), "{wrong}");
    assert!(any_of("artifact", &["sha256:ab*"]).is_err());
    assert!(any_of("attributes", &["*"]).is_err());
}

#[test]
fn every_question_of_the_manual_is_a_filter() {
    let manual = include_str!("../../../docs/query.md");
    let rows = manual.lines().skip_while(|line| !line.starts_with("| the question")).skip(2);
    let filters: Vec<_> = rows.map_while(|row| row.split('`').nth(1)).collect();
    assert!(filters.len() > 10, "{filters:?}");
    for filter in filters {
        assert!(parse(filter, NOW).is_ok(), "{filter}: {:?}", parse(filter, NOW));
    }
}

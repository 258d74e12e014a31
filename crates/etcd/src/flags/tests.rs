use super::*;
use serde_json::json;

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

fn run(line: &str) -> Result<Action, Exit> {
    parse(&words(line), &[])
}

fn config(line: &str) -> Config {
    match run(line) {
        Ok(Action::Run(config, _)) => *config,
        other => panic!("{line:?} should run, but: {other:?}"),
    }
}

fn exit(line: &str) -> Exit {
    match run(line) {
        Err(exit) => exit,
        other => panic!("{line:?} should be refused, but: {other:?}"),
    }
}

fn environment(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn the_table_is_sound() {
    let mut names: Vec<&str> = FLAGS.iter().flat_map(Flag::names).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "a name stands twice in the table");
    for flag in FLAGS {
        // A default that is no value of its kind stops here.
        let default = flag.default_value();
        assert_eq!(flag.kind.parse(flag.default), Ok(default), "--{}", flag.name);
        assert!(!flag.doc.is_empty() && flag.doc.is_ascii(), "--{}", flag.name);
        assert!(flag.has_variable(&table::variable_of(flag.name)));
    }
    assert!(count >= 113, "etcd registers 113 flags, the table knows {count} names");
}

#[test]
fn go_syntax_one_or_two_dashes_and_equals() {
    for line in ["-name x", "--name x", "-name=x", "--name=x", "--name a -name x"] {
        assert_eq!(config(line).name, "x", "{line}");
    }
    assert!(!config("--pre-vote=false").pre_vote);
    assert!(config("--pre-vote").pre_vote);
    assert!(!config("--pre-vote=F --name x").pre_vote);
    assert_eq!(config("--max-txn-ops=0x10").max_txn_ops, 16);
    assert_eq!(config("--force=anything -v --name x").name, "x", "obsolete words are taken and ignored");
}

#[test]
fn what_cannot_be_parsed_ends_with_2_and_the_usage() {
    let cases = [
        ("--nope", "flag provided but not defined: -nope"),
        ("-name", "flag needs an argument: -name"),
        ("---name x", "bad flag syntax: ---name"),
        ("-=x", "bad flag syntax: -=x"),
        ("--snapshot-count abc", "invalid value \"abc\" for flag -snapshot-count: parse error"),
        ("--max-txn-ops -1", "invalid value \"-1\" for flag -max-txn-ops: parse error"),
        ("--quota-backend-bytes 1e9", "invalid value \"1e9\" for flag -quota-backend-bytes: parse error"),
        (
            "--max-txn-ops 99999999999999999999999",
            "invalid value \"99999999999999999999999\" for flag -max-txn-ops: value out of range",
        ),
        ("--pre-vote=maybe", "invalid boolean value \"maybe\" for -pre-vote: parse error"),
        (
            "--experimental-watch-progress-notify-interval 5",
            "invalid value \"5\" for flag -experimental-watch-progress-notify-interval: parse error",
        ),
        (
            "--initial-cluster-state weird",
            "invalid value \"weird\" for flag -initial-cluster-state: invalid value (expected one of: new, existing)",
        ),
        (
            "--listen-peer-urls ftp://1.2.3.4:5",
            "invalid value \"ftp://1.2.3.4:5\" for flag -listen-peer-urls: URL scheme must be http, https, unix, or unixs: \
             ftp://1.2.3.4:5",
        ),
    ];
    for (line, message) in cases {
        let exit = exit(line);
        assert_eq!((exit.code, exit.message.as_str()), (2, message), "{line}");
        assert!(exit.text.starts_with(&format!("{message}\nUsage:\n\n  etcd [flags]\n")), "{}", exit.text);
        assert!(exit.notes.is_empty());
    }
}

#[test]
fn a_stray_word_ends_with_1() {
    for line in ["foo", "--pre-vote --name x foo", "--data-dir d foo bar", "-- foo", "--pre-vote -- foo"] {
        let exit = exit(line);
        assert_eq!((exit.code, exit.message.as_str()), (1, "\"foo\" is not a valid flag"), "{line}");
        let last = exit.notes.last().unwrap();
        assert_eq!(last.message, "failed to verify flags");
        assert_eq!(last.fields, [("error", json!("\"foo\" is not a valid flag"))]);
        assert_eq!(exit.notes[0].message, "Running: ");
    }
}

#[test]
fn who_mistyped_is_told_what_would_be_right_behind_the_usage() {
    for (line, hint) in [
        ("--listen-client-url http://a:1", "--listen-client-url: did you mean --listen-client-urls?"),
        ("--enable-v2=false", "--enable-v2: etcd had this flag and has it no more; leave it out"),
        ("--heartbeat-interval 100ms", "--heartbeat-interval takes a whole number without a sign or unit: "),
        ("--listen-client-urls 10.0.0.1:2379", "--listen-client-urls takes URLs such as http://10.0.0.1:2379"),
        ("--name", "--name: "),
        ("--pre-vote=maybe", "--pre-vote takes true or false, behind = (--pre-vote=false): "),
    ] {
        let last = exit(line).text.lines().last().map(str::to_owned).unwrap_or_default();
        assert!(last.starts_with(hint), "{line}: {last}");
    }
    let switch = exit("--name x --pre-vote false").message;
    assert_eq!(switch, "\"false\" is not a valid flag (a switch takes its value behind =, as in --pre-vote=false)");
}

#[test]
fn help_and_version() {
    for line in ["-h", "--help", "--help=true", "--name x -help --nope"] {
        let Ok(Action::Help { usage, flags }) = run(line) else { panic!("{line} asks for help") };
        assert!(usage.starts_with("Usage:\n"));
        assert!(flags.contains("\nMember:\n  --name 'default'\n    Human-readable name for this member.\n"), "{flags}");
        assert!(flags.contains("  --wal-dir ''\n    Path to the dedicated wal directory. (not supported yet)\n"));
    }
    let Ok(Action::Version(text)) = run("--name x --version") else { panic!("--version") };
    assert!(text.starts_with("etcd Version: 3.7.1\nGit SHA: "));
    assert_eq!(exit("--version foo").code, 1, "a stray word is found first, as in etcd");
}

#[test]
fn environment_sets_flags_and_says_so() {
    let given = environment(&[("ETCD_NAME", "n1"), ("ETCD_DATA_DIR", ""), ("PATH", "/bin"), ("ETCD_FOO", "1")]);
    let Ok(Action::Run(config, notes)) = parse(&words("--pre-vote=false"), &given) else { panic!("should run") };
    assert_eq!(config.name, "n1");
    assert_eq!(config.data_dir.to_str(), Some("n1.etcd"), "an empty variable is no value");
    let said: Vec<_> = notes.iter().map(|note| (note.level, note.message.as_str())).collect();
    assert_eq!(
        said[..3],
        [
            (Level::Info, "recognized and used environment variable"),
            (Level::Warn, "unrecognized environment variable"),
            (Level::Info, "Running: "),
        ]
    );
    assert_eq!(notes[0].fields, [("variable-name", json!("ETCD_NAME")), ("variable-value", json!("n1"))]);
    assert_eq!(notes[1].fields, [("environment-variable", json!("ETCD_FOO=1"))]);
}

#[test]
fn former_names_work_in_both_places() {
    let interval = std::time::Duration::from_secs(5);
    assert_eq!(config("--experimental-watch-progress-notify-interval 5s").watch_progress_notify_interval, interval);
    let given = environment(&[("ETCD_EXPERIMENTAL_WATCH_PROGRESS_NOTIFY_INTERVAL", "5s")]);
    let Ok(Action::Run(config, _)) = parse(&[], &given) else { panic!("should run") };
    assert_eq!(config.watch_progress_notify_interval, interval);
}

#[test]
fn a_variable_next_to_its_flag_is_fatal() {
    let exit = parse(&words("--name y"), &environment(&[("ETCD_NAME", "x")])).unwrap_err();
    assert_eq!(exit.code, 1);
    let last = exit.notes.last().unwrap();
    assert_eq!(last.level, Level::Fatal);
    assert_eq!(last.fields, [("environment-variable", json!("ETCD_NAME"))]);
    assert!(last.message.starts_with("conflicting environment variable is shadowed by"));
}

#[test]
fn a_bad_variable_names_itself() {
    let exit = parse(&[], &environment(&[("ETCD_HEARTBEAT_INTERVAL", "x"), ("ETCD_VERSION", "1")])).unwrap_err();
    assert_eq!((exit.code, exit.message.as_str()), (1, "invalid value \"x\" for ETCD_HEARTBEAT_INTERVAL: parse error"));
    assert_eq!(exit.notes[0].message, "cannot set special environment variable");
}

#[test]
fn what_is_not_built_yet_is_refused_unless_it_is_the_default() {
    for line in ["--wal-dir /x", "--auto-compaction-retention 1", "--experimental-initial-corrupt-check=true"] {
        let exit = exit(line);
        let name = line.split([' ', '=']).next().unwrap();
        assert_eq!((exit.code, exit.message), (1, format!("{name} is not supported yet")));
    }
    let same = "--wal-dir= --auto-compaction-retention 0 --auth-token simple --cors * --grpc-keepalive-interval 120m";
    assert_eq!(config(same).name, "default");
    assert_eq!(exit("gateway start").message, "etcd gateway is not supported yet");
}

#[test]
fn what_has_no_effect_says_why() {
    let Ok(Action::Run(_, notes)) = run("--backend-batch-limit 7 --max-wals 5") else { panic!("should run") };
    let said: Vec<_> = notes.iter().filter(|note| note.message == "flag has no effect").collect();
    assert_eq!(said.len(), 1, "a default needs no remark");
    assert_eq!(said[0].fields[0], ("flag", json!("backend-batch-limit")));
}

#[test]
fn durations_are_gos() {
    let cases = [
        ("0", Some(0)),
        ("1.5h", Some(5_400_000_000_000)),
        ("1h30m", Some(5_400_000_000_000)),
        ("100ms", Some(100_000_000)),
        ("-2s", Some(-2_000_000_000)),
        ("3µs", Some(3_000)),
        ("", None),
        ("5", None),
        ("s", None),
        ("1 s", None),
        ("1d", None),
    ];
    for (text, expected) in cases {
        assert_eq!(value::parse_duration(text), expected, "{text:?}");
    }
}

//! What is refused, by the member or by the command line, and what the environment says.

use crate::support::{Member, free_ports, ours, real, run_with};
use crate::twins::Twins;

#[test]
fn refusals_in_the_same_words() {
    let twins = Twins::new();
    twins.same("put a 1");
    twins.same("put a 2");
    for line in [
        "get",
        "get a --order x",
        "get a --sort-by x",
        "get a --consistency x",
        "get a --prefix --from-key",
        "get a --keys-only --count-only",
        "get a b --prefix",
        "get a --count-only",
        "get a --print-value-only -w json",
        "get a -w table",
        "get a -w nonsense",
        "get a --rev 1000",
        "get a --cert=",
        "put",
        "put a",
        "put a b --lease zz",
        "put a b --lease 12",
        "put a b --ignore-value",
        "put a b --ignore-lease --lease 12",
        "put none --ignore-value",
        "put a b -w table",
        "del",
        "del a b c",
        "del a b --prefix",
        "del a --prefix --from-key",
        "compaction",
        "compaction x",
        "compaction 1000",
        "txn x",
        "auth status x",
        "auth status -w fields",
        "auth status -w table",
        "lease grant",
        "lease grant x",
        "lease grant 99999999999",
        "lease revoke",
        "lease revoke zz",
        "lease revoke 12",
        "lease timetolive",
        "lease timetolive zz",
        "lease keep-alive",
        "lease keep-alive 12 --once",
        "move-leader",
        "move-leader zz",
        "watch",
        "watch a --",
        "watch a b --prefix",
        "alarm list -w table",
        "alarm list x",
        "alarm disarm x",
        "lease list -w table",
        "endpoint status -w protobuf",
        "get a --command-timeout=0.1ns",
    ] {
        let outcome = twins.same(line);
        assert_ne!(outcome.exit, Some(0), "{line}");
        assert!(outcome.stderr.starts_with("Error: "), "{line}: {outcome:?}");
    }
    let empty_key = twins.same_with(&["put", "", "x"], "");
    assert_eq!(empty_key.stderr, "Error: etcdserver: key is not provided");
    // Compacting twice is refused the second time, and so is the past.
    twins.same("compaction 3");
    twins.same("compaction 3");
    twins.same("get a --rev 1");
    twins.same("compaction 3 --physical -w json");
}

#[test]
fn authentication_is_off() {
    let twins = Twins::new();
    for line in ["auth status", "auth status -w json", "auth status -w protobuf", "get a --user=root:x"] {
        assert_eq!(twins.same(line).exit, Some(0), "{line}");
    }
}

#[test]
fn misuse_of_the_command_line() {
    let twins = Twins::new();
    // 3.5 says these twice and shows help on standard output.
    for (line, error) in [
        ("foo", "unknown command \"foo\" for \"etcdctl\""),
        ("get --zzz", "unknown flag: --zzz"),
        ("get -z", "unknown shorthand flag: 'z' in -z"),
        ("get --limit", "flag needs an argument: --limit"),
        ("get a -w", "flag needs an argument: 'w' in -w"),
        (
            "get a --limit=x",
            "invalid argument \"x\" for \"--limit\" flag: strconv.ParseInt: parsing \"x\": \
             invalid syntax",
        ),
        (
            "get a --hex=x",
            "invalid argument \"x\" for \"--hex\" flag: strconv.ParseBool: parsing \"x\": \
             invalid syntax",
        ),
        (
            "get a --dial-timeout 5",
            "invalid argument \"5\" for \"--dial-timeout\" flag: time: missing unit in \
             duration \"5\"",
        ),
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let (ours, theirs) = twins.both(&words, "");
        assert_eq!(ours.exit, theirs.exit, "{line}");
        let expected = format!("Error: {error}\n");
        assert!(ours.stderr.starts_with(&expected), "{ours:?}");
        assert!(theirs.stderr.starts_with(&expected), "{theirs:?}");
        assert_eq!(ours.stdout, b"", "{line}");
    }
}

#[test]
fn environment_and_flags() {
    let [client, peer] = free_ports();
    let member = Member::alone((client, peer));
    let raw = |binary, words: &[&str], environment: &[(&str, &str)]| {
        run_with(binary, &member.endpoint, words, "", environment)
    };
    let (mine, theirs) = (ours(), real("etcdctl"));
    for (words, environment) in [
        (&["get", "a"][..], &[("ETCDCTL_WRITE_OUT", "json")][..]),
        (&["get", "a"], &[("ETCDCTL_FOO", "1")]),
        (&["get", "a", "--hex"], &[("ETCDCTL_HEX", "true")]),
        (&["get", "a", "-w", "json"], &[("ETCDCTL_WRITE_OUT", "")]),
        (&["get", "a"], &[("ETCDCTL_WRITE_OUT", "nonsense")]),
        (&["version", "-w", "foo"], &[]),
    ] {
        let (ours, theirs) = (raw(&mine, words, environment), raw(&theirs, words, environment));
        if words[0] == "version" {
            assert_eq!(ours.text(), "etcdctl version: 3.7.1\nAPI version: 3.7\n");
            continue;
        }
        assert_eq!(ours, theirs, "{words:?} {environment:?}");
    }
    // A name in the environment and on the command line is nobody's wish.
    let words = ["get", "a", "--endpoints", &member.endpoint];
    let ours = raw(&mine, &words, &[]);
    assert_eq!(ours, raw(&theirs, &words, &[]));
    assert_eq!(ours.exit, Some(1));
    assert_eq!(ours.stderr, "");
}

//! Our etcdctl beside etcd's own, against the real etcd 3.5.
//!
//! Two members are made that agree in everything, ids included. What is done to
//! one with our etcdctl is done to the other with etcd's, and both must say the
//! same, byte for byte, and end the same. Where 3.7 differs from 3.5 the test
//! says so and takes 3.7's side.

#![cfg(feature = "real-etcd")]

mod support;

use support::{Member, Outcome, Running, free_ports, ours, real, run, run_until, run_with, until_keys};

/// Two members alike: one for each etcdctl.
struct Twins {
    for_ours: Member,
    for_real: Member,
}

impl Twins {
    fn new() -> Self {
        let [client, peer] = free_ports();
        Self { for_ours: Member::alone((client, peer)), for_real: Member::alone((client, peer)) }
    }

    fn both(&self, arguments: &[&str], input: &str) -> (Outcome, Outcome) {
        (
            run(&ours(), &self.for_ours.endpoint, arguments, input),
            run(&real("etcdctl"), &self.for_real.endpoint, arguments, input),
        )
    }

    /// Both must do the same.
    fn same(&self, line: &str) -> Outcome {
        let words: Vec<&str> = line.split(' ').collect();
        self.same_with(&words, "")
    }

    fn same_with(&self, arguments: &[&str], input: &str) -> Outcome {
        let (ours, theirs) = self.both(arguments, input);
        assert_eq!(ours.text(), theirs.text(), "{arguments:?}");
        assert_eq!(ours, theirs, "{arguments:?}");
        ours
    }

    /// Both must write the same lines before they are stopped.
    fn same_until(&self, line: &str, input: &str, lines: usize) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        let ours = run_until(&ours(), &self.for_ours.endpoint, &words, input, lines);
        let theirs = run_until(&real("etcdctl"), &self.for_real.endpoint, &words, input, lines);
        assert_eq!(without_reason(&ours), theirs, "{line}");
        ours
    }
}

/// 3.7 tells the reason in JSON, 3.5 does not.
fn without_reason(text: &str) -> String {
    text.replace(",\"CancelReason\":\"\"", "")
}

/// Seconds left of 500 are not the same twice.
fn without_seconds(text: String) -> String {
    (480..500).fold(text, |text, left| text.replace(&left.to_string(), "500"))
}

#[test]
fn keys_in_every_format() {
    let twins = Twins::new();
    assert_eq!(twins.same("put a 1").text(), "OK\n");
    twins.same("put a 2 --prev-kv");
    for format in ["simple", "json", "fields", "protobuf"] {
        twins.same(&format!("put a 3 --prev-kv -w {format}"));
        twins.same(&format!("put b 4 -w={format}"));
        twins.same(&format!("get a --write-out {format}"));
        twins.same(&format!("get a --prefix -w{format}"));
        twins.same(&format!("get --from-key a --limit 1 -w {format}"));
        twins.same(&format!("get nothing -w {format}"));
        twins.same(&format!("get a c --keys-only --order DESCEND -w {format}"));
        twins.same(&format!("del a --prev-kv -w {format}"));
        twins.same(&format!("del b --prefix -w {format}"));
    }
    // Bytes that are no text, a space, an empty value, and what HTML reads.
    twins.same_with(&["put", "odd <&> é\u{1}", "x\ty\"\\\u{2028}"], "");
    twins.same_with(&["put", "empty", "--", ""], "");
    twins.same_with(&["put", "typed"], "from\nstandard input\n");
    twins.same_with(&["put", "--", "-dash", "--value"], "");
    for format in ["simple", "json", "fields", "protobuf"] {
        twins.same_with(&["get", "", "--prefix", "-w", format], "");
        twins.same_with(&["get", "--from-key", "", "--limit=0x2", "-w", format], "");
    }
    twins.same("--hex get --prefix odd");
    twins.same("get --prefix odd --hex=T -w json");
    twins.same("get --prefix e --print-value-only");
    twins.same("get --from-key a --count-only -w fields");
    twins.same("get --from-key a --sort-by modify --order descend --consistency s");
    twins.same("get --from-key a --sort-by VALUE --prefix=false --keys-only");
    twins.same("put typed --ignore-value --prev-kv");
    twins.same("get typed --rev 20 -w json");
    // Three arguments are one too many, which `get` and `put` do not mind.
    twins.same("put a b c");
    twins.same("get a b c");
}

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
fn transactions() {
    let twins = Twins::new();
    twins.same("put a 1");
    twins.same("put b 2");
    let txn = "val(\"a\") = \"1\"\nver(\"b\") > \"0\"\n\n\
               put a \"x y\" --prev-kv\nget 'b' \"c\\x41\"\ndel c --prev-kv\n\nget b\n\n";
    for format in ["simple", "fields", "json", "protobuf"] {
        let outcome = twins.same_with(&["txn", "-w", format], txn);
        assert_eq!(outcome.exit, Some(0));
    }
    let outcome = twins.same_with(&["txn", "--interactive"], txn);
    assert!(outcome.text().starts_with("compares:\n"), "{outcome:?}");
    for input in [
        "",
        "\n\n\n",
        "\n\n",
        "foo\n",
        "foo(\"a\") = \"b\"\n",
        "ver(a) = \"b\"\n",
        "ver(\"a\") = \"b\"\n",
        "ver(\"a\")= \"3\"\n",
        "ver(\"a\") = 3\n",
        "ver(\"a\") = \"3\n",
        "( \"a\") = \"3\"\n",
        "val(`a`)   =   `x y` rest\n\nget a\n\n\n",
        "mod(\"\\141\") < \"99\"\nc(\"a\") != \"0\"\n\nget a --hex\n\n\n",
        "\nput\n",
        "\nfoo a\n",
        "\nput a\n",
        "\nput a b c\n\n\n",
        "\nput a 1\nput a 2\n\n\n",
        "\npu a 1\nge b\nde c\n\n\n",
    ] {
        let (ours, theirs) = twins.both(&["txn"], input);
        assert_eq!(ours.text(), theirs.text(), "{input:?}");
        assert_eq!(ours.exit, theirs.exit, "{input:?}");
        // etcd's shows usage too.
        let last = |outcome: &Outcome| outcome.stderr.lines().last().map(str::to_owned);
        assert_eq!(last(&ours), last(&theirs), "{input:?}");
    }
}

#[test]
fn watches() {
    let twins = Twins::new();
    twins.same("put a 1");
    twins.same("put a 2");
    twins.same("put ab 3");
    twins.same("del a");
    twins.same_until("watch a --rev 2", "", 9);
    twins.same_until("watch a --rev 2 --prev-kv --prefix", "", 16);
    twins.same_until("watch a b --rev 2 --hex", "", 12);
    let json = twins.same_until("watch --rev 2 a --prefix -w json --prev-kv", "", 1);
    assert!(json.contains("\"type\":1"), "{json}");
    twins.same_until("watch a --rev=2 -w fields", "", 25);
    twins.same_until("watch -i", "watch a --rev 2\n", 9);
    let shown = twins.same_until("watch a --rev 4 -- sh -c echo\u{a0}$ETCD_WATCH_REVISION", "", 3);
    assert_eq!(shown, "DELETE\na\n");
    // A line of its own for the progress of a watch. It may come first.
    let input = "watch a --rev 5\nprogress\n";
    let shown = run_until(&ours(), &twins.for_ours.endpoint, &["watch", "-i"], input, 4);
    assert!(shown.contains("DELETE\na\n"), "{shown}");
    assert!(shown.contains("progress notify: 5"), "{shown}");

    for input in ["", "foo\n\nwatch\n", "watch a --\n", "watch a b --prefix\nwatch\n"] {
        twins.same_with(&["watch", "-i"], input);
    }
    twins.same("compaction 4");
    twins.same("watch a --rev 1");
    let (ours, theirs) = twins.both(&["watch", "a", "--rev", "1", "-w", "json"], "");
    assert_eq!(ours.map(|text| without_reason(&text)), theirs);
}

#[test]
fn watch_runs_programs_and_reads_the_environment() {
    let twins = Twins::new();
    twins.same("put a 1");
    let script = "echo $ETCD_WATCH_REVISION $ETCD_WATCH_EVENT_TYPE $ETCD_WATCH_KEY \
                  $ETCD_WATCH_VALUE; exit 3";
    let outcome = twins.same_with(&["watch", "a", "--rev", "2", "--", "sh", "-c", script], "");
    assert_eq!(outcome.exit, Some(1));
    assert_eq!(outcome.text(), "PUT\na\n1\n2 \"PUT\" \"a\" \"1\"\n");

    let with = |environment: &[(&str, &str)], words: &[&str]| {
        let ours = run_with(&ours(), &twins.for_ours.endpoint, words, "", environment);
        let theirs = run_with(&real("etcdctl"), &twins.for_real.endpoint, words, "", environment);
        assert_eq!(ours, theirs, "{words:?} with {environment:?}");
        ours
    };
    let key = ("ETCDCTL_WATCH_KEY", "a");
    let range_end = ("ETCDCTL_WATCH_RANGE_END", "b");
    with(&[key], &["watch", "b"]);
    with(&[key], &["watch", "b", "--", "echo"]);
    with(&[range_end], &["watch", "b"]);
    let outcome = with(&[key, range_end], &["watch", "--rev", "2", "--", "sh", "-c", "exit 1"]);
    assert_eq!(outcome.text(), "PUT\na\n1\n");
}

#[test]
fn leases() {
    let [client, peer] = free_ports();
    let member = Member::alone((client, peer));
    let both = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let ours = run(&ours(), &member.endpoint, &words, "");
        let theirs = run(&real("etcdctl"), &member.endpoint, &words, "");
        (ours.map(without_seconds), theirs.map(without_seconds))
    };
    let same = |line: &str| {
        let (ours, theirs) = both(line);
        assert_eq!(ours, theirs, "{line}");
        ours.text()
    };
    // Ids differ, because time goes on; and remaining seconds may.
    let granted = run(&ours(), &member.endpoint, &["lease", "grant", "500"], "");
    let text = granted.text();
    let id = text.split(' ').nth(1).expect("an id").to_owned();
    assert_eq!(id.len(), 16);
    assert_eq!(text, format!("lease {id} granted with TTL(500s)\n"));
    let decimal = i64::from_str_radix(&id, 16).expect("hexadecimal");

    assert_eq!(same(&format!("put k1 v --lease {id}")), "OK\n");
    for format in ["simple", "json", "fields"] {
        same(&format!("lease list -w {format}"));
        same(&format!("lease keep-alive {id} --once -w {format}"));
        same(&format!("lease timetolive {id} -w {format}"));
        same(&format!("lease timetolive {id} --keys -w {format}"));
        same(&format!("lease timetolive 12 --keys -w {format}"));
        same(&format!("lease keep-alive 12 -w {format}"));
        same(&format!("get k1 -w {format}"));
    }
    let kept = run_until(&ours(), &member.endpoint, &["lease", "keep-alive", &id], "", 1);
    assert_eq!(kept, format!("lease {id} keepalived with TTL(500)"));

    let words = ["lease", "grant", "500", "-w", "json"];
    let granted = run(&ours(), &member.endpoint, &words, "").text();
    assert!(granted.contains("\"TTL\":500,\"Error\":\"\"}\n"), "{granted}");
    let fields = run(&ours(), &member.endpoint, &["--hex", "lease", "list", "-w", "fields"], "");
    assert!(fields.text().contains(&format!("\"ID\" : {id}\n")));
    assert!(!fields.text().contains(&decimal.to_string()));

    let revoked = run(&ours(), &member.endpoint, &["lease", "revoke", &id], "");
    assert_eq!(revoked.text(), format!("lease {id} revoked\n"));
    same(&format!("lease revoke {id}"));
    assert_eq!(same("get k1"), "");
    for command in ["lease list", "lease timetolive 12", "lease grant 5"] {
        // 3.5 writes the header by mistake.
        let (ours, _) = both(&format!("{command} -w protobuf"));
        assert_eq!(ours.exit, Some(4), "{command}");
        assert!(ours.stderr.starts_with("Error: marshal unsupported"));
    }
}

#[test]
fn members_endpoints_and_alarms() {
    let [client, peer] = free_ports();
    let member = Member::alone((client, peer));
    let ours_of = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        run(&ours(), &member.endpoint, &words, "")
    };
    let theirs_of = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        run(&real("etcdctl"), &member.endpoint, &words, "")
    };
    for line in [
        "member list",
        "member list -w json",
        "member list -w protobuf",
        "mem l",
        "alarm list",
        "alarm list -w json",
        "alarm list -w fields",
        "alarm list -w protobuf",
        "endpoint status -w json",
        "endpoint hashkv -w json",
        "endpoint hashkv --rev 99999",
    ] {
        assert_eq!(ours_of(line), theirs_of(line), "{line}");
    }
    // 3.7 leaves a revision out that is none, and keeps the names of fields.
    let theirs = theirs_of("member list -w fields");
    let theirs = theirs.map(|text| text.replace("\"Revision\" : 0\n", ""));
    assert_eq!(ours_of("member list -w fields"), theirs);
    let theirs = theirs_of("--hex member list -w json");
    let theirs = theirs.map(|text| text.replace("clientURLS", "clientURLs"));
    assert_eq!(ours_of("--hex member list -w json"), theirs);
    // 3.7 draws boxes; the cells are the same.
    let cells = |text: String| -> Vec<String> {
        let words = text.split(|letter: char| "+-|┌┬┐├┼┤└┴┘─│ \n".contains(letter));
        let words = words.filter(|word| !word.is_empty());
        words.map(str::to_owned).collect()
    };
    let table = ours_of("member list -w table").text();
    assert!(table.starts_with('┌'), "{table}");
    assert_eq!(cells(table), cells(theirs_of("member list -w table").text()));

    let status = ours_of("endpoint status").text();
    let columns: Vec<&str> = status.trim_end().split(", ").collect();
    assert_eq!(columns.len(), 16, "{status}");
    assert_eq!(&columns[2..4], ["3.5.1", ""], "{status}");
    assert!(columns[4].ends_with(" kB"), "{status}");
    assert_eq!(ours_of("endpoint status -w fields").text().lines().count(), 19);
    let hash = ours_of("endpoint hashkv").text();
    let theirs = theirs_of("endpoint hashkv").text();
    assert_eq!(hash, format!("{}, 0\n", theirs.trim_end()));

    let took = |text: String| text.split("took").next().map(str::to_owned);
    let health = ours_of("endpoint health");
    assert_eq!(took(health.text()), took(theirs_of("endpoint health").text()));
    assert!(health.text().ends_with("s\n"), "{health:?}");
    let json = ours_of("endpoint health -w json").text();
    let start = format!("[{{\"endpoint\":\"{}\",\"health\":true,\"took\":\"", member.endpoint);
    assert!(json.starts_with(&start), "{json}");
}

#[test]
fn endpoints_that_do_not_answer() {
    let [client, peer, dead] = free_ports();
    let member = Member::alone((client, peer));
    let dead = format!("127.0.0.1:{dead}");
    let with_dead = format!("{dead},{}", member.endpoint);
    // Whoever comes first, a write arrives, once.
    for endpoints in [&with_dead, &format!("http://{},{dead}", member.endpoint)] {
        for _ in 0..2 {
            let put = run(&ours(), endpoints, &["put", "a", "1"], "");
            assert_eq!((put.text().as_str(), put.exit), ("OK\n", Some(0)));
        }
    }
    let got = run(&ours(), &with_dead, &["get", "a", "-w", "fields"], "");
    assert!(got.text().contains("\"Version\" : 4\n"), "{got:?}");

    let line = "endpoint health --command-timeout 300ms";
    let words: Vec<&str> = line.split(' ').collect();
    let ours_said = run(&ours(), &with_dead, &words, "");
    let theirs_said = run(&real("etcdctl"), &with_dead, &words, "");
    assert_eq!(ours_said.stderr, theirs_said.stderr);
    assert_eq!(
        ours_said.stderr,
        format!(
            "{dead} is unhealthy: failed to commit proposal: context deadline exceeded\n\
             Error: unhealthy cluster"
        )
    );
    for line in [
        "get a --command-timeout 200ms",
        "put a 1 --command-timeout 200ms",
        "endpoint status --command-timeout 200ms",
        "endpoint hashkv --command-timeout 200ms",
        "member list --command-timeout 200ms",
        "move-leader 1 --command-timeout 200ms",
        "lease grant 5 --command-timeout 200ms",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        if line.starts_with("move-leader") {
            // 3.5 takes its own environment for a conflict here.
            let said = run(&ours(), &dead, &words, "");
            assert_eq!(said.stderr, "Error: context deadline exceeded");
            continue;
        }
        let ours_said = run(&ours(), &dead, &words, "");
        let theirs_said = run(&real("etcdctl"), &dead, &words, "");
        assert_eq!(ours_said, theirs_said, "{line}");
        assert_eq!(ours_said.exit, Some(1), "{line}");
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

#[test]
fn authentication() {
    let [client, peer] = free_ports();
    let member = Member::alone((client, peer));
    let set_up = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let outcome = run(&real("etcdctl"), &member.endpoint, &words, "");
        assert_eq!(outcome.exit, Some(0), "{line}: {outcome:?}");
    };
    set_up("user add root:secret");
    set_up("user add alice:wonder");
    set_up("auth enable");
    for line in [
        "put a 1",
        "put a 1 --user root:secret",
        "put a 1 --user root:wrong",
        "put a 1 --user alice:wonder",
        "put a 1 --user root --password secret",
        "get a --user root:secret -w json",
        "endpoint status -w json --user root:secret",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let ours_said = run(&ours(), &member.endpoint, &words, "");
        let theirs_said = run(&real("etcdctl"), &member.endpoint, &words, "");
        if line.starts_with("get") || line.starts_with("endpoint") {
            assert_eq!(ours_said.exit, Some(0), "{line}: {ours_said:?}");
            continue;
        }
        assert_eq!(ours_said, theirs_said, "{line}");
    }
}

#[test]
fn moving_the_leader() {
    let ports: [u16; 6] = free_ports();
    let name = |at: usize| format!("m{at}");
    let urls: Vec<String> = (0..3).map(|at| format!("{}=http://127.0.0.1:{}", name(at), ports[at * 2 + 1])).collect();
    let start = |at: usize| {
        let (client, peer) = (ports[at * 2], ports[at * 2 + 1]);
        Member::start(&name(at), client, peer, (client, peer), &urls.join(","))
    };
    let mut members: Vec<Member> = (0..3).map(start).collect();
    for member in &mut members {
        member.wait();
    }
    let endpoints: Vec<&str> = members.iter().map(|member| &*member.endpoint).collect();
    let endpoints = endpoints.join(",");
    let ours_of = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        run(&ours(), &endpoints, &words, "")
    };
    let status = ours_of("endpoint status").text();
    let rows: Vec<Vec<&str>> = status.lines().map(|row| row.split(", ").collect()).collect();
    assert_eq!(rows.len(), 3, "{status}");
    let leader = rows.iter().find(|row| row[8] == "true").expect("a leader");
    let follower = rows.iter().find(|row| row[8] == "false").expect("a follower");
    let moved = ours_of(&format!("move-leader {}", follower[1]));
    assert_eq!(moved.text(), format!("Leadership transferred from {} to {}\n", leader[1], follower[1]));
    // The old leader alone is no leader now.
    let words = ["move-leader", follower[1]];
    let refused = run(&ours(), leader[0], &words, "");
    assert_eq!(refused.exit, Some(128));
    assert_eq!(refused.stderr, format!("Error: no leader endpoint given at [{}]", leader[0]));
    let healthy = run(&ours(), leader[0], &["endpoint", "health", "--cluster"], "");
    assert_eq!(healthy.text().lines().count(), 3, "{healthy:?}");
    assert_eq!(healthy.exit, Some(0));
    let json = ours_of("endpoint hashkv -w json");
    assert_eq!(json.text().matches("\"hash\":").count(), 3, "{json:?}");
}

/// Lease ids, which nobody chooses, as `LEASE`.
fn without_leases(text: &str) -> String {
    let is_hex = |character: char| character.is_ascii_hexdigit();
    let line = |line: &str| match line.split_once('/') {
        Some((name, rest)) if rest.len() >= 15 && rest.chars().take(15).all(is_hex) => {
            format!("{name}/LEASE{}", rest.trim_start_matches(is_hex))
        }
        _ => line.to_owned(),
    };
    text.lines().map(|text| line(text) + "\n").collect()
}

#[test]
fn locks_around_programs() {
    let twins = Twins::new();
    let same = |arguments: &[&str]| {
        let (ours, theirs) = twins.both(arguments, "");
        let [ours, theirs] = [ours, theirs].map(|outcome| outcome.map(|text| without_leases(&text)));
        assert_eq!(ours.text(), theirs.text(), "{arguments:?}");
        assert_eq!(ours, theirs, "{arguments:?}");
        ours
    };
    let shown = same(&["lock", "a", "--", "sh", "-c", "echo $ETCD_LOCK_KEY $ETCD_LOCK_REV"]);
    assert_eq!(shown.text(), "a/LEASE 2\n");
    // What was left behind: nothing.
    assert_eq!(same(&["get", "", "--prefix"]).text(), "");
    assert_eq!(same(&["lock", "a", "--", "sh", "-c", "exit 7"]).exit, Some(7));
    same(&["lock", "a", "true"]);
    same(&["lock", "a", "--ttl", "-5", "true"]);
    same(&["lock", "a", "--", "no-such-program"]);
    same(&["lock", "a", "--", "sh", "-c", "cat; echo done"]);
    for line in ["lock", "elect", "elect a", "elect a b c", "elect -l a b"] {
        twins.same(line);
    }
}

#[test]
fn locks_and_elections_until_told_to_stop() {
    let twins = Twins::new();
    let sides = [(ours(), &twins.for_ours), (real("etcdctl"), &twins.for_real)];
    let [ours, theirs] = sides.map(|(binary, member)| {
        let start = |line: &str| Running::start(&binary, &member.endpoint, line);
        let keys = |prefix: &str, count: usize| until_keys(&member.endpoint, prefix, count);
        let only = |prefix: &str| keys(prefix, 1).pop_first().expect("there is one");
        let revoke = |key: &str| {
            let lease = key.rsplit('/').next().expect("a lease");
            assert_eq!(run(&binary, &member.endpoint, &["lease", "revoke", lease], "").exit, Some(0));
        };
        let mut told = Vec::new();
        let mut holder = start("lock s");
        holder.line();
        let given_up = start("lock s");
        keys("s/", 2);
        told.push(given_up.stop());
        keys("s/", 1);
        let mut next = start("lock s --ttl 2");
        keys("s/", 2);
        told.push(holder.stop());
        next.line();
        revoke(&only("s/"));
        told.push(next.end());

        let mut observer = start("elect -l e");
        let mut leader = start("elect e one");
        for line in [leader.line(), observer.line()] {
            assert!(line.starts_with("e/"), "{line}");
        }
        assert_eq!([leader.line(), observer.line()], ["one", "one"]);
        let key = &only("e/");
        let mut second = start("elect e two");
        keys("e/", 2);
        assert_eq!(run(&binary, &member.endpoint, &["put", key, "again"], "").exit, Some(0));
        assert_eq!([observer.line(), observer.line()], [key, "again"]);
        told.push(leader.stop());
        assert_eq!([second.line(), second.line()], [&only("e/"), "two"]);
        assert_eq!([observer.line(), observer.line()], [&only("e/"), "two"]);
        told.push(second.stop());
        told.push(observer.stop());
        told.into_iter().map(|outcome| outcome.map(|text| without_leases(&text))).collect::<Vec<_>>()
    });
    assert_eq!(ours, theirs);
}

//! Watches: their output, the programs they run, the environment they read.

use crate::support::{ours, real, run_until, run_with};
use crate::twins::{Twins, without_reason};

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

    for input in [
        "",
        "foo\n\nwatch\n",
        "watch a --\n",
        "watch a b --prefix\nwatch\n",
        "watch a --foo\n",
        "watch --rev=x a\n",
        "watch a --rev\n",
        "watch -x\n",
    ] {
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

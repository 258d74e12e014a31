//! Locks and elections around programs, and until they are told to stop.

use crate::support::{Running, ours, real, run, until_keys};
use crate::twins::Twins;

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

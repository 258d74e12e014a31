//! Members, endpoints, alarms, users, and the leader.

use crate::support::{Member, free_ports, ours, real, run};

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

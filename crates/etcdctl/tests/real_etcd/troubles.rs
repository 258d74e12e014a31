//! Endpoints that do not answer, and alarms.

use crate::support::{Member, free_ports, logged, ours, real, run};
use crate::twins::Twins;

/// Where no member is: the same last words and codes. In the log, both name the endpoint (`target`) and the reason (`error`).
#[test]
fn nobody_at_the_endpoint() {
    let [port] = free_ports();
    let endpoint = format!("127.0.0.1:{port}");
    for line in [
        "get a",
        "put a b",
        "member list",
        "lease grant 10",
        "alarm list",
        "compaction 12",
        "endpoint health",
        "endpoint status",
        "endpoint hashkv",
        "endpoint status --cluster",
        "--dial-timeout 1s --user root:x get a",
    ] {
        let words: Vec<&str> = "--command-timeout 1s".split(' ').chain(line.split(' ')).collect();
        let [ours, theirs] = [ours(), real("etcdctl")];
        assert_eq!(run(&ours, &endpoint, &words, ""), run(&theirs, &endpoint, &words, ""), "{line}");
        for binary in [ours, theirs] {
            let logged = logged(&binary, &endpoint, &words);
            let [record] = logged.as_slice() else { panic!("{binary:?} {line}: not one line: {logged:?}") };
            let record: serde_json::Value = serde_json::from_str(record).expect("a line of JSON");
            let text = |name: &str| record[name].as_str().unwrap_or_default().to_lowercase();
            assert!(text("target").ends_with(&endpoint), "{binary:?} {line}: {record}");
            assert!(text("error").contains("connection refused"), "{binary:?} {line}: {record}");
        }
    }
}

/// One of two endpoints is enough, and no word is said of the other while a command runs.
#[test]
fn nobody_at_one_of_two_endpoints() {
    let member = Member::alone((1, 2));
    let [nobody] = free_ports();
    let endpoints = format!("127.0.0.1:{nobody},{}", member.endpoint);
    // Longer than etcdctl waits before it says who does not answer.
    let line: Vec<&str> = "--command-timeout 100ms lock l -- sh -c".split(' ').chain(["sleep 3"]).collect();
    for binary in [ours(), real("etcdctl")] {
        assert_eq!(logged(&binary, &endpoints, &line), [""; 0], "{binary:?}");
    }
}

/// An endpoint that takes connections and says nothing, beside one that serves.
#[test]
fn silence_at_one_of_two_endpoints() {
    let twins = Twins::new();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let silent_at = silent.local_addr().expect("it is bound").to_string();
    let both = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        for turned in [false, true] {
            let [ours, theirs] =
                [(ours(), &twins.for_ours), (real("etcdctl"), &twins.for_real)].map(|(binary, member)| {
                    let ends = if turned { [&member.endpoint, &silent_at] } else { [&silent_at, &member.endpoint] };
                    run(&binary, &ends.map(String::as_str).join(","), &words, "")
                });
            assert_eq!(ours, theirs, "{line}, turned: {turned}");
            assert_eq!(ours.exit, Some(0), "{line}, turned: {turned}");
        }
    };
    for line in
        ["put a b", "get a", "member list", "lock l true", "lock l --dial-timeout 1h true", "get a --user root:x"]
    {
        both(line);
    }
}

#[test]
fn alarms_are_listed_and_disarmed() {
    let twins = Twins::new();
    // fields: etcd's own panics over the header that is not there.
    for format in ["simple", "json", "protobuf"] {
        for member in [&twins.for_ours, &twins.for_real] {
            raise_no_space(&member.endpoint);
        }
        // The text of 3.5's messages ends with a space, that of 3.7's does not.
        let same = |line: &str| {
            let (ours, theirs) = twins.both(&line.split(' ').collect::<Vec<_>>(), "");
            let trimmed = |text: String| text.replace(" \n", "\n");
            assert_eq!(ours.clone().map(trimmed), theirs.map(trimmed), "{line}");
            ours.text()
        };
        assert!(same("alarm list").ends_with(" alarm:NOSPACE\n"));
        assert_eq!(twins.same("put a 1").stderr, "Error: etcdserver: mvcc: database space exceeded");
        same(&format!("alarm list -w {format}"));
        same(&format!("alarm disarm -w {format}"));
        assert_eq!(same("alarm list"), "", "all is well again");
        twins.same("put a 1");
        // Nothing to disarm.
        twins.same(&format!("alarm disarm -w {format}"));
    }
}

/// Raises the alarm that a member raises by itself when its space is exceeded.
fn raise_no_space(endpoint: &str) {
    use proto::etcdserverpb::{AlarmRequest, AlarmType, alarm_request::AlarmAction};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    let raised = runtime.block_on(async {
        let client = client::Client::new(client::Config::to([endpoint])).expect("a client");
        let member_id = client.status().await.expect("a status").header.expect("a header").member_id;
        let (action, alarm) = (AlarmAction::Activate.into(), AlarmType::Nospace.into());
        client.alarm(AlarmRequest { action, member_id, alarm }).await
    });
    assert_eq!(raised.expect("an alarm is raised").alarms.len(), 1);
}

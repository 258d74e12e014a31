//! Endpoints that do not answer: whoever typed the command reads which, and why. What scripts look at, the last line and
//! the exit code, is etcdctl's.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;

/// How long a line of output may take.
const LINE_PATIENCE: Duration = Duration::from_secs(20);

/// What a command said on standard error: its log, and the rest.
struct Said {
    log: Vec<Value>,
    rest: Vec<String>,
    exit: Option<i32>,
}

impl Said {
    /// The endpoints named, each with its reason.
    fn troubles(&self) -> Vec<(&str, &str)> {
        let text = |value: &'_ Value| value.as_str().is_some();
        assert!(self.log.iter().all(|line| text(&line["target"]) && text(&line["error"])), "{:?}", self.log);
        self.log.iter().map(|line| (line["target"].as_str().unwrap(), line["error"].as_str().unwrap())).collect()
    }
}

fn run(endpoints: &str, line: &str) -> Said {
    let arguments = line.split(' ').chain(["--command-timeout=300ms", "--dial-timeout=300ms"]);
    let ended = Command::new(env!("CARGO_BIN_EXE_etcdctl"))
        .args(arguments)
        .env("ETCDCTL_ENDPOINTS", endpoints)
        .stdin(Stdio::null())
        .output()
        .expect("etcdctl runs");
    let text = String::from_utf8(ended.stderr).expect("it writes text");
    let (log, rest): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with('{'));
    Said {
        log: log.into_iter().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect(),
        rest: rest.into_iter().map(str::to_owned).collect(),
        exit: ended.status.code(),
    }
}

/// Where nobody listens: bound and closed again.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").to_string()
}

#[test]
fn each_command_names_the_endpoint_where_nobody_listens() {
    let deadline = "context deadline exceeded";
    let nobody = nobody();
    for (line, exit, last) in [
        ("get a", 1, format!("Error: {deadline}")),
        ("get a --stream", 1, format!("Error: {deadline}")),
        ("put a b", 1, format!("Error: {deadline}")),
        ("member list", 1, format!("Error: {deadline}")),
        ("lease grant 10", 1, format!("Error: failed to grant lease ({deadline})")),
        ("get a --user root:x", 2, format!("Error: {deadline}")),
        ("endpoint health", 1, "Error: unhealthy cluster".to_owned()),
        ("endpoint status", 1, format!("Failed to get the status of endpoint {nobody} ({deadline})")),
        ("endpoint hashkv", 1, format!("Error: {deadline}")),
        (
            "endpoint health --cluster",
            1,
            format!("Error: failed to fetch endpoints from etcd cluster member list: {deadline}"),
        ),
    ] {
        let said = run(&nobody, line);
        assert_eq!(said.troubles(), [(&*nobody, "Connection refused (os error 111)")], "{line}");
        assert_eq!((said.rest.last(), said.exit), (Some(&last), Some(exit)), "{line}: {:?}", said.rest);
    }
}

#[test]
fn every_endpoint_is_named_with_its_own_reason() {
    let (nobody, mute) = (nobody(), TcpListener::bind("127.0.0.1:0").expect("a free port"));
    let mute_at = mute.local_addr().expect("it is bound").to_string();
    let said = run(&format!("{nobody},{mute_at}"), "get a");
    assert_eq!(said.troubles(), [(&*nobody, "Connection refused (os error 111)"), (&*mute_at, "no answer in time")]);
}

#[test]
fn each_command_names_the_endpoint_that_stays_mute() {
    let mute = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let mute_at = mute.local_addr().expect("it is bound").to_string();
    for line in ["get a", "get a --stream", "get a --user root:x"] {
        let said = run(&mute_at, line);
        assert_eq!(said.troubles(), [(&*mute_at, "no answer in time")], "{line}");
    }
}

#[test]
fn who_answers_otherwise_is_asked_about() {
    // As a server does that expects TLS: it hangs up at the first bytes.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let endpoint = listener.local_addr().expect("it is bound").to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            drop(stream.read(&mut [0; 16]));
        }
    });
    for line in ["get a", "put a b"] {
        let said = run(&endpoint, line);
        let [(target, reason)] = said.troubles()[..] else { panic!("not one endpoint: {:?}", said.log) };
        assert_eq!(target, endpoint, "{line}");
        assert!(reason.ends_with("; is it etcd, and without TLS?"), "{line}: {reason}");
        let last = said.rest.last().map(String::as_str);
        assert_eq!((last, said.exit), (Some("Error: context deadline exceeded"), Some(1)), "{line}");
    }
}

/// A command without a time limit waits for its endpoints, but not without a word.
#[test]
fn a_watch_that_reaches_nobody_says_so() {
    let nobody = nobody();
    let mut child = Command::new(env!("CARGO_BIN_EXE_etcdctl"))
        .args(["watch", "a", "--command-timeout=100ms", "--endpoints", &nobody])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("etcdctl starts");
    let mut stderr = BufReader::new(child.stderr.take().expect("it is piped"));
    let (tell, told) = mpsc::channel();
    // Ends when the child does.
    std::thread::spawn(move || {
        let mut line = String::new();
        tell.send(stderr.read_line(&mut line).map(|_| line))
    });
    let line = told.recv_timeout(LINE_PATIENCE);
    drop(child.kill());
    drop(child.wait());
    let line = line.expect("a line comes in time").expect("it can be read");
    let line: Value = serde_json::from_str(&line).expect("a line of JSON");
    assert_eq!(line["target"].as_str(), Some(&*nobody));
}

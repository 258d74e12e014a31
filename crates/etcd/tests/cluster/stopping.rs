//! Stopping in order: leadership is handed over, nothing is lost, and a shell
//! sees why it ended. And the playground, which is a cluster in one command.

use crate::harness::{self, Cluster, ELECTION, Member, Ports};
use crate::load::{self, Load};
use proto::etcdserverpb::PutRequest;
use rustix::process::Signal;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

#[tokio::test]
async fn a_leader_that_is_asked_to_stop_hands_over() {
    let _turn = harness::alone().await;
    let mut cluster = Cluster::start("hand-over", 3, &[]).await;
    let load = Load::start(&cluster, "load", 4, &[0, 1, 2]);
    for _ in 0..3 {
        load.goes_on(50).await;
        let leader = cluster.leader().await;
        let id = cluster.id(leader).await;
        cluster.members[leader].signal(Signal::TERM);
        let asked = Instant::now();
        harness::until("another member leads", async || {
            let status = cluster.members[cluster.others(leader)[0]].status().await?;
            (status.leader != 0 && status.leader != id).then_some(())
        })
        .await;
        let took = asked.elapsed();
        // Nobody had to notice a silence.
        assert!(took < ELECTION, "another member leads only after {took:?}");
        let status = cluster.members[leader].ended().await;
        assert_eq!(status.code(), Some(128 + 15), "{status}");
        cluster.members[leader].start();
        cluster.leader().await;
    }
    let acknowledged = load.stop().await;
    load::expect_all(&cluster.client(), "load", &acknowledged).await;
    cluster.same_everywhere().await;
}

#[tokio::test]
async fn all_stop_and_all_is_there_again() {
    let _turn = harness::together().await;
    let mut cluster = Cluster::start("stop-all", 3, &[]).await;
    let load = Load::start(&cluster, "load", 4, &[0, 1, 2]);
    load.goes_on(200).await;
    for member in &cluster.members {
        member.signal(Signal::INT);
    }
    for member in &mut cluster.members {
        assert_eq!(member.ended().await.code(), Some(128 + 2));
    }
    let acknowledged = load.stop().await;
    cluster.start_all();
    cluster.leader().await;
    load::expect_all(&cluster.client(), "load", &acknowledged).await;
    cluster.same_everywhere().await;
}

/// `etcd playground` at work, ended when dropped.
struct Playground {
    /// None when it has ended.
    child: Option<Child>,
}

impl Playground {
    fn start(directory: &std::path::Path, ports: &Ports) -> Playground {
        let mut command = Command::new(harness::our_program());
        let out = std::fs::File::create(directory.join("out")).expect("the directory can be written");
        command.args(["playground", "--base-port", &ports.port(0).to_string(), "--data-dir"]);
        command.arg(directory.join("data")).stdin(Stdio::null()).stdout(out);
        Playground { child: Some(command.spawn().expect("the program starts")) }
    }

    /// As Ctrl-C does; how it has ended.
    fn interrupt(&mut self) -> Option<ExitStatus> {
        let child = self.child.take()?;
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, Signal::INT).expect("a child can be signalled");
        harness::end_of(child)
    }
}

impl Drop for Playground {
    fn drop(&mut self) {
        // In order, because its members are processes of their own.
        self.interrupt();
    }
}

#[tokio::test]
async fn the_playground_starts_greets_stops_and_keeps() {
    let _turn = harness::together().await;
    let (directory, ports) = (harness::new_directory("playground"), Ports::reserve());
    let said = || std::fs::read_to_string(directory.join("out")).unwrap_or_default();
    let member = |number: u16| {
        let port = ports.port(0) + 10 * number;
        Member::new("m", harness::our_program(), &directory, port, port + 1)
    };
    for round in 0..2 {
        let mut playground = Playground::start(&directory, &ports);
        harness::until("the playground greets", async || said().contains("A cluster of 3 is running").then_some(()))
            .await;
        for number in 0..3 {
            let endpoint = format!("127.0.0.1:{}", ports.port(0) + 10 * number);
            assert!(said().contains(&endpoint), "{endpoint} is not in {}", said());
        }
        let client = member(2).client();
        if round == 0 {
            let put = PutRequest { key: "name".into(), value: "joe".into(), ..PutRequest::default() };
            member(0).client().put(put).await.expect("a put");
        }
        let name = proto::etcdserverpb::RangeRequest { key: "name".into(), ..Default::default() };
        assert_eq!(client.range(name).await.expect("a range").kvs[0].value, "joe");
        let ended = playground.interrupt().expect("it stops when it is told to");
        assert_eq!(ended.code(), Some(0));
        assert!(said().contains("stopped; the data stays in"), "{}", said());
        for number in 0..3 {
            let port = ports.port(0) + 10 * number;
            assert!(std::net::TcpListener::bind(("127.0.0.1", port)).is_ok(), "a member still listens on {port}");
        }
    }
    std::fs::remove_dir_all(&directory).expect("it was ours");
}

//! The service manager hears when a member serves.

use crate::harness::{self, Cluster};
use std::process::Stdio;
use tokio::net::UnixDatagram;
use tokio::process::Command;

#[tokio::test]
async fn systemd_is_told_once_the_member_serves() {
    let _turn = harness::together().await;
    let cluster = Cluster::plan("notify", 1, &[]);
    let socket = cluster.members[0].data.with_extension("socket");
    let systemd = UnixDatagram::bind(&socket).expect("a socket");
    let mut command = Command::new(harness::our_program());
    command.args(&cluster.members[0].arguments).env("NOTIFY_SOCKET", &socket);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let mut member = command.spawn().expect("the program starts");
    let mut heard = [0; 16];
    let count = tokio::time::timeout(harness::PATIENCE, systemd.recv(&mut heard)).await;
    assert_eq!(&heard[..count.expect("it is told").expect("a datagram")], b"READY=1");
    assert!(cluster.members[0].status().await.is_some(), "it serves");
    member.kill().await.expect("it ends");
}

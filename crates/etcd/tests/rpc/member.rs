//! A member of one, as a process, and typed calls to it.

use std::path::PathBuf;

use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{Answer, Client, frame, in_time};
use crate::harness::{self, Cluster};

/// A member alone leads as soon as it has waited for others.
const QUICK: [&str; 4] = ["--heartbeat-interval", "10", "--election-timeout", "100"];

pub struct Member {
    cluster: Cluster,
}

impl Member {
    pub async fn start() -> Member {
        Member::start_as(harness::our_program(), &[]).await
    }

    /// Any program that takes etcd's flags, with more of them.
    pub async fn start_as(program: PathBuf, flags: &[&str]) -> Member {
        let mut cluster = Cluster::plan_of("rpc", vec![program], &[&QUICK, flags].concat());
        cluster.start_all();
        cluster.leader().await;
        Member { cluster }
    }

    /// What the process holds in memory.
    pub fn resident_bytes(&self) -> usize {
        self.cluster.members[0].memory_bytes("VmRSS") as usize
    }

    pub async fn client(&self) -> Client {
        Client::new(self.connect().await.unwrap()).await
    }

    pub async fn connect(&self) -> std::io::Result<TcpStream> {
        TcpStream::connect(("127.0.0.1", self.cluster.members[0].client_port)).await
    }

    pub fn client_url(&self) -> String {
        self.cluster.members[0].client_url()
    }

    /// Asks the process to stop, as an operator does.
    pub fn ask_to_stop(&self) {
        self.cluster.members[0].signal(rustix::process::Signal::TERM);
    }

    /// One HTTP/1 request without a body; the whole answer as text.
    pub async fn http(&self, line: &str) -> String {
        let mut stream = self.connect().await.unwrap();
        let request = format!("{line}\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        in_time(line, stream.read_to_string(&mut answer)).await.unwrap();
        answer
    }
}

/// A unary call that goes well.
pub async fn call<R: Message + Default>(client: &mut Client, path: &str, request: impl Message) -> R {
    let answer = ask(client, path, request).await;
    assert_eq!(answer.grpc(), ("0".to_owned(), String::new()), "{path}");
    answer.message()
}

/// A unary call that is refused: code and words.
pub async fn refused(client: &mut Client, path: &str, request: impl Message) -> (String, String) {
    let answer = ask(client, path, request).await;
    // gRPC's failures are not HTTP's.
    assert_eq!(answer.status, 200);
    assert!(answer.body.is_empty());
    answer.grpc()
}

pub async fn ask(client: &mut Client, path: &str, request: impl Message) -> Answer {
    client.call(path, &[], frame(&request.encode_to_vec())).await
}

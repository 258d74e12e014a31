//! A member of one, as a process, and typed calls to it.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::client::{Answer, Client, frame};

/// Longest time a member may take to listen.
const START: Duration = Duration::from_secs(20);

pub struct Member {
    process: Child,
    data: PathBuf,
    pub port: u16,
}

impl Member {
    pub async fn start() -> Member {
        Member::start_as(Path::new(env!("CARGO_BIN_EXE_etcd")), &[]).await
    }

    /// Any program that takes etcd's flags, with more of them.
    pub async fn start_as(program: &Path, flags: &[&str]) -> Member {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let data = std::env::temp_dir().join(format!("quorate-rpc-{}-{count}", std::process::id()));
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (port, peer_port) = (free(), free());
        let client_url = format!("http://127.0.0.1:{port}");
        let peer_url = format!("http://127.0.0.1:{peer_port}");
        let process = Command::new(program)
            .args(["--name", "alone", "--data-dir", data.to_str().unwrap()])
            .args(["--listen-client-urls", &client_url, "--advertise-client-urls", &client_url])
            .args(["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", &peer_url])
            .args(["--initial-cluster", &format!("alone={peer_url}")])
            .args(flags)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let member = Member { process, data, port };
        timeout(START, member.until_answering()).await.expect("the member listens in time");
        member
    }

    async fn until_answering(&self) {
        while self.http("GET /health HTTP/1.1").await.is_none() {
            // Another process' port has nothing to await.
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// What the process holds in memory.
    pub fn resident_bytes(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        let kib: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kib * 1024
    }

    pub async fn client(&self) -> Client {
        Client::new(self.connect().await.unwrap()).await
    }

    pub async fn connect(&self) -> std::io::Result<TcpStream> {
        TcpStream::connect(("127.0.0.1", self.port)).await
    }

    /// Asks the process to stop, as an operator does.
    pub fn ask_to_stop(&self) {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a child can be signalled");
    }

    /// One HTTP/1 request without a body; the whole answer as text.
    pub async fn http(&self, line: &str) -> Option<String> {
        let mut stream = self.connect().await.ok()?;
        let request = format!("{line}\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        Some(answer)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to end.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.data);
    }
}

/// A unary call that goes well.
pub async fn call<R: Message + Default>(client: &mut Client, path: &str, request: impl Message) -> R {
    let answer = ask(client, path, request).await;
    assert_eq!(answer.grpc(), ("0".to_owned(), String::new()), "{path}");
    R::decode(&answer.body[5..]).unwrap()
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

//! Raft takes a message twice, but not a proposal: a write that was handed on would be done twice.

use super::*;

/// A member without streams that reads each POST whole. The answer to every second one on a connection is lost: the
/// connection breaks instead.
struct Deaf {
    url: String,
    posts: mpsc::UnboundedReceiver<Message>,
}

async fn deaf() -> Deaf {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, posts) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(hear(stream, sender.clone()));
        }
    });
    Deaf { url, posts }
}

async fn hear(mut stream: TcpStream, posts: mpsc::UnboundedSender<Message>) {
    for number in 0..2 {
        let Some((head, mut body)) = head(&mut stream).await else { return };
        if !head.starts_with("POST /raft ") {
            return;
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
        while body.len() < length {
            stream.read_buf(&mut body).await.unwrap();
        }
        // Nobody listens once the test has seen enough.
        let _ = posts.send(wire::decode(body.into()).unwrap());
        if number == 0 {
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        }
    }
}

/// A request's head, and what came of its body.
async fn head(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut read = Vec::new();
    loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let body = read.split_off(end + 4);
            return Some((String::from_utf8(read).unwrap(), body));
        }
        if stream.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    }
}

impl Deaf {
    /// The next message of this kind.
    async fn next(&mut self, kind: MessageKind) -> Message {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.posts.recv()).await.expect("a POST in time").unwrap();
            if message.kind == kind {
                return message;
            }
        }
    }
}

#[tokio::test]
async fn a_proposal_whose_answer_is_lost_is_not_sent_again() {
    let (one, mut other) = (site(1).await, deaf().await);
    one.peers.set_remotes(vec![(2, vec![other.url.clone()])]);
    let said = |kind, index| Message { from: 1, index, ..Message::new(kind, 2) };
    // More than there are workers: each has a connection that was used.
    for index in 0..24 {
        one.send(said(MessageKind::HeartbeatResp, index));
        while other.next(MessageKind::HeartbeatResp).await.index != index {}
    }
    for index in 100..124 {
        one.send(Message { entries: vec![Entry::default()], ..said(MessageKind::Prop, index) });
        assert_eq!(other.next(MessageKind::Prop).await.index, index, "one has come twice");
    }
}

//! Clients that ask and read when the test wants it.

use crate::edge_client::{Call, Client, data, frame};
use crate::harness::Member;
use bytes::{Buf, Bytes, BytesMut};
use h2::RecvStream;
use prost::Message;
use tokio::net::TcpStream;

/// A connection of such a client, which takes so many bytes of an answer without reading it.
pub async fn connect(member: &Member, window_bytes: u32) -> Client {
    let stream = TcpStream::connect(("127.0.0.1", member.client_port)).await.expect("the member listens");
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(window_bytes).initial_connection_window_size(1 << 30);
    Client::with(stream, &builder).await
}

/// Asks. The answer waits to be read.
pub fn ask(client: &mut Client, path: &str, request: &impl Message) -> Call {
    let mut call = client.begin(path, &[]);
    call.send.send_data(Bytes::from(frame(&request.encode_to_vec())), true).expect("the connection lives");
    call
}

/// Reads one message after the other.
pub struct Reader {
    body: RecvStream,
    bytes: BytesMut,
}

impl Reader {
    pub fn new(body: RecvStream) -> Reader {
        Reader { body, bytes: BytesMut::new() }
    }

    /// The next message; None when the member has ended the call.
    pub async fn next<M: Message + Default>(&mut self) -> Option<M> {
        loop {
            if let Some((prefix, _)) = self.bytes.split_first_chunk::<5>() {
                let [flag, length @ ..] = *prefix;
                assert_eq!(flag, 0, "nothing is compressed");
                let length = u32::from_be_bytes(length) as usize;
                if self.bytes.len() >= 5 + length {
                    self.bytes.advance(5);
                    let message = self.bytes.split_to(length).freeze();
                    return Some(M::decode(message).expect("a message"));
                }
            }
            self.bytes.extend_from_slice(&data(&mut self.body).await?);
        }
    }
}

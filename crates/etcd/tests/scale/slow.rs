//! Clients that ask and read when the test wants it.

use crate::edge_client::{Call, Client, frame};
use crate::harness::Member;
use bytes::Bytes;
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

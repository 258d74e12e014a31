//! One connection to the member, and calls on it whose messages are any bytes. Nothing is waited for without end.

use bytes::{Buf, Bytes, BytesMut};
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request};
use prost::Message;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than a member may take for anything: then it hangs.
const PATIENCE: Duration = Duration::from_secs(15);

/// HTTP/2's library counts small frames that wait against the connection's window, and many wait here.
const WINDOW_BYTES: u32 = 16 << 20;

pub struct Client(SendRequest<Bytes>);

/// A call that has begun. Dropping it takes it back.
pub struct Call {
    path: &'static str,
    send: SendStream<Bytes>,
    response: ResponseFuture,
    body: Option<RecvStream>,
    head: HeaderMap,
    bytes: BytesMut,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).await.expect("the member listens");
        let mut builder = h2::client::Builder::new();
        builder.initial_connection_window_size(WINDOW_BYTES);
        let (client, connection) = builder.handshake(stream).await.expect("it speaks HTTP/2");
        // It ends with the member, or with the client.
        tokio::spawn(connection);
        Client(client)
    }

    pub fn begin(&mut self, path: &'static str) -> Call {
        let request = Request::post(format!("http://localhost{path}"))
            .header("te", "trailers")
            .header("content-type", "application/grpc")
            .body(())
            .expect("a request");
        let (response, send) = self.0.send_request(request, false).expect("the connection stands");
        Call { path, send, response, body: None, head: HeaderMap::new(), bytes: BytesMut::new() }
    }

    /// A call that the member must answer well.
    pub async fn ask<R: Message + Default>(&mut self, path: &'static str, request: &impl Message) -> R {
        let mut call = self.begin(path);
        call.send(&request.encode_to_vec(), true);
        let answer = call.next().await;
        let (code, words) = call.end().await;
        assert_eq!(code, "0", "{path}: {words}");
        answer
    }
}

impl Call {
    /// Says one message more. The member may have ended the call already.
    pub fn send(&mut self, message: &[u8], is_last: bool) {
        let prefix = [&[0], &(message.len() as u32).to_be_bytes()[..]].concat();
        let _ended = self.send.send_data(Bytes::from([&prefix, message].concat()), is_last);
    }

    /// The next message, of one that must come.
    pub async fn next<R: Message + Default>(&mut self) -> R {
        loop {
            if let Some(message) = self.split() {
                return R::decode(message).expect("a response");
            }
            assert!(self.read().await, "{} ends without a word: {:?}", self.path, self.head);
        }
    }

    /// Hears all of it. The code and the words.
    pub async fn end(&mut self) -> (String, String) {
        while self.read().await {}
        while let Some(message) = self.split() {
            <()>::decode(message).expect("what is answered is a message");
        }
        assert!(self.bytes.is_empty(), "{}: a message was cut off", self.path);
        let body = self.body.as_mut().expect("it has been read");
        let ended = timeout(PATIENCE, body.trailers()).await.expect("a call ends").expect("the connection stands");
        let fields = ended.as_ref().unwrap_or(&self.head);
        let field = |name| fields.get(name).map_or("", |value| value.to_str().unwrap_or("?")).to_owned();
        (field("grpc-status"), field("grpc-message"))
    }

    /// What has come until now, without waiting.
    pub fn heard(&mut self) -> Vec<Bytes> {
        let mut context = Context::from_waker(Waker::noop());
        if self.body.is_none()
            && let Poll::Ready(Ok(response)) = Pin::new(&mut self.response).poll(&mut context)
        {
            self.body = Some(response.into_body());
        }
        if let Some(body) = &mut self.body {
            while let Poll::Ready(Some(Ok(piece))) = body.poll_data(&mut context) {
                let _gone = body.flow_control().release_capacity(piece.len());
                self.bytes.extend_from_slice(&piece);
            }
        }
        std::iter::from_fn(|| self.split()).collect()
    }

    /// Waits for more of the body. False at its end.
    async fn read(&mut self) -> bool {
        if self.body.is_none() {
            let response = timeout(PATIENCE, &mut self.response).await;
            let response = response.unwrap_or_else(|_| panic!("{} is not answered", self.path));
            let (head, body) = response.expect("the connection stands").into_parts();
            (self.head, self.body) = (head.headers, Some(body));
        }
        let body = self.body.as_mut().expect("it is there now");
        let piece = timeout(PATIENCE, body.data()).await.unwrap_or_else(|_| panic!("{} does not go on", self.path));
        let Some(piece) = piece else { return false };
        let piece = piece.expect("the connection stands");
        body.flow_control().release_capacity(piece.len()).expect("it was received");
        self.bytes.extend_from_slice(&piece);
        true
    }

    /// Takes the first message, if it is whole.
    fn split(&mut self) -> Option<Bytes> {
        let [flag, length @ ..] = *self.bytes.first_chunk::<5>()?;
        assert_eq!(flag, 0, "nothing is compressed");
        let length = u32::from_be_bytes(length) as usize;
        if self.bytes.len() < 5 + length {
            return None;
        }
        self.bytes.advance(5);
        Some(self.bytes.split_to(length).freeze())
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.send.send_reset(Reason::CANCEL);
    }
}

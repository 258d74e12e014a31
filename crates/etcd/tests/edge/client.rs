//! A gRPC client made of nothing but `h2`, able to say things no client says. It waits for nothing without end.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use h2::client::{self, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, StatusCode};
use prost::Message;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long an answer, or the next piece of one, may take that is not itself the question.
const ANSWER_PATIENCE: Duration = Duration::from_secs(60);

/// Waits for it, but not for ever.
pub async fn in_time<T>(what: &str, awaited: impl IntoFuture<Output = T>) -> T {
    let waited = timeout(ANSWER_PATIENCE, awaited.into_future()).await;
    waited.unwrap_or_else(|_| panic!("waited {ANSWER_PATIENCE:?} in vain for {what}"))
}

pub struct Client {
    pub h2: SendRequest<Bytes>,
}

/// What came back, whole.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub head: HeaderMap,
    pub body: Bytes,
    pub trailers: Option<HeaderMap>,
}

impl Answer {
    /// The code and words, wherever they were.
    pub fn grpc(&self) -> (String, String) {
        status(self.trailers.as_ref().unwrap_or(&self.head))
    }

    /// The only message of it.
    pub fn message<M: Message + Default>(&self) -> M {
        let mut messages = messages(&self.body);
        assert_eq!(messages.len(), 1, "messages in the answer");
        messages.remove(0)
    }
}

fn status(fields: &HeaderMap) -> (String, String) {
    let text = |name| fields.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    (text("grpc-status"), text("grpc-message"))
}

impl Client {
    /// The connection is driven until the client is dropped.
    pub async fn new(stream: TcpStream) -> Client {
        Client::with(stream, &client::Builder::new()).await
    }

    pub async fn with(stream: TcpStream, builder: &client::Builder) -> Client {
        let (h2, connection) = builder.handshake(stream).await.unwrap();
        tokio::spawn(connection);
        Client { h2: in_time("a connection that is taken", h2.ready()).await.unwrap() }
    }

    /// Begins a gRPC call with more headers.
    pub fn begin(&mut self, path: &str, fields: &[(&str, &str)]) -> Call {
        let mut request = Request::post(format!("http://localhost{path}"))
            .header("te", "trailers")
            .header("content-type", "application/grpc");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        self.send(request.body(()).unwrap(), false)
    }

    pub fn send(&mut self, request: Request<()>, end: bool) -> Call {
        let (response, send) = self.h2.send_request(request, end).unwrap();
        Call { response, send }
    }

    /// A call of one message.
    pub async fn call(&mut self, path: &str, fields: &[(&str, &str)], body: Vec<u8>) -> Answer {
        let mut call = self.begin(path, fields);
        call.send.send_data(Bytes::from(body), true).unwrap();
        call.answer().await
    }
}

pub struct Call {
    pub response: client::ResponseFuture,
    pub send: SendStream<Bytes>,
}

impl Call {
    /// The whole of it.
    pub async fn answer(self) -> Answer {
        in_time("the end of an answer", self.whole()).await
    }

    /// What comes behind the head, once that is there.
    pub async fn body(&mut self) -> RecvStream {
        in_time("an answer that begins", &mut self.response).await.expect("a head").into_body()
    }

    async fn whole(self) -> Answer {
        let (head, mut body) = self.response.await.unwrap().into_parts();
        let mut whole = BytesMut::new();
        while let Some(piece) = data(&mut body).await {
            whole.extend_from_slice(&piece);
        }
        let trailers = body.trailers().await.unwrap();
        Answer { status: head.status, head: head.headers, body: whole.freeze(), trailers }
    }
}

/// The next DATA frame, given back to the window; None at the end.
pub async fn data(body: &mut RecvStream) -> Option<Bytes> {
    let piece = in_time("the next piece of an answer", body.data()).await?.unwrap();
    body.flow_control().release_capacity(piece.len()).unwrap();
    Some(piece)
}

/// Reads one message of a body after the other.
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
            if let Some(message) = split(&mut self.bytes) {
                return Some(M::decode(message).expect("a message"));
            }
            self.bytes.extend_from_slice(&data(&mut self.body).await?);
        }
    }

    /// The code and words behind the last message.
    pub async fn end(&mut self) -> (String, String) {
        assert!(self.bytes.is_empty(), "a message was cut off");
        let ended = in_time("the end of a call", self.body.trailers()).await;
        status(&ended.unwrap().unwrap_or_default())
    }
}

/// All messages of a body that has ended.
pub fn messages<M: Message + Default>(body: &[u8]) -> Vec<M> {
    let mut rest = BytesMut::from(body);
    let messages = std::iter::from_fn(|| Some(M::decode(split(&mut rest)?).expect("a message"))).collect();
    assert!(rest.is_empty(), "a message was cut off");
    messages
}

/// Takes the first message, if it is there as a whole.
fn split(bytes: &mut BytesMut) -> Option<Bytes> {
    let [flag, length @ ..] = *bytes.first_chunk::<5>()?;
    assert_eq!(flag, 0, "nothing is compressed");
    let length = u32::from_be_bytes(length) as usize;
    if bytes.len() < 5 + length {
        return None;
    }
    bytes.advance(5);
    Some(bytes.split_to(length).freeze())
}

/// A message with its prefix.
pub fn frame(message: &[u8]) -> Vec<u8> {
    flagged(0, message)
}

pub fn flagged(flag: u8, message: &[u8]) -> Vec<u8> {
    let mut bytes = vec![flag];
    bytes.extend((message.len() as u32).to_be_bytes());
    bytes.extend(message);
    bytes
}

//! A gRPC client made of nothing but `h2`, able to say things no client says.

use bytes::{Bytes, BytesMut};
use h2::client::{self, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, StatusCode};
use tokio::net::TcpStream;

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
        let fields = self.trailers.as_ref().unwrap_or(&self.head);
        let text = |name| {
            let value = fields.get(name).map(|value| value.to_str().unwrap().to_owned());
            value.unwrap_or_default()
        };
        (text("grpc-status"), text("grpc-message"))
    }
}

impl Client {
    /// The connection is driven until the client is dropped.
    pub async fn new(stream: TcpStream) -> Client {
        Client::with(stream, &client::Builder::new()).await
    }

    pub async fn with(stream: TcpStream, builder: &client::Builder) -> Client {
        let (h2, connection) = builder.handshake(stream).await.unwrap();
        tokio::spawn(connection);
        Client { h2: h2.ready().await.unwrap() }
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
    pub async fn answer(self) -> Answer {
        let (head, mut body) = self.response.await.unwrap().into_parts();
        let mut whole = BytesMut::new();
        while let Some(piece) = data(&mut body).await {
            whole.extend_from_slice(&piece);
        }
        let trailers = body.trailers().await.unwrap();
        Answer { status: head.status, head: head.headers, body: whole.freeze(), trailers }
    }
}

/// The next DATA frame, given back to the window.
pub async fn data(body: &mut RecvStream) -> Option<Bytes> {
    let piece = body.data().await?.unwrap();
    body.flow_control().release_capacity(piece.len()).unwrap();
    Some(piece)
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

//! Requests to other members: one connection, one request at a time.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full, Limited, combinators::BoxBody};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::io::Timed;

/// A short answer's body may have this many bytes.
pub(super) const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What a request carries.
pub(super) type RequestBody = BoxBody<Bytes, std::io::Error>;

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// Nothing to dial, or nobody there.
    #[error("cannot reach {url}: {reason}")]
    Unreachable {
        /// Where.
        url: String,
        /// Why.
        reason: String,
    },
    /// The connection broke off, or the answer is not HTTP.
    #[error("request to {url} failed: {reason}")]
    Failed {
        /// Where.
        url: String,
        /// Why.
        reason: String,
    },
}

impl RequestError {
    pub(super) fn unreachable(url: &str, reason: impl ToString) -> Self {
        RequestError::Unreachable { url: url.to_owned(), reason: reason.to_string() }
    }

    pub(super) fn failed(url: &str, reason: impl ToString) -> Self {
        RequestError::Failed { url: url.to_owned(), reason: reason.to_string() }
    }
}

/// An open connection.
pub(super) struct Lane {
    url: String,
    sender: SendRequest<RequestBody>,
}

impl Lane {
    /// Connects to `http://host:port`.
    pub async fn open(url: &str, dial_timeout: Duration, write_timeout: Duration) -> Result<Lane, RequestError> {
        let Some(authority) = url.strip_prefix("http://") else {
            return Err(RequestError::unreachable(url, "only http is supported yet"));
        };
        let dial = async {
            let stream = TcpStream::connect(authority.trim_end_matches('/')).await?;
            Timed::new(stream, write_timeout)
        };
        let stream = match tokio::time::timeout(dial_timeout, dial).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(RequestError::unreachable(url, error)),
            Err(_) => return Err(RequestError::unreachable(url, "dial timed out")),
        };
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| RequestError::unreachable(url, error))?;
        // Ends when the sender and the answer's body are dropped, or the peer closes.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = %error, "connection to peer ended");
            }
        });
        Ok(Lane { url: url.to_owned(), sender })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether it can take another request.
    pub fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Sends the request and awaits the head of the answer.
    pub async fn request(&mut self, request: Request<RequestBody>) -> Result<Response<Incoming>, RequestError> {
        self.sender.ready().await.map_err(|error| RequestError::failed(&self.url, error))?;
        self.sender.send_request(request).await.map_err(|error| RequestError::failed(&self.url, error))
    }
}

/// A request without headers but the host's.
pub(super) fn request(method: Method, url: &str, path: &str, body: RequestBody) -> Request<RequestBody> {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    // Paths here are made of constants and hexadecimal numbers.
    *request.uri_mut() = path.parse().unwrap_or_default();
    let authority = url.split_once("://").map_or(url, |(_, authority)| authority);
    if let Ok(host) = HeaderValue::from_str(authority) {
        request.headers_mut().insert(http::header::HOST, host);
    }
    request
}

/// Adds a header whose value is known to be printable; anything else is left out.
pub(super) fn set(headers: &mut http::HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

pub(super) fn no_body() -> RequestBody {
    Empty::new().map_err(|never| match never {}).boxed()
}

pub(super) fn full_body(bytes: Bytes) -> RequestBody {
    Full::new(bytes).map_err(|never| match never {}).boxed()
}

/// The status and the whole, bounded body.
pub(super) async fn read_answer(
    url: &str,
    answer: Response<Incoming>,
) -> Result<(StatusCode, http::HeaderMap, Bytes), RequestError> {
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, ANSWER_BYTES_MAX);
    let body = body.collect().await.map_err(|error| RequestError::failed(url, error))?;
    Ok((head.status, head.headers, body.to_bytes()))
}

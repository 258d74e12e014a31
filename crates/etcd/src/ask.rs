//! Asking other members over plain HTTP: who they are, which version they run.

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use std::time::Duration;
use store::roster::{self, Member};
use tokio::net::TcpStream;

/// More than this is not an answer to such a question.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: StatusCode,
    /// HTTP headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// GET `http://authority/path` within `patience`.
///
/// # Errors
/// In words, without the address: the caller names it.
pub async fn get(authority: &str, path: &str, patience: Duration) -> Result<Answer, String> {
    match tokio::time::timeout(patience, get_patiently(authority, path)).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer within {} ms", patience.as_millis())),
    }
}

async fn get_patiently(authority: &str, path: &str) -> Result<Answer, String> {
    let words = |error: &dyn std::fmt::Display| error.to_string();
    let stream = TcpStream::connect(authority).await.map_err(|error| words(&error))?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(|error| words(&error))?;
    let connection = tokio::spawn(connection);
    let request = Request::get(path).header(http::header::HOST, authority).body(Empty::<Bytes>::new());
    let response = sender.send_request(request.map_err(|error| words(&error))?).await.map_err(|error| words(&error))?;
    let (head, body) = response.into_parts();
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|error| words(&error))?.to_bytes();
    connection.abort();
    Ok(Answer { status: head.status, headers: head.headers, body })
}

/// What a member says of its cluster.
#[derive(Debug)]
pub struct Cluster {
    /// Its id.
    pub id: u64,
    /// Who is in it, as far as that member knows.
    pub members: Vec<Member>,
}

impl Cluster {
    /// The member with this id, if it has run: it publishes its client URLs when it first serves.
    pub fn has_run(&self, id: u64) -> Option<&Member> {
        self.members.iter().find(|member| member.id == id && !member.client_urls.is_empty())
    }
}

/// Asks the member at a peer URL for its cluster.
///
/// # Errors
/// In words, without the URL.
pub async fn cluster(url: &str, patience: Duration) -> Result<Cluster, String> {
    let authority = url.split("://").nth(1).unwrap_or(url);
    let answer = get(authority, "/members", patience).await?;
    let id = answer.headers.get("X-Etcd-Cluster-ID").and_then(|value| value.to_str().ok());
    let id = id.and_then(|hex| u64::from_str_radix(hex, 16).ok()).ok_or("it names no cluster id")?;
    let list: Vec<&serde_json::value::RawValue> =
        serde_json::from_slice(&answer.body).map_err(|error| format!("its member list cannot be read: {error}"))?;
    let members: Result<Vec<Member>, _> =
        list.iter().map(|one| roster::member_from_json(one.get().as_bytes())).collect();
    Ok(Cluster { id, members: members.map_err(|error| error.to_string())? })
}

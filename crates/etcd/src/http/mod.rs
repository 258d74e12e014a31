//! What a client's port answers over plain HTTP: `/health`, `/version`, `/metrics`, `/livez`, `/readyz`.
//!
//! The same answers go out over HTTP/1 and, to requests that are not gRPC, over HTTP/2. Nothing here reads a body or
//! changes anything; the JSON gateway is not here.

mod health;
mod page;
mod probes;

use crate::handle::Handle;
use crate::{metrics, version};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, VARY};
use http::request::Parts;
use http::{Method, Response};
use page::{json, method_not_allowed, not_found};
use std::io::Write;

/// Which paths a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// `--listen-client-urls`
    Client,
    /// `--listen-metrics-urls`: no `/version`.
    Metrics,
}

/// The answer of a client listener to a request without a body.
pub async fn answer(handle: &Handle, head: &Parts) -> Response<Bytes> {
    answer_on(Listener::Client, handle, head).await
}

/// The answer of this kind of listener.
pub async fn answer_on(listener: Listener, handle: &Handle, head: &Parts) -> Response<Bytes> {
    let path = head.uri.path();
    if path == "/metrics" {
        return metrics_page(handle, head);
    }
    let is_probe = |path: &str| {
        path == "/livez" || path == "/readyz" || path.starts_with("/livez/") || path.starts_with("/readyz/")
    };
    let is_known = path == "/health" || is_probe(path) || (path == "/version" && listener == Listener::Client);
    if !is_known {
        return not_found();
    }
    if head.method != Method::GET {
        return method_not_allowed();
    }
    match path {
        "/version" => json(version_text(handle)),
        "/health" => health::answer(handle, head.uri.query().unwrap_or_default()).await,
        path => probes::answer(handle, path, head.uri.query().unwrap_or_default()).await,
    }
}

fn version_text(handle: &Handle) -> String {
    let view = handle.view();
    let cluster = view.roster().cluster_version();
    let (decided, storage) = (cluster.unwrap_or("not_decided"), cluster.unwrap_or("unknown"));
    format!(r#"{{"etcdserver":"{}","etcdcluster":"{decided}","storage":"{storage}"}}"#, version::SERVER)
}

fn metrics_page(handle: &Handle, head: &Parts) -> Response<Bytes> {
    let text = metrics::render(handle);
    let squeezed = if takes_gzip(head) { gzip(&text) } else { None };
    let is_squeezed = squeezed.is_some();
    let mut response = Response::new(Bytes::from(squeezed.unwrap_or(text)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(metrics::TEXT));
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    if is_squeezed {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

fn takes_gzip(head: &Parts) -> bool {
    let accepted = head.headers.get_all(ACCEPT_ENCODING);
    let mut names = accepted.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    names.any(|name| {
        let mut parts = name.split(';').map(str::trim);
        parts.next() == Some("gzip") && parts.all(|part| part != "q=0")
    })
}

fn gzip(text: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 8), Compression::fast());
    encoder.write_all(text).ok()?;
    encoder.finish().ok()
}

/// The values of a query's parameter of this name, as Go reads a query.
fn query_values<'a>(query: &'a str, name: &'a str) -> impl Iterator<Item = String> + 'a {
    query.split('&').filter_map(move |pair| {
        let (found, value) = pair.split_once('=').unwrap_or((pair, ""));
        (unescape(found)? == name).then(|| unescape(value)).flatten()
    })
}

/// Undoes `%XX` and `+`; `None` when malformed.
fn unescape(text: &str) -> Option<String> {
    let mut plain = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                (digit()? * 16 + digit()?) as u8
            }
            byte => byte,
        });
    }
    String::from_utf8(plain).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    #[test]
    fn queries() {
        let query = "exclude=NOSPACE&serializable=true&exclude=COR%52UPT&bad=%4&flag";
        let values = |name| query_values(query, name).collect::<Vec<_>>();
        assert_eq!(values("exclude"), ["NOSPACE", "CORRUPT"]);
        assert_eq!(values("flag"), [""]);
        assert!(values("bad").is_empty());
        assert!(values("verbose").is_empty());
    }

    #[test]
    fn gzip_is_for_those_who_ask() {
        let asks = |value: &str| {
            takes_gzip(&Request::get("/metrics").header("accept-encoding", value).body(()).unwrap().into_parts().0)
        };
        assert!(asks("gzip"));
        assert!(asks("deflate, gzip;q=1.0, *;q=0.5"));
        assert!(!asks("gzip;q=0"));
        assert!(!asks("identity"));
    }
}

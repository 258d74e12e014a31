//! What a call says about itself beside its message: the request headers that
//! mean something to etcd or to gRPC. Everything else in the head is ignored.

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;

use super::status::{Code, Status};

const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const TOKEN: HeaderName = HeaderName::from_static("token");
const HAS_LEADER: HeaderName = HeaderName::from_static("hasleader");
const CLIENT_API_VERSION: HeaderName = HeaderName::from_static("client-api-version");

/// The metadata of one call. Cloning shares the texts.
#[derive(Clone, Debug, Default)]
pub struct Metadata {
    /// The auth token: `token`, or `authorization` without its `Bearer ` prefix.
    pub token: Option<Bytes>,
    /// `hasleader: true`: the client would rather fail than wait for a leader.
    pub require_leader: bool,
    /// `client-api-version`, not yet known to be UTF-8.
    pub client_api_version: Option<Bytes>,
    /// When the client stops waiting, on this machine's clock.
    pub deadline: Option<Instant>,
}

impl Metadata {
    /// Reads the headers of a call that began at `now`.
    ///
    /// Fails when `grpc-timeout` is malformed, as grpc-go does.
    pub fn read(headers: &HeaderMap, now: Instant) -> Result<Metadata, Status> {
        let deadline = match headers.get(GRPC_TIMEOUT) {
            None => None,
            Some(text) => {
                let timeout = parse_timeout(text.as_bytes()).ok_or_else(|| {
                    let text = String::from_utf8_lossy(text.as_bytes());
                    Status::new(Code::Internal, format!("malformed grpc-timeout: {text:?}"))
                })?;
                // A deadline beyond what the clock can count is no deadline.
                now.checked_add(timeout)
            }
        };
        Ok(Metadata {
            token: token(headers),
            require_leader: headers.get(HAS_LEADER).is_some_and(|value| value == "true"),
            client_api_version: headers.get(CLIENT_API_VERSION).map(shared),
            deadline,
        })
    }
}

/// Whether the content type is gRPC with protobuf messages:
/// `application/grpc`, or with `+subtype` or `;parameters` after it.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE) else { return false };
    let value = value.as_bytes();
    let name = b"application/grpc";
    if value.len() < name.len() || !value[..name.len()].eq_ignore_ascii_case(name) {
        return false;
    }
    matches!(value.get(name.len()), None | Some(b'+' | b';'))
}

/// How the client says its messages are compressed, when they are.
pub fn encoding(headers: &HeaderMap) -> Option<Bytes> {
    headers.get(GRPC_ENCODING).filter(|value| *value != "identity").map(shared)
}

fn token(headers: &HeaderMap) -> Option<Bytes> {
    if let Some(value) = headers.get(TOKEN) {
        return Some(shared(value));
    }
    let value = shared(headers.get(AUTHORIZATION)?);
    let bearer = b"Bearer ";
    Some(if value.starts_with(bearer) { value.slice(bearer.len()..) } else { value })
}

fn shared(value: &HeaderValue) -> Bytes {
    Bytes::copy_from_slice(value.as_bytes())
}

/// `TimeoutValue TimeoutUnit` of gRPC's HTTP/2 protocol: at most eight digits
/// and one of `HMSmun`.
fn parse_timeout(text: &[u8]) -> Option<Duration> {
    let (unit, digits) = text.split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0_u64, |value, digit| value * 10 + u64::from(digit - b'0'));
    match unit {
        b'H' => Some(Duration::from_secs(value * 3600)),
        b'M' => Some(Duration::from_secs(value * 60)),
        b'S' => Some(Duration::from_secs(value)),
        b'm' => Some(Duration::from_millis(value)),
        b'u' => Some(Duration::from_micros(value)),
        b'n' => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn timeouts() {
        assert_eq!(parse_timeout(b"5S"), Some(Duration::from_secs(5)));
        assert_eq!(parse_timeout(b"4999939u"), Some(Duration::from_micros(4_999_939)));
        assert_eq!(parse_timeout(b"99999999H"), Some(Duration::from_secs(359_999_996_400)));
        for bad in [&b""[..], b"S", b"5", b"5s", b"-5S", b"123456789S", b"5 S"] {
            assert_eq!(parse_timeout(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn content_types() {
        for good in ["application/grpc", "application/grpc+proto", "application/grpc;x=y"] {
            let mut map = HeaderMap::new();
            map.insert(CONTENT_TYPE, HeaderValue::from_static(good));
            assert!(is_grpc(&map), "{good}");
        }
        for bad in ["application/json", "application/grpcweb", "text/plain"] {
            let mut map = HeaderMap::new();
            map.insert(CONTENT_TYPE, HeaderValue::from_static(bad));
            assert!(!is_grpc(&map), "{bad}");
        }
        assert!(!is_grpc(&HeaderMap::new()));
    }

    #[test]
    fn fields() {
        let now = Instant::now();
        let read = |fields: &[_]| Metadata::read(&headers(fields), now);
        let metadata = read(&[
            ("token", "a"),
            ("authorization", "b"),
            ("hasleader", "true"),
            ("client-api-version", "3.7"),
            ("grpc-timeout", "2S"),
        ])
        .unwrap();
        assert_eq!(metadata.token.as_deref(), Some(&b"a"[..]));
        assert!(metadata.require_leader);
        assert_eq!(metadata.client_api_version.as_deref(), Some(&b"3.7"[..]));
        assert_eq!(metadata.deadline, Some(now + Duration::from_secs(2)));

        let metadata = read(&[("authorization", "Bearer x.1"), ("hasleader", "yes")]).unwrap();
        assert_eq!(metadata.token.as_deref(), Some(&b"x.1"[..]));
        assert!(!metadata.require_leader);
        assert_eq!(metadata.deadline, None);

        let error = read(&[("grpc-timeout", "soon")]).unwrap_err();
        assert_eq!(error.message(), "malformed grpc-timeout: \"soon\"");
        assert_eq!(encoding(&headers(&[("grpc-encoding", "identity")])), None);
    }
}

//! How a call ended: gRPC's seventeen codes and the two trailers that carry them.
//!
//! Nothing here knows which words etcd uses for which failure; those come from
//! the store and from `rpc`. This file only puts them on the wire, and the
//! transport's own words beside them.

use std::borrow::Cow;
use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use proto::status::CODE_NAMES;

/// The trailer with the code, in decimal.
pub const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// The trailer with the text, percent-encoded.
pub const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// gRPC's status codes; the number is what travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names are gRPC's")]
pub enum Code {
    Ok = 0,
    Canceled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

impl Code {
    /// Every code, in the order of its number.
    pub const ALL: [Code; 17] = [
        Code::Ok,
        Code::Canceled,
        Code::Unknown,
        Code::InvalidArgument,
        Code::DeadlineExceeded,
        Code::NotFound,
        Code::AlreadyExists,
        Code::PermissionDenied,
        Code::ResourceExhausted,
        Code::FailedPrecondition,
        Code::Aborted,
        Code::OutOfRange,
        Code::Unimplemented,
        Code::Internal,
        Code::Unavailable,
        Code::DataLoss,
        Code::Unauthenticated,
    ];

    /// The code of this number; a number nobody knows is `Unknown`.
    pub fn from_number(number: u8) -> Code {
        Code::ALL.get(usize::from(number)).copied().unwrap_or(Code::Unknown)
    }

    /// The name as etcd's metrics and error texts print it.
    pub fn name(self) -> &'static str {
        CODE_NAMES[self as usize]
    }

    fn header(self) -> HeaderValue {
        const NUMBERS: [&str; 17] =
            ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16"];
        HeaderValue::from_static(NUMBERS[self as usize])
    }
}

/// Why a call failed: a code that is not `Ok`, and the words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    code: Code,
    message: Cow<'static, str>,
}

impl Status {
    /// A failure. `Code::Ok` is no failure.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Status {
        assert!(code != Code::Ok, "a status is how a call fails");
        Status { code, message: message.into() }
    }

    /// What a client sees that left, or whose stream was reset, before the answer.
    pub fn canceled() -> Status {
        Status::new(Code::Canceled, "context canceled")
    }

    /// What a client sees whose `grpc-timeout` has passed.
    pub fn deadline_exceeded() -> Status {
        Status::new(Code::DeadlineExceeded, "context deadline exceeded")
    }

    /// The code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The words, not encoded.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The trailers of a call that failed so.
    pub fn trailers(&self) -> HeaderMap {
        let mut trailers = HeaderMap::with_capacity(2);
        self.write(&mut trailers);
        trailers
    }

    /// Adds the two fields to headers (an answer of trailers only).
    pub fn write(&self, headers: &mut HeaderMap) {
        headers.insert(GRPC_STATUS, self.code.header());
        if !self.message.is_empty() {
            headers.insert(GRPC_MESSAGE, percent_encode(&self.message));
        }
    }
}

impl fmt::Display for Status {
    /// As Go's clients print it, which is also how a watch's `cancel_reason` looks.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "rpc error: code = {} desc = {}", self.code.name(), self.message)
    }
}

/// The trailers of a call that went well.
pub fn ok_trailers() -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(GRPC_STATUS, Code::Ok.header());
    trailers
}

/// gRPC's `Percent-Encoded`: what is not printable ASCII, and `%`, as `%XX`.
fn percent_encode(message: &str) -> HeaderValue {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let plain = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'%';
    let mut encoded = BytesMut::with_capacity(message.len() + 16);
    for byte in message.bytes() {
        if plain(byte) {
            encoded.put_u8(byte);
        } else {
            let digits = [b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
            encoded.put_slice(&digits);
        }
    }
    let encoded: Bytes = encoded.freeze();
    HeaderValue::from_maybe_shared(encoded).expect("printable ASCII is a header value")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_percent_encoded() {
        let status = Status::new(Code::Unknown, "100% of „a“\n");
        let trailers = status.trailers();
        assert_eq!(trailers[GRPC_STATUS], "2");
        assert_eq!(trailers[GRPC_MESSAGE], "100%25 of %E2%80%9Ea%E2%80%9C%0A");
        assert_eq!(
            Status::new(Code::PermissionDenied, "etcdserver: permission denied").to_string(),
            "rpc error: code = PermissionDenied desc = etcdserver: permission denied"
        );
    }

    #[test]
    fn codes_and_numbers_agree() {
        for (number, code) in Code::ALL.into_iter().enumerate() {
            assert_eq!(code as usize, number);
            assert_eq!(Code::from_number(number as u8), code);
            assert_eq!(code.header(), number.to_string().as_str());
        }
        assert_eq!(Code::from_number(200), Code::Unknown);
    }
}

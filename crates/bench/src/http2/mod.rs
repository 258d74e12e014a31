//! The client's half of HTTP/2 (RFC 9113), as values: bytes in, replies out.
//!
//! The load generator runs on the cores of the servers it measures, so every
//! microsecond it spends is one the servers cannot. A general client spends
//! several per request; this one can only do what a load needs: one path per
//! connection, small request bodies, no TLS, no trailers of its own. It must
//! never touch a socket or a clock.

pub mod connection;
mod frame;
mod hpack;
mod huffman;

//! The gRPC edge, spoken to by a raw HTTP/2 client over loopback.

#[allow(dead_code, reason = "each test program uses its own part")]
mod client;
mod http2_frames;
mod service;

mod calls;
mod late;
mod limits;

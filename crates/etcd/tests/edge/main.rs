//! The gRPC edge, spoken to by a raw HTTP/2 client over loopback.

mod client;
mod service;

mod calls;
mod limits;

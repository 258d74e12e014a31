//! What no client should say: every field of every request with every absurd value, frames that are none, HTTP/2 that is
//! none. Nothing of it may end a member, harm another client, or change what it was refused to change.

#[path = "../edge/client.rs"]
#[allow(dead_code, reason = "made for the edge's own tests too")]
mod client;
#[path = "../cluster/harness.rs"]
#[allow(dead_code, reason = "made for clusters of several members too")]
mod harness;
#[path = "../edge/http2_frames.rs"]
mod http2_frames;

mod authority;
mod bystander;
mod cases;
mod fields;
mod frames;
mod http2;
mod member;
mod refusals;
mod schema;
mod wire;

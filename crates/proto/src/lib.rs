//! etcd's wire: every message that enters or leaves a member, or rests on its
//! disk, as a Rust value.
//!
//! The `.proto` texts in `proto/` are ours; their packages, names and numbers
//! are etcd's, because they are the promise to every client and peer. `prost`
//! makes the messages when the crate is built, and one module here stands for
//! one package there. All `bytes` fields are [`bytes::Bytes`], so decoding out
//! of a received buffer shares it instead of copying.
//!
//! Two names differ from the wire's: `prost` writes fields in snake case
//! (`TTL` is `ttl`) and types in its own camel case (`HashKVRequest` is
//! `HashKvRequest`). Numbers decide, so nobody outside can tell.
//!
//! This crate must never hold stubs, routes that do something, defaults,
//! checks or any other logic. It knows no transport and no store.

pub mod methods;
pub mod status;

/// Every file of `proto/` with its imports, as an encoded `FileDescriptorSet`.
///
/// Names in it are etcd's own, letter by letter. This is what server
/// reflection answers with.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The client API (`rpc.proto`) and what the log carries (`raft_internal.proto`).
#[allow(clippy::all, missing_docs)]
pub mod etcdserverpb {
    include!(concat!(env!("OUT_DIR"), "/etcdserverpb.rs"));
}

/// Keys with their history (`kv.proto`).
#[allow(clippy::all, missing_docs)]
pub mod mvccpb {
    include!(concat!(env!("OUT_DIR"), "/mvccpb.rs"));
}

/// Users, roles and permissions as stored (`auth.proto`).
#[allow(clippy::all, missing_docs)]
pub mod authpb {
    include!(concat!(env!("OUT_DIR"), "/authpb.rs"));
}

/// Membership changes that are ordinary log entries (`membership.proto`).
#[allow(clippy::all, missing_docs)]
pub mod membershippb {
    include!(concat!(env!("OUT_DIR"), "/membershippb.rs"));
}

/// Raft's log, state and peer messages (`raft.proto`).
#[allow(clippy::all, missing_docs)]
pub mod raftpb {
    include!(concat!(env!("OUT_DIR"), "/raftpb.rs"));
}

/// Options that say which etcd brought a thing (`version.proto`).
///
/// The package has extensions and no messages, so there is nothing to generate;
/// these are the numbers of the extensions, each of type string.
pub mod versionpb {
    /// Extension of `google.protobuf.MessageOptions`.
    pub const ETCD_VERSION_MSG: u32 = 50000;
    /// Extension of `google.protobuf.FieldOptions`.
    pub const ETCD_VERSION_FIELD: u32 = 50001;
    /// Extension of `google.protobuf.EnumOptions`.
    pub const ETCD_VERSION_ENUM: u32 = 50002;
    /// Extension of `google.protobuf.EnumValueOptions`.
    pub const ETCD_VERSION_ENUM_VALUE: u32 = 50003;
}

/// Locks served by the cluster (`lock.proto`).
#[allow(clippy::all, missing_docs)]
pub mod v3lockpb {
    include!(concat!(env!("OUT_DIR"), "/v3lockpb.rs"));
}

/// Elections served by the cluster (`election.proto`).
#[allow(clippy::all, missing_docs)]
pub mod v3electionpb {
    include!(concat!(env!("OUT_DIR"), "/v3electionpb.rs"));
}

/// Leases as stored, and the peer port's question about them (`lease.proto`).
#[allow(clippy::all, missing_docs)]
pub mod leasepb {
    include!(concat!(env!("OUT_DIR"), "/leasepb.rs"));
}

/// Records of the write-ahead log (`record.proto`).
#[allow(clippy::all, missing_docs)]
pub mod walpb {
    include!(concat!(env!("OUT_DIR"), "/walpb.rs"));
}

/// The content of a `.snap` file (`snap.proto`).
#[allow(clippy::all, missing_docs)]
pub mod snappb {
    include!(concat!(env!("OUT_DIR"), "/snappb.rs"));
}

/// gRPC's standard health service, package `grpc.health.v1` (`health.proto`).
#[allow(clippy::all, missing_docs)]
pub mod health {
    include!(concat!(env!("OUT_DIR"), "/grpc.health.v1.rs"));
}

/// gRPC's standard reflection service, package `grpc.reflection.v1` (`reflection.proto`); `v1alpha` has the same messages.
#[allow(clippy::all, missing_docs)]
pub mod reflection {
    include!(concat!(env!("OUT_DIR"), "/grpc.reflection.v1.rs"));
}

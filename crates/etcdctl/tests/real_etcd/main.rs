//! Our etcdctl beside etcd's own, against the real etcd 3.5.
//!
//! Two members are made that agree in everything, ids included. What is done to
//! one with our etcdctl is done to the other with etcd's, and both must say the
//! same, byte for byte, and end the same. Where 3.7 differs from 3.5 the test
//! says so and takes 3.7's side.

#![cfg(feature = "real-etcd")]

#[path = "../support/mod.rs"]
mod support;
mod twins;

mod keys;
mod leases;
mod locks;
mod members;
mod misuse;
mod troubles;
mod watches;

//! What a cluster promises, seen from outside: real processes of the program
//! on loopback, real disks, real kills.
//!
//! `harness` starts and ends processes and never judges; `load` writes and
//! remembers what was acknowledged; every other file is one promise. Nothing
//! here waits for a fixed time: it waits for a condition, with a bound.

mod harness;
mod load;
mod raw;

#[cfg(feature = "real-etcd")]
mod auth_off;
mod catch_up;
mod corruption;
mod damage;
#[cfg(feature = "real-etcd")]
mod fenced;
mod first_quorum;
mod full_disk;
mod leader_loss;
#[cfg(feature = "real-etcd")]
mod learners;
mod leases;
mod locks;
#[cfg(feature = "real-etcd")]
mod locks_compared;
mod majority;
#[cfg(feature = "real-etcd")]
mod mixed;
mod not_ready;
mod notify;
mod odd_sizes;
mod playground;
mod quiet;
mod refusals;
mod requests;
mod require_leader;
mod restarts;
#[cfg(feature = "real-etcd")]
mod since_3_5;
mod stopped;
mod stopping;
mod strangers;
mod timeouts;
mod watching;

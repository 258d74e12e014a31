//! Facts and rows into an image, or into the number that stands for one.
//!
//! One walk says what the buckets hold, in order; whoever listens plans pages, writes them, or hashes. So the image and
//! the hash cannot come to differ.

use std::collections::BTreeMap;
use std::io;

use prost::Message;
use proto::{etcdserverpb, leasepb};

use super::{Facts, name};
use crate::chain;
use crate::fault::Fault;
use crate::hash::{ROW_KEY_LENGTH, append_pair, row_key};
use crate::ids::MemberId;
use crate::records::Record;
use crate::revision::Revision;
use crate::roster::{conf_state_to_json, downgrade_to_json, member_to_json};
use crate::state::NEVER_COMPACTED;

/// Why an image was not written to its end.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Whoever takes the bytes did not. This member is well.
    #[error("cannot write the image: {0}")]
    Sink(io::Error),
    /// The rows could not be read.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<bolt::Error> for WriteError {
    fn from(error: bolt::Error) -> WriteError {
        match error {
            bolt::Error::Io(error) => WriteError::Sink(error),
            other => WriteError::Fault(Fault::Image(other.to_string())),
        }
    }
}

/// The first pass: knows how long the image will be.
#[derive(Clone, Debug)]
pub struct Plan {
    facts: Facts,
    pages: bolt::Plan,
    /// What the rows add to the hash chain.
    sum: u64,
}

impl Plan {
    /// Looks at everything once. The rows must come in the order of their revisions, without those that compaction has
    /// dropped.
    pub fn new(facts: Facts, rows: impl IntoIterator<Item = Result<Record, Fault>>) -> Result<Plan, Fault> {
        let mut planner = bolt::Planner::new();
        let mut sum = 0u64;
        let rows = rows.into_iter().inspect(|row| {
            if let Ok(Record { revision, tombstone, kv, .. }) = row {
                sum = sum.wrapping_add(chain::change(*tombstone, *revision, kv));
            }
        });
        match walk(&facts, rows, &mut planner) {
            Ok(()) => Ok(Plan { facts, pages: planner.finish(), sum }),
            Err(WriteError::Fault(fault)) => Err(fault),
            Err(WriteError::Sink(error)) => unreachable!("planning writes nothing, so not {error}"),
        }
    }

    /// What the rows add to the hash chain.
    pub(crate) fn sum(&self) -> u64 {
        self.sum
    }

    /// Bytes of the whole image.
    pub fn size_bytes(&self) -> u64 {
        self.pages.size_bytes()
    }

    /// What the image will hold beside rows.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The second pass: writes the image, from its first byte to its last, given the same rows once more.
    pub fn write(
        &self,
        rows: impl IntoIterator<Item = Result<Record, Fault>>,
        sink: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), WriteError> {
        let mut writer = self.pages.write(sink)?;
        walk(&self.facts, rows, &mut writer)?;
        Ok(writer.finish()?)
    }
}

/// `Maintenance.Hash`: CRC32C over all buckets, but not the applied index and its term (etcd `backend.Hash`). Two members
/// differ in it as soon as one of them has compacted less.
pub fn hash(facts: &Facts, rows: impl IntoIterator<Item = Result<Record, Fault>>) -> Result<u32, Fault> {
    let mut hash = Hash { value: 0, skips_positions: false };
    match walk(facts, rows, &mut hash) {
        Ok(()) => Ok(hash.value),
        Err(WriteError::Fault(fault)) => Err(fault),
        Err(WriteError::Sink(error)) => unreachable!("hashing writes nothing, so not {error}"),
    }
}

/// The version of etcd's storage format that an image made now has: the cluster version from 3.6 on; older etcd has no
/// such field.
pub fn storage_version(cluster_version: Option<&str>) -> Option<&str> {
    let version = cluster_version?;
    let mut parts = version.split('.').map(|part| part.parse::<u32>().ok());
    let (major, minor) = (parts.next()??, parts.next()??);
    ((major, minor) >= (3, 6)).then_some(version)
}

/// Listens to a walk.
trait Listener {
    fn bucket(&mut self, name: &[u8]) -> Result<(), bolt::Error>;
    fn pair(&mut self, key: &[u8], value: &[u8]) -> Result<(), bolt::Error>;
}

impl Listener for bolt::Planner {
    fn bucket(&mut self, name: &[u8]) -> Result<(), bolt::Error> {
        self.bucket(name)
    }

    fn pair(&mut self, key: &[u8], value: &[u8]) -> Result<(), bolt::Error> {
        self.entry(key.len(), value.len())
    }
}

impl<W: FnMut(&[u8]) -> io::Result<()>> Listener for bolt::Writer<W> {
    fn bucket(&mut self, name: &[u8]) -> Result<(), bolt::Error> {
        self.bucket(name)
    }

    fn pair(&mut self, key: &[u8], value: &[u8]) -> Result<(), bolt::Error> {
        self.entry(key, value)
    }
}

struct Hash {
    value: u32,
    /// In the bucket that holds the applied index and its term.
    skips_positions: bool,
}

impl Listener for Hash {
    fn bucket(&mut self, bucket: &[u8]) -> Result<(), bolt::Error> {
        self.value = crc32c::crc32c_append(self.value, bucket);
        self.skips_positions = bucket == name::META;
        Ok(())
    }

    fn pair(&mut self, key: &[u8], value: &[u8]) -> Result<(), bolt::Error> {
        let is_position = key == name::CONSISTENT_INDEX || key == name::TERM;
        if !(self.skips_positions && is_position) {
            self.value = append_pair(self.value, key, value);
        }
        Ok(())
    }
}

/// Tells all buckets and what they hold, both in the order of their bytes.
fn walk(
    facts: &Facts,
    rows: impl IntoIterator<Item = Result<Record, Fault>>,
    listener: &mut impl Listener,
) -> Result<(), WriteError> {
    let small = |bucket: &[u8], pairs: Pairs, listener: &mut dyn Listener| -> Result<(), bolt::Error> {
        listener.bucket(bucket)?;
        pairs.iter().try_for_each(|(key, value)| listener.pair(key, value))
    };
    small(name::ALARM, alarms(facts), listener)?;
    small(name::AUTH, auth(), listener)?;
    small(name::AUTH_ROLES, Pairs::new(), listener)?;
    small(name::AUTH_USERS, Pairs::new(), listener)?;
    small(name::CLUSTER, cluster(facts), listener)?;
    listener.bucket(name::KEY)?;
    for row in rows {
        let Record { revision, tombstone, kv, .. } = row?;
        let (row, length) = row_key(revision, tombstone);
        listener.pair(&row[..length], &kv)?;
    }
    listener.bucket(name::LEASE)?;
    leases(facts, listener)?;
    small(name::MEMBERS, members(facts), listener)?;
    small(name::MEMBERS_REMOVED, removed(facts), listener)?;
    small(name::META, meta(facts), listener)?;
    Ok(())
}

/// A bucket small enough to be made at once; sorts itself.
type Pairs = BTreeMap<Vec<u8>, Vec<u8>>;

fn alarms(facts: &Facts) -> Pairs {
    let encode = |alarm: crate::alarm::Alarm| {
        let message = etcdserverpb::AlarmMember { member_id: alarm.member, alarm: alarm.kind.0 };
        (message.encode_to_vec(), Vec::new())
    };
    facts.alarms.iter().map(encode).collect()
}

fn auth() -> Pairs {
    Pairs::from([(name::AUTH_REVISION.to_vec(), 1u64.to_be_bytes().to_vec())])
}

fn cluster(facts: &Facts) -> Pairs {
    let mut pairs = Pairs::new();
    if let Some(version) = facts.roster.cluster_version() {
        pairs.insert(name::CLUSTER_VERSION.to_vec(), version.into());
    }
    if let Some(downgrade) = facts.roster.downgrade() {
        pairs.insert(name::DOWNGRADE.to_vec(), downgrade_to_json(downgrade));
    }
    pairs
}

/// Ids are keys as bytes, so the negative ones come last.
fn leases(facts: &Facts, listener: &mut impl Listener) -> Result<(), bolt::Error> {
    for negative in [false, true] {
        for (id, lease) in facts.leases.iter().filter(|(id, _)| (*id < 0) == negative) {
            let message = leasepb::Lease { id, ttl: lease.ttl_seconds(), remaining_ttl: lease.remaining_seconds() };
            listener.pair(&id.to_be_bytes(), &message.encode_to_vec())?;
        }
    }
    Ok(())
}

fn members(facts: &Facts) -> Pairs {
    facts.roster.members().map(|member| (hexadecimal(member.id), member_to_json(member))).collect()
}

fn removed(facts: &Facts) -> Pairs {
    facts.roster.removed().map(|id| (hexadecimal(id), name::REMOVED.to_vec())).collect()
}

fn hexadecimal(id: MemberId) -> Vec<u8> {
    format!("{id:x}").into_bytes()
}

fn meta(facts: &Facts) -> Pairs {
    let mut pairs = Pairs::new();
    let mut put = |key: &[u8], value: &[u8]| pairs.insert(key.to_vec(), value.to_vec());
    put(name::CONSISTENT_INDEX, &facts.applied.to_be_bytes());
    put(name::TERM, &facts.term.to_be_bytes());
    put(name::CONF_STATE, &conf_state_to_json(facts.roster.conf_state()));
    if facts.compacted > NEVER_COMPACTED {
        let (row, _) = row_key(Revision { main: facts.compacted, sub: 0 }, false);
        put(name::SCHEDULED_COMPACT, &row[..ROW_KEY_LENGTH]);
        put(name::FINISHED_COMPACT, &row[..ROW_KEY_LENGTH]);
    }
    if let Some(version) = storage_version(facts.roster.cluster_version()) {
        put(name::STORAGE_VERSION, version.as_bytes());
    }
    pairs
}

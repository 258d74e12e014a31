//! An image into rows and facts.
//!
//! The image may come from any etcd of 3.5 or later, or from a backup, so every byte of it is doubted. Rows come in the
//! order of revisions, so the last row of a key seen says which lease the key hangs on. A compaction that the image's
//! writer had promised but not finished is finished here: rows it would drop are not given on.

use std::collections::BTreeMap;
use std::sync::Arc;

use bolt::{Bucket, Image, ReadAt};
use bytes::Bytes;
use prost::Message;
use proto::{etcdserverpb, leasepb};

use super::{Facts, name};
use crate::alarm::{AlarmKind, Alarms};
use crate::fault::Fault;
use crate::hash::{ROW_KEY_LENGTH, TOMBSTONE_MARK};
use crate::ids::LeaseId;
use crate::lease::{Leases, NO_LEASE};
use crate::records::Record;
use crate::reply::key_value::KeyValueRef;
use crate::revision::Revision;
use crate::roster::{Roster, conf_state_from_json, downgrade_from_json, member_from_json};
use crate::state::{FIRST_REVISION, NEVER_COMPACTED};

/// An image whose facts are known and whose rows can be read.
#[derive(Debug)]
pub struct Reader<S> {
    image: Image<S>,
    /// Leases without their keys, and a revision that the rows may raise.
    facts: Facts,
    /// What the compaction that is really done has reached.
    finished: i64,
}

impl<S: ReadAt> Reader<S> {
    /// Reads everything but the rows.
    ///
    /// # Errors
    /// [`Fault::Image`] when the bytes are no image of etcd 3.5 or later, or hold users or roles.
    pub fn open(source: S) -> Result<Reader<S>, Fault> {
        let image = Image::open(source).map_err(fault)?;
        check_auth(&image)?;
        let meta = bucket(&image, name::META)?;
        let Some(term) = number(&meta, name::TERM)? else {
            return Err(malformed("it has no term, so it was written by an etcd older than 3.5"));
        };
        let finished = compaction(&meta, name::FINISHED_COMPACT)?;
        let compacted = compaction(&meta, name::SCHEDULED_COMPACT)?.max(finished);
        let facts = Facts {
            applied: number(&meta, name::CONSISTENT_INDEX)?.unwrap_or(0),
            term,
            revision: compacted.max(FIRST_REVISION),
            compacted,
            leases: leases(&image)?,
            roster: Arc::new(roster(&image, &meta)?),
            alarms: Arc::new(alarms(&image)?),
        };
        Ok(Reader { image, facts, finished })
    }

    /// What is known before the rows are read: leases have no keys yet, and the revision may still rise.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Bytes of the image.
    pub fn size_bytes(&self) -> u64 {
        self.image.size_bytes()
    }

    /// Gives every row to `each`, in the order of revisions. Returns the facts, now complete.
    ///
    /// A row without a key, as `etcdutl snapshot restore --bump-revision` leaves one, only raises the revision.
    pub fn rows(self, mut each: impl FnMut(Record) -> Result<(), Fault>) -> Result<Facts, Fault> {
        let mut facts = self.facts.clone();
        let mut hangs: BTreeMap<Bytes, LeaseId> = BTreeMap::new();
        let unfinished = (self.finished < facts.compacted).then(|| self.newest_compacted()).transpose()?;
        self.each_row(|row, lease| {
            facts.revision = facts.revision.max(row.revision.main);
            if row.key.is_empty() {
                return Ok(true);
            }
            match lease {
                NO_LEASE => hangs.remove(&row.key),
                lease => hangs.insert(Bytes::copy_from_slice(&row.key), lease),
            };
            if row.revision.main <= facts.compacted
                && let Some(newest) = &unfinished
            {
                let kept = newest.get(&row.key) == Some(&row.revision)
                    && (!row.tombstone || row.revision.main == facts.compacted);
                if !kept {
                    return Ok(true);
                }
            }
            each(row).map(|()| true)
        })?;
        for (key, lease) in hangs {
            // A lease that is gone has left its keys behind as plain ones; etcd ignores them too.
            facts.leases.attach(lease, &key);
        }
        Ok(facts)
    }

    /// For every key, its newest row that compaction looks at.
    fn newest_compacted(&self) -> Result<BTreeMap<Bytes, Revision>, Fault> {
        let mut newest = BTreeMap::new();
        self.each_row(|row, _| {
            if row.revision.main > self.facts.compacted {
                return Ok(false);
            }
            newest.insert(Bytes::copy_from_slice(&row.key), row.revision);
            Ok(true)
        })?;
        Ok(newest)
    }

    /// Gives rows with their leases on, as long as `each` wants more.
    fn each_row(&self, mut each: impl FnMut(Record, LeaseId) -> Result<bool, Fault>) -> Result<(), Fault> {
        let mut last = Revision::default();
        for pair in bucket(&self.image, name::KEY)?.entries() {
            let (key, value) = pair.map_err(fault)?;
            let (row, lease) = row(&key, value)?;
            // Also keeps a put and a delete from sharing a revision.
            if row.revision <= last {
                return Err(malformed(format!("two changes at revision {}.{}", last.main, last.sub)));
            }
            last = row.revision;
            if !each(row, lease)? {
                break;
            }
        }
        Ok(())
    }
}

/// A row and the lease it names.
fn row(key: &[u8], value: Bytes) -> Result<(Record, LeaseId), Fault> {
    let bad = |what: &str| malformed(format!("row {key:02x?} of the key bucket {what}"));
    let (revision, rest) = revision(key).ok_or_else(|| bad("is not a revision"))?;
    let tombstone = match rest {
        [] => false,
        [TOMBSTONE_MARK] => true,
        _ => return Err(bad("has a mark that nobody knows")),
    };
    let fields = KeyValueRef::decode(&value).map_err(|_| bad("does not hold a KeyValue"))?;
    let name = value.slice_ref(fields.key);
    if tombstone {
        return Ok((Record { revision, tombstone, key: name, kv: value }, NO_LEASE));
    }
    if !name.is_empty() {
        let created = fields.create_revision;
        if fields.mod_revision != revision.main || fields.version < 1 || !(1..=revision.main).contains(&created) {
            return Err(bad("holds a KeyValue of another revision"));
        }
    }
    let lease = fields.lease;
    Ok((Record { revision, tombstone, key: name, kv: value }, lease))
}

/// A revision at the beginning of bytes, and what follows it.
fn revision(bytes: &[u8]) -> Option<(Revision, &[u8])> {
    let (revision, rest) = bytes.split_at_checked(ROW_KEY_LENGTH)?;
    let main = i64::from_be_bytes(revision[..8].try_into().ok()?);
    let sub = u64::from_be_bytes(revision[9..].try_into().ok()?);
    let sub = u32::try_from(sub).ok()?;
    (main >= 0 && revision[8] == b'_').then_some((Revision { main, sub }, rest))
}

fn check_auth<S: ReadAt>(image: &Image<S>) -> Result<(), Fault> {
    let unable = |what| {
        let why = "which this version cannot keep: remove them, or disable authentication, before it joins";
        malformed(format!("it holds {what}, {why}"))
    };
    if let Some(auth) = image.bucket(name::AUTH).map_err(fault)? {
        let enabled = auth.get(name::AUTH_ENABLED).map_err(fault)?;
        if enabled.is_some_and(|value| value.as_ref() == [1]) {
            return Err(unable("enabled authentication"));
        }
    }
    for (bucket, what) in [(name::AUTH_USERS, "users"), (name::AUTH_ROLES, "roles")] {
        if let Some(bucket) = image.bucket(bucket).map_err(fault)?
            && let Some(first) = bucket.entries().next()
        {
            first.map_err(fault)?;
            return Err(unable(what));
        }
    }
    Ok(())
}

fn leases<S: ReadAt>(image: &Image<S>) -> Result<Leases, Fault> {
    let mut leases = Leases::default();
    for pair in pairs(image, name::LEASE)? {
        let (key, value) = pair?;
        let lease = leasepb::Lease::decode(value).map_err(|error| malformed(format!("a lease: {error}")))?;
        if key.as_ref() != lease.id.to_be_bytes() {
            return Err(malformed(format!("lease {:x} under key {key:02x?}", lease.id)));
        }
        leases.restore(lease.id, lease.ttl, lease.remaining_ttl);
    }
    Ok(leases)
}

fn alarms<S: ReadAt>(image: &Image<S>) -> Result<Alarms, Fault> {
    let mut alarms = Alarms::default();
    for pair in pairs(image, name::ALARM)? {
        let (key, _) = pair?;
        let alarm = etcdserverpb::AlarmMember::decode(key).map_err(|error| malformed(format!("an alarm: {error}")))?;
        alarms.activate(alarm.member_id, AlarmKind(alarm.alarm));
    }
    Ok(alarms)
}

fn roster<S: ReadAt>(image: &Image<S>, meta: &Bucket<'_, S>) -> Result<Roster, Fault> {
    let mut members = Vec::new();
    for pair in pairs(image, name::MEMBERS)? {
        let (key, value) = pair?;
        let member = member_from_json(&value).map_err(malformed)?;
        if hexadecimal(&key)? != member.id {
            return Err(malformed(format!("member {:x} under key {key:?}", member.id)));
        }
        members.push(member);
    }
    let removed = pairs(image, name::MEMBERS_REMOVED)?.map(|pair| hexadecimal(&pair?.0));
    let removed: Vec<u64> = removed.collect::<Result<_, Fault>>()?;
    let cluster = image.bucket(name::CLUSTER).map_err(fault)?;
    let get = |key| cluster.as_ref().map_or(Ok(None), |bucket| bucket.get(key)).map_err(fault);
    let version = get(name::CLUSTER_VERSION)?.map(|value| text(&value)).transpose()?;
    let downgrade = get(name::DOWNGRADE)?.map(|value| downgrade_from_json(&value).map_err(malformed)).transpose()?;
    let conf_state = meta.get(name::CONF_STATE).map_err(fault)?;
    let conf_state = conf_state.map(|value| conf_state_from_json(&value).map_err(malformed)).transpose()?;
    Ok(Roster::restore(members, removed, version, downgrade, conf_state.unwrap_or_default()))
}

fn bucket<'a, S: ReadAt>(image: &'a Image<S>, bucket: &[u8]) -> Result<Bucket<'a, S>, Fault> {
    let found = image.bucket(bucket).map_err(fault)?;
    found.ok_or_else(|| malformed(format!("it has no bucket {}", String::from_utf8_lossy(bucket))))
}

/// All pairs of a bucket; none if there is no such bucket.
fn pairs<'a, S: ReadAt>(
    image: &'a Image<S>,
    bucket: &[u8],
) -> Result<impl Iterator<Item = Result<(Bytes, Bytes), Fault>> + use<'a, S>, Fault> {
    let found = image.bucket(bucket).map_err(fault)?;
    Ok(found.map(|bucket| bucket.entries()).into_iter().flatten().map(|pair| pair.map_err(fault)))
}

fn number<S: ReadAt>(meta: &Bucket<'_, S>, key: &[u8]) -> Result<Option<u64>, Fault> {
    let Some(value) = meta.get(key).map_err(fault)? else { return Ok(None) };
    let bytes = value.as_ref().try_into();
    let bytes = bytes.map_err(|_| malformed(format!("{} is not a number", String::from_utf8_lossy(key))))?;
    Ok(Some(u64::from_be_bytes(bytes)))
}

/// A compacted revision as the meta bucket holds it.
fn compaction<S: ReadAt>(meta: &Bucket<'_, S>, key: &[u8]) -> Result<i64, Fault> {
    let Some(value) = meta.get(key).map_err(fault)? else { return Ok(NEVER_COMPACTED) };
    match revision(&value) {
        Some((revision, [])) => Ok(revision.main),
        _ => Err(malformed(format!("{} is not a revision", String::from_utf8_lossy(key)))),
    }
}

fn text(bytes: &[u8]) -> Result<String, Fault> {
    String::from_utf8(bytes.to_vec()).map_err(malformed)
}

fn hexadecimal(bytes: &[u8]) -> Result<u64, Fault> {
    u64::from_str_radix(&text(bytes)?, 16).map_err(|_| malformed(format!("{bytes:?} is not the id of a member")))
}

fn malformed(what: impl ToString) -> Fault {
    Fault::Image(what.to_string())
}

fn fault(error: bolt::Error) -> Fault {
    match error {
        bolt::Error::Io(source) => Fault::disk("snapshot image", source),
        other => Fault::Image(other.to_string()),
    }
}

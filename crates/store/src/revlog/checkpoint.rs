//! The items that are not changes of keys: how leases, roster and alarms are written, and read back.
//!
//! A segment begins with all of them (a checkpoint), so that replaying needs older segments for their keys only. After
//! that a lease is written when it changes; the roster and the alarms, which are small and seldom change, as a whole.

use bytes::{Buf, BufMut, BytesMut};

use super::item::{Item, ItemKind, encode_item, put_bytes, put_varint, take_bytes, take_varint};
use crate::alarm::{AlarmKind, Alarms};
use crate::chain::{self, Chain};
use crate::ids::LeaseId;
use crate::lease::Leases;
use crate::roster::{self, Roster};
use crate::state::State;
use std::sync::Arc;

/// Writes everything that is not a key. `base` is the first segment of the log that still counts.
pub(crate) fn encode_state(out: &mut BytesMut, state: &State, base: u64) {
    encode_item(out, ItemKind::Base, |out| put_varint(out, base));
    encode_item(out, ItemKind::Chain, |out| put_chain(out, &state.chain));
    for (id, lease) in state.leases.iter() {
        encode_item(out, ItemKind::Lease, |out| {
            put_lease(out, id, lease.ttl_seconds(), lease.remaining_seconds());
        });
    }
    encode_item(out, ItemKind::Roster, |out| put_roster(out, &state.roster));
    encode_item(out, ItemKind::Alarms, |out| put_alarms(out, &state.alarms));
}

/// The body of [`ItemKind::Lease`].
pub(crate) fn put_lease(out: &mut BytesMut, id: LeaseId, ttl_seconds: i64, remaining_seconds: i64) {
    out.put_i64_le(id);
    put_varint(out, ttl_seconds as u64);
    put_varint(out, remaining_seconds as u64);
}

/// The body of [`ItemKind::Chain`]: version, base, offset.
pub(crate) fn put_chain(out: &mut BytesMut, chain: &Chain) {
    out.put_u8(chain::VERSION);
    out.put_u64_le(chain.base);
    out.put_u64_le(chain.offset);
}

/// Base and offset, if this version has made them.
pub(super) fn take_chain(mut body: &[u8]) -> Option<(u64, u64)> {
    let whole = body.len() == 17 && body.get_u8() == chain::VERSION;
    whole.then(|| (body.get_u64_le(), body.get_u64_le()))
}

/// The body of [`ItemKind::LeaseRevoked`].
pub(crate) fn put_lease_revoked(out: &mut BytesMut, id: LeaseId) {
    out.put_i64_le(id);
}

/// The body of [`ItemKind::Alarms`].
pub(crate) fn put_alarms(out: &mut BytesMut, alarms: &Alarms) {
    for alarm in alarms.iter() {
        put_varint(out, alarm.member);
        put_varint(out, alarm.kind.0 as u64);
    }
}

/// The body of [`ItemKind::Roster`]: lists with their lengths in front, texts in etcd's JSON.
pub(crate) fn put_roster(out: &mut BytesMut, roster: &Roster) {
    put_varint(out, roster.members().len() as u64);
    for member in roster.members() {
        put_bytes(out, &roster::member_to_json(member));
    }
    put_varint(out, roster.removed().count() as u64);
    for id in roster.removed() {
        put_varint(out, id);
    }
    put_bytes(out, roster.cluster_version().unwrap_or_default().as_bytes());
    put_bytes(out, &roster.downgrade().map(roster::downgrade_to_json).unwrap_or_default());
    put_bytes(out, &roster::conf_state_to_json(roster.conf_state()));
}

/// Takes an item that is not a change of a key over into `state`; says what is wrong with one that cannot be.
pub(crate) fn replay_item(state: &mut State, item: &Item<'_>) -> Result<(), String> {
    let told = match item.kind {
        ItemKind::Lease => replay_lease(&mut state.leases, item.body),
        ItemKind::LeaseRevoked => replay_lease_revoked(&mut state.leases, item.body),
        ItemKind::Alarms => take_alarms(item.body).map(|alarms| state.alarms = Arc::new(alarms)),
        ItemKind::Roster => {
            let roster = take_roster(item.body)?;
            state.roster = Arc::new(roster);
            Some(())
        }
        ItemKind::Base | ItemKind::Origin | ItemKind::Put | ItemKind::Delete | ItemKind::Dropped | ItemKind::Chain => {
            Some(())
        }
    };
    told.ok_or_else(|| format!("an item of kind {:?} cannot be read", item.kind))
}

fn replay_lease(leases: &mut Leases, mut body: &[u8]) -> Option<()> {
    let id = take_id(&mut body)?;
    let ttl_seconds = take_varint(&mut body)? as i64;
    let remaining_seconds = take_varint(&mut body)? as i64;
    // A checkpoint of a lease that is there leaves its keys alone.
    if leases.checkpoint(id, remaining_seconds).is_none() {
        leases.restore(id, ttl_seconds, remaining_seconds);
    }
    body.is_empty().then_some(())
}

fn replay_lease_revoked(leases: &mut Leases, mut body: &[u8]) -> Option<()> {
    let id = take_id(&mut body)?;
    leases.revoke(id).ok()?;
    body.is_empty().then_some(())
}

fn take_id(body: &mut &[u8]) -> Option<LeaseId> {
    let (id, rest) = body.split_first_chunk()?;
    *body = rest;
    Some(i64::from_le_bytes(*id))
}

fn take_alarms(mut body: &[u8]) -> Option<Alarms> {
    let mut alarms = Alarms::default();
    while !body.is_empty() {
        let member = take_varint(&mut body)?;
        let kind = AlarmKind(take_varint(&mut body)? as i32);
        alarms.activate(member, kind);
    }
    Some(alarms)
}

fn take_roster(mut body: &[u8]) -> Result<Roster, String> {
    let cut = || "a roster ends too early".to_owned();
    let said = |malformed: roster::Malformed| malformed.to_string();
    let mut members = Vec::new();
    for _ in 0..take_varint(&mut body).ok_or_else(cut)? {
        members.push(roster::member_from_json(take_bytes(&mut body).ok_or_else(cut)?).map_err(said)?);
    }
    let mut removed = Vec::new();
    for _ in 0..take_varint(&mut body).ok_or_else(cut)? {
        removed.push(take_varint(&mut body).ok_or_else(cut)?);
    }
    let version = take_bytes(&mut body).ok_or_else(cut)?;
    let version = std::str::from_utf8(version).map_err(|error| error.to_string())?;
    let version = (!version.is_empty()).then(|| version.to_owned());
    let downgrade = take_bytes(&mut body).ok_or_else(cut)?;
    let downgrade = match downgrade {
        [] => None,
        json => Some(roster::downgrade_from_json(json).map_err(said)?),
    };
    let conf_state = take_bytes(&mut body).ok_or_else(cut)?;
    let conf_state = roster::conf_state_from_json(conf_state).map_err(said)?;
    Ok(Roster::restore(members, removed, version, downgrade, conf_state))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roster::{Downgrade, Member};
    use proto::raftpb::ConfState;

    #[test]
    fn everything_that_is_no_key_comes_back() {
        let mut state = State::new();
        state.leases.restore(7, 60, 0);
        state.leases.restore(-9, 9_000_000_000, 31);
        let member = |id: u64| Member {
            id,
            peer_urls: vec![format!("http://m{id}:2380"), "http://\u{e9}:1".into()],
            is_learner: id == 2,
            name: format!("m{id}"),
            client_urls: Vec::new(),
        };
        let downgrade = Downgrade { target_version: "3.6.0".into(), enabled: true };
        let conf_state = ConfState { voters: vec![1], learners: vec![2], ..ConfState::default() };
        let version = Some("3.7.0".to_owned());
        let roster = Roster::restore([member(1), member(2)], [u64::MAX], version, Some(downgrade), conf_state);
        state.roster = Arc::new(roster);
        Arc::make_mut(&mut state.alarms).activate(1, AlarmKind::NO_SPACE);
        Arc::make_mut(&mut state.alarms).activate(0, AlarmKind(9));

        let mut out = BytesMut::new();
        encode_state(&mut out, &state, 5);
        let mut again = State::new();
        let mut rest = &out[..];
        while let Some(item) = Item::decode_unchecked(rest) {
            replay_item(&mut again, &item).expect("an item that can be read");
            rest = &rest[item.size..];
        }
        assert!(rest.is_empty());
        assert_eq!(again.roster, state.roster);
        assert_eq!(again.alarms, state.alarms);
        let leases = |state: &State| -> Vec<(i64, i64, i64)> {
            state.leases.iter().map(|(id, lease)| (id, lease.ttl_seconds(), lease.remaining_seconds())).collect()
        };
        assert_eq!(leases(&again), leases(&state));
        assert_eq!(leases(&again).len(), 2);
    }
}

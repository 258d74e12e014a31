// What members say of themselves and of each other.
'use strict';

const assert = require('node:assert/strict');
const { GRPCFailedPreconditionError } = require('etcd3');
const { clientOf, refused } = require('./world');

async function members(world) {
  const c = world.client;
  const { revision } = (await c.put('maintenance/a').value('1').exec()).header;
  const list = (await c.cluster.memberList({})).members;
  assert.deepEqual(list.flatMap(one => one.clientURLs).sort(), world.endpoints.map(one => `http://${one}`).sort());
  assert.deepEqual(list.map(one => one.name).sort(), ['m0', 'm1', 'm2']);
  assert.ok(list.every(one => !one.isLearner && one.peerURLs.length === 1));
  await world.settle();
  const statuses = await world.statuses();
  for (const status of statuses) {
    assert.ok(status.version !== '' && Number(status.dbSize) > 0 && Number(status.raftTerm) > 0, JSON.stringify(status));
    assert.ok(Number(status.raftIndex) > 0 && Number(status.header.revision) >= Number(revision), JSON.stringify(status));
  }
  assert.equal(new Set(statuses.map(status => status.leader)).size, 1, 'one leads');
  assert.deepEqual(statuses.map(status => status.header.member_id).sort(), list.map(one => one.ID).sort());
  assert.ok((await c.maintenance.hash()).hash > 0);
  assert.deepEqual((await c.maintenance.alarm({ action: 'Get' })).alarms, []);

  // Leadership moves to who is told, by nobody but the leader.
  const old = await world.leader();
  const next = (old + 1) % world.endpoints.length;
  const targetID = statuses[next].header.member_id;
  const follower = clientOf([world.endpoints[next]]);
  const leading = clientOf([world.endpoints[old]]);
  await refused(follower.maintenance.moveLeader({ targetID }), GRPCFailedPreconditionError, 'FAILED_PRECONDITION: etcdserver: not leader');
  await leading.maintenance.moveLeader({ targetID });
  assert.equal(await world.leader(), next);
  follower.close();
  leading.close();
  await c.put('maintenance/a').value('2');
}

module.exports = { members };

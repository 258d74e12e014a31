// The leader is killed under a writer, a lease and a watch of its own.
'use strict';

const assert = require('node:assert/strict');
const { Told, clientOf } = require('./world');

const NUMBERS = 30;
// How long one try may take, in milliseconds.
const TRY = 1500;

async function leaderDies(world) {
  const first = await world.leader();
  const { leader, raftTerm } = (await world.statuses())[first];
  const deadline = call => (call.isStream ? {} : { deadline: Date.now() + TRY });
  const c = clientOf(world.endpoints, { defaultCallOptions: deadline });
  await c.put('loss/number').value(-1);
  const lease = c.lease(20);
  await lease.put('loss/leased').value('1');
  const leaseId = await lease.grant();

  const { streamer, watcher } = await watchAt(world, leader);
  const numbers = new Told();
  watcher.on('put', kv => numbers.push(kv));
  const members = [];
  watcher.on('connected', created => members.push(created.header.member_id));

  const write = async () => {
    for (let number = 0; number < NUMBERS; number++) {
      if (number === NUMBERS / 3) {
        process.kill(world.pids[first], 'SIGKILL');
      }
      assert.equal(await again(() => count(c, number)), number, 'the number that an earlier try wrote');
    }
  };
  const writing = write();
  // Every number once and in order: the client watches on where it was.
  let wanted = 0;
  let revision = 0n;
  while (wanted < NUMBERS) {
    const kv = await numbers.next();
    assert.ok(BigInt(kv.mod_revision) > revision, `revision ${kv.mod_revision} after ${revision}`);
    revision = BigInt(kv.mod_revision);
    assert.equal(Number(kv.value), wanted, 'the number that the watch tells');
    wanted += 1;
  }
  await writing;
  assert.ok(members.length > 0 && members.at(-1) !== leader, 'the watch went to another member');
  const status = await again(() => c.maintenance.status());
  assert.ok(status.leader !== leader && Number(status.raftTerm) > Number(raftTerm), 'another leads');
  // The lease lives on with the new leader, and so does its key.
  const left = await again(() => c.leaseClient.leaseTimeToLive({ ID: leaseId, keys: true }));
  assert.equal(left.keys.map(String).join(), 'loss/leased');
  await again(() => lease.keepaliveOnce());
  await again(() => lease.revoke());
  assert.equal(await again(() => c.get('loss/leased').exists()), false);
  streamer.close();
  c.close();
}

// A watch whose stream is at this member: a client takes any, so one after the other.
async function watchAt(world, member) {
  for (;;) {
    const streamer = clientOf(world.endpoints);
    const watcher = streamer.watch().key('loss/number').watcher();
    const created = await new Promise(resolve => watcher.once('connected', resolve));
    if (created.header.member_id === member) {
      return { streamer, watcher };
    }
    await watcher.cancel();
    streamer.close();
  }
}

// Writes a number behind the one before it. A try whose answer was lost may
// have done it, or do it late: then the number is there, and nothing happens.
async function count(client, number) {
  const answer = await client
    .if('loss/number', 'Value', '==', number - 1)
    .then(client.put('loss/number').value(number))
    .else(client.get('loss/number'))
    .commit();
  return answer.succeeded ? number : Number(answer.responses[0].response_range.kvs[0].value);
}

// Until it succeeds.
async function again(attempt) {
  for (;;) {
    try {
      return await attempt();
    } catch {
      await new Promise(resolve => setImmediate(resolve));
    }
  }
}

module.exports = { leaderDies };

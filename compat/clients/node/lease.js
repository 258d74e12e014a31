// Leases: granted, renewed, looked at, run out, revoked, lost.
'use strict';

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { EtcdLeaseInvalidError, GRPCFailedPreconditionError } = require('etcd3');
const { events } = require('./watch');
const { Told, refused } = require('./world');

async function leases({ client: c }) {
  const granted = await c.leaseClient.leaseGrant({ TTL: 2, ID: '4711' });
  assert.deepEqual([granted.ID, granted.TTL], ['4711', '2']);
  const again = c.leaseClient.leaseGrant({ TTL: 2, ID: '4711' });
  await refused(again, GRPCFailedPreconditionError, 'FAILED_PRECONDITION: etcdserver: lease already exists');
  await c.leaseClient.leaseRevoke({ ID: '4711' });

  const gone = await c.watch().prefix('lease/').only('delete').create();
  const seen = events(gone);
  const responses = [];
  gone.on('data', response => responses.push(response));
  const kept = c.lease(5);
  const renewals = new Told();
  kept.on('keepaliveSucceeded', renewal => renewals.push(renewal));
  const brief = c.lease(1, { autoKeepAlive: false });
  await brief.put('lease/b').value('1');
  await brief.put('lease/a').value('1');
  await kept.put('lease/kept').value('1');
  const id = await kept.grant();
  assert.equal((await c.get('lease/kept').exec()).kvs[0].lease, id);

  // The client renews by itself: at once, and every third of the time.
  for (const renewal of await renewals.take(2)) {
    assert.deepEqual([renewal.ID, renewal.TTL], [id, '5']);
  }
  // Without renewals the other runs out: both keys in one revision, in order.
  assert.deepEqual(await seen.take(2), ['Delete lease/a', 'Delete lease/b']);
  const deletions = responses.filter(response => response.events.length > 0);
  assert.deepEqual(deletions.map(response => response.events.length), [2]);
  const ended = await c.leaseClient.leaseTimeToLive({ ID: await brief.grant(), keys: true });
  assert.deepEqual([ended.TTL, ended.keys.length], ['-1', 0]);
  await refused(brief.keepaliveOnce(), EtcdLeaseInvalidError, 'is expired or revoked');

  const left = await c.leaseClient.leaseTimeToLive({ ID: id, keys: true });
  assert.equal(left.grantedTTL, '5');
  assert.ok(Number(left.TTL) >= 0 && Number(left.TTL) <= 5, `what is left: ${left.TTL}`);
  assert.deepEqual(left.keys.map(String), ['lease/kept']);
  assert.equal((await kept.keepaliveOnce()).TTL, '5');
  const { leases: listed } = await c.leaseClient.leaseLeases();
  assert.ok(listed.some(lease => lease.ID === id), 'the list holds the lease');

  // A put without the lease takes the key from it; with ignoreLease it stays.
  await kept.put('lease/free').value('1');
  await c.put('lease/free').value('2');
  await c.put('lease/kept').value('2').ignoreLease();
  await kept.revoke();
  assert.deepEqual(await seen.take(1), ['Delete lease/kept']);
  assert.equal(await c.get('lease/free'), '2');

  // A lease that goes while the client renews it is noticed.
  const lost = c.lease(1);
  const told = once(lost, 'lost');
  await c.leaseClient.leaseRevoke({ ID: await lost.grant() });
  const [error] = await told;
  assert.ok(error instanceof EtcdLeaseInvalidError, String(error));
  await gone.cancel();
}

module.exports = { leases };

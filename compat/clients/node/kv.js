// Keys, ranges, transactions, refusals, compaction, namespaces.
'use strict';

const assert = require('node:assert/strict');
const { EtcdLeaseInvalidError, GRPCGenericError, GRPCInvalidArgumentError, GRPCOutOfRangeError, Range } = require('etcd3');
const { refused } = require('./world');

const FUTURE = 'etcdserver: mvcc: required revision is a future revision';
const COMPACTED = 'etcdserver: mvcc: required revision has been compacted';

async function keys({ client: c }) {
  assert.equal(await c.get('kv/none'), null);
  assert.equal(await c.get('kv/none').exists(), false);
  const first = await c.put('kv/a').value('1').exec();
  const previous = await c.put('kv/a').value('2').getPrevious();
  assert.equal(previous.value.toString(), '1');
  assert.equal(Number(previous.header.revision), Number(first.header.revision) + 1);
  const got = (await c.get('kv/a').exec()).kvs[0];
  assert.deepEqual([got.version, got.create_revision, got.mod_revision, got.lease], ['2', first.header.revision, previous.header.revision, '0']);
  assert.equal(await c.get('kv/a').revision(first.header.revision), '1');
  assert.equal(await c.get('kv/a').serializable(false).number(), 2);

  // Bytes that are no text, no bytes at all, and JSON.
  const bytes = Buffer.from([0xfe, 0x00, 0xff]);
  await c.put(Buffer.from('kv/\x00b')).value(bytes);
  assert.deepEqual(await c.get('kv/\x00b').buffer(), bytes);
  await c.put('kv/empty').value('');
  assert.equal(await c.get('kv/empty'), '');
  await c.put('kv/json').value('{"a":[1,2]}');
  assert.deepEqual(await c.get('kv/json').json(), { a: [1, 2] });

  // A touch makes a version and keeps the value.
  await c.put('kv/a').touch();
  const touched = (await c.get('kv/a').exec()).kvs[0];
  assert.deepEqual([touched.value.toString(), touched.version], ['2', '3']);

  const [deleted] = await c.delete().key('kv/a').getPrevious();
  assert.equal(deleted.value.toString(), '2');
  assert.equal((await c.delete().key('kv/a').exec()).deleted, '0');
  const rest = await c.delete().prefix('kv/').getPrevious();
  assert.deepEqual(rest.map(kv => kv.key.toString()), ['kv/\x00b', 'kv/empty', 'kv/json']);
}

async function ranges({ client: c }) {
  const revisions = [];
  for (const [key, value] of [['a', '3'], ['b', '1'], ['c', '2'], ['a', '3']]) {
    revisions.push((await c.put(`range/${key}`).value(value).exec()).header.revision);
  }
  const all = () => c.getAll().prefix('range/');
  const cases = [
    [all(), 'a b c'],
    [all().sort('Key', 'Descend'), 'c b a'],
    [all().sort('Value', 'Ascend'), 'b c a'],
    [all().sort('Create', 'Descend'), 'c b a'],
    [all().sort('Mod', 'Ascend'), 'b c a'],
    [all().sort('Version', 'Descend').limit(1), 'a'],
    [all().limit(2), 'a b'],
    [all().minModRevision(revisions[2]), 'a c'],
    [all().maxModRevision(revisions[2]), 'b c'],
    [all().minCreateRevision(revisions[1]), 'b c'],
    [all().maxCreateRevision(revisions[1]), 'a b'],
  ];
  for (const [number, [query, wanted]] of cases.entries()) {
    const got = await query.exec();
    assert.equal(got.kvs.map(kv => kv.key.toString().slice(6)).join(' '), wanted, `range ${number}`);
    assert.equal(got.count, '3', `the count of range ${number}`);
  }
  assert.deepEqual(await all(), { 'range/a': '3', 'range/b': '1', 'range/c': '2' });
  assert.deepEqual(await all().numbers(), { 'range/a': 3, 'range/b': 1, 'range/c': 2 });
  assert.deepEqual(await all().keys(), ['range/a', 'range/b', 'range/c']);
  assert.equal(await all().count(), 3);
  const paged = await all().limit(2).exec();
  assert.deepEqual([paged.more, paged.kvs.length], [true, 2]);
  const half = await c.getAll().inRange({ start: 'range/b', end: 'range/c' });
  assert.deepEqual(half, { 'range/b': '1' });
  assert.ok((await c.getAll().all().keys()).length >= 3);
  const old = await all().revision(revisions[1]);
  assert.deepEqual(Object.keys(old), ['range/a', 'range/b']);
  const gone = await c.delete().range(new Range('range/b', 'range/d')).exec();
  assert.equal(gone.deleted, '2');
}

async function transactions({ client: c }) {
  await c.put('txn/a').value('m');
  const cases = [
    ['txn/a', 'Value', '==', 'm', true],
    ['txn/a', 'Value', '>', 'm', false],
    ['txn/a', 'Value', '<', 'n', true],
    ['txn/a', 'Version', '==', 1, true],
    ['txn/none', 'Version', '==', 0, true],
    ['txn/a', 'Mod', '!=', 0, true],
    ['txn/none', 'Create', '>', 0, false],
    ['txn/a', 'Lease', '==', 0, true],
  ];
  for (const [key, column, compare, value, holds] of cases) {
    const answer = await c.if(key, column, compare, value).then(c.get('txn/a')).commit();
    assert.equal(answer.succeeded, holds, `${key} ${column} ${compare} ${value}`);
    assert.equal(answer.responses.length, holds ? 1 : 0);
  }
  // Two comparisons: both must hold; else the other branch, whole.
  const both = await c
    .if('txn/a', 'Value', '==', 'm')
    .and('txn/a', 'Version', '==', 2)
    .then(c.delete().all())
    .else(c.put('txn/b').value('1'), c.get('txn/b'), c.delete().key('txn/a'))
    .commit();
  assert.equal(both.succeeded, false);
  assert.deepEqual(both.responses.map(one => one.response), ['response_put', 'response_range', 'response_delete_range']);
  const revision = both.header.revision;
  assert.equal(both.responses[1].response_range.kvs[0].mod_revision, revision);
  assert.equal(both.responses[2].response_delete_range.deleted, '1');

  // Nested, by the client's own messages. Comparisons come before all writes.
  const put = (key, value) => ({ request_put: { key: Buffer.from(key), value: Buffer.from(value) } });
  const compare = (key, version) => ({ key: Buffer.from(key), target: 'Version', result: 'Equal', version });
  const inner = { compare: [compare('txn/d', 0)], success: [put('txn/c', 'then')], failure: [put('txn/c', 'else')] };
  const nested = await c.kv.txn({ compare: [], success: [put('txn/d', '1'), { request_txn: inner }], failure: [] });
  assert.equal(nested.responses[1].response_txn.succeeded, true);
  const got = (await c.get('txn/c').exec()).kvs[0];
  assert.deepEqual([got.value.toString(), got.mod_revision], ['then', nested.header.revision]);
}

async function refusals({ client: c }) {
  const before = (await c.getAll().prefix('no').exec()).header.revision;
  const invalid = GRPCInvalidArgumentError;
  await refused(c.put('').value('1').exec(), invalid, 'INVALID_ARGUMENT: etcdserver: key is not provided');
  await refused(c.put('no').value('1').lease('77').exec(), EtcdLeaseInvalidError, 'is expired or revoked');
  await refused(c.leaseClient.leaseRevoke({ ID: '77' }), EtcdLeaseInvalidError, 'NOT_FOUND: etcdserver: requested lease not found');
  await refused(c.get('no').revision('1099511627776').exec(), GRPCOutOfRangeError, `OUT_OF_RANGE: ${FUTURE}`);
  await refused(c.put('no').value('x'.repeat(1_700_000)).exec(), invalid, 'INVALID_ARGUMENT: etcdserver: request is too large');
  const twice = c.if('no', 'Version', '==', 0).then(c.put('no').value('1'), c.put('no').value('2')).commit();
  await refused(twice, invalid, 'INVALID_ARGUMENT: etcdserver: duplicate key given in txn request');
  const many = Array.from({ length: 129 }, (_, number) => c.put(`no/${number}`).value('1'));
  const long = c.if('no', 'Version', '==', 0).then(...many).commit();
  await refused(long, invalid, 'INVALID_ARGUMENT: etcdserver: too many operations in txn request');
  await refused(c.put('no').touch(), invalid, 'INVALID_ARGUMENT: etcdserver: key not found');
  const after = await c.getAll().prefix('no').exec();
  assert.deepEqual([after.kvs.length, after.header.revision], [0, before]);
}

async function compaction({ client: c }) {
  const first = (await c.put('compaction/a').value('1').exec()).header.revision;
  const second = (await c.put('compaction/a').value('2').exec()).header.revision;
  await c.kv.compact({ revision: second, physical: true });
  await refused(c.get('compaction/a').revision(first).exec(), GRPCOutOfRangeError, COMPACTED);
  await refused(c.kv.compact({ revision: second }), GRPCOutOfRangeError, COMPACTED);
  await refused(c.kv.compact({ revision: Number(second) + 1000 }), GRPCOutOfRangeError, FUTURE);
  assert.equal(await c.get('compaction/a').revision(second), '2');
}

// The client puts a prefix before every key, and takes it away again.
async function namespaces({ client: c }) {
  const own = c.namespace('space/');
  await own.put('a').value('1');
  await own.namespace('in/').put('b').value('2');
  assert.equal(await c.get('space/a'), '1');
  assert.deepEqual(await own.getAll(), { a: '1', 'in/b': '2' });
  const answer = await own.if('a', 'Value', '==', '1').then(own.get('in/b')).commit();
  assert.equal(answer.responses[0].response_range.kvs[0].value.toString(), '2');
  await own.delete().all();
  assert.equal(await c.getAll().prefix('space/').count(), 0);
}

module.exports = { compaction, keys, namespaces, ranges, refusals, transactions };

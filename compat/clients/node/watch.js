// Watches: live, filtered, from the past, cancelled, refused.
'use strict';

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { Told } = require('./world');

// The watch's events, each as "Put key=value<previous".
function events(watcher) {
  const told = new Told();
  watcher.on('put', (kv, previous) => {
    told.push(`Put ${kv.key}=${kv.value}${previous ? `<${previous.value}` : ''}`);
  });
  watcher.on('delete', (kv, previous) => {
    told.push(`Delete ${kv.key}${previous ? `<${previous.value}` : ''}`);
  });
  return told;
}

async function live(world) {
  const c = world.client;
  const all = await c.watch().prefix('watch/').withPreviousKV().create();
  const deletions = await c.watch().prefix('watch/').only('delete').create();
  const single = await c.watch().key('watch/a').only('put').create();
  const seen = events(all);
  const gone = events(deletions);
  const put = events(single);
  const responses = new Told();
  all.on('data', response => responses.push(response));
  await c.put('watch/a').value('1');
  await c.put('watch/b').value('2');
  await c.put('watch/a').value('3');
  await c.delete().key('watch/a');
  assert.deepEqual(await seen.take(4), ['Put watch/a=1', 'Put watch/b=2', 'Put watch/a=3<1', 'Delete watch/a<3']);
  assert.deepEqual(await gone.take(1), ['Delete watch/a']);
  assert.deepEqual(await put.take(2), ['Put watch/a=1', 'Put watch/a=3']);

  // What one transaction changed comes in one response.
  const txn = await c.if('watch/x', 'Version', '==', 0).then(c.put('watch/x').value('1'), c.put('watch/y').value('1')).commit();
  let response;
  do {
    response = await responses.next();
  } while (!response.events.some(event => event.kv.mod_revision === txn.header.revision));
  assert.deepEqual(response.events.map(event => event.kv.mod_revision), [txn.header.revision, txn.header.revision]);
  assert.deepEqual(await seen.take(2), ['Put watch/x=1', 'Put watch/y=1']);

  // The client asks for notices of progress: nothing happened up to this revision.
  do {
    response = await responses.next();
  } while (response.events.length > 0);
  assert.ok(BigInt(response.header.revision) >= BigInt(txn.header.revision), 'progress falls behind what was told');
  assert.equal(Number(all.lastRevision()), Number(response.header.revision) + 1);

  // A watch that is cancelled hears no more; others of the stream do.
  await deletions.cancel();
  await c.delete().key('watch/b');
  assert.deepEqual(await seen.take(1), ['Delete watch/b<2']);
  assert.deepEqual(gone.queue, []);
  await all.cancel();
  await single.cancel();
}

async function history(world) {
  const c = world.client;
  const revisions = [];
  for (const value of ['1', '2', '3']) {
    revisions.push((await c.put('history/a').value(value).exec()).header.revision);
  }
  const past = c.watch().key('history/a').startRevision(revisions[1]).withPreviousKV().watcher();
  const seen = events(past);
  assert.deepEqual(await seen.take(2), ['Put history/a=2<1', 'Put history/a=3<2']);
  // Two more of the same stream and time: each hears all of its past.
  const others = revisions.slice(1).map(revision => c.watch().key('history/a').startRevision(revision).watcher());
  const [longer, shorter] = others.map(events);
  assert.deepEqual(await longer.take(2), ['Put history/a=2', 'Put history/a=3']);
  assert.deepEqual(await shorter.take(1), ['Put history/a=3']);
  for (const watcher of [past, ...others]) {
    await watcher.cancel();
  }
}

async function refusedWatch(world) {
  const c = world.client;
  const first = (await c.put('refused/a').value('1').exec()).header.revision;
  const second = (await c.put('refused/a').value('2').exec()).header.revision;
  await c.kv.compact({ revision: second });
  await world.settle();
  const alive = await c.watch().key('refused/a').create();
  const seen = events(alive);
  const lost = c.watch().key('refused/a').startRevision(first).watcher();
  const heard = events(lost);
  const [error] = await once(lost, 'error');
  assert.ok(error.message.startsWith('Watcher canceled:'), error.message);
  assert.deepEqual(heard.queue, []);
  // The other watch of the stream goes on.
  await c.put('refused/a').value('3');
  assert.deepEqual(await seen.take(1), ['Put refused/a=3']);
  await alive.cancel();
}

module.exports = { events, history, live, refusedWatch };

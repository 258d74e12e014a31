// The client's own locks, elections and software transactions.
'use strict';

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { EtcdLockFailedError, NotCampaigningError } = require('etcd3');
const { clientOf, refused } = require('./world');

const CONTENDERS = 3;
const TURNS = 3;

// A lock of this client is taken or refused at once; who is refused waits for
// the holder's key to go.
async function locks({ client: c, endpoints }) {
  let inside = 0;
  const contend = async number => {
    const own = clientOf([endpoints[number]]);
    for (let turn = 0; turn < TURNS; ) {
      const lock = own.lock('mutex').ttl(20);
      try {
        await lock.acquire();
      } catch (error) {
        assert.ok(error instanceof EtcdLockFailedError, String(error));
        await released(own);
        continue;
      }
      inside += 1;
      assert.equal(inside, 1, 'two hold the lock');
      const fenced = await own.if('mutex', 'Lease', '==', await lock.leaseId()).then(own.put('fenced').value('1')).commit();
      assert.equal(fenced.succeeded, true, 'a write that only the holder may do');
      inside -= 1;
      await lock.release();
      turn += 1;
    }
    own.close();
  };
  await Promise.all(endpoints.map((_, number) => contend(number)));
  assert.equal((await c.get('fenced').exec()).kvs[0].version, String(CONTENDERS * TURNS));
  const answer = await c.lock('mutex').do(async () => {
    await refused(c.lock('mutex').acquire(), EtcdLockFailedError, 'Failed to acquire a lock on mutex');
    return 'done';
  });
  assert.equal(answer, 'done');
  assert.equal(await c.get('mutex').exists(), false);
}

// Until nobody holds the lock, as far as this can tell.
async function released(client) {
  const { kvs, header } = await client.get('mutex').exec();
  if (kvs.length === 0) {
    return;
  }
  const watcher = client.watch().key('mutex').startRevision(String(Number(header.revision) + 1)).only('delete').watcher();
  await once(watcher, 'delete');
  await watcher.cancel();
}

async function campaigns({ client: c }) {
  const election = c.election('campaign', 20);
  const observer = await election.observe();
  const leads = async name => {
    while (observer.leader() !== name) {
      await once(observer, 'change');
    }
  };
  const first = election.campaign('one');
  await first.wait();
  await leads('one');
  assert.equal(await election.leader(), 'one');
  await first.proclaim('again');
  await leads('again');
  assert.ok((await first.getCampaignKey()).startsWith('election/campaign/'));

  const second = election.campaign('two');
  const elected = second.wait();
  await once(second, '_isWaiting');
  assert.equal(await election.leader(), 'again');
  await first.resign();
  await elected;
  await leads('two');
  await refused(first.proclaim('late'), NotCampaigningError, '');
  await second.resign();
  await observer.cancel();
  assert.equal(await election.leader(), undefined);
}

// Increments by several at once: none is lost, conflicts are tried again.
async function softwareTransactions({ client: c }) {
  const workers = 4;
  const turns = 5;
  await c.put('stm/number').value(0);
  const work = async () => {
    for (let turn = 0; turn < turns; turn++) {
      await c.stm({ retries: 1000 }).transact(async tx => {
        const number = await tx.get('stm/number').number();
        await tx.put('stm/number').value(number + 1);
      });
    }
  };
  await Promise.all(Array.from({ length: workers }, work));
  assert.equal(await c.get('stm/number').number(), workers * turns);
}

module.exports = { campaigns, locks, softwareTransactions };

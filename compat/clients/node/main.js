// Node's etcd3, against three members.
//
// Every part asserts what it sees and leaves the cluster usable for the next
// one; the last part kills a member. Knows of no server: what holds, holds for
// etcd and for whatever stands in its place.
'use strict';

const { World } = require('./world');
const { campaigns, locks, softwareTransactions } = require('./concurrency');
const { compaction, keys, namespaces, ranges, refusals, transactions } = require('./kv');
const { leases } = require('./lease');
const { leaderDies } = require('./loss');
const { members } = require('./maintenance');
const { history, live, refusedWatch } = require('./watch');

// How long one part may take, in milliseconds; the longest needs about five seconds.
const PATIENCE = 40_000;

const PARTS = [
  ['kv', keys],
  ['ranges', ranges],
  ['txn', transactions],
  ['refusals', refusals],
  ['compaction', compaction],
  ['namespace', namespaces],
  ['watch', live],
  ['watch-history', history],
  ['watch-refused', refusedWatch],
  ['lease', leases],
  ['mutex', locks],
  ['campaign', campaigns],
  ['stm', softwareTransactions],
  ['maintenance', members],
  ['loss', leaderDies], // kills a member: nothing may follow
];

async function main() {
  const world = World.fromEnvironment();
  let failed = 0;
  for (const [name, part] of PARTS) {
    const started = Date.now();
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`not done after ${PATIENCE} ms`)), PATIENCE);
    });
    try {
      await Promise.race([part(world), late]);
      console.log(`ok ${name} (${Date.now() - started} ms)`);
    } catch (error) {
      failed += 1;
      console.log(`FAILED ${name}: ${error.stack ?? error}`);
    } finally {
      clearTimeout(timer);
    }
  }
  world.client.close();
  if (failed > 0) {
    console.log(`${failed} of ${PARTS.length} parts failed`);
  }
  // What a failed part left running must not keep the process.
  process.exit(failed > 0 ? 1 : 0);
}

main();

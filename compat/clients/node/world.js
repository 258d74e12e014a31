// What every part is given, and the assertions that it makes.
'use strict';

const assert = require('node:assert/strict');
const { Etcd3 } = require('etcd3');

function listed(name) {
  return (process.env[name] ?? '').split(',').filter(one => one !== '');
}

class World {
  static fromEnvironment() {
    const world = new World();
    world.endpoints = listed('COMPAT_ENDPOINTS');
    world.pids = listed('COMPAT_PIDS').map(Number);
    assert.equal(world.endpoints.length, 3, 'see compat/clients/README.md');
    assert.equal(world.pids.length, 3, 'see compat/clients/README.md');
    world.client = clientOf(world.endpoints);
    return world;
  }

  // Waits until every member has applied all that was answered so far: what is
  // watched, or read locally, may otherwise be behind. The client asks any member.
  async settle() {
    for (const endpoint of this.endpoints) {
      const single = clientOf([endpoint]);
      await single.get('settled').exec();
      single.close();
    }
  }

  // Every member's own word about itself, in the order of the endpoints.
  async statuses() {
    const all = [];
    for (const endpoint of this.endpoints) {
      const single = clientOf([endpoint]);
      all.push(await single.maintenance.status());
      single.close();
    }
    return all;
  }

  // The place of the member that leads, by its own word.
  async leader() {
    for (;;) {
      const place = (await this.statuses()).findIndex(status => status.leader === status.header.member_id);
      if (place >= 0) {
        return place;
      }
    }
  }
}

// A client of these endpoints; each call goes to any one of them.
function clientOf(endpoints, options = {}) {
  return new Etcd3({ hosts: endpoints, ...options });
}

// Ends the part unless the call fails with these words and this class of error.
async function refused(call, kind, words) {
  let answer;
  try {
    answer = await call;
  } catch (error) {
    assert.ok(error.message.includes(words), `the error is "${error.message}" and should be "${words}"`);
    assert.equal(error.constructor.name, kind.name, `the class of "${error.message}"`);
    return;
  }
  assert.fail(`there is no error and should be "${words}", but ${JSON.stringify(answer)}`);
}

// Things that come one after the other, to be awaited.
class Told {
  constructor() {
    this.queue = [];
    this.waiting = null;
  }

  push(one) {
    this.queue.push(one);
    this.waiting?.();
  }

  async next() {
    while (this.queue.length === 0) {
      await new Promise(resolve => (this.waiting = resolve));
    }
    return this.queue.shift();
  }

  async take(count) {
    const taken = [];
    while (taken.length < count) {
      taken.push(await this.next());
    }
    return taken;
  }
}

module.exports = { Told, World, clientOf, refused };

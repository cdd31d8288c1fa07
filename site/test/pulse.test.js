import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pause } from '../lib/backoff.js';
import { grew, Pulse, trafficOf } from '../lib/pulse.js';

/**
 * A pulse a hundred times faster than in life, or as fast as is told, over a path that the test moves.
 * @param {import('node:test').TestContext} t
 * @param {{answers?: boolean, media?: boolean, paused?: boolean, every?: number}} path
 */
function beat(t, path) {
  const stop = new AbortController();
  t.after(() => stop.abort());
  const at = { pings: 0, looks: 0, bytes: 0 };
  const pulse = new Pulse({
    signal: stop.signal,
    timing: { every: path.every ?? 10, answer: 8, look: 8, silent: 6 },
    ping: () => {
      at.pings++;
      if (path.answers) setTimeout(() => pulse.heard(), 1);
    },
    traffic: async () => {
      at.looks++;
      if (path.media) at.bytes++;
      return new Map([['T', at.bytes]]);
    },
    paused: () => path.paused ?? false,
  });
  /** @type {string[]} */
  const events = [];
  for (const e of /** @type {const} */ (['stalled', 'dead'])) pulse.on(e, () => events.push(e));
  return { pulse, at, events, ended: pulse.start(), stop };
}

/** @param {() => boolean} ok */
async function until(ok) {
  while (!ok()) await pause(1);
}

test('a path that answers is left alone, and nobody asks for statistics', async (t) => {
  const b = beat(t, { answers: true });
  await until(() => b.at.pings >= 10);
  assert.deepEqual(b.events, []);
  assert.equal(b.at.looks, 0);
});

test('a path on which nothing comes is reported after the first ping', async (t) => {
  const path = { answers: true };
  const b = beat(t, path);
  await until(() => b.at.pings >= 2);
  path.answers = false;
  const before = b.at.pings;
  await until(() => b.events.length > 0);
  assert.deepEqual(b.events, ['stalled']);
  assert.ok(b.at.pings - before <= 2, `${b.at.pings - before} pings`);
});

test('media without a word on the channel is no stall, but not for ever', async (t) => {
  const b = beat(t, { media: true });
  await b.ended;
  assert.deepEqual(b.events, ['dead']);
  assert.equal(b.at.pings, 6);
});

test('while somebody mends the path there is silence on both sides', async (t) => {
  const path = { paused: true };
  const b = beat(t, path);
  await pause(100);
  assert.equal(b.at.pings, 0);
  path.paused = false;
  await until(() => b.events.length > 0);
  assert.deepEqual(b.events, ['stalled']);
});

test('a doubt is looked into at once', async (t) => {
  const b = beat(t, { every: 3_600_000 });
  b.pulse.look();
  await until(() => b.events.length > 0);
  assert.deepEqual([b.events, b.at.pings], [['stalled'], 1]);
});

/**
 * A pulse with the timing of life, on a clock that the test turns.
 * @param {import('node:test').TestContext} t
 * @param {() => number} received  bytes so far
 */
function beatInLife(t, received) {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const stop = new AbortController();
  const at = { pings: 0, ms: 0 };
  /** @type {string[]} */
  const events = [];
  const pulse = new Pulse({
    signal: stop.signal,
    ping: () => { at.pings++; setTimeout(() => pulse.heard(), 60); },
    traffic: async () => new Map([['T', received()]]),
    paused: () => false,
  });
  for (const e of /** @type {const} */ (['stalled', 'dead'])) pulse.on(e, () => events.push(e));
  pulse.start();
  t.after(() => stop.abort());
  const turn = async (/** @type {number} */ ms) => {
    for (const end = at.ms + ms; at.ms < end; at.ms += 5) {
      t.mock.timers.tick(5);
      await new Promise((resolve) => { setImmediate(resolve); });
    }
  };
  return { pulse, at, events, turn };
}

test('a burst of doubts is one doubt', async (t) => {
  const b = beatInLife(t, () => Math.floor(b.at.ms / 20)); // a packet every 20 ms
  await b.turn(100);
  for (let i = 0; i < 3; i++) {
    b.pulse.look();
    await b.turn(5);
  }
  await b.turn(900);
  assert.deepEqual([b.events, b.at.pings], [[], 1]);
});

test('what the server says is no reason to ping it', async (t) => {
  const b = beatInLife(t, () => 0);
  for (let i = 0; i < 50; i++) { // 10 messages a second for 5 s
    await b.turn(100);
    b.pulse.heard();
  }
  assert.deepEqual(b.events, []);
  assert.ok(b.at.pings >= 4 && b.at.pings <= 5, `${b.at.pings} pings`);
});

test('it ends at once', async (t) => {
  const b = beat(t, { every: 3_600_000 });
  b.stop.abort();
  await b.ended;
  assert.deepEqual(b.events, []);
});

test('what has arrived is compared part by part', () => {
  const stats = (/** @type {object[]} */ ...list) => /** @type {any} */ (new Map(list.map((s, i) => [i, s])));
  const before = trafficOf(stats({ id: 'T', bytesReceived: 10 }, { id: 'old', bytesReceived: 99, responsesReceived: 1 }, { id: 'codec' }), true);
  assert.deepEqual([...before], [['T', 10], ['old', 100]]);
  const after = (/** @type {boolean} */ checks) => trafficOf(stats({ id: 'T', bytesReceived: 10 }, { id: 'new', responsesReceived: 1 }), checks);
  assert.equal(grew(before, after(false)), false);
  assert.equal(grew(before, after(true)), true);
  assert.equal(grew(before, trafficOf(stats({ id: 'T', bytesReceived: 11 }), false)), true);
  assert.equal(grew(before, new Map()), false);
});

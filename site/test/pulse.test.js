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

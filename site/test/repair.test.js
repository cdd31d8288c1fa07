import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pause } from '../lib/backoff.js';
import { WeeverError } from '../lib/errors.js';
import { Repair } from '../lib/repair.js';

const offline = () => Promise.reject(new WeeverError('network', 'The server cannot be reached.'));
const refused = (/** @type {number} */ status, retryAfter = 0) => Promise.reject(
  new WeeverError('refused', 'No.', { status, retryAfter, final: status < 500 && status !== 429 }));

const NEVER = 3_600_000; // ms: who waits that long is ended by LIMIT
const LIMIT = { timeout: 10_000 };

/**
 * A repair a hundred times faster than in life.
 * @param {import('node:test').TestContext} t
 * @param {(attempt: number, signal: AbortSignal) => Promise<void>} restart
 * @param {(attempt: number, signal: AbortSignal) => Promise<boolean>} [works]
 * @param {object} [timing]  what is other than usual
 */
function repair(t, restart, works = async () => true, timing = {}) {
  const stop = new AbortController();
  t.after(() => stop.abort());
  const at = { attempts: 0, running: 0, most: 0, when: /** @type {number[]} */ ([]) };
  const r = new Repair({
    signal: stop.signal,
    timing: { reply: 20, returns: 50, known: 120, calm: 100, first: 10, longest: 40, ...timing },
    restart: async (signal) => {
      at.attempts++;
      at.when.push(performance.now());
      at.most = Math.max(at.most, ++at.running);
      await restart(at.attempts, signal).finally(() => { at.running--; });
    },
    works: (signal) => works(at.attempts, signal),
  });
  return { r, at, stop };
}

test('one restart that helps', async (t) => {
  const { r, at } = repair(t, async () => {});
  const done = r.mend();
  assert.equal(r.running, true);
  assert.equal(await done, true);
  assert.equal(r.running, false);
  assert.equal(at.attempts, 1);
});

test('it tries on while there is no network', LIMIT, async (t) => {
  const { r, at } = repair(t, (n) => (n < 4 ? offline() : Promise.resolve()), undefined, { known: NEVER });
  assert.equal(await r.mend(), true);
  assert.equal(at.attempts, 4);
  assert.equal(at.most, 1);
});

test('and gives up when the server must have forgotten the session', LIMIT, async (t) => {
  const { r, at } = repair(t, offline);
  const start = performance.now();
  assert.equal(await r.mend(), false);
  assert.ok(performance.now() - start >= 120);
  assert.ok(at.attempts >= 2 && at.attempts < 20, `${at.attempts} attempts`);
});

test('a server that answers, and still nothing arrives: sooner', LIMIT, async (t) => {
  for (const restart of [async () => {}, () => refused(500)]) {
    const { r, at } = repair(t, restart, async () => false, { known: NEVER });
    const start = performance.now();
    assert.equal(await r.mend(), false);
    assert.ok(performance.now() - start >= 50);
    assert.ok(at.attempts >= 2, `${at.attempts} attempts`);
  }
});

test('a server that is busy says nothing of the session', LIMIT, async (t) => {
  for (const status of [429, 503]) {
    const { r, at } = repair(t, () => refused(status), undefined, { known: 200 });
    const start = performance.now();
    assert.equal(await r.mend(), false);
    assert.ok(performance.now() - start >= 200, `${status}: gave up after ${performance.now() - start} ms`);
    assert.ok(at.attempts >= 2, `${at.attempts} attempts`);
  }
});

test('and is left alone for as long as it asks, whatever happens to the network', LIMIT, async (t) => {
  for (const status of [429, 503]) {
    const { r, at } = repair(t, (n) => {
      if (n === 1) setTimeout(() => r.moved(), 10);
      return n === 1 ? refused(status, 100) : Promise.resolve();
    }, undefined, { known: NEVER });
    assert.equal(await r.mend(), true);
    const [first = 0, second = 0] = at.when;
    assert.ok(second - first >= 99 && at.attempts === 2, `${status}: ${at.attempts} attempts, ${second - first} ms apart`);
  }
});

test('but not for longer than it knows the session: there is one attempt more, at the end', LIMIT, async (t) => {
  const { r, at } = repair(t, () => refused(503, NEVER));
  const start = performance.now();
  assert.equal(await r.mend(), false);
  const took = performance.now() - start;
  assert.ok(took >= 119 && took < 1000, `${took} ms`);
  assert.ok(at.attempts >= 2 && at.attempts < 5, `${at.attempts} attempts`);
});

test('the end of the connection ends that pause, too', LIMIT, async (t) => {
  const { r, stop } = repair(t, () => refused(503, NEVER), undefined, { known: NEVER });
  const done = r.mend();
  await pause(5);
  stop.abort();
  assert.equal(await done, true);
});

test('a session that is gone is not asked for twice', async (t) => {
  const { r, at } = repair(t, () => refused(404));
  assert.equal(await r.mend(), false);
  assert.equal(at.attempts, 1);
});

test('a request that hangs is given up', LIMIT, async (t) => {
  const { r, at } = repair(t, async (n, signal) => {
    if (n > 1) return;
    await pause(NEVER, signal);
    await offline();
  });
  assert.equal(await r.mend(), true);
  assert.equal(at.attempts, 2);
});

test('another network: the attempt that is on is dropped, the next comes at once', LIMIT, async (t) => {
  const { r, at } = repair(t, async () => {}, async (n, signal) => {
    if (n > 1) return true;
    await pause(NEVER, signal);
    return false;
  }, { first: NEVER, longest: NEVER });
  const done = r.mend();
  await pause(5);
  r.moved();
  assert.equal(await done, true);
  assert.equal(at.attempts, 2);
});

test('and so is the pause that is on', LIMIT, async (t) => {
  const { r, at } = repair(t, (n) => (n > 1 ? Promise.resolve() : offline()), undefined, { first: NEVER, longest: NEVER });
  const done = r.mend();
  await pause(5);
  r.moved();
  assert.equal(await done, true);
  assert.equal(at.attempts, 2);
});

test('repairs that follow each other closely are spaced', async (t) => {
  const { r, at } = repair(t, async () => {}, undefined, { calm: NEVER });
  for (let i = 0; i < 4; i++) await r.mend();
  const gaps = at.when.slice(1).map((w, i) => w - (at.when[i] ?? 0));
  assert.ok((gaps[0] ?? 0) >= 4 && (gaps[1] ?? 0) >= 9 && (gaps[2] ?? 0) >= 19, `${gaps} ms apart`);
});

test('but for another network', LIMIT, async (t) => {
  const { r, at } = repair(t, async () => {}, undefined, { calm: NEVER, first: NEVER, longest: NEVER });
  await r.mend();
  r.moved();
  await r.mend();
  assert.equal(at.attempts, 2);
});

test('the end of the connection ends it', LIMIT, async (t) => {
  const { r, stop } = repair(t, async () => {}, async (_, signal) => { await pause(NEVER, signal); return false; });
  const done = r.mend();
  stop.abort();
  assert.equal(await done, true);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Backoff, pause } from '../lib/backoff.js';

test('delays double from half a second to ten, whatever the draw', () => {
  const least = new Backoff({ random: () => 0 });
  assert.deepEqual(Array.from({ length: 6 }, () => least.next()), [500, 1000, 2000, 4000, 5000, 5000]);
  const most = new Backoff({ random: () => 1 });
  assert.deepEqual(Array.from({ length: 6 }, () => most.next()), [1000, 2000, 4000, 8000, 10_000, 10_000]);
  for (let i = 0; i < 100; i++) assert.ok(most.next() <= 10_000);
  most.reset();
  assert.equal(most.next(), 1000);
});

test('the server\'s wish is granted and spread', () => {
  assert.equal(new Backoff({ random: () => 0 }).next(7000), 7000);
  assert.equal(new Backoff({ random: () => 1 }).next(7000), 8400);
  assert.equal(new Backoff({ random: () => 1 }).next(100), 1000);
});

test('an aborted pause ends at once', async () => {
  const stop = new AbortController();
  const waiting = pause(3_600_000, stop.signal);
  stop.abort();
  await waiting;
  await pause(3_600_000, stop.signal);
});

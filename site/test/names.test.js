import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkId, checkRoom, idOf, isFullId, isScreen, newFullId, screenId } from '../lib/names.js';

test('rooms and ids', () => {
  for (const ok of ['a', 'Tea_Room-1~', 'x'.repeat(64)]) assert.equal(checkRoom(ok), ok);
  for (const bad of ['', 'a.b', 'a b', 'a+b', 'é', '*', '>', '"', 'x'.repeat(65)]) assert.throws(() => checkRoom(bad), { code: 'bad-name', final: true });
  assert.equal(checkId('x'.repeat(48)), 'x'.repeat(48));
  for (const bad of ['', '-screen', 'a/b', 'x'.repeat(49)]) assert.throws(() => checkId(bad), { code: 'bad-name' });
  assert.equal(screenId('alice'), 'alice-screen');
  assert.throws(() => screenId('x'.repeat(42)), { code: 'bad-name' });
});

test('full ids', () => {
  for (const ok of ['alice', 'alice+1', 'alice-screen+1', `${'x'.repeat(48)}+${'y'.repeat(15)}`]) assert.ok(isFullId(ok), ok);
  for (const bad of ['', '+', '+1', 'alice+', 'a+b+c', '-screen', '-screen+1', 'a b', '{1}', `${'x'.repeat(48)}+${'y'.repeat(16)}`]) assert.ok(!isFullId(bad), bad);
  assert.equal(idOf('alice-screen+1'), 'alice');
  assert.equal(idOf('alice-screen-screen'), 'alice-screen');
  assert.equal(idOf('alice'), 'alice');
  assert.ok(isScreen('alice-screen+1'));
  assert.ok(!isScreen('alice+x-screen'));
});

test('a new full id is legal for the longest id, and never the same', () => {
  const longest = 'x'.repeat(48);
  assert.ok(isFullId(newFullId(longest)));
  assert.ok(isFullId(newFullId('a', (b) => b.fill(255))));
  const all = new Set(Array.from({ length: 1000 }, () => newFullId('a')));
  assert.equal(all.size, 1000);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Wishes } from '../lib/wishes.js';

test('a new session is told what still counts, in order', () => {
  const w = new Wishes('auto');
  assert.deepEqual(w.replay(), []);
  assert.equal(w.want('alice', ['video0', 'audio0'], false), 'UNSUB alice video0 audio0');
  assert.equal(w.layer('alice', 'video0', 'low'), 'LAYER alice video0 low');
  w.layer('alice', 'video0', 'high');
  w.want('alice', ['video0'], true);
  assert.deepEqual(w.replay(), ['UNSUB alice audio0', 'LAYER alice video0 high', 'SUB alice video0']);
  w.want('alice', [], true);
  assert.deepEqual(w.replay(), ['LAYER alice video0 high', 'SUB alice']);
  w.want('bob', [], false);
  w.forget('alice');
  assert.deepEqual(w.replay(), ['UNSUB bob']);
});

test('the mode is repeated once it was changed', () => {
  const w = new Wishes('manual');
  assert.equal(w.mode, 'manual');
  assert.deepEqual(w.replay(), []);
  assert.equal(w.setMode('auto'), 'SUB_MODE auto');
  assert.equal(w.mode, 'auto');
  assert.deepEqual(w.replay(), ['SUB_MODE auto']);
});

test('what cannot be sent is not kept', () => {
  const w = new Wishes('auto');
  assert.throws(() => w.want('a b', [], true));
  assert.throws(() => w.want('a', ['video'], true));
  assert.throws(() => w.layer('a', 'video0', 'best'));
  assert.throws(() => w.setMode('none'));
  assert.deepEqual([w.replay(), w.mode], [[], 'auto']);
});

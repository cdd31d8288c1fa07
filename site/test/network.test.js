import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Network } from '../lib/network.js';

/**
 * A page's global object, as far as it matters here.
 * @param {string} [type]
 */
function scope(type) {
  const connection = Object.assign(new EventTarget(), { type });
  const page = new EventTarget();
  return { addEventListener: page.addEventListener.bind(page), fire: (/** @type {string} */ e) => page.dispatchEvent(new Event(e)), navigator: { connection } };
}

/** @param {Network} network */
function heard(network) {
  /** @type {string[]} */
  const list = [];
  for (const e of /** @type {const} */ (['moved', 'doubt'])) network.on(e, () => list.push(e));
  return list;
}

test('a network that comes back is another one; one that goes leaves a doubt', () => {
  const page = scope();
  const list = heard(new Network(new AbortController().signal, page));
  page.fire('offline');
  page.fire('online');
  assert.deepEqual(list, ['doubt', 'moved']);
});

test('a phone changes from one kind of network to another', () => {
  const page = scope('wifi');
  const list = heard(new Network(new AbortController().signal, page));
  const change = (/** @type {string} */ type) => {
    page.navigator.connection.type = type;
    page.navigator.connection.dispatchEvent(new Event('change'));
  };
  change('wifi'); // a new estimate of its speed
  change('cellular');
  change('none');
  change('cellular');
  assert.deepEqual(list, ['doubt', 'moved', 'doubt', 'moved']);
});

test('a browser that does not tell the kind', () => {
  const page = scope();
  const list = heard(new Network(new AbortController().signal, page));
  page.navigator.connection.dispatchEvent(new Event('change'));
  assert.deepEqual(list, ['doubt']);
});

test('nothing is heard after the end, or where there is nothing to hear', () => {
  const page = scope('wifi');
  const stop = new AbortController();
  const list = heard(new Network(stop.signal, page));
  stop.abort();
  page.fire('online');
  page.navigator.connection.dispatchEvent(new Event('change'));
  assert.deepEqual(list, []);
  new Network(stop.signal, {});
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pause } from '../lib/backoff.js';
import { Publisher } from '../lib/publisher.js';
import { Subscriber } from '../lib/subscriber.js';

// A node asks its clients to move: a new session is made, and the old one given up only when the new one plays.

const LIMIT = { timeout: 20_000 };

globalThis.MediaStream ??= /** @type {any} */ (class {
  #tracks = new Set();
  least = Infinity; // how few tracks it ever had after it had some
  addTrack(/** @type {any} */ t) { this.#tracks.add(t); }
  removeTrack(/** @type {any} */ t) { this.#tracks.delete(t); this.least = Math.min(this.least, this.#tracks.size); }
  getTracks() { return [...this.#tracks]; }
});

/** A data channel that the test speaks through. */
class Channel extends EventTarget {
  readyState = 'connecting';
  /** @type {string[]} */
  said = [];
  send(/** @type {string} */ line) {
    this.said.push(line);
    if (line.startsWith('PING')) this.hear(line.replace('PING', 'PONG'));
  }
  open() {
    this.readyState = 'open';
    this.dispatchEvent(new Event('open'));
  }
  hear(/** @type {string} */ line) {
    this.dispatchEvent(Object.assign(new Event('message'), { data: line }));
  }
  close() {
    this.readyState = 'closed';
    this.dispatchEvent(new Event('close'));
  }
}

/** As much of an RTCPeerConnection as a connection needs. */
class Peer extends EventTarget {
  channel = new Channel();
  connectionState = 'new';
  closed = false;
  /** @type {any} */ localDescription = null;
  /** @type {any} */ remoteDescription = null;
  /** @type {Map<string, object>} */ stats = new Map();
  tracks = ['0', '1'].map((mid) => ({ mid, receiver: { track: { mid } } }));
  createDataChannel() { return this.channel; }
  addTransceiver() { return { sender: { replaceTrack: async () => {} } }; }
  getTransceivers() { return this.tracks; }
  async createOffer() { return { type: 'offer', sdp: 'v=0\r\n' }; }
  async setLocalDescription(/** @type {any} */ d) { this.localDescription = d; }
  async setRemoteDescription(/** @type {any} */ d) { this.remoteDescription = d; }
  getConfiguration() { return {}; }
  setConfiguration() {}
  async getStats() { return this.stats; }
  close() { this.closed = true; }

  /** So much of each track was shown. @param {number} audio @param {number} video */
  plays(audio, video) {
    this.stats = new Map(Object.entries({
      a: { type: 'inbound-rtp', kind: 'audio', mid: '0', packetsReceived: audio },
      v: { type: 'inbound-rtp', kind: 'video', mid: '1', framesDecoded: video },
    }));
  }
}

const ANSWER = ['v=0', 'm=audio 9 x 111', 'a=mid:0', 'a=sendonly', 'a=msid:alice+1 audio0', 'm=video 9 x 96', 'a=mid:1', 'a=sendonly',
  'a=msid:alice+1 video0', ''].join('\r\n');

/**
 * A server, and what its clients are made of.
 * @param {import('node:test').TestContext} t
 */
function server(t) {
  /** @type {Peer[]} */
  const peers = [];
  const at = {
    peers,
    /** @type {string[]} */ requests: [],
    /** @type {number[]} */ when: [], // of the POSTs
    /** @type {(() => Response)[]} */ refusals: [], // of the next POSTs
    options: {
      room: 'tea',
      id: 'bob',
      base: 'https://sfu.example/',
      RTCPeerConnection: /** @type {any} */ (class extends Peer { constructor() { super(); peers.push(this); } }),
      fetch: /** @type {any} */ (async (/** @type {string} */ url, /** @type {RequestInit} */ init) => {
        at.requests.push(`${init.method} ${url}`);
        if (init.method !== 'POST') return new Response(null, { status: 204 });
        at.when.push(performance.now());
        const refusal = at.refusals.shift();
        if (refusal) return refusal();
        const n = peers.length;
        return new Response(ANSWER, { status: 201, headers: { Location: `https://sfu.example/session/${n}` } });
      }),
    },
    /** The n-th connection, when the server has answered its offer. @param {number} n */
    async answered(n) {
      await until(() => peers[n]?.remoteDescription);
      return /** @type {Peer} */ (peers[n]);
    },
    /** The n-th connection, open, on a node that knows of alice as its answer does. @param {number} n */
    async opened(n) {
      const peer = await at.answered(n);
      peer.channel.open();
      peer.channel.hear('PUB_JOIN alice+1');
      return peer;
    },
    /**
     * A subscriber in use, whose node asks it to move.
     * @returns {Promise<{bob: Subscriber, old: Peer}>}
     */
    async moving() {
      const bob = new Subscriber(at.options);
      const old = await at.start(bob);
      old.channel.hear('RECONNECT drain 60');
      return { bob, old };
    },
    /** The first connection of a client, in use. @param {{state: string, leave: () => void}} client */
    async start(client) {
      t.after(() => client.leave());
      const peer = await at.opened(0);
      peer.plays(10, 10);
      await until(() => client.state === 'connected');
      return peer;
    },
  };
  return at;
}

/** @param {() => unknown} ok */
async function until(ok) {
  while (!ok()) await pause(5);
}

/** Ends the test's waiting for what must not happen. */
const LONG = 400;

/** A camera and a microphone. */
const tracks = () => /** @type {any[]} */ (['audio', 'video'].map((kind) => Object.assign(new EventTarget(), { kind, enabled: true })));

test('a subscriber moves when the new session shows every track, and the page sees one stream', LIMIT, async (t) => {
  const s = server(t);
  const bob = new Subscriber(s.options);
  const old = await s.start(bob);
  const alice = bob.peers.get('alice+1');
  assert.ok(alice);
  const { stream } = alice;
  /** @type {string[]} */
  const events = [];
  for (const e of /** @type {const} */ (['joined', 'left', 'state', 'error', 'track', 'trackended'])) bob.on(e, () => events.push(e));

  old.channel.hear('RECONNECT drain 60');
  const next = await s.answered(1);
  assert.equal(s.requests.filter((r) => r.startsWith('POST')).at(-1), `POST https://sfu.example/sub/tea/${bob.fullId}`);
  next.channel.open();
  next.channel.hear('PUB_JOIN alice+1');
  next.plays(5, 0); // sound alone
  for (let i = 11; i < 11 + LONG / 20; i++) {
    old.plays(i, i);
    await pause(20);
  }
  assert.ok(!old.closed);
  assert.deepEqual(stream.getTracks().map((x) => /** @type {any} */ (x)), old.tracks.map((x) => x.receiver.track));
  assert.deepEqual(events, []);

  next.plays(9, 1);
  await until(() => old.closed);
  assert.equal(bob.peers.get('alice+1')?.stream, stream);
  assert.deepEqual(stream.getTracks().map((x) => /** @type {any} */ (x)), next.tracks.map((x) => x.receiver.track));
  assert.equal(/** @type {any} */ (stream).least, 2);
  assert.deepEqual(events, ['trackended', 'trackended', 'track', 'track']);
  assert.deepEqual([old.channel.said.at(-1), s.requests.at(-1)], ['STOP', 'DELETE https://sfu.example/session/1']);
  assert.equal(next.closed, false);
});

test('a track that brings nothing on the old session either is not waited for', LIMIT, async (t) => {
  const s = server(t);
  const { bob, old } = await s.moving();
  const next = await s.opened(1);
  next.plays(5, 0);
  const start = performance.now();
  await until(() => old.closed);
  assert.ok(performance.now() - start < 3000);
});

test('nobody seems to leave because the new session has not heard of her yet', LIMIT, async (t) => {
  const s = server(t);
  const bob = new Subscriber(s.options);
  const old = await s.start(bob);
  old.channel.hear('PUB_JOIN carol');
  await until(() => bob.peers.has('carol'));
  let left = 0;
  bob.on('left', () => left++);
  old.channel.hear('RECONNECT drain 60');
  const next = await s.answered(1);
  next.channel.open();
  next.plays(5, 5);
  await pause(200);
  next.channel.hear('PUB_JOIN alice+1');
  next.channel.hear('PUB_JOIN carol');
  await until(() => old.closed);
  assert.equal(left, 0);
});

test('the node itself refuses: the client waits as it was asked to, and plays on', LIMIT, async (t) => {
  const s = server(t);
  const bob = new Subscriber(s.options);
  const old = await s.start(bob);
  /** @type {string[]} */
  const states = [];
  bob.on('state', (state) => states.push(state));
  for (let i = 0; i < 2; i++) s.refusals.push(() => new Response('{}', { status: 503, headers: { 'Retry-After': '1' } }));
  old.channel.hear('RECONNECT drain 60');
  await until(() => s.when.length === 4);
  const waits = s.when.slice(2).map((w, i) => w - (s.when[i + 1] ?? 0));
  assert.ok(waits.every((w) => w >= 990), `${waits} ms`);
  assert.ok(!old.closed);
  const next = await s.opened(3);
  next.plays(5, 5);
  await until(() => old.closed);
  assert.deepEqual(states, []);
});

test('a new session that fails is no reason to give up the old one', LIMIT, async (t) => {
  const s = server(t);
  const { bob, old } = await s.moving();
  const failed = await s.answered(1);
  failed.channel.open();
  failed.channel.close();
  const next = await s.answered(2);
  assert.ok(failed.closed && !old.closed && bob.state === 'connected');
  next.channel.open();
  next.channel.hear('PUB_JOIN alice+1');
  next.plays(5, 5);
  await until(() => old.closed);
  assert.equal(bob.state, 'connected');
});

test('refused for good: the old session is used to its end', LIMIT, async (t) => {
  const s = server(t);
  const bob = new Subscriber(s.options);
  const old = await s.start(bob);
  s.refusals.push(() => new Response('bad token', { status: 401 }));
  const refused = new Promise((resolve) => bob.on('error', resolve));
  old.channel.hear('RECONNECT drain 60');
  assert.equal((await refused).code, 'bad-token');
  assert.ok(!old.closed && bob.state === 'connected');
  old.channel.close();
  await until(() => bob.state === 'closed');
});

test('a publisher leaves the end of the old session to the node', LIMIT, async (t) => {
  const s = server(t);
  const me = new Publisher({ ...s.options, tracks: tracks() });
  const old = await s.start(me);
  old.channel.hear('RECONNECT drain 60');
  const next = await s.answered(1);
  assert.equal(s.requests.filter((r) => r.startsWith('POST')).at(-1), `POST https://sfu.example/pub/tea/${me.fullId}`);
  next.channel.open();
  await pause(LONG);
  assert.ok(!old.closed); // it sends on both
  old.channel.close();
  await until(() => old.closed);
  assert.ok(!old.channel.said.includes('STOP') && !s.requests.some((r) => r.startsWith('DELETE')));
  assert.equal(me.state, 'connected');
  assert.equal(next.closed, false);
});

test('who left while moving is gone everywhere', LIMIT, async (t) => {
  const s = server(t);
  const { bob, old } = await s.moving();
  const next = await s.answered(1);
  next.channel.open();
  bob.leave();
  assert.ok(old.closed && next.closed);
  assert.equal(s.requests.filter((r) => r.startsWith('DELETE')).length, 2);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Connection } from '../lib/connection.js';
import { WeeverError } from '../lib/errors.js';
import { sections } from '../lib/sdp.js';

const LIMIT = { timeout: 20_000 };

/** A peer connection as far as signaling goes: sections get a mid when they are offered and lose it at a rollback. */
class FakePeer extends EventTarget {
  signalingState = 'stable';
  connectionState = 'connected';
  iceConnectionState = 'connected';
  /** @type {{mid: string}[]} */
  kinds = [{ mid: '' }];
  mids = 0;
  ufrags = 0;
  ufrag = 'C0';
  packets = 0;
  /** @type {string[]} */
  steps = [];
  /** @type {any} */ localDescription = null;
  /** @type {any} */ remoteDescription = null;
  /** @type {any} */ stable = null;

  createDataChannel() {
    this.dc = Object.assign(new EventTarget(), { readyState: 'open', sent: /** @type {string[]} */ ([]), send(/** @type {string} */ s) { this.sent.push(s); } });
    return this.dc;
  }

  /** @param {{iceRestart?: boolean}} [o] */
  async createOffer(o) {
    this.steps.push(o?.iceRestart ? 'restart' : 'offer');
    const ufrag = o?.iceRestart ? `C${++this.ufrags}` : this.ufrag;
    return { type: 'offer', sdp: describe(ufrag, this.kinds.map((k) => k.mid || String(this.mids++)), 'sendonly', 'actpass') };
  }

  /** @param {{type: string, sdp: string}} d */
  async setLocalDescription(d) {
    this.steps.push(`local ${d.type}`);
    if (d.type === 'rollback') {
      sections(this.localDescription.sdp).forEach((_, i) => { this.kinds[i] = { mid: this.stable ? sections(this.stable.sdp)[i]?.mid ?? '' : '' }; });
      this.localDescription = this.stable;
      this.signalingState = 'stable';
      return;
    }
    sections(d.sdp).forEach((s, i) => { this.kinds[i] = { mid: s.mid }; });
    this.localDescription = d;
    this.signalingState = 'have-local-offer';
  }

  /** @param {{type: string, sdp: string}} d */
  async setRemoteDescription(d) {
    this.steps.push(`remote ${d.type}`);
    const mids = (/** @type {string} */ sdp) => sections(sdp).map((s) => s.mid).join();
    if (this.signalingState !== 'have-local-offer' || mids(d.sdp) !== mids(this.localDescription.sdp)) throw new Error('does not match the offer');
    this.remoteDescription = d;
    this.stable = this.localDescription;
    this.ufrag = /ufrag:(\w+)/.exec(this.localDescription.sdp)?.[1] ?? '';
    this.signalingState = 'stable';
  }

  async getStats() {
    return new Map([['T', { id: 'T', bytesReceived: ++this.packets }]]);
  }

  close() {}
}

/** @param {string} ufrag @param {string[]} mids @param {string} dir @param {string} setup */
function describe(ufrag, mids, dir, setup) {
  const all = mids.flatMap((mid) => ['m=audio 9 UDP/TLS/RTP/SAVPF 111', `a=mid:${mid}`, `a=ice-ufrag:${ufrag}`, 'a=ice-pwd:P', `a=setup:${setup}`, `a=${dir}`]);
  return ['v=0', 's=-', 'a=fingerprint:sha-256 X', `a=group:BUNDLE ${mids.join(' ')}`, ...all].join('\r\n') + '\r\n';
}

/** The server's answer to an offer. @param {string} offer @param {string} ufrag */
const answerTo = (offer, ufrag) => describe(ufrag, sections(offer).map((s) => s.mid), 'recvonly', 'passive');

/** @param {() => boolean} ok */
async function until(ok) {
  while (!ok()) await new Promise((resolve) => { setTimeout(resolve, 5); });
}

/**
 * A connection that is open.
 * @param {import('node:test').TestContext} t
 * @param {(n: number, signal: AbortSignal) => Promise<void>} patch  may refuse
 */
async function connected(t, patch) {
  const pc = new FakePeer();
  let patches = 0;
  const http = {
    post: async (/** @type {string} */ _, /** @type {string} */ offer) => ({ answer: answerTo(offer, 'S0'), location: 'x', etag: '', iceServers: [] }),
    patch: async (/** @type {any[]} */ ...args) => {
      const n = ++patches;
      await patch(n, args[3]);
      return { fragment: `a=ice-ufrag:S${n}\r\na=ice-pwd:Q\r\n`, etag: '' };
    },
    remove() {},
  };
  const conn = new Connection({
    url: '/', http: /** @type {any} */ (http), iceServers: [], RTCPeerConnection: /** @type {any} */ (function make() { return pc; }), prepare() {},
  });
  t.after(() => conn.close(false));
  /** @type {WeeverError[]} */
  const downs = [];
  conn.on('down', (err) => downs.push(err));
  const open = conn.open();
  await until(() => pc.remoteDescription !== null);
  pc.dc?.dispatchEvent(new Event('open'));
  await open;
  const dc = /** @type {NonNullable<typeof pc.dc>} */ (pc.dc);
  return {
    conn, pc, downs,
    offers: () => dc.sent.filter((line) => line.startsWith('SDP_OFFER')).map((line) => line.slice(10)),
    patches: () => patches,
    say: (/** @type {string} */ data) => dc.dispatchEvent(Object.assign(new Event('message'), { data })),
    breaks: () => {
      pc.iceConnectionState = 'disconnected';
      pc.dispatchEvent(new Event('iceconnectionstatechange'));
    },
    add: () => {
      pc.kinds.push({ mid: '' });
      return conn.negotiate();
    },
  };
}

test('a negotiation', LIMIT, async (t) => {
  const c = await connected(t, async () => {});
  const done = c.add();
  await until(() => c.offers().length === 1);
  c.say(`SDP_ANSWER ${answerTo(c.offers()[0] ?? '', 'S0')}`);
  await done;
  assert.equal(c.pc.signalingState, 'stable');
});

test('the path is lost while an offer is open: ICE is restarted at once, and then all is offered again under the same mids', LIMIT, async (t) => {
  for (const failures of [0, 1]) {
    const c = await connected(t, async (n) => {
      if (n <= failures) throw new WeeverError('network', 'The server cannot be reached.');
    });
    let over = false;
    const done = c.add().then(() => { over = true; });
    await until(() => c.offers().length === 1);
    const [first = ''] = c.offers();
    const start = performance.now();
    c.breaks();
    await until(() => c.pc.ufrag !== 'C0');
    assert.ok(performance.now() - start < 1500, `${performance.now() - start} ms`);
    assert.equal(c.patches(), failures + 1);

    // The late answer is not applied, and the new offer waits for it.
    await new Promise((resolve) => { setTimeout(resolve, 300); });
    assert.equal(c.offers().length, 1);
    const applied = c.pc.remoteDescription;
    c.say(`SDP_ANSWER ${answerTo(first, 'S0')}`);
    await until(() => c.offers().length === 2);
    assert.equal(c.pc.remoteDescription, applied);
    const [, second = ''] = c.offers();
    assert.deepEqual(sections(second).map((s) => s.mid), sections(first).map((s) => s.mid));
    assert.match(second, new RegExp(`ufrag:${c.pc.ufrag}`));
    assert.equal(over, false);
    c.say(`SDP_ANSWER ${answerTo(second, `S${c.patches()}`)}`);
    await done;
    assert.deepEqual(c.downs, []);
  }
});

test('a section that is added during a repair is offered after it', LIMIT, async (t) => {
  let go = () => {};
  const c = await connected(t, () => new Promise((resolve) => { go = resolve; }));
  c.breaks();
  await until(() => c.patches() === 1);
  const done = c.add();
  go();
  await until(() => c.offers().length === 1);
  assert.equal(c.pc.ufrag, 'C1');
  c.say(`SDP_ANSWER ${answerTo(c.offers()[0] ?? '', 'S1')}`);
  await done;
  assert.deepEqual(c.downs, []);
});

test('so is one that is added before a repair and not offered yet', LIMIT, async (t) => {
  const c = await connected(t, async () => {});
  c.pc.kinds.push({ mid: '' }); // the restart has to offer it: there is no offer without it
  c.breaks();
  await until(() => c.pc.ufrag === 'C1');
  const done = c.conn.negotiate();
  await until(() => c.offers().length === 1);
  c.say(`SDP_ANSWER ${answerTo(c.offers()[0] ?? '', 'S1')}`);
  await done;
});

test('a refused offer ends the connection at once', LIMIT, async (t) => {
  const c = await connected(t, async () => {});
  const done = c.add();
  await until(() => c.offers().length === 1);
  c.say('ERR SDP_OFFER no');
  await assert.rejects(done, { code: 'refused' });
  assert.deepEqual(c.downs.map((e) => e.code), ['refused']);
});

test('a restart whose time was over before its turn came does nothing', LIMIT, async (t) => {
  const c = await connected(t, async () => {});
  let free = () => {};
  const createAnswer = () => new Promise((resolve) => { free = () => resolve({ type: 'answer', sdp: '' }); });
  Object.assign(c.pc, { createAnswer, setRemoteDescription: async () => {}, setLocalDescription: async () => {} });
  c.pc.steps = [];
  c.say(`SDP_OFFER ${c.pc.remoteDescription.sdp}`); // which occupies the queue
  await new Promise((resolve) => { setTimeout(resolve, 10); });
  c.breaks();
  await new Promise((resolve) => { setTimeout(resolve, 2100); }); // it waits its 2 s
  assert.deepEqual(c.pc.steps, []);
  free();
  await until(() => c.patches() === 1); // the next attempt
  assert.deepEqual(c.pc.steps, ['restart']);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { View } from '../lib/view.js';

/**
 * What View looks at of a peer connection: the server's description, one transceiver per section, statistics.
 * @param {{mid: string, msid?: string, dir?: string}[]} list
 * @param {object[]} [stats]
 */
function pc(list, stats = []) {
  const sdp = ['v=0', ...list.flatMap(({ mid, msid, dir = 'sendonly' }) => [`m=video 9 x 96`, `a=mid:${mid}`, `a=${dir}`, ...(msid ? [`a=msid:${msid}`] : [])])].join('\r\n');
  return /** @type {any} */ ({
    remoteDescription: { sdp },
    getTransceivers: () => list.map(({ mid }) => ({ mid, receiver: { track: `track of ${mid}` } })),
    getStats: async () => new Map(stats.map((s, i) => [String(i), s])),
  });
}

test('who is there: announced or described', () => {
  const v = new View();
  v.describe(pc([{ mid: '0', msid: 'alice+1 audio0' }, { mid: '1', msid: 'alice+1 video0' }, { mid: '2', msid: '{hidden} x' }, { mid: '3', msid: 'bob video0', dir: 'inactive' }]));
  assert.deepEqual([...v.publishers], ['alice+1']);
  v.hear({ word: 'PUB_JOIN', fullId: 'alice+1' });
  v.hear({ word: 'PUB_JOIN', fullId: 'bob' });
  assert.deepEqual([...v.publishers], ['alice+1', 'bob']);
  assert.deepEqual([...v.tracksOf('alice+1')], [['audio0', 'track of 0'], ['video0', 'track of 1']]);
  assert.equal(v.tracksOf('bob').size, 0);
});

test('who left has no tracks, though the offer that parks them is yet to come', () => {
  const v = new View();
  v.describe(pc([{ mid: '0', msid: 'alice video0' }]));
  v.hear({ word: 'PUB_LEFT', fullId: 'alice' });
  assert.equal(v.publishers.size, 0);
});

test('a section passes to the next within one round', () => {
  const v = new View();
  v.describe(pc([{ mid: '0', msid: 'alice video0' }]));
  v.describe(pc([{ mid: '0', msid: 'bob video0' }]));
  assert.deepEqual([...v.publishers], ['bob']);
  assert.deepEqual([...v.tracksOf('bob')], [['video0', 'track of 0']]);
});

test('away until she joins again', () => {
  const v = new View();
  v.hear({ word: 'PUB_JOIN', fullId: 'alice' });
  v.hear({ word: 'PUB_AWAY', fullId: 'alice' });
  assert.ok(v.isAway('alice') && v.publishers.has('alice'));
  v.hear({ word: 'PUB_JOIN', fullId: 'alice' });
  assert.ok(!v.isAway('alice'));
});

test('what is shown', async () => {
  const conn = pc([{ mid: '0', msid: 'alice video0' }, { mid: '1', msid: 'bob video0' }, { mid: '2', msid: 'carol audio0' }], [
    { type: 'inbound-rtp', kind: 'video', mid: '0', framesDecoded: 0, packetsReceived: 9 },
    { type: 'inbound-rtp', kind: 'video', mid: '1', framesDecoded: 3, packetsReceived: 9 },
    { type: 'inbound-rtp', kind: 'audio', mid: '2', packetsReceived: 2 },
    { type: 'inbound-rtp', kind: 'audio', mid: '9', packetsReceived: 1 },
    { type: 'transport' }]);
  const v = new View();
  v.describe(conn);
  assert.deepEqual([...await v.shown(conn)], [['bob video0', 3], ['carol audio0', 2]]);
  assert.equal((await v.shown(/** @type {any} */ ({ getStats: () => Promise.reject(new Error('closed')) }))).size, 0);
});

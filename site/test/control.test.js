import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse, say } from '../lib/control.js';

test('every word of the server is read', () => {
  const cases = [
    ['SDP_OFFER v=0\r\ns=- x\r\n', { word: 'SDP_OFFER', sdp: 'v=0\r\ns=- x\r\n' }],
    ['SDP_ANSWER v=0\r\n', { word: 'SDP_ANSWER', sdp: 'v=0\r\n' }],
    ['PUB_JOIN alice+tab1', { word: 'PUB_JOIN', fullId: 'alice+tab1' }],
    ['PUB_LEFT alice+tab1\n', { word: 'PUB_LEFT', fullId: 'alice+tab1' }],
    ['PUB_AWAY bob-screen', { word: 'PUB_AWAY', fullId: 'bob-screen' }],
    ['TRACKS bob [{"id":"video0","kind":"video","codec":"video/VP8","layers":["high","low"],"muted":true},{"id":"audio0","kind":"audio","codec":"audio/opus"},{"id":"<b>"},null]',
      { word: 'TRACKS', fullId: 'bob', tracks: [
        { id: 'video0', kind: 'video', codec: 'video/VP8', layers: ['high', 'low'], muted: true },
        { id: 'audio0', kind: 'audio', codec: 'audio/opus', layers: [], muted: false }] }],
    ['SPEAKERS [{"id":"bob+1","level":30},{"id":"a*b","level":1},7,{"id":"eve"}]', { word: 'SPEAKERS', speakers: [{ fullId: 'bob+1', level: 30 }, { fullId: 'eve', level: 127 }] }],
    ['STATS {"rtt":3}', { word: 'STATS', data: { rtt: 3 } }],
    ['SAID alice+tab1 "hi there"', { word: 'SAID', fullId: 'alice+tab1', data: 'hi there' }],
    ['SAID alice null', { word: 'SAID', fullId: 'alice', data: null }],
    ['RECONNECT drain 300', { word: 'RECONNECT', reason: 'drain', seconds: 300 }],
    ['ERR LAYER the level is unknown', { word: 'ERR', about: 'LAYER', reason: 'the level is unknown' }],
    ['PONG a b', { word: 'PONG', text: 'a b' }],
    ['OK', { word: 'OK' }],
  ];
  for (const [text, want] of cases) assert.deepEqual(parse(text), want, String(text));
});

test('what is unknown or broken is ignored', () => {
  for (const text of ['', 'HELLO world', 'ok', 'SDP_OFFER', 'SDP_OFFER ', 'PUB_JOIN', 'PUB_JOIN ', 'PUB_JOIN a b', 'PUB_JOIN <script>', 'PUB_JOIN a+b+c',
    'TRACKS alice', 'TRACKS alice {}', 'TRACKS a.b []', 'TRACKS', 'SPEAKERS', 'SPEAKERS {"id":"a"}', 'STATS', 'STATS {', 'SAID alice', 'SAID a.b {}',
    'RECONNECT', 'RECONNECT drain', 'RECONNECT drain soon', 'RECONNECT drain -1', 'ERR', `PUB_JOIN ${'x'.repeat(49)}`, `PUB_JOIN a+${'x'.repeat(63)}`]) {
    assert.equal(parse(text), null, text);
  }
  for (const data of [new ArrayBuffer(3), undefined, 7]) assert.equal(parse(data), null);
});

test('what the client says', () => {
  assert.equal(say.offer('v=0'), 'SDP_OFFER v=0');
  assert.equal(say.answer('v=0'), 'SDP_ANSWER v=0');
  assert.equal(say.stop(), 'STOP');
  assert.equal(say.ping('17'), 'PING 17');
  assert.equal(say.sub('alice+1', []), 'SUB alice+1');
  assert.equal(say.unsub('alice', ['video0', 'audio12']), 'UNSUB alice video0 audio12');
  assert.equal(say.mode('manual'), 'SUB_MODE manual');
  assert.equal(say.layer('alice', 'video0', 'low'), 'LAYER alice video0 low');
  assert.equal(say.say({ text: 'hi' }), 'SAY {"text":"hi"}');
});

test('what the server would refuse is not said', () => {
  for (const wrong of [() => say.sub('a b', []), () => say.sub('a', ['x']), () => say.layer('a', 'video0', 'best'), () => say.mode('all'),
    () => say.say(undefined), () => say.say('x'.repeat(16 * 1024)), () => say.say('ä'.repeat(8 * 1024))]) {
    assert.throws(wrong, { name: 'WeeverError' });
  }
});

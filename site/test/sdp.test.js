import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fragment, iceOf, restartAnswer, sections, setupOf } from '../lib/sdp.js';

const text = (/** @type {string[]} */ ...lines) => lines.join('\r\n') + '\r\n';

const REMOTE = text(
  'v=0', 'o=- 1 2 IN IP4 0.0.0.0', 's=-', 't=0 0', 'a=group:BUNDLE 0 1 2',
  'm=audio 9 UDP/TLS/RTP/SAVPF 111', 'c=IN IP4 0.0.0.0', 'a=setup:actpass', 'a=mid:0', 'a=ice-ufrag:OLD', 'a=ice-pwd:OLDPWD',
  'a=candidate:1 1 udp 2130706431 192.0.2.1 8443 typ host', 'a=end-of-candidates', 'a=sendonly', 'a=msid:alice+1 audio0',
  'm=video 9 UDP/TLS/RTP/SAVPF 96', 'a=setup:actpass', 'a=mid:1', 'a=ice-ufrag:OLD', 'a=ice-pwd:OLDPWD', 'a=recvonly', 'a=msid:- video0',
  'm=application 9 UDP/DTLS/SCTP webrtc-datachannel', 'a=setup:actpass', 'a=mid:2', 'a=ice-ufrag:OLD', 'a=ice-pwd:OLDPWD', 'a=sctp-port:5000');

const OFFER = text(
  'v=0', 's=-', 'a=group:BUNDLE 0 1 2', 'm=audio 9 UDP/TLS/RTP/SAVPF 111', 'a=ice-ufrag:MINE', 'a=ice-pwd:MYPWD', 'a=mid:0', 'a=recvonly',
  'm=video 9 UDP/TLS/RTP/SAVPF 96', 'a=mid:1', 'a=recvonly', 'm=application 9 UDP/DTLS/SCTP webrtc-datachannel', 'a=mid:2');

test('sections', () => {
  assert.deepEqual(sections(REMOTE), [
    { mid: '0', kind: 'audio', sends: true, stream: 'alice+1', track: 'audio0' },
    { mid: '1', kind: 'video', sends: false, stream: '', track: 'video0' },
    { mid: '2', kind: 'application', sends: true, stream: '', track: '' },
  ]);
  assert.deepEqual(sections(text('v=0', 'a=inactive', 'm=audio 9 x 1', 'm=video 0 x 1', 'a=sendrecv', 'm=video 0 x 1')).map((s) => s.sends), [false, true, false]);
  assert.deepEqual(sections(''), []);
});

test('the body of a PATCH', () => {
  assert.equal(fragment(OFFER, ['candidate:7 1 udp 1 192.0.2.9 5000 typ host'], true), text(
    'a=group:BUNDLE 0 1 2', 'm=audio 9 UDP/TLS/RTP/SAVPF 111', 'a=mid:0', 'a=ice-ufrag:MINE', 'a=ice-pwd:MYPWD',
    'a=candidate:7 1 udp 1 192.0.2.9 5000 typ host', 'a=end-of-candidates'));
  assert.ok(!fragment(OFFER, [], false).includes('end-of-candidates'));
});

test('the answer to an ICE restart', () => {
  const ice = iceOf(text('a=group:BUNDLE 0', 'm=audio 9 x 1', 'a=mid:0', 'a=ice-ufrag:NEW', 'a=ice-pwd:NEWPWD', 'a=candidate:2 1 udp 5 192.0.2.2 8443 typ host'));
  assert.deepEqual(ice, { ufrag: 'NEW', pwd: 'NEWPWD', candidates: ['candidate:2 1 udp 5 192.0.2.2 8443 typ host'] });
  const answer = restartAnswer(REMOTE, OFFER, ice, 'passive');
  assert.equal(answer.match(/a=ice-ufrag:NEW/g)?.length, 3);
  assert.equal(answer.match(/a=setup:passive/g)?.length, 3);
  assert.equal(answer.match(/a=candidate:/g)?.length, 1);
  assert.ok(!/OLD|actpass|a=recvonly|end-of-candidates/.test(answer));
  assert.ok(answer.indexOf('a=candidate:2') < answer.indexOf('m=video'), 'under the first section');
  assert.deepEqual(sections(answer).map((s) => s.sends), [true, false, true]);
});

test('a publisher\'s section stays received, and one section gets its candidates', () => {
  const remote = text('v=0', 'm=audio 9 x 1', 'a=mid:0', 'a=recvonly', 'a=ice-ufrag:OLD', 'a=ice-pwd:P');
  const offer = text('v=0', 'm=audio 9 x 1', 'a=mid:0', 'a=sendonly');
  assert.equal(restartAnswer(remote, offer, { ufrag: 'N', pwd: 'Q', candidates: ['candidate:1'] }, 'active'),
    text('v=0', 'm=audio 9 x 1', 'a=mid:0', 'a=recvonly', 'a=ice-ufrag:N', 'a=ice-pwd:Q', 'a=candidate:1'));
});

test('the DTLS role', () => {
  assert.equal(setupOf(REMOTE), 'actpass');
  assert.equal(setupOf('v=0\r\n'), '');
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { restartAnswer } from '../lib/sdp.js';
import { withUnanswered } from '../lib/unanswered.js';

const text = (/** @type {string[]} */ ...lines) => lines.join('\r\n') + '\r\n';

const REMOTE = text(
  'v=0', 's=-', 'a=fingerprint:sha-256 THEIRS', 'a=group:BUNDLE 0 1',
  'm=application 9 UDP/DTLS/SCTP webrtc-datachannel', 'a=setup:passive', 'a=mid:0', 'a=ice-ufrag:OLD', 'a=ice-pwd:OLDPWD',
  'm=audio 9 UDP/TLS/RTP/SAVPF 111', 'a=setup:passive', 'a=mid:1', 'a=ice-ufrag:OLD', 'a=ice-pwd:OLDPWD', 'a=recvonly');

const OFFER = text(
  'v=0', 's=-', 'a=group:BUNDLE 0 1 2', 'm=application 9 UDP/DTLS/SCTP webrtc-datachannel', 'a=mid:0',
  'm=audio 9 UDP/TLS/RTP/SAVPF 111', 'a=mid:1', 'a=sendonly',
  'm=video 9 UDP/TLS/RTP/SAVPF 96', 'c=IN IP4 0.0.0.0', 'a=ice-ufrag:MINE', 'a=ice-pwd:MYPWD', 'a=fingerprint:sha-256 OURS', 'a=setup:actpass',
  'a=mid:2', 'a=candidate:1 1 udp 1 192.0.2.9 5000 typ host', 'a=sendonly', 'a=msid:s t', 'a=rtcp-mux', 'a=rtpmap:96 VP8/90000',
  'a=rid:h send', 'a=rid:l send', 'a=simulcast:send h;l', 'a=ssrc:1 cname:x');

test('a description that answers all sections stays as it is', () => {
  assert.equal(withUnanswered(REMOTE, REMOTE), REMOTE);
});

test('sections that the server has not seen are accepted for it, inactive', () => {
  assert.equal(withUnanswered(REMOTE, OFFER), REMOTE.replace('BUNDLE 0 1', 'BUNDLE 0 1 2') + text(
    'm=video 9 UDP/TLS/RTP/SAVPF 96', 'c=IN IP4 0.0.0.0', 'a=ice-ufrag:MINE', 'a=ice-pwd:MYPWD', 'a=setup:actpass', 'a=mid:2', 'a=inactive',
    'a=rtcp-mux', 'a=rtpmap:96 VP8/90000', 'a=rid:h recv', 'a=rid:l recv', 'a=simulcast:recv h;l', 'a=fingerprint:sha-256 THEIRS'));
});

test('and get the new transport with the others', () => {
  const answer = restartAnswer(withUnanswered(REMOTE, OFFER), OFFER, { ufrag: 'NEW', pwd: 'NEWPWD', candidates: [] }, 'passive');
  assert.equal(answer.match(/a=ice-ufrag:NEW/g)?.length, 3);
  assert.equal(answer.match(/a=setup:passive/g)?.length, 3);
  assert.ok(!/MINE|MYPWD|OURS|OLD/.test(answer), answer);
});

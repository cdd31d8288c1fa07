/**
 * The words of the control channel: text, one message each, a word and its arguments. PROTOCOL.md says when each is sent.
 */
import { isFullId } from './names.js';
import { WeeverError } from './errors.js';

/** Label of the data channel. */
export const LABEL = 'control';

const MAX_SAY = 16 * 1024; // bytes of the JSON of SAY
const TRACK = /^(audio|video)[0-9]{1,3}$/;

/**
 * One thing a publisher sends.
 * @typedef {object} TrackInfo
 * @property {string} id        "video0", "audio0", …
 * @property {string} kind      "audio" or "video"
 * @property {string} codec     media type, "video/VP8"
 * @property {string[]} layers  qualities that `layer` can ask for, best first; empty: one only
 * @property {boolean} muted    nothing is sent at the moment
 */

/**
 * Somebody who is heard.
 * @typedef {object} Speaker
 * @property {string} fullId
 * @property {number} level  in -dBov: 0 is loudest, 127 is silence
 */

/**
 * What the server says.
 * @typedef {{word: 'SDP_OFFER' | 'SDP_ANSWER', sdp: string}
 *   | {word: 'PUB_JOIN' | 'PUB_LEFT' | 'PUB_AWAY', fullId: string}
 *   | {word: 'TRACKS', fullId: string, tracks: TrackInfo[]}
 *   | {word: 'SPEAKERS', speakers: Speaker[]}
 *   | {word: 'STATS', data: unknown}
 *   | {word: 'SAID', fullId: string, data: unknown}
 *   | {word: 'RECONNECT', reason: string, seconds: number}
 *   | {word: 'ERR', about: string, reason: string}
 *   | {word: 'PONG', text: string}
 *   | {word: 'OK'}} ControlMessage
 */

/**
 * @param {unknown} data  of a MessageEvent
 * @returns {ControlMessage | null} null for what this client does not know or cannot read: it is to be ignored
 */
export function parse(data) {
  if (typeof data !== 'string') return null;
  const [word, rest] = cut(data);
  switch (word) {
    case 'SDP_OFFER':
    case 'SDP_ANSWER':
      return rest ? { word, sdp: rest } : null;
    case 'PUB_JOIN':
    case 'PUB_LEFT':
    case 'PUB_AWAY': {
      const fullId = rest.trim();
      return isFullId(fullId) ? { word, fullId } : null;
    }
    case 'TRACKS': {
      const [fullId, json] = cut(rest);
      const list = readJson(json);
      return isFullId(fullId) && Array.isArray(list) ? { word, fullId, tracks: list.flatMap(trackInfo) } : null;
    }
    case 'SPEAKERS': {
      const list = readJson(rest);
      return Array.isArray(list) ? { word, speakers: list.flatMap(speaker) } : null;
    }
    case 'STATS': {
      const value = readJson(rest);
      return value === undefined ? null : { word, data: value };
    }
    case 'SAID': {
      const [fullId, json] = cut(rest);
      const value = readJson(json);
      return isFullId(fullId) && value !== undefined ? { word, fullId, data: value } : null;
    }
    case 'RECONNECT': {
      const [reason = '', seconds = ''] = rest.trim().split(/ +/);
      return /^[0-9]{1,6}$/.test(seconds) ? { word, reason, seconds: Number(seconds) } : null;
    }
    case 'ERR': {
      const [about, reason] = cut(rest);
      return about ? { word, about, reason } : null;
    }
    case 'PONG':
      return { word, text: rest };
    case 'OK':
      return { word };
    default:
      return null;
  }
}

/**
 * @param {string} text
 * @returns {[string, string]} what is before the first space, and what is behind it
 */
function cut(text) {
  const at = text.indexOf(' ');
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}

/**
 * @param {string} text
 * @returns {any} undefined when it is no JSON
 */
function readJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * @param {any} t
 * @returns {TrackInfo[]} one, or none when t is not what it should be
 */
function trackInfo(t) {
  if (!t || !TRACK.test(t.id)) return [];
  const layers = Array.isArray(t.layers) ? t.layers.filter((/** @type {unknown} */ l) => typeof l === 'string') : [];
  return [{ id: t.id, kind: String(t.kind), codec: String(t.codec), layers, muted: t.muted === true }];
}

/**
 * @param {any} s
 * @returns {Speaker[]} one, or none when s is not what it should be
 */
function speaker(s) {
  if (!s || typeof s.id !== 'string' || !isFullId(s.id)) return [];
  return [{ fullId: s.id, level: Number.isFinite(s.level) ? s.level : 127 }];
}

/** What the client says: each function gives the text of one message, or throws a WeeverError. */
export const say = {
  /** @param {string} sdp */
  offer: (sdp) => `SDP_OFFER ${sdp}`,
  /** @param {string} sdp */
  answer: (sdp) => `SDP_ANSWER ${sdp}`,
  stop: () => 'STOP',
  /** @param {string} text  comes back in a PONG; at most 256 bytes */
  ping: (text) => `PING ${text}`,
  /** @param {string} fullId @param {string[]} tracks  none: all of them */
  sub: (fullId, tracks) => ['SUB', full(fullId), ...tracks.map(track)].join(' '),
  /** @param {string} fullId @param {string[]} tracks  none: all of them */
  unsub: (fullId, tracks) => ['UNSUB', full(fullId), ...tracks.map(track)].join(' '),
  /** @param {'auto' | 'manual'} mode */
  mode: (mode) => `SUB_MODE ${oneOf('mode', mode, ['auto', 'manual'])}`,
  /** @param {string} fullId @param {string} id @param {string} level */
  layer: (fullId, id, level) => `LAYER ${full(fullId)} ${track(id)} ${oneOf('layer', level, ['high', 'mid', 'low', 'off', 'auto'])}`,
  /** @param {unknown} value  at most 16 KiB of JSON */
  say: (value) => {
    const json = JSON.stringify(value);
    if (json === undefined || new TextEncoder().encode(json).length > MAX_SAY) {
      throw new WeeverError('too-large', 'What you say must be a JSON value of at most 16 KiB.');
    }
    return `SAY ${json}`;
  },
};

/** @param {string} id */
function full(id) {
  if (!isFullId(id)) throw new WeeverError('bad-name', 'That is not the full id of anybody.');
  return id;
}

/** @param {string} id */
function track(id) {
  if (!TRACK.test(id)) throw new WeeverError('bad-name', 'A track is named audio or video and a number, as in "video0".');
  return id;
}

/** @param {string} what @param {string} value @param {string[]} allowed */
function oneOf(what, value, allowed) {
  if (!allowed.includes(value)) throw new WeeverError('bad-name', `The ${what} must be one of ${allowed.join(', ')}.`);
  return value;
}

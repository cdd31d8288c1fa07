/**
 * Notices that a path has gone silent long before ICE says so: after one to two seconds, where ICE takes five to six.
 *
 * It pings over the control channel. A reply that is late may be a lost packet, so it looks whether anything else arrives before it
 * speaks up. A Connection makes it, starts it when the channel opens, and tells it of everything heard.
 */
import { Emitter } from './emitter.js';
import { pause } from './backoff.js';

/** Milliseconds; `silent` is a number of pings. */
const TIMING = {
  every: 1000, // from a reply to the next ping
  answer: 500, // a reply that takes longer raises suspicion
  look: 500, // for which nothing at all arrives, under suspicion: the path is gone
  silent: 6, // so many pings in a row without a word on the channel: that is gone, whatever the path does
};

/**
 * @typedef {object} PulseEvents
 * @property {null} stalled  nothing arrives any more, neither on the channel nor of media
 * @property {null} dead     the channel has been silent for too long; no event follows
 */

/**
 * @typedef {object} PulseOptions
 * @property {() => void} ping
 * @property {() => Promise<Traffic>} traffic  what has arrived so far
 * @property {() => boolean} paused  somebody is at work on the path: silence means nothing
 * @property {AbortSignal} signal  its end
 * @property {Partial<typeof TIMING>} [timing]
 */

/** @extends {Emitter<PulseEvents>} */
export class Pulse extends Emitter {
  #options;
  #timing;
  #unanswered = 0; // pings since the last word; counted, for a laptop that slept has missed time, not replies
  #rest = new AbortController(); // aborts the wait for the next ping, if that is on
  #doubt = new AbortController(); // aborts a wait for anything to arrive, if one is on

  /** @param {PulseOptions} options */
  constructor(options) {
    super();
    this.#options = options;
    this.#timing = { ...TIMING, ...options.timing };
  }

  /** Something came over the channel. */
  heard() {
    this.#unanswered = 0;
    this.#doubt.abort();
  }

  /** There is reason for doubt: looks now rather than at its next turn, unless it is looking. */
  look() {
    this.#rest.abort();
  }

  /** Pings until the end. Call once. */
  async start() {
    const { ping, paused, signal } = this.#options;
    for (;;) {
      this.#rest = new AbortController();
      await pause(this.#timing.every, this.#rest.signal, signal);
      if (signal.aborted) return;
      if (paused()) {
        this.#unanswered = 0;
        continue;
      }
      if (this.#unanswered >= this.#timing.silent) {
        this.emit('dead', null);
        return;
      }
      this.#unanswered++;
      ping();
      if (!await this.#alive() && !paused() && !signal.aborted) this.emit('stalled', null);
    }
  }

  /** After a ping: whether anything arrives. */
  async #alive() {
    const { traffic } = this.#options;
    await this.#listen(this.#timing.answer);
    if (this.#unanswered === 0) return true;
    const before = await traffic();
    await this.#listen(this.#timing.look);
    return this.#unanswered === 0 || grew(before, await traffic());
  }

  /** Waits for a word on the channel. @param {number} ms */
  #listen(ms) {
    this.#doubt = new AbortController();
    return pause(ms, this.#doubt.signal, this.#options.signal);
  }
}

/**
 * How much has arrived, in parts that are only ever compared with themselves: a part that has gone says nothing.
 * @typedef {Map<string, number>} Traffic
 */

/**
 * @param {RTCStatsReport} stats
 * @param {boolean} checks  count ICE's own packets, too: they flow on a path that carries nothing else
 * @returns {Traffic}
 */
export function trafficOf(stats, checks) {
  /** @type {Traffic} */
  const out = new Map();
  for (const s of stats.values()) {
    const n = (s.bytesReceived ?? 0) + (checks ? s.responsesReceived ?? 0 : 0);
    if (n > 0) out.set(s.id, n);
  }
  return out;
}

/**
 * @param {Traffic} before
 * @param {Traffic} after
 * @returns {boolean} whether anything has arrived between the two
 */
export function grew(before, after) {
  return [...after].some(([id, n]) => n > (before.get(id) ?? 0));
}

/**
 * Brings a lost path back by ICE restarts: at once, then again and again with growing pauses, never two at a time. A Connection makes
 * it and asks it to mend whenever something is wrong; it says whether that helped.
 */
import { Backoff, pause } from './backoff.js';
import { asWeeverError } from './errors.js';

/** Milliseconds. */
const TIMING = {
  reply: 2000, // to a restart; a request that went out over the old network may never get one
  returns: 5000, // from the server's first reply to the return of the path: no restart helps, another connection may
  known: 12_000, // from the first attempt on: the server has forgotten the session soon after
  calm: 10_000, // from one repair to the next; if it is less, the next does not begin at once
  first: 500, // of the pauses between attempts
  longest: 4000,
};

/**
 * @typedef {object} RepairOptions
 * @property {(signal: AbortSignal) => Promise<void>} restart  one ICE restart; rejected with a WeeverError when it failed
 * @property {(signal: AbortSignal) => Promise<boolean>} works  whether the path carries anything now; looks for a while
 * @property {AbortSignal} signal  its end
 * @property {Partial<typeof TIMING>} [timing]
 */

/** Statuses that say nothing of the session: who sent them, perhaps a proxy, is busy, or asked too often. */
const BUSY = [429, 503];

export class Repair {
  #options;
  #timing;
  #backoff;
  #running = false;
  #calmFrom = -Infinity; // since when nothing was mended
  #moved = false; // the network changed under the attempt that is on
  #attempt = new AbortController(); // aborts the attempt, or the pause, that is on

  /** @param {RepairOptions} options */
  constructor(options) {
    this.#options = options;
    this.#timing = { ...TIMING, ...options.timing };
    this.#backoff = new Backoff(this.#timing);
    options.signal.addEventListener('abort', () => this.#attempt.abort());
  }

  /** Whether it is at work. */
  get running() {
    return this.#running;
  }

  /**
   * The machine is in another network: gives up the attempt that is on, if any, and makes the next one at once, unless the server
   * asked for a pause.
   */
  moved() {
    this.#moved = true;
    this.#attempt.abort();
  }

  /**
   * Mends; not to be called while it is at work.
   *
   * @returns {Promise<boolean>} false: it is no use
   */
  async mend() {
    this.#running = true;
    const now = performance.now();
    if (now - this.#calmFrom > this.#timing.calm) this.#backoff.reset();
    else if (!this.#moved) await this.#pause();
    const mended = await this.#tryUntil(now);
    this.#calmFrom = performance.now();
    this.#running = false;
    return mended;
  }

  /** @param {number} begun */
  async #tryUntil(begun) {
    const { restart, works, signal } = this.#options;
    let answered = Infinity; // when the server was first heard
    while (!signal.aborted) {
      let asked = 0; // ms the server wants to be left alone
      this.#moved = false;
      this.#renew();
      const timer = setTimeout(() => this.#attempt.abort(), this.#timing.reply);
      try {
        await restart(this.#attempt.signal);
        clearTimeout(timer);
        answered = Math.min(answered, performance.now());
        if (await works(this.#attempt.signal)) return true;
      } catch (err) {
        const { final, status, retryAfter } = asWeeverError(err);
        if (final) return false; // the session is unknown there, or cannot be restarted
        asked = retryAfter;
        if (status && !BUSY.includes(status)) answered = Math.min(answered, performance.now());
      } finally {
        clearTimeout(timer);
      }
      const now = performance.now();
      if (now - answered > this.#timing.returns || now - begun > this.#timing.known) return false;
      if (asked) await pause(Math.min(this.#backoff.next(asked), begun + this.#timing.known - now), signal); // later is too late
      else if (!this.#moved) await this.#pause();
    }
    return true; // the connection is over
  }

  async #pause() {
    this.#renew();
    await pause(this.#backoff.next(), this.#attempt.signal);
  }

  #renew() {
    this.#attempt = new AbortController();
    if (this.#options.signal.aborted) this.#attempt.abort();
  }
}

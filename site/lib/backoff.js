/**
 * How long to wait between attempts: doubling from 1 s to 10 s, each delay drawn from its upper half so that the clients of a
 * node that died do not come back in one wave. The shortest is 0.5 s.
 */
export class Backoff {
  #first;
  #longest;
  #random;
  #failures = 0;

  /**
   * @param {{first?: number, longest?: number, random?: () => number}} [options]
   *   milliseconds of the first and of the longest delay, before the draw
   */
  constructor({ first = 1000, longest = 10_000, random = Math.random } = {}) {
    this.#first = first;
    this.#longest = longest;
    this.#random = random;
  }

  /**
   * Counts a failure.
   *
   * @param {number} [atLeast]  milliseconds the server asked for; up to a fifth is added to spread the clients it told so
   * @returns {number} milliseconds to wait before the next attempt
   */
  next(atLeast = 0) {
    const ceiling = Math.min(this.#longest, this.#first * 2 ** this.#failures);
    this.#failures = Math.min(this.#failures + 1, 30);
    const r = this.#random();
    return Math.max(ceiling * (0.5 + 0.5 * r), atLeast * (1 + 0.2 * r));
  }

  /** Starts anew, after a success that lasted. */
  reset() {
    this.#failures = 0;
  }
}

/**
 * Waits. Never rejects: an aborted wait just ends early.
 *
 * @param {number} ms
 * @param {AbortSignal[]} signals  the first to abort ends it
 * @returns {Promise<void>}
 */
export function pause(ms, ...signals) {
  return new Promise((resolve) => {
    if (signals.some((s) => s.aborted)) return resolve();
    const end = () => {
      clearTimeout(timer);
      for (const s of signals) s.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    for (const s of signals) s.addEventListener('abort', end);
  });
}

/**
 * Offers our sections anew over the control channel. A Connection owns it, queues each offer behind what came before, and cuts the wait
 * for the answer short when ICE has to be restarted: the answer cannot come before that, and the restart cannot begin while we wait.
 */
import { pause } from './backoff.js';
import { say } from './control.js';
import { WeeverError } from './errors.js';

/** Milliseconds from an offer of ours to its answer. */
export const ANSWER_WITHIN = 10_000;

/**
 * @typedef {object} OffersOptions
 * @property {RTCPeerConnection} pc
 * @property {(line: string) => boolean} send
 * @property {() => boolean} mending  the path is being repaired: no time for offers
 * @property {AbortSignal} signal  its end
 */

export class Offers {
  #options;
  #wait = new AbortController(); // aborts the wait that is on
  /** @type {Promise<string> | null} the answer to our last offer, until it has been heard; empty: refused */
  #answer = null;
  /** @type {(sdp: string) => void} */
  #resolve = () => {};

  /** @param {OffersOptions} options */
  constructor(options) {
    this.#options = options;
  }

  /** The server has answered our last offer. @param {string} sdp  empty: it refused */
  answered(sdp) {
    this.#resolve(sdp);
  }

  /**
   * Cuts short the wait that is on, if any. The offer is left in force: the server may know it, and its sections would get other mids
   * if it were rolled back.
   */
  cut() {
    this.#wait.abort();
  }

  /**
   * Makes one offer and applies its answer.
   *
   * An offer that was cut short is still on the reliable channel, and so is its answer. That is waited for first, and not applied, as
   * it is of an ICE session that is over. It must not be taken for the answer to the next.
   *
   * @returns {Promise<boolean>} false: a repair came between. Call it again afterwards
   * @throws {WeeverError} there was no answer, or a refusal: the connection is of no more use
   */
  async make() {
    const { pc, send, mending } = this.#options;
    if (this.#answer && await this.#hear() === null) return false;
    if (mending()) return false;
    await pc.setLocalDescription(await pc.createOffer());
    this.#answer = new Promise((resolve) => { this.#resolve = resolve; });
    send(say.offer(pc.localDescription?.sdp ?? ''));
    const sdp = await this.#hear();
    if (sdp === null) return false;
    if (!sdp) throw new WeeverError('refused', 'The server refused the new track.');
    await pc.setRemoteDescription({ type: 'answer', sdp });
    return true;
  }

  /**
   * Waits for the answer to the last offer.
   * @returns {Promise<string | null>} null: cut short
   */
  async #hear() {
    const { mending, signal } = this.#options;
    const wait = new AbortController();
    this.#wait = wait;
    if (mending()) wait.abort();
    const late = pause(ANSWER_WITHIN, wait.signal, signal).then(() => null);
    const sdp = await Promise.race([this.#answer, late]);
    if (sdp === null && wait.signal.aborted && !signal.aborted) return null;
    wait.abort(); // ends the timer
    this.#answer = null;
    if (sdp === null) throw new WeeverError('lost', 'The server did not answer.');
    return sdp;
  }
}

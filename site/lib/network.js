import { Emitter } from './emitter.js';

/**
 * @typedef {object} NetworkEvents
 * @property {null} moved  there is another network than before, or one again: what went over the old one is cut off
 * @property {null} doubt  something about the network changed; perhaps nothing that matters
 */

/**
 * What the browser says of the network under it. Browsers differ in it, and none tells everything: it saves time, no more.
 *
 * @extends {Emitter<NetworkEvents>}
 */
export class Network extends Emitter {
  /**
   * @param {AbortSignal} signal  until when to listen
   * @param {Partial<Pick<Window, 'addEventListener'>> & {navigator?: unknown}} [scope]  the global object of a page or worker
   */
  constructor(signal, scope = globalThis) {
    super();
    scope.addEventListener?.('online', () => this.emit('moved', null), { signal });
    scope.addEventListener?.('offline', () => this.emit('doubt', null), { signal });
    // Chromium and Android have the Network Information API. It also reports new estimates of speed, all the time.
    const info = /** @type {{connection?: EventTarget & {type?: string}} | undefined} */ (scope.navigator)?.connection;
    let type = info?.type;
    info?.addEventListener('change', () => {
      const now = info.type;
      const moved = now !== undefined && now !== 'none' && now !== type;
      type = now;
      this.emit(moved ? 'moved' : 'doubt', null);
    }, { signal });
  }
}

/**
 * An EventTarget whose events carry a typed detail. Base of everything here that reports something.
 *
 * @template {Record<string, any>} Events  event name → type of `detail`
 */
export class Emitter extends EventTarget {
  /**
   * Calls `listener` with the detail of each event named `type`, until the returned function is called or `signal` aborts.
   * The same events can be had by addEventListener, as CustomEvent.
   *
   * @template {keyof Events & string} K
   * @param {K} type
   * @param {(detail: Events[K]) => void} listener
   * @param {AbortSignal} [signal]
   * @returns {() => void}
   */
  on(type, listener, signal) {
    const handle = (/** @type {Event} */ e) => listener(/** @type {CustomEvent} */ (e).detail);
    this.addEventListener(type, handle, { signal });
    return () => this.removeEventListener(type, handle);
  }

  /**
   * Tells the listeners, now.
   *
   * @template {keyof Events & string} K
   * @param {K} type
   * @param {Events[K]} detail
   */
  emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

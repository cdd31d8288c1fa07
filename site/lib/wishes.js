/**
 * What the user asked to receive, kept so that a new session can be told the same. The server forgets a publisher's wishes when
 * she leaves; so do we.
 */
import { say } from './control.js';

export class Wishes {
  /** @type {'auto' | 'manual'} */
  #mode;
  #modeSaid = false; // it was changed after a session may have been opened in another
  /** @type {Map<string, Map<string, string>>}  full id → "all", track id or "layer <track id>" → message */
  #lines = new Map();

  /** @param {'auto' | 'manual'} mode */
  constructor(mode) {
    this.#mode = mode;
  }

  /** The mode a new session starts with. */
  get mode() {
    return this.#mode;
  }

  /**
   * @param {'auto' | 'manual'} mode
   * @returns {string} the message to send
   */
  setMode(mode) {
    const line = say.mode(mode);
    this.#mode = mode;
    this.#modeSaid = true;
    return line;
  }

  /**
   * @param {string} fullId
   * @param {string[]} tracks  none: all of them
   * @param {boolean} wanted
   * @returns {string} the message to send
   */
  want(fullId, tracks, wanted) {
    const verb = wanted ? say.sub : say.unsub;
    const line = verb(fullId, tracks);
    const lines = this.#of(fullId);
    if (tracks.length === 0) {
      for (const key of lines.keys()) if (!key.startsWith('layer ')) lines.delete(key);
      lines.set('all', line);
    } else {
      for (const t of tracks) replace(lines, t, verb(fullId, [t]));
    }
    return line;
  }

  /**
   * @param {string} fullId
   * @param {string} track
   * @param {string} level
   * @returns {string} the message to send
   */
  layer(fullId, track, level) {
    const line = say.layer(fullId, track, level);
    replace(this.#of(fullId), `layer ${track}`, line);
    return line;
  }

  /** @param {string} fullId  of somebody who left */
  forget(fullId) {
    this.#lines.delete(fullId);
  }

  /** @returns {string[]} the messages that bring a new session to where the last one was */
  replay() {
    const mode = this.#modeSaid ? [say.mode(this.#mode)] : [];
    return [...mode, ...[...this.#lines.values()].flatMap((lines) => [...lines.values()])];
  }

  /** @param {string} fullId */
  #of(fullId) {
    let lines = this.#lines.get(fullId);
    if (!lines) {
      lines = new Map();
      this.#lines.set(fullId, lines);
    }
    return lines;
  }
}

/**
 * Sets a key and makes it the youngest.
 * @param {Map<string, string>} map
 * @param {string} key
 * @param {string} value
 */
function replace(map, key, value) {
  map.delete(key);
  map.set(key, value);
}

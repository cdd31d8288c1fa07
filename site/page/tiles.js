/**
 * The grid of pictures: one tile per publisher, and one's own.
 */
import { make } from './dom.js';

const AUDIBLE = 60; // -dBov: quieter than this is no speech

/**
 * @typedef {object} TileOptions
 * @property {string} name
 * @property {MediaStream} stream
 * @property {boolean} [own]     one's own: silent, in front, mirrored unless it is a screen
 * @property {boolean} [screen]
 */

export class Tiles {
  #grid;
  #silenced;
  /** @type {Map<string, HTMLElement>} */
  #tiles = new Map();

  /**
   * @param {HTMLElement} grid
   * @param {(video: HTMLVideoElement) => void} silenced  called when the browser lets a tile play without sound only
   */
  constructor(grid, silenced) {
    this.#grid = grid;
    this.#silenced = silenced;
  }

  /** @param {string} key @param {TileOptions} options */
  add(key, { name, stream, own = false, screen = false }) {
    this.remove(key);
    const tile = make('figure', '', 'tile');
    tile.classList.toggle('own', own);
    tile.classList.toggle('screen', screen);
    tile.classList.toggle('mirrored', own && !screen);
    tile.dataset['key'] = key;
    const video = make('video');
    video.autoplay = true;
    video.playsInline = true;
    video.muted = own;
    video.srcObject = stream;
    const label = own ? `${name} (you)` : name;
    tile.append(video, make('figcaption', screen ? `${label}, screen` : label));
    if (own) this.#grid.prepend(tile);
    else this.#grid.append(tile);
    this.#tiles.set(key, tile);
    this.#play(video);
  }

  /** @param {string} key */
  remove(key) {
    const tile = this.#tiles.get(key);
    if (!tile) return;
    this.#tiles.delete(key);
    const video = tile.querySelector('video');
    if (video) video.srcObject = null;
    tile.remove();
  }

  clear() {
    for (const key of [...this.#tiles.keys()]) this.remove(key);
  }

  /**
   * Her picture or sound changed: browsers stop a video whose only track ended.
   * @param {string} key
   */
  refresh(key) {
    const video = this.#tiles.get(key)?.querySelector('video');
    if (video) this.#play(video);
  }

  /** @param {string} key @param {boolean} away */
  setAway(key, away) {
    this.#tiles.get(key)?.classList.toggle('away', away);
  }

  /** @param {import('../weever.js').Speaker[]} speakers */
  setSpeakers(speakers) {
    const loud = new Set(speakers.filter((s) => s.level < AUDIBLE).map((s) => s.fullId));
    for (const [key, tile] of this.#tiles) tile.classList.toggle('speaking', loud.has(key));
  }

  /** @param {HTMLVideoElement} video */
  async #play(video) {
    try {
      await video.play();
    } catch (err) {
      // Without a click on the page browsers play no sound. Other refusals are passing: the tile was removed, or has no track yet.
      if (!(err instanceof DOMException) || err.name !== 'NotAllowedError' || video.muted) return;
      video.muted = true;
      this.#silenced(video);
      video.play().catch(() => {});
    }
  }
}

/**
 * The room as one connection of a subscriber sees it: who is there, and which track lies in which section.
 *
 * The tracks are read from the server's descriptions, not from browser events: a section that passes from one publisher to the
 * next within a round fires none.
 */
import { isFullId } from './names.js';
import { sections } from './sdp.js';

/**
 * One section that carries something.
 * @typedef {object} Carried
 * @property {string} fullId
 * @property {string} trackId  "video0", "audio0", …
 * @property {MediaStreamTrack} track
 */

export class View {
  /** @type {Set<string>} announced, not left */
  #joined = new Set();
  /** @type {Set<string>} */
  #away = new Set();
  /** @type {Map<string, Carried>} by mid */
  #carried = new Map();
  /** @type {Map<string, import('./control.js').TrackInfo[]>} */
  #infos = new Map();

  /**
   * Reads the server's description that is now in force.
   * @param {RTCPeerConnection} pc
   */
  describe(pc) {
    this.#carried.clear();
    const tracks = new Map(pc.getTransceivers().map((t) => [t.mid, t.receiver.track]));
    for (const s of sections(pc.remoteDescription?.sdp ?? '')) {
      const track = tracks.get(s.mid);
      if (s.sends && track && isFullId(s.stream)) {
        this.#carried.set(s.mid, { fullId: s.stream, trackId: s.track, track });
      }
    }
  }

  /** @param {import('./control.js').ControlMessage} m */
  hear(m) {
    switch (m.word) {
      case 'PUB_JOIN':
        this.#joined.add(m.fullId);
        this.#away.delete(m.fullId);
        break;
      case 'PUB_AWAY':
        this.#away.add(m.fullId);
        break;
      case 'PUB_LEFT':
        this.#joined.delete(m.fullId);
        this.#away.delete(m.fullId);
        this.#infos.delete(m.fullId);
        // Her sections stay in the description until the next offer.
        for (const [mid, c] of this.#carried) if (c.fullId === m.fullId) this.#carried.delete(mid);
        break;
      case 'TRACKS':
        this.#infos.set(m.fullId, m.tracks);
    }
  }

  /** Who is there: announced, or heard already. @returns {Set<string>} */
  get publishers() {
    return new Set([...this.#joined, ...[...this.#carried.values()].map((c) => c.fullId)]);
  }

  /** @param {string} fullId */
  isAway(fullId) {
    return this.#away.has(fullId);
  }

  /** @param {string} fullId @returns {Map<string, MediaStreamTrack>} by track id */
  tracksOf(fullId) {
    return new Map([...this.#carried.values()].filter((c) => c.fullId === fullId).map((c) => [c.trackId, c.track]));
  }

  /** @param {string} fullId @returns {import('./control.js').TrackInfo[] | undefined} as the server last said */
  infosOf(fullId) {
    return this.#infos.get(fullId);
  }

  /**
   * @param {RTCPeerConnection} pc  the one this view is of
   * @returns {Promise<Map<string, number>>} "<full id> <track id>" → how much of it was shown so far: pictures, or packets of sound.
   *   What never was is not in it
   */
  async shown(pc) {
    /** @type {Map<string, number>} */
    const counts = new Map();
    const stats = await pc.getStats().catch(() => null); // none, once it is closed
    for (const s of stats?.values() ?? []) {
      if (s.type !== 'inbound-rtp') continue;
      const carried = this.#carried.get(s.mid);
      const count = s.kind === 'video' ? s.framesDecoded : s.packetsReceived;
      if (carried && count > 0) counts.set(`${carried.fullId} ${carried.trackId}`, count);
    }
    return counts;
  }
}

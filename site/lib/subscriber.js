/**
 * Receives everybody in a room over one connection, and hides the seams: when the connection is replaced, those who are still
 * there keep their Peer and its MediaStream.
 */
import { WeeverError } from './errors.js';
import { Emitter } from './emitter.js';
import { pause } from './backoff.js';
import { say } from './control.js';
import { checkId, checkRoom, idOf, isScreen, newFullId } from './names.js';
import { Session } from './session.js';
import { View } from './view.js';
import { Wishes } from './wishes.js';

const GRACE_DEAD = 1000; // ms a new connection may take to show everybody, when the old one shows nobody any more
const GRACE = 10_000; // the same at most, when the old one still plays
const QUIET = 1000; // ms after which a track is not waited for that has brought nothing meanwhile on the old one either
const LOOK_EVERY = 100; // ms

/**
 * @typedef {object} SubscribeOnly
 * @property {'auto' | 'manual'} [mode]  "manual": nobody is received but for those named by `sub`. Default "auto"
 */

/** @typedef {import('./session.js').CommonOptions & SubscribeOnly} SubscribeOptions */

/**
 * A publisher in the room, as this subscriber sees her. Changes in place; to be looked at only.
 * @typedef {object} Peer
 * @property {string} fullId
 * @property {string} id        the person
 * @property {boolean} screen   a screen share
 * @property {boolean} away     silent for a while, may come back
 * @property {MediaStream} stream  what is received of her: the same object for as long as she is there
 * @property {Map<string, MediaStreamTrack>} tracks  by track id, "video0"; all of them are in `stream`
 * @property {import('./control.js').TrackInfo[]} infos  what she sends, received or not; empty until the server has told
 */

/** @typedef {{peer: Peer, trackId: string, track: MediaStreamTrack}} PeerTrack */

/**
 * @typedef {object} SubscriberEvents
 * @property {import('./session.js').State} state
 * @property {WeeverError} error   see SessionEvents
 * @property {Peer} joined         before any of her tracks
 * @property {Peer} left           after the end of all of her tracks
 * @property {Peer} away           nothing comes from her; she may be back within seconds
 * @property {Peer} back
 * @property {PeerTrack} track       a track was added to `peer.stream`
 * @property {PeerTrack} trackended  a track was taken out of it
 * @property {Peer} tracks         `peer.infos` changed
 * @property {import('./control.js').Speaker[]} speakers  who is heard, loudest first
 * @property {unknown} stats       the server's view of this session
 * @property {{fullId: string, data: unknown}} said  what another subscriber said
 */

/** @extends {Emitter<SubscriberEvents>} */
export class Subscriber extends Emitter {
  #session;
  #wishes;
  /** @type {WeakMap<import('./connection.js').Connection, View>} */
  #views = new WeakMap();
  /** @type {View | null} the one that is shown */
  #shown = null;
  /** @type {Map<string, Peer>} */
  #peers = new Map();

  /** This connection's name in the room. */
  fullId;
  /** The person. */
  id;
  room;

  /**
   * Starts at once; `opened` and the event "state" tell how it goes.
   *
   * @param {SubscribeOptions} options
   * @throws {WeeverError} when a name is not allowed
   */
  constructor(options) {
    super();
    this.room = checkRoom(options.room);
    this.id = checkId(options.id);
    this.fullId = newFullId(this.id);
    this.#wishes = new Wishes(options.mode ?? 'auto');
    this.#session = new Session(options, {
      path: () => `sub/${this.room}/${this.fullId}${this.#wishes.mode === 'manual' ? '?sub=manual' : ''}`,
      prepare: (pc, conn, first) => this.#prepare(pc, conn, first),
      takeOver: (conn, old, signal) => this.#takeOver(conn, old, signal),
      retire: async () => true,
    });
    this.#session.on('state', (state) => {
      if (state === 'closed') this.#show(new View());
      this.emit('state', state);
    });
    this.#session.on('error', (err) => this.emit('error', err));
    this.#session.start();
  }

  /** "connecting", "connected", "reconnecting" or "closed". */
  get state() {
    return this.#session.state;
  }

  /**
   * @returns {Promise<void>} fulfilled at the first connection
   * @throws {WeeverError} the final one, when there will be none
   */
  opened() {
    return this.#session.opened();
  }

  /** Who is there, by full id. @returns {ReadonlyMap<string, Peer>} */
  get peers() {
    return this.#peers;
  }

  /**
   * Asks for a publisher, present or expected, until she leaves.
   * @param {string} fullId
   * @param {string[]} [tracks]  "video0", …; default: all
   */
  sub(fullId, tracks = []) {
    this.#send(this.#wishes.want(fullId, tracks, true));
  }

  /**
   * Drops a publisher or some of her tracks, until she leaves.
   * @param {string} fullId
   * @param {string[]} [tracks]  default: all
   */
  unsub(fullId, tracks = []) {
    this.#send(this.#wishes.want(fullId, tracks, false));
  }

  /**
   * @param {'auto' | 'manual'} mode  whether those whom neither `sub` nor `unsub` named are received
   */
  mode(mode) {
    this.#send(this.#wishes.setMode(mode));
  }

  /**
   * Chooses the quality of a track.
   * @param {string} fullId
   * @param {string} track  "video0"
   * @param {'high' | 'mid' | 'low' | 'off' | 'auto'} level
   */
  layer(fullId, track, level) {
    this.#send(this.#wishes.layer(fullId, track, level));
  }

  /**
   * Says something to the other subscribers of the room. Needs a token that allows it.
   * @param {unknown} value  at most 16 KiB of JSON
   * @throws {WeeverError} when it is too large, or there is no connection: it is not kept for later
   */
  say(value) {
    if (!this.#send(say.say(value))) throw new WeeverError('not-connected', 'There is no connection just now.');
  }

  /**
   * @returns {Promise<number>} round-trip time to the server in milliseconds
   * @throws {WeeverError} when there is no connection, or no reply
   */
  async ping() {
    const conn = this.#session.current;
    if (!conn) throw new WeeverError('not-connected', 'There is no connection just now.');
    return conn.ping();
  }

  /**
   * @returns {Promise<RTCStatsReport>} of the connection in use
   * @throws {WeeverError} when there is none
   */
  async getStats() {
    const conn = this.#session.current;
    if (!conn) throw new WeeverError('not-connected', 'There is no connection just now.');
    return conn.pc.getStats();
  }

  /** Stops receiving, for good. Everybody "left". */
  leave() {
    this.#session.close();
  }

  /** @param {string} line @returns {boolean} whether it was sent; wishes are repeated to the next connection anyway */
  #send(line) {
    return this.#session.current?.send(line) ?? false;
  }

  /**
   * @param {RTCPeerConnection} pc
   * @param {import('./connection.js').Connection} conn
   * @param {boolean} first
   */
  #prepare(pc, conn, first) {
    const view = new View();
    this.#views.set(conn, view);
    if (first) this.#show(view);
    pc.addTransceiver('audio', { direction: 'recvonly' });
    pc.addTransceiver('video', { direction: 'recvonly' });
    conn.on('described', () => {
      view.describe(pc);
      this.#changed(view);
    });
    conn.on('message', (m) => this.#hear(view, m));
  }

  /**
   * Waits until the new connection shows what the old one does.
   *
   * @param {import('./connection.js').Connection} conn
   * @param {import('./connection.js').Connection | null} old
   * @param {AbortSignal} signal
   */
  async #takeOver(conn, old, signal) {
    for (const line of this.#wishes.replay()) conn.send(line);
    const view = this.#views.get(conn);
    if (!view) return;
    const start = performance.now();
    const before = old?.up ? await this.#shownOn(old) : new Map();
    while (old && conn.up && !signal.aborted) {
      const grace = old.up ? Math.min(GRACE, (old.moving?.seconds ?? 0) * 1000) : GRACE_DEAD;
      const waited = performance.now() - start;
      if (waited >= grace) break;
      const flowing = await view.shown(conn.pc);
      if (old.up) {
        const now = await this.#shownOn(old);
        const missing = [...now.keys()].filter((track) => !flowing.has(track));
        const unheard = [...this.#peers.keys()].some((fullId) => !view.publishers.has(fullId)); // the server tells of all on opening
        const quiet = missing.every((track) => now.get(track) === before.get(track));
        if ((missing.length === 0 && !unheard) || (quiet && waited > QUIET)) break;
      } else if (this.#allIn(flowing)) break;
      await pause(LOOK_EVERY, signal);
    }
    if (conn.up && !signal.aborted) this.#show(view);
  }

  /** @param {import('./connection.js').Connection} conn @returns {Promise<Map<string, number>>} */
  async #shownOn(conn) {
    return await this.#views.get(conn)?.shown(conn.pc) ?? new Map();
  }

  /** Whether something is shown of everybody who is there. @param {Map<string, number>} flowing */
  #allIn(flowing) {
    const expected = [...this.#peers.values()].filter((p) => !p.away && p.tracks.size > 0);
    return expected.length > 0 && expected.every((p) => [...p.tracks.keys()].some((id) => flowing.has(`${p.fullId} ${id}`)));
  }

  /**
   * @param {View} view
   * @param {import('./control.js').ControlMessage} m
   */
  #hear(view, m) {
    view.hear(m);
    if (m.word === 'PUB_LEFT') this.#wishes.forget(m.fullId);
    this.#changed(view);
    if (view !== this.#shown) return;
    switch (m.word) {
      case 'SPEAKERS':
        this.emit('speakers', m.speakers);
        break;
      case 'STATS':
        this.emit('stats', m.data);
        break;
      case 'SAID':
        this.emit('said', { fullId: m.fullId, data: m.data });
    }
  }

  /** @param {View} view */
  #show(view) {
    this.#shown = view;
    this.#changed(view);
  }

  /**
   * Brings the peers to what the shown view says, and tells of each difference.
   * @param {View} view
   */
  #changed(view) {
    if (view !== this.#shown) return;
    const present = view.publishers;
    for (const peer of [...this.#peers.values()]) {
      if (present.has(peer.fullId)) continue;
      this.#setTracks(peer, new Map());
      this.#peers.delete(peer.fullId);
      this.emit('left', peer);
    }
    for (const fullId of present) {
      const peer = this.#peers.get(fullId) ?? this.#join(fullId);
      this.#setTracks(peer, view.tracksOf(fullId));
      const infos = view.infosOf(fullId);
      if (infos && infos !== peer.infos) {
        peer.infos = infos;
        this.emit('tracks', peer);
      }
      if (peer.away !== view.isAway(fullId)) {
        peer.away = !peer.away;
        this.emit(peer.away ? 'away' : 'back', peer);
      }
    }
  }

  /** @param {string} fullId */
  #join(fullId) {
    /** @type {Peer} */
    const peer = { fullId, id: idOf(fullId), screen: isScreen(fullId), away: false, stream: new MediaStream(), tracks: new Map(), infos: [] };
    this.#peers.set(fullId, peer);
    this.emit('joined', peer);
    return peer;
  }

  /**
   * @param {Peer} peer
   * @param {Map<string, MediaStreamTrack>} wanted
   */
  #setTracks(peer, wanted) {
    const gone = [...peer.tracks].filter(([trackId, track]) => wanted.get(trackId) !== track);
    const fresh = [...wanted].filter(([trackId, track]) => peer.tracks.get(trackId) !== track);
    // First in, then out: an element whose stream has no track for a moment would stop.
    for (const [, track] of fresh) peer.stream.addTrack(track);
    for (const [trackId, track] of gone) {
      peer.tracks.delete(trackId);
      if (!fresh.some(([, t]) => t === track)) peer.stream.removeTrack(track);
    }
    for (const [trackId, track] of fresh) peer.tracks.set(trackId, track);
    for (const [trackId, track] of gone) this.emit('trackended', { peer, trackId, track });
    for (const [trackId, track] of fresh) this.emit('track', { peer, trackId, track });
  }
}

/**
 * Sends a person's camera, microphone or screen into a room, and goes on under the same full id when the connection is replaced:
 * those who watch see one stream.
 */
import { WeeverError } from './errors.js';
import { Emitter } from './emitter.js';
import { pause } from './backoff.js';
import { checkId, checkRoom, newFullId } from './names.js';
import { Session } from './session.js';

const HANDOVER = 15_000; // ms in which the server makes the new session the one that counts, and ends the old one itself
const HANDOVER_DEAD = 3000; // the same when the old one is dead and will not hear of it

/**
 * @typedef {object} PublishOnly
 * @property {MediaStream} [stream]           what to send
 * @property {MediaStreamTrack[]} [tracks]    instead of a stream
 * @property {boolean} [simulcast]            send video in three sizes, for the server to choose from for each viewer
 */

/** @typedef {import('./session.js').CommonOptions & PublishOnly} PublishOptions */

/**
 * @typedef {object} PublisherEvents
 * @property {import('./session.js').State} state
 * @property {WeeverError} error       see SessionEvents
 * @property {MediaStreamTrack} trackended  a local track ended by itself: unplugged, or the user stopped sharing
 */

/** Sizes of simulcast, in order of preference (RFC 8853 section 5.1). */
const LAYERS = [
  { rid: 'high', maxBitrate: 2_500_000 },
  { rid: 'mid', scaleResolutionDownBy: 2, maxBitrate: 600_000 },
  { rid: 'low', scaleResolutionDownBy: 4, maxBitrate: 200_000 },
];

/** @extends {Emitter<PublisherEvents>} */
export class Publisher extends Emitter {
  #session;
  #simulcast;
  #stream; // names the tracks as one stream in our offers
  /** @type {{kind: string, track: MediaStreamTrack | null}[]} what is sent, one per section */
  #slots;
  /** @type {WeakMap<import('./connection.js').Connection, RTCRtpSender[]>}  in the order of #slots */
  #senders = new WeakMap();
  #stop = new AbortController();

  /** This connection's name in the room. */
  fullId;
  /** The person. */
  id;
  room;

  /**
   * Starts at once; `opened` and the event "state" tell how it goes.
   *
   * @param {PublishOptions} options
   * @throws {WeeverError} when a name is not allowed or there is nothing to send
   */
  constructor(options) {
    super();
    this.room = checkRoom(options.room);
    this.id = checkId(options.id);
    this.fullId = newFullId(this.id);
    const tracks = options.tracks ?? options.stream?.getTracks() ?? [];
    if (tracks.length === 0) throw new WeeverError('nothing', 'There is nothing to send: no camera, microphone or screen.', { final: true });
    this.#stream = options.stream ?? new MediaStream(tracks);
    this.#simulcast = options.simulcast ?? false;
    this.#slots = tracks.map((track) => ({ kind: track.kind, track }));
    for (const track of tracks) this.#watch(track);
    this.#session = new Session(options, {
      path: () => `pub/${this.room}/${this.fullId}`,
      prepare: (pc, conn) => this.#prepare(pc, conn),
      takeOver: async () => {},
      retire: (old, signal) => this.#retire(old, signal),
    });
    this.#session.on('state', (state) => {
      if (state === 'closed') this.#stop.abort();
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

  /** What is sent just now. */
  get tracks() {
    return this.#slots.flatMap(({ track }) => (track ? [track] : []));
  }

  /**
   * Mutes or unmutes without a word to the server: silence and black pictures are sent.
   *
   * @param {'audio' | 'video'} kind
   * @param {boolean} muted
   */
  setMuted(kind, muted) {
    for (const track of this.tracks) if (track.kind === kind) track.enabled = !muted;
  }

  /**
   * Sends another track in place of the first of its kind, or one of a kind not sent so far.
   *
   * @param {'audio' | 'video'} kind
   * @param {MediaStreamTrack | null} track  null: nothing. Whoever handed in the old track stops it
   * @returns {Promise<void>} fulfilled when it is sent
   */
  async replaceTrack(kind, track) {
    const at = this.#slots.findIndex((s) => s.kind === kind);
    const slot = this.#slots[at];
    if (track) this.#watch(track);
    if (slot) {
      slot.track = track;
      await Promise.all(this.#session.connections.map((c) => this.#senders.get(c)?.[at]?.replaceTrack(track)));
    } else if (track) {
      this.#slots.push({ kind, track });
      await Promise.all(this.#session.connections.map((c) => this.#add(c)));
    }
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

  /**
   * @returns {Promise<number>} round-trip time to the server in milliseconds
   * @throws {WeeverError} when there is no connection, or no reply
   */
  async ping() {
    const conn = this.#session.current;
    if (!conn) throw new WeeverError('not-connected', 'There is no connection just now.');
    return conn.ping();
  }

  /** Stops sending, for good. The tracks are not stopped: they belong to whoever handed them in. */
  leave() {
    this.#session.close();
  }

  /**
   * @param {RTCPeerConnection} pc
   * @param {import('./connection.js').Connection} conn
   */
  #prepare(pc, conn) {
    this.#senders.set(conn, this.#slots.map((slot) => this.#addSection(pc, slot)));
  }

  /**
   * Adds the youngest slot to a connection that runs already. One that is not up yet was made without it and is left alone: its
   * tracks are few for a moment only, for a publisher who adds a track while it connects.
   *
   * @param {import('./connection.js').Connection} conn
   */
  async #add(conn) {
    const slot = this.#slots[this.#slots.length - 1];
    const senders = this.#senders.get(conn);
    if (!slot || !senders || !conn.up) return;
    senders.push(this.#addSection(conn.pc, slot));
    await conn.negotiate();
  }

  /**
   * @param {RTCPeerConnection} pc
   * @param {{kind: string, track: MediaStreamTrack | null}} slot
   */
  #addSection(pc, { kind, track }) {
    const sendEncodings = this.#simulcast && kind === 'video' ? LAYERS : undefined;
    return pc.addTransceiver(track ?? kind, { direction: 'sendonly', streams: [this.#stream], ...(sendEncodings && { sendEncodings }) }).sender;
  }

  /**
   * Waits until the server has put the new session into the place of the old one. Until it has, closing the old one would announce
   * that we left.
   *
   * @param {import('./connection.js').Connection} old
   * @param {AbortSignal} signal
   */
  async #retire(old, signal) {
    if (old.up) {
      await Promise.race([pause(HANDOVER, signal), new Promise((resolve) => old.on('down', resolve))]);
    } else {
      for (const sender of this.#senders.get(old) ?? []) await sender.replaceTrack(null).catch(() => {}); // spares the encoder
      await pause(HANDOVER_DEAD, signal);
    }
    return false;
  }

  /** @param {MediaStreamTrack} track */
  #watch(track) {
    track.addEventListener('ended', () => {
      if (this.tracks.includes(track)) this.emit('trackended', track);
    }, { signal: this.#stop.signal });
  }
}

/**
 * Keeps one connection to a room going: makes the first, replaces it when it goes down or when the server asks to move, and says
 * in which state things are. What flows over the connection is the business of Publisher and Subscriber, which own a Session each.
 */
import { Backoff, pause } from './backoff.js';
import { Connection } from './connection.js';
import { Emitter } from './emitter.js';
import { WeeverError, asWeeverError } from './errors.js';
import { Http } from './http.js';
import { Network } from './network.js';

const STABLE_AFTER = 10_000; // ms up, after which the next loss is answered at once
const SPREAD = 300; // ms over which clients that lose one node come back

/**
 * "connecting": for the first time; "connected"; "reconnecting": lost, trying again; "closed": left, or refused for good.
 * @typedef {'connecting' | 'connected' | 'reconnecting' | 'closed'} State
 */

/**
 * What every publisher and subscriber takes.
 * @typedef {object} CommonOptions
 * @property {string} room
 * @property {string} id           the person, without "+suffix"
 * @property {string} [token]      bearer
 * @property {string} [base]       where the server is, "https://sfu.example.com/"; default: where the page is
 * @property {RTCIceServer[]} [iceServers]  besides those the server names
 * @property {typeof fetch} [fetch]         instead of the browser's
 * @property {typeof RTCPeerConnection} [RTCPeerConnection]  instead of the browser's
 */

/**
 * @typedef {object} SessionEvents
 * @property {State} state
 * @property {WeeverError} error  what went wrong; unless it is final, another attempt follows by itself
 */

/**
 * What Publisher and Subscriber do for their session.
 * @typedef {object} Role
 * @property {() => string} path  relative URL to POST to
 * @property {(pc: RTCPeerConnection, conn: Connection, first: boolean) => void} prepare
 *   adds the sections to a new connection. `first`: there is nothing that it replaces
 * @property {(conn: Connection, old: Connection | null, signal: AbortSignal) => Promise<void>} takeOver
 *   called when `conn` has opened; when fulfilled, `conn` is the one in use
 * @property {(old: Connection, signal: AbortSignal) => Promise<boolean>} retire
 *   called with the connection that was replaced; when fulfilled, that is closed. The result: whether to tell the server
 */

/** @extends {Emitter<SessionEvents>} */
export class Session extends Emitter {
  #options;
  #role;
  #http;
  #backoff = new Backoff();
  #stop = new AbortController(); // aborts when all is over
  #network = new Network(this.#stop.signal);
  /** @type {State} */
  #state = 'connecting';
  /** @type {Connection | null} in use; may be down while its successor is on the way */
  #current = null;
  #since = 0; // when #current came into use
  /** @type {Set<Connection>} all that are not closed */
  #open = new Set();
  #replacing = false;
  /** @type {WeeverError | null} why it is over, unless by our own wish */
  #refusal = null;
  /** @type {RTCIceServer[]} as the server last named them */
  #iceServers = [];

  /**
   * @param {CommonOptions} options
   * @param {Role} role
   */
  constructor(options, role) {
    super();
    this.#options = options;
    this.#role = role;
    this.#http = new Http(options.token ?? '', options.fetch);
  }

  get state() {
    return this.#state;
  }

  /** The connection in use, if it is up. */
  get current() {
    return this.#current?.up ? this.#current : null;
  }

  /** All connections that are not closed: the one in use, its successor, its predecessor. */
  get connections() {
    return [...this.#open];
  }

  /** Connects and stays connected until `close` or a final refusal. Call once; returns at once. */
  start() {
    this.#replace(0);
  }

  /**
   * Fulfilled at the first connection.
   * @returns {Promise<void>}
   * @throws {WeeverError} the final one, when there will be none
   */
  opened() {
    return new Promise((resolve, reject) => {
      const look = () => {
        if (this.#state === 'connected') resolve();
        if (this.#state === 'closed') reject(this.#refusal ?? new WeeverError('closed', 'You have left.', { final: true }));
      };
      this.on('state', look);
      look();
    });
  }

  /** Leaves: the server and everybody else learn it at once. */
  close() {
    if (this.#state === 'closed') return;
    this.#stop.abort();
    for (const conn of this.#open) conn.close(true);
    this.#open.clear();
    this.#current = null;
    this.#setState('closed');
  }

  /**
   * Makes connections until one is in use, after `delay` ms. The old one stays until then: a publisher that closed it would be
   * announced as gone.
   *
   * @param {number} delay
   */
  async #replace(delay) {
    if (this.#replacing) return;
    this.#replacing = true;
    const { signal } = this.#stop;
    let asked = false; // it was the server that asked for the delay
    for (;;) {
      const back = new AbortController(); // a network that is back is a reason not to wait
      const deaf = asked ? () => {} : this.#network.on('moved', () => back.abort());
      await pause(delay, signal, back.signal);
      deaf();
      if (signal.aborted) return;
      try {
        await this.#attempt();
        break;
      } catch (err) {
        if (signal.aborted) return;
        const e = asWeeverError(err);
        this.emit('error', e);
        if (e.final) return this.#end(e);
        delay = this.#backoff.next(e.retryAfter);
        asked = e.retryAfter > 0;
      }
    }
    this.#replacing = false;
    this.#check(); // it may have gone down, or been asked to move, meanwhile
  }

  /** One connection, from the offer to being in use. */
  async #attempt() {
    const { signal } = this.#stop;
    const old = this.#current;
    /** @type {Connection | undefined} */
    let conn;
    try {
      conn = new Connection({
        url: this.#url(),
        http: this.#http,
        iceServers: [...(this.#options.iceServers ?? []), ...this.#iceServers],
        RTCPeerConnection: this.#options.RTCPeerConnection ?? RTCPeerConnection,
        prepare: (pc, c) => this.#role.prepare(pc, c, old === null),
      });
      this.#open.add(conn);
      conn.on('down', () => this.#check());
      conn.on('message', (m) => {
        if (m.word === 'RECONNECT') this.#check();
        if (m.word === 'ERR') this.emit('error', new WeeverError('control', `The server could not do ${m.about}: ${m.reason}`));
      });
      await conn.open();
      this.#iceServers = conn.iceServers;
      await this.#role.takeOver(conn, old, signal);
      if (!conn.up) throw new WeeverError('lost', 'The connection to the server was lost.');
    } catch (err) {
      if (conn) this.#discard(conn, true);
      throw err;
    }
    this.#current = conn;
    this.#since = performance.now();
    if (old) this.#retire(old);
    this.#setState('connected');
  }

  /** @param {Connection} old */
  async #retire(old) {
    const tell = await this.#role.retire(old, this.#stop.signal);
    this.#discard(old, tell);
  }

  /** @param {Connection} conn @param {boolean} tell */
  #discard(conn, tell) {
    if (this.#open.delete(conn)) conn.close(tell);
  }

  /** Looks whether the connection in use has to be replaced. */
  #check() {
    const conn = this.#current;
    if (!conn || this.#state === 'closed') return;
    if (!conn.up) this.#setState('reconnecting');
    if (this.#replacing || (conn.up && !conn.moving)) return;
    const stable = performance.now() - this.#since > STABLE_AFTER;
    if (stable) this.#backoff.reset();
    this.#replace(stable ? Math.random() * SPREAD : this.#backoff.next());
  }

  /**
   * Refused for good. A connection that is still up is used to its end.
   * @param {WeeverError} err
   */
  #end(err) {
    this.#refusal = err;
    const conn = this.#current;
    if (conn?.up) conn.on('down', () => this.close());
    else this.close();
  }

  #url() {
    const { base = '' } = this.#options;
    const root = base && !base.endsWith('/') ? `${base}/` : base;
    return root + this.#role.path();
  }

  /** @param {State} state */
  #setState(state) {
    if (state === this.#state) return;
    this.#state = state;
    this.emit('state', state);
  }
}

/**
 * One POST: a peer connection, its control channel and its session URL, from the offer to the end.
 *
 * Made and ended by a Session, which makes another when this one goes down. Descriptions and messages are handled one after the
 * other, in the order of their arrival.
 */
import { Emitter } from './emitter.js';
import { WeeverError, asWeeverError } from './errors.js';
import { LABEL, parse, say } from './control.js';
import { Network } from './network.js';
import { ANSWER_WITHIN, Offers } from './offers.js';
import { grew, Pulse, trafficOf } from './pulse.js';
import { Repair } from './repair.js';
import { fragment, iceOf, restartAnswer, setupOf } from './sdp.js';
import { withUnanswered } from './unanswered.js';
import { pause } from './backoff.js';

const CONNECT_WITHIN = 12_000; // ms from the answer to the open control channel; the server gives up after 15 s
const WORKS_WITHIN = 2000; // ms from an ICE restart to the first packet on the new path
const LOOK_EVERY = 100; // ms, for that packet
const TRICKLE_EVERY = 100; // ms over which candidates are gathered into one PATCH

/**
 * @typedef {object} ConnectionEvents
 * @property {import('./control.js').ControlMessage} message  all but negotiation and PONG, OK
 * @property {RTCPeerConnection} described  the server's description changed and is in force
 * @property {WeeverError} down  ended from outside; nothing follows
 */

/**
 * @typedef {object} ConnectionOptions
 * @property {string} url
 * @property {import('./http.js').Http} http
 * @property {RTCIceServer[]} iceServers
 * @property {typeof RTCPeerConnection} RTCPeerConnection
 * @property {(pc: RTCPeerConnection, conn: Connection) => void} prepare  adds the sections, before the offer
 */

/** @extends {Emitter<ConnectionEvents>} */
export class Connection extends Emitter {
  #url;
  #http;
  #pc;
  #dc;
  #configured; // ICE servers the peer connection was made with
  #location = '';
  #etag = '';
  #setup = ''; // DTLS role of the server
  #opened = false;
  #stop = new AbortController(); // aborts when the connection has ended
  /** @type {Promise<unknown>} */
  #queue = Promise.resolve();
  /** @type {string[]} */
  #candidates = [];
  #gathered = false;
  #trickling = false;
  #restarting = false;
  #repair;
  #pulse;
  #pings = 0;
  /** @type {Map<string, () => void>} */
  #pongs = new Map();
  #offers;
  /** @type {Promise<unknown>} the last repair */
  #mending = Promise.resolve();

  /** @type {RTCIceServer[]} what the server named in its reply */
  iceServers = [];
  /** @type {{reason: string, seconds: number} | null} the server asked to move */
  moving = null;

  /** @param {ConnectionOptions} options */
  constructor({ url, http, iceServers, RTCPeerConnection, prepare }) {
    super();
    this.#url = url;
    this.#http = http;
    this.#configured = iceServers;
    this.#pc = new RTCPeerConnection({ iceServers, bundlePolicy: 'max-bundle' });
    this.#dc = this.#pc.createDataChannel(LABEL);
    const { signal } = this.#stop;
    this.#repair = new Repair({ signal, restart: (s) => this.#enqueue(() => this.#restartIce(s)), works: (s) => this.#works(s) });
    this.#offers = new Offers({ pc: this.#pc, signal, send: (line) => this.send(line), mending: () => this.#repair.running });
    this.#pulse = new Pulse({
      signal,
      ping: () => this.send(say.ping('beat')),
      traffic: () => this.#traffic(false),
      paused: () => this.#repair.running || this.#restarting,
    });
    this.#watch();
    prepare(this.#pc, this);
  }

  /** The peer connection; to be looked at only. */
  get pc() {
    return this.#pc;
  }

  /** Whether it has opened and not ended. */
  get up() {
    return this.#opened && !this.ended;
  }

  /** Whether it is over. */
  get ended() {
    return this.#stop.signal.aborted;
  }

  /**
   * Connects. Call once.
   *
   * @returns {Promise<void>} fulfilled when the control channel is open
   * @throws {WeeverError} the caller closes the connection then
   */
  async open() {
    const opened = new Promise((resolve, reject) => {
      this.#dc.addEventListener('open', resolve);
      this.#stop.signal.addEventListener('abort', () => reject(this.#stop.signal.reason));
    });
    opened.catch(() => {}); // it may be refused before anybody waits for it
    try {
      await this.#enqueue(() => this.#introduce());
      const timer = setTimeout(() => this.#lost(), CONNECT_WITHIN);
      await opened.finally(() => clearTimeout(timer));
    } catch (err) {
      throw asWeeverError(err);
    }
    this.#opened = true;
    this.#pulse.start();
  }

  /**
   * @param {string} line
   * @returns {boolean} whether it could be sent
   */
  send(line) {
    if (this.#dc.readyState !== 'open') return false;
    this.#dc.send(line);
    return true;
  }

  /**
   * @returns {Promise<number>} round-trip time of the control channel in milliseconds
   * @throws {WeeverError} when there is no reply within 10 s
   */
  async ping() {
    const text = String(++this.#pings);
    const start = performance.now();
    if (!this.send(say.ping(text))) throw new WeeverError('not-connected', 'There is no connection just now.');
    const pong = new Promise((resolve) => this.#pongs.set(text, () => resolve(true)));
    const late = pause(ANSWER_WITHIN, this.#stop.signal);
    const heard = await Promise.race([pong, late]);
    this.#pongs.delete(text);
    if (!heard) throw new WeeverError('lost', 'The server did not answer.');
    return performance.now() - start;
  }

  /**
   * Offers our sections anew, over the control channel: for a publisher that has one more track.
   *
   * @returns {Promise<void>} fulfilled when the server's answer is in force
   * @throws {WeeverError} when there was none; the connection is down then
   */
  async negotiate() {
    try {
      do await this.#mending; while (!await this.#enqueue(() => this.#offers.make()));
    } catch (err) {
      throw err instanceof WeeverError ? this.#down(err) : err;
    }
    this.emit('described', this.#pc);
  }

  /**
   * Ends it; no event follows.
   *
   * @param {boolean} tell  say STOP and DELETE the session, so that it ends at once for everybody. Without it a publisher's
   *   session is left to whoever took it over.
   */
  close(tell) {
    if (!this.ended) this.#stop.abort(new WeeverError('closed', 'The connection was closed.'));
    if (tell) {
      this.send(say.stop());
      if (this.#location) this.#http.remove(this.#location);
    }
    this.#pc.close();
  }

  /** POST and its answer. */
  async #introduce() {
    await this.#pc.setLocalDescription(await this.#pc.createOffer());
    const created = await this.#http.post(this.#url, this.#pc.localDescription?.sdp ?? '', this.#stop.signal);
    this.#location = created.location;
    this.#etag = created.etag;
    this.#setup = setupOf(created.answer);
    this.iceServers = created.iceServers;
    if (this.ended) { // closed while the server was making it
      if (this.#location) this.#http.remove(this.#location);
      throw this.#stop.signal.reason;
    }
    await this.#pc.setRemoteDescription({ type: 'answer', sdp: created.answer });
    this.emit('described', this.#pc);
    this.#learnIceServers();
    this.#trickle();
  }

  /** ICE servers come with the answer, when gathering has begun without them: they serve a restart, tried if nothing else connects. */
  #learnIceServers() {
    if (this.iceServers.length === 0 || this.#configured.length > 0) return;
    this.#pc.setConfiguration({ ...this.#pc.getConfiguration(), iceServers: this.iceServers });
    pause(CONNECT_WITHIN / 4, this.#stop.signal).then(() => {
      if (!this.#opened && !this.ended && this.#dc.readyState === 'connecting') this.#enqueue(() => this.#restartIce(this.#stop.signal)).catch(() => {});
    });
  }

  /** Listens to the peer connection and the channel until the end. */
  #watch() {
    const { signal } = this.#stop;
    const lost = () => this.#lost();
    this.#pc.addEventListener('icecandidate', (e) => {
      if (e.candidate?.candidate) this.#candidates.push(e.candidate.candidate);
      else if (!e.candidate) this.#gathered = true;
      this.#trickle();
    }, { signal });
    this.#pc.addEventListener('connectionstatechange', () => {
      const { connectionState, iceConnectionState } = this.#pc;
      if (connectionState === 'failed' && this.#opened && iceConnectionState === 'failed') this.#mend();
      else if (['failed', 'closed'].includes(connectionState)) lost();
    }, { signal });
    this.#pc.addEventListener('iceconnectionstatechange', () => {
      if (this.#pc.iceConnectionState === 'disconnected') this.#mend();
    }, { signal });
    this.#pulse.on('stalled', () => this.#mend());
    this.#pulse.on('dead', () => this.#down(new WeeverError('lost', 'The server has fallen silent.')));
    const network = new Network(signal);
    network.on('doubt', () => this.#pulse.look());
    network.on('moved', () => {
      this.#repair.moved();
      this.#mend();
    });
    this.#dc.addEventListener('close', lost, { signal });
    this.#dc.addEventListener('message', (e) => this.#receive(e.data), { signal });
  }

  /** @param {unknown} data */
  #receive(data) {
    this.#pulse.heard();
    const message = parse(data);
    if (!message) return;
    switch (message.word) {
      case 'OK':
        return;
      case 'PONG':
        this.#pongs.get(message.text)?.();
        return;
      case 'SDP_ANSWER':
        this.#offers.answered(message.sdp);
        return;
      case 'SDP_OFFER':
        this.#enqueue(() => this.#answer(message.sdp)).catch((err) => this.#down(asWeeverError(err)));
        return;
      case 'ERR':
        if (message.about === 'SDP_OFFER') this.#offers.answered('');
        break;
      case 'RECONNECT':
        this.moving = message;
    }
    this.#enqueue(async () => this.emit('message', message)).catch(() => {});
  }

  /**
   * The server never restarts ICE. An offer with other credentials than the present ones was under way when we restarted it: the
   * server has closed that round without us and offers anew, but still counts on an answer, which it drops.
   *
   * @param {string} offer
   */
  async #answer(offer) {
    if (iceOf(offer).ufrag !== iceOf(this.#pc.remoteDescription?.sdp ?? '').ufrag) {
      this.send(say.answer(this.#pc.localDescription?.sdp ?? ''));
      return;
    }
    await this.#pc.setRemoteDescription({ type: 'offer', sdp: offer });
    await this.#pc.setLocalDescription(await this.#pc.createAnswer());
    this.send(say.answer(this.#pc.localDescription?.sdp ?? ''));
    this.emit('described', this.#pc);
  }

  /** Sends the candidates found, shortly. A server that refuses them has public ones of its own: not an error. */
  async #trickle() {
    if (this.#trickling || !this.#location || !(this.#candidates.length || this.#gathered)) return;
    this.#trickling = true;
    await pause(TRICKLE_EVERY, this.#stop.signal);
    while (!this.ended && !this.#restarting && (this.#candidates.length || this.#gathered)) {
      const body = fragment(this.#pc.localDescription?.sdp ?? '', this.#candidates.splice(0), this.#gathered);
      this.#gathered = false;
      await this.#http.patch(this.#location, body, this.#etag, this.#stop.signal).catch(() => {});
    }
    this.#trickling = false;
  }

  /** The path is gone, or so it seems: restarts ICE until it is back, and gives up when that does not help. */
  async #mend() {
    if (!this.#opened || this.ended || this.#repair.running) return;
    const mending = this.#repair.mend();
    this.#mending = mending;
    this.#offers.cut();
    if (!await mending) this.#lost();
  }

  /** After an ICE restart: whether a packet comes over the new path. @param {AbortSignal} signal */
  async #works(signal) {
    const before = await this.#traffic(true);
    for (let waited = 0; waited < WORKS_WITHIN && !signal.aborted; waited += LOOK_EVERY) {
      await pause(LOOK_EVERY, signal);
      if (grew(before, await this.#traffic(true))) return true;
    }
    return false;
  }

  /** What has arrived so far; nothing, once it is closed. @param {boolean} checks */
  async #traffic(checks) {
    const stats = await this.#pc.getStats().catch(() => null);
    return stats ? trafficOf(stats, checks) : new Map();
  }

  /**
   * One ICE restart by PATCH (RFC 9725 section 4.3.3). When it is refused all is as before, unless an offer of ours is open: then our
   * side waits for the next restart.
   *
   * @param {AbortSignal} signal
   */
  async #restartIce(signal) {
    const remote = this.#pc.remoteDescription;
    if (!this.#location || !remote || this.ended) return;
    if (signal.aborted) throw new WeeverError('network', 'The ICE restart has come too late.');
    const open = this.#pc.signalingState === 'have-local-offer';
    this.#restarting = true;
    this.#candidates = [];
    this.#gathered = false;
    try {
      await this.#pc.setLocalDescription(await this.#pc.createOffer({ iceRestart: true }));
      const offer = this.#pc.localDescription?.sdp ?? '';
      const reply = await this.#http.patch(this.#location, fragment(offer, [], false), '*', signal);
      const ice = iceOf(reply.fragment);
      if (!ice.ufrag) throw new WeeverError('refused', 'The server did not restart ICE.');
      this.#etag = reply.etag || this.#etag;
      await this.#pc.setRemoteDescription({ type: 'answer', sdp: restartAnswer(withUnanswered(remote.sdp, offer), offer, ice, this.#setup) });
    } catch (err) {
      this.#restarting = open; // candidates of credentials that the server does not know would be another restart
      if (!open && this.#pc.signalingState === 'have-local-offer') await this.#pc.setLocalDescription({ type: 'rollback' });
      throw err;
    }
    this.#restarting = false;
    this.#trickle();
  }

  /**
   * Runs `task` after all earlier ones.
   * @template T
   * @param {() => Promise<T>} task
   * @returns {Promise<T>}
   */
  #enqueue(task) {
    const done = this.#queue.then(() => {
      if (this.ended) throw this.#stop.signal.reason;
      return task();
    });
    this.#queue = done.catch(() => {});
    return done;
  }

  #lost() {
    this.#down(this.#opened
      ? new WeeverError('lost', 'The connection to the server was lost.')
      : new WeeverError('no-path', 'No media path to the server could be found. A firewall may be in the way.'));
  }

  /**
   * Ends it from outside, once.
   * @param {WeeverError} err
   */
  #down(err) {
    if (!this.ended) {
      this.#stop.abort(err);
      this.emit('down', err);
    }
    return err;
  }
}

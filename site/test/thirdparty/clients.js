/**
 * Drives WHIP and WHEP clients, other people's and ours, by the same few words: for mediad's tests, which serve this file and the
 * clients to a page and call `window.stage`.
 */
import { WHIPClient as MedoozeWhip } from '/clients/medooze-whip.js';
import { WHEPClient as MedoozeWhep } from '/clients/medooze-whep.js';
import { WHIPClient as EyevinnWhip } from '/clients/eyevinn-whip.js';
import eyevinn from '/clients/eyevinn-player.js';
import { publish, subscribe } from '/weever.js';

/**
 * @typedef {object} Place
 * @property {string} base   of the API
 * @property {string} room
 * @property {string} id
 * @property {string} token
 */

/**
 * A client at work.
 * @typedef {object} Running
 * @property {() => Promise<RTCStatsReport>} stats
 * @property {() => unknown} stop
 * @property {() => number} [peers]           how many publishers it knows
 * @property {() => number} [events]          state of its event stream: 1 is open
 */

const noServers = []; // both of Eyevinn's clients else ask a public STUN server

/** @type {Record<string, (to: Place, stream: MediaStream) => Promise<Running>>} */
const publishers = {
  async medooze(to, stream) {
    const pc = new RTCPeerConnection();
    for (const track of stream.getTracks()) pc.addTransceiver(track, { direction: 'sendonly', streams: [stream] });
    const client = new MedoozeWhip();
    await client.publish(pc, `${to.base}/pub/${to.room}/${to.id}`, to.token);
    return { stats: () => pc.getStats(), stop: () => client.stop() };
  },
  async eyevinn(to, stream) {
    const client = new EyevinnWhip({ endpoint: `${to.base}/pub/${to.room}/${to.id}`, opts: { authkey: to.token, iceServers: noServers } });
    await client.ingest(stream);
    return { stats: () => client.peer.getStats(), stop: () => client.destroy() };
  },
  async weever(to, stream) {
    const client = publish({ ...to, stream });
    await client.opened();
    return { stats: () => client.getStats(), stop: () => client.leave() };
  },
};

/** @type {Record<string, (from: Place, video: HTMLVideoElement) => Promise<Running>>} */
const players = {
  async medooze(from, video) {
    const pc = new RTCPeerConnection();
    pc.addTransceiver('audio', { direction: 'recvonly' });
    pc.addTransceiver('video', { direction: 'recvonly' });
    pc.ontrack = (e) => { if (e.streams[0]) video.srcObject = e.streams[0]; };
    const client = new MedoozeWhep();
    await client.view(pc, `${from.base}/sub/${from.room}/${from.id}`, from.token);
    return {
      stats: () => pc.getStats(), stop: () => client.stop(),
      events: () => client.eventSource?.readyState ?? -1,
    };
  },
  async eyevinn(from, video) {
    const player = new eyevinn.WebRTCPlayer({ video, type: 'whep', iceServers: noServers });
    // What it is given goes into the Authorization header as it is.
    await player.load(new URL(`${from.base}/sub/${from.room}/${from.id}`), `Bearer ${from.token}`);
    return { stats: () => player.peer.getStats(), stop: () => player.unload() };
  },
  async weever(from, video) {
    const client = subscribe(from);
    client.on('track', ({ peer }) => { video.srcObject = peer.stream; });
    await client.opened();
    return { stats: () => client.getStats(), stop: () => client.leave(), peers: () => client.peers.size };
  },
};

/** @type {Map<string, Running>} by the name that the test gave */
const running = new Map();
/** @type {string[]} what nobody caught */
const faults = [];
addEventListener('unhandledrejection', (e) => faults.push(String(e.reason?.stack ?? e.reason)));
addEventListener('error', (e) => faults.push(e.message));

window.stage = {
  faults,

  /** @param {string} name @param {string} client @param {Place} to */
  async publish(name, client, to) {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: { width: 320, height: 240, frameRate: 15 } });
    running.set(name, await publishers[client](to, stream));
  },

  /** @param {string} name @param {string} client @param {Place} from */
  async play(name, client, from) {
    const video = document.createElement('video');
    video.muted = true;
    video.autoplay = true;
    document.body.append(video);
    running.set(name, await players[client](from, video));
  },

  /** How much has arrived: pictures decoded, packets of sound. @param {string} name */
  async got(name) {
    const out = { Frames: 0, Audio: 0, Video: 0 };
    for (const s of (await running.get(name).stats()).values()) {
      if (s.type !== 'inbound-rtp') continue;
      if (s.kind === 'video') {
        out.Frames += s.framesDecoded ?? 0;
        out.Video += s.packetsReceived;
      } else {
        out.Audio += s.packetsReceived;
      }
    }
    return out;
  },

  /** @param {string} name */
  peers: (name) => running.get(name).peers(),

  /** @param {string} name */
  events: (name) => running.get(name).events(),

  /** @param {string} name */
  async stop(name) {
    await running.get(name).stop();
    running.delete(name);
  },
};

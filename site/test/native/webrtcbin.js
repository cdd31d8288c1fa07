/**
 * A native WHIP and WHEP client on GStreamer's webrtcbin, for mediad's tests. Run by gjs:
 *
 *   gjs -m webrtcbin.js publish|play <endpoint> <token> <address>
 *
 * address is the one of this machine that it uses: each interface's socket sends to that interface's network only, so that loopback
 * must be named.
 *
 * It says what happens on standard output, one JSON object a line, and ends its session with DELETE when its standard input ends.
 * The publisher trickles; the player gathers first. Callbacks of GStreamer's own threads are closed to JavaScript: everything here is
 * asked for from the main loop.
 */
import Gio from 'gi://Gio';
import GLib from 'gi://GLib';
import Gst from 'gi://Gst?version=1.0';
import GstSdp from 'gi://GstSdp?version=1.0';
import GstWebRTC from 'gi://GstWebRTC?version=1.0';
import Soup from 'gi://Soup?version=3.0';

const [role, endpoint, token, address] = ARGV;
const VIDEO = 'application/x-rtp,media=video,encoding-name=VP8,clock-rate=90000,payload=96';
const AUDIO = 'application/x-rtp,media=audio,encoding-name=OPUS,clock-rate=48000,payload=111';
const PIPELINES = {
  publish: 'webrtcbin name=rtc bundle-policy=max-bundle '
    + `videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=15/1 ! vp8enc deadline=1 keyframe-max-dist=30 ! rtpvp8pay ! ${VIDEO} ! rtc. `
    + `audiotestsrc is-live=true ! opusenc ! rtpopuspay ! ${AUDIO} ! rtc.`,
  play: 'webrtcbin name=rtc bundle-policy=max-bundle '
    + 'rtc. ! application/x-rtp,media=video ! rtpvp8depay ! fakesink name=video async=false sync=false '
    + 'rtc. ! application/x-rtp,media=audio ! rtpopusdepay ! fakesink name=audio async=false sync=false',
};

Gst.init(null);
Gio._promisify(Soup.Session.prototype, 'send_and_read_async', 'send_and_read_finish');
Gio._promisify(Gio.DataInputStream.prototype, 'read_line_async', 'read_line_finish');

/** @param {string} event @param {object} [more] */
const say = (event, more = {}) => print(JSON.stringify({ event, ...more }));

/** Waits until `ready` gives something true, and returns it. */
const until = (ready) => new Promise((resolve) => {
  GLib.timeout_add(GLib.PRIORITY_DEFAULT, 20, () => {
    const value = ready();
    if (!value) return GLib.SOURCE_CONTINUE;
    resolve(value);
    return GLib.SOURCE_REMOVE;
  });
});

const http = new Soup.Session({ timeout: 10 });

/** @param {string} method @param {string} url @param {string} [type] @param {string} [body] @param {string} [match] */
async function request(method, url, type, body, match) {
  const message = Soup.Message.new(method, url);
  message.request_headers.append('Authorization', `Bearer ${token}`);
  if (match) message.request_headers.append('If-Match', match);
  if (type) message.set_request_body_from_bytes(type, new GLib.Bytes(new TextEncoder().encode(body)));
  const bytes = await http.send_and_read_async(message, GLib.PRIORITY_DEFAULT, null);
  const header = (name) => message.response_headers.get_one(name) ?? '';
  return { status: message.get_status(), header, text: new TextDecoder().decode(bytes.get_data() ?? new Uint8Array()) };
}

const pipeline = Gst.parse_launch(PIPELINES[role]);
const rtc = pipeline.get_by_name('rtc');
rtc.ice_agent.emit('add-local-ip-address', address);

/** Has webrtcbin do one of its actions, and gives what it replies. */
function act(action, ...args) {
  const promise = Gst.Promise.new();
  rtc.emit(action, ...args, promise);
  if (promise.wait() !== Gst.PromiseResult.REPLIED) throw new Error(`webrtcbin does not do ${action}`);
  return promise.get_reply();
}

const local = () => rtc.local_description.sdp.as_text();
const gathered = () => rtc.ice_gathering_state === GstWebRTC.WebRTCICEGatheringState.COMPLETE;

/** The fragment of RFC 8840 that brings the candidates of the first section. @param {string} sdp */
function fragment(sdp) {
  const [, first] = sdp.split(/^(?=m=)/m);
  return first.split('\r\n').filter((line) => /^(m=|a=(mid|ice-ufrag|ice-pwd|candidate):)/.test(line)).join('\r\n') + '\r\n';
}

/** POST, and PATCH for who trickles. Returns the URL of the session. */
async function open() {
  if (role === 'play') {
    for (const caps of [AUDIO, VIDEO]) {
      rtc.emit('add-transceiver', GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY, Gst.Caps.from_string(caps));
    }
  }
  pipeline.set_state(Gst.State.PLAYING);
  pipeline.get_state(5 * Gst.SECOND);
  const offer = act('create-offer', null).get_value('offer');
  act('set-local-description', offer);
  if (role === 'play') await until(gathered);
  const posted = await request('POST', endpoint, 'application/sdp', role === 'play' ? local() : offer.sdp.as_text());
  say('posted', { status: posted.status });
  if (posted.status !== 201) throw new Error(posted.text);
  const session = GLib.Uri.resolve_relative(endpoint, posted.header('Location'), GLib.UriFlags.NONE);
  const [, answer] = GstSdp.SDPMessage.new_from_text(posted.text);
  act('set-remote-description', GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, answer));
  if (role === 'publish') {
    await until(gathered);
    const patched = await request('PATCH', session, 'application/trickle-ice-sdpfrag', fragment(local()), posted.header('ETag'));
    say('patched', { status: patched.status });
  }
  return session;
}

/** How many buffers a sink has swallowed. @param {string} name */
const rendered = (name) => Number(pipeline.get_by_name(name).stats.get_uint64('rendered')[1]);

async function main() {
  const failed = (text) => say('failed', { text });
  const bus = pipeline.get_bus();
  bus.add_signal_watch();
  bus.connect('message::error', (_, message) => failed(String(message.parse_error()[0])));
  const session = await open();
  await until(() => rtc.connection_state === GstWebRTC.WebRTCPeerConnectionState.CONNECTED);
  say('connected');
  if (role === 'play') {
    GLib.timeout_add(GLib.PRIORITY_DEFAULT, 200, () => {
      say('arrived', { video: rendered('video'), audio: rendered('audio') });
      return GLib.SOURCE_CONTINUE;
    });
  }
  const input = new Gio.DataInputStream({ base_stream: new Gio.UnixInputStream({ fd: 0 }) });
  await input.read_line_async(GLib.PRIORITY_DEFAULT, null);
  const deleted = await request('DELETE', session);
  say('deleted', { status: deleted.status });
}

const loop = new GLib.MainLoop(null, false);
main().catch((err) => say('failed', { text: String(err?.message ?? err) })).finally(() => {
  pipeline.set_state(Gst.State.NULL);
  loop.quit();
});
loop.run();

/**
 * The room page: join, see and hear everybody, leave. All that is said to the server is weever.js's business.
 *
 * The query fills the form: ?room=tea&id=alice&token=…, with &autojoin=1 to join at once, &audio=0 or &video=0 to leave one out and
 * &simulcast=1 to send three sizes. `window.weever` shows what is going on to whoever drives the page from outside.
 */
import { checkId, checkRoom, publish, publishScreen, subscribe, WeeverError } from '../weever.js';
import { element, field, message, sentence } from './dom.js';
import { capture } from './media.js';
import { Tiles } from './tiles.js';

const query = new URLSearchParams(location.search);
const form = element('join', HTMLFormElement);
const buttons = Object.fromEntries(['sound', 'microphone', 'camera', 'screen', 'invite', 'leave'].map((id) => [id, element(id, HTMLButtonElement)]));

/** What goes on in the room, from joining to leaving. */
class Visit {
  /** @type {string} */
  room;
  /** @type {import('../weever.js').Publisher | null} null: watches only */
  publisher = null;
  /** @type {import('../weever.js').Subscriber} */
  subscriber;
  /** @type {import('../weever.js').Publisher | null} */
  screen = null;

  #options;
  #stream;
  #tiles;
  #over = false;
  #trouble = false; // the message shown is about the connection

  /**
   * @param {{room: string, id: string, token: string}} options
   * @param {MediaStream | null} stream
   * @param {boolean} simulcast
   */
  constructor(options, stream, simulcast) {
    this.#options = options;
    this.#stream = stream;
    this.room = options.room;
    this.#tiles = new Tiles(element('tiles', HTMLElement), () => { button('sound').hidden = false; });
    this.subscriber = subscribe(options);
    this.#watch();
    if (stream) {
      this.publisher = publish({ ...options, stream, simulcast });
      this.#tiles.add(this.publisher.fullId, { name: options.id, stream, own: true });
      this.publisher.on('state', () => this.#showState());
      this.publisher.on('error', (err) => this.#showError(err, 'You are not seen or heard'));
      this.publisher.on('trackended', (track) => message(`Your ${track.kind === 'audio' ? 'microphone' : 'camera'} was disconnected.`, true));
    }
    this.#showState();
  }

  /** Whether something of the kind is sent. @param {'audio' | 'video'} kind */
  has(kind) {
    return this.publisher?.tracks.some((t) => t.kind === kind) ?? false;
  }

  /** Starts or stops sharing the screen. */
  async toggleScreen() {
    if (this.screen) return this.screen.leave();
    let screen;
    try {
      screen = await publishScreen(this.#options);
    } catch (err) {
      return message(sentence(err), true);
    }
    if (this.#over) return screen.leave();
    this.screen = screen;
    const video = screen.tracks.filter((t) => t.kind === 'video');
    this.#tiles.add(screen.fullId, { name: this.#options.id, stream: new MediaStream(video), own: true, screen: true });
    screen.on('error', (err) => this.#showError(err, 'Your screen is not shown'));
    screen.on('state', (state) => {
      if (state !== 'closed') return;
      this.screen = null;
      this.#tiles.remove(screen.fullId);
      showButtons();
    });
  }

  /** Ends everything, at once. */
  leave() {
    if (this.#over) return;
    this.#over = true;
    this.screen?.leave();
    this.publisher?.leave();
    this.subscriber.leave();
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#tiles.clear();
  }

  #watch() {
    const s = this.subscriber;
    s.on('state', () => this.#showState());
    s.on('error', (err) => this.#showError(err, 'You do not see the others'));
    s.on('joined', (peer) => {
      this.#tiles.add(peer.fullId, { name: peer.id, stream: peer.stream, screen: peer.screen });
      this.#showAlone();
    });
    s.on('left', (peer) => {
      this.#tiles.remove(peer.fullId);
      this.#showAlone();
    });
    s.on('track', ({ peer }) => this.#tiles.refresh(peer.fullId));
    s.on('away', (peer) => this.#tiles.setAway(peer.fullId, true));
    s.on('back', (peer) => this.#tiles.setAway(peer.fullId, false));
    s.on('speakers', (speakers) => this.#tiles.setSpeakers(speakers));
  }

  #showAlone() {
    element('alone', HTMLElement).hidden = this.subscriber.peers.size > 0;
  }

  #showState() {
    if (this.#over) return;
    const states = [this.subscriber.state, ...(this.publisher ? [this.publisher.state] : [])];
    if (states.every((s) => s === 'closed')) return leave(); // the error that ended it stays on the page
    if (this.#trouble && states.every((s) => s === 'connected')) {
      this.#trouble = false;
      message('');
    }
    const words = states.includes('reconnecting') ? 'The connection was lost. Trying again …'
      : states.includes('connecting') ? 'Connecting …'
        : states.includes('closed') ? 'Connected in part'
          : 'Connected';
    element('state', HTMLElement).textContent = words;
  }

  /** @param {WeeverError} err @param {string} consequence */
  #showError(err, consequence) {
    if (this.#over) return;
    this.#trouble = err.code !== 'control';
    message(this.#trouble ? `${consequence}: ${err.message}${err.final ? '' : ' Trying again …'}` : err.message, true);
  }
}

/** @type {Visit | null} */
let visit = null;

/** @param {string} id */
function button(id) {
  const b = buttons[id];
  if (!b) throw new Error(`no button ${id}`);
  return b;
}

async function join() {
  const options = { room: field(form, 'room'), id: field(form, 'id'), token: field(form, 'token') };
  const data = new FormData(form);
  const enter = element('enter', HTMLButtonElement);
  enter.disabled = true;
  message('');
  /** @type {MediaStream | null} */
  let stream = null;
  try {
    checkRoom(options.room); // before anybody is asked for the camera
    checkId(options.id);
    const got = await capture({ audio: data.has('audio'), video: data.has('video') });
    stream = got.stream;
    visit = new Visit(options, stream, query.get('simulcast') === '1');
    if (got.problem) message(got.problem, true);
  } catch (err) {
    for (const track of stream?.getTracks() ?? []) track.stop();
    message(sentence(err), true);
    return;
  } finally {
    enter.disabled = false;
  }
  Object.assign(window, { weever: visit });
  remember(options);
  show();
}

function leave() {
  visit?.leave();
  visit = null;
  Object.assign(window, { weever: null });
  show();
}

/** Puts room and name into the address, so that a reload finds them; takes a token out of it. @param {{room: string, id: string}} options */
function remember({ room, id }) {
  const kept = new URLSearchParams({ room, id });
  history.replaceState(null, '', `?${kept}`);
}

/** Brings the page to where we are: at the door or in the room. */
function show() {
  form.hidden = visit !== null;
  element('room', HTMLElement).hidden = visit === null;
  element('controls', HTMLElement).hidden = visit === null;
  element('alone', HTMLElement).hidden = (visit?.subscriber.peers.size ?? 0) > 0;
  element('title', HTMLElement).textContent = visit ? visit.room : 'Weever';
  document.title = visit ? `${visit.room} – Weever` : 'Weever';
  if (!visit) element('state', HTMLElement).textContent = '';
  button('sound').hidden = true;
  showButtons();
}

function showButtons() {
  const parts = /** @type {['audio' | 'video', string, string, string][]} */ ([
    ['audio', 'microphone', 'Mute microphone', 'Unmute microphone'],
    ['video', 'camera', 'Turn camera off', 'Turn camera on']]);
  for (const [kind, id, off, on] of parts) {
    const muted = isMuted(kind);
    button(id).hidden = !visit?.has(kind);
    button(id).textContent = muted ? on : off;
    button(id).setAttribute('aria-pressed', String(muted));
  }
  const sharing = Boolean(visit?.screen);
  button('screen').hidden = !navigator.mediaDevices?.getDisplayMedia;
  button('screen').textContent = sharing ? 'Stop sharing' : 'Share screen';
  button('screen').setAttribute('aria-pressed', String(sharing));
}

/** @param {'audio' | 'video'} kind */
function isMuted(kind) {
  const tracks = visit?.publisher?.tracks.filter((t) => t.kind === kind) ?? [];
  return tracks.length > 0 && tracks.every((t) => !t.enabled);
}

async function copyInvitation() {
  const link = new URL(`?${new URLSearchParams({ room: visit?.room ?? '' })}`, location.href).href;
  try {
    await navigator.clipboard.writeText(link);
    message(`Copied: ${link}`);
  } catch {
    message(`The browser did not let this page copy. The link is ${link}`);
  }
}

function hearEverybody() {
  for (const video of document.querySelectorAll('video')) {
    if (!video.closest('.own')) video.muted = false;
    video.play().catch(() => {});
  }
  button('sound').hidden = true;
}

form.addEventListener('submit', (e) => {
  e.preventDefault();
  join();
});
button('microphone').addEventListener('click', () => {
  visit?.publisher?.setMuted('audio', !isMuted('audio'));
  showButtons();
});
button('camera').addEventListener('click', () => {
  visit?.publisher?.setMuted('video', !isMuted('video'));
  showButtons();
});
button('screen').addEventListener('click', async () => {
  await visit?.toggleScreen();
  showButtons();
});
button('invite').addEventListener('click', copyInvitation);
button('sound').addEventListener('click', hearEverybody);
button('leave').addEventListener('click', () => {
  message('');
  leave();
});
addEventListener('pagehide', leave);

for (const name of ['room', 'id', 'token']) {
  const input = form.elements.namedItem(name);
  if (input instanceof HTMLInputElement) input.value = query.get(name) ?? '';
}
for (const name of ['audio', 'video']) {
  const input = form.elements.namedItem(name);
  if (input instanceof HTMLInputElement) input.checked = query.get(name) !== '0';
}
if (query.has('token')) element('more', HTMLDetailsElement).open = true;
show();
if (query.get('autojoin') === '1') join();

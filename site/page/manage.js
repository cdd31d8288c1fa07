/**
 * The management page: tokens, lists, kicks. A thin face of the control API; it keeps nothing.
 */
import { checkId, checkRoom } from '../weever.js';
import { element, field, make, message, sentence } from './dom.js';

/** @typedef {{room: string, publishers: number, subscribers: number}} RoomCount */
/** @typedef {{id: string, full_id: string, node: string, state: string, joined_at: string, tracks: {id: string, codec: string}[]}} ListedPeer */

/** Calls the API at the address in the form. */
class ControlApi {
  #base;
  #admin;

  /** @param {HTMLFormElement} form */
  constructor(form) {
    const base = field(form, 'base');
    this.#base = base && !base.endsWith('/') ? `${base}/` : base;
    this.#admin = field(form, 'admin');
  }

  /**
   * @param {string} method
   * @param {string} path  relative
   * @param {object} [body]
   * @returns {Promise<any>} the JSON of the reply; null: it had none
   * @throws {Error} with a sentence
   */
  async call(method, path, body) {
    /** @type {Record<string, string>} */
    const headers = { Accept: 'application/json' };
    if (this.#admin) headers['Authorization'] = `Bearer ${this.#admin}`;
    if (body) headers['Content-Type'] = 'application/json';
    /** @type {RequestInit} */
    const init = { method, headers, cache: 'no-store', signal: AbortSignal.timeout(10_000) };
    if (body) init.body = JSON.stringify(body);
    let res, text;
    try {
      res = await fetch(this.#base + path, init);
      text = await res.text();
    } catch {
      throw new Error('The control API cannot be reached. Check its address, and that it allows this page (CORS).');
    }
    const reply = read(text);
    if (res.ok && (reply !== null || res.status === 204)) return reply;
    if (res.status === 401) throw new Error('The control API wants another admin token.');
    if (typeof reply?.detail === 'string') throw new Error(`The control API refused: ${reply.detail}.`);
    throw new Error(`There is no control API at this address (status ${res.status}).`);
  }
}

/** @param {string} text @returns {any} null: no JSON */
function read(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

const api = () => new ControlApi(element('server', HTMLFormElement));

/**
 * Runs what a button asks for and shows what went wrong.
 * @param {() => Promise<void>} task
 */
async function attempt(task) {
  message('');
  try {
    await task();
  } catch (err) {
    message(sentence(err), true);
  }
}

/** @param {HTMLFormElement} form */
async function create(form) {
  const room = checkRoom(field(form, 'room'));
  const id = checkId(field(form, 'id'));
  const ttl = field(form, 'ttl');
  const roles = field(form, 'role').split(' ');
  let token = field(form, 'token');
  let expires = '';
  for (const role of roles) { // one token for both roles: what the first made is given to the second
    const made = await api().call('POST', `create/${role}`, { room, id, token, ...(ttl && { ttl_seconds: Number(ttl) }) });
    token = made.token;
    expires = made.expires_at;
  }
  const link = new URL(`index.html?${new URLSearchParams({ room, id, token })}`, location.href).href;
  const a = make('a', 'Link to join with it');
  a.href = link;
  const output = element('created', HTMLOutputElement);
  output.replaceChildren('Token: ', make('code', token), make('br'), `Valid until ${time(expires)}. It is not shown again.`, make('br'), a);
  output.hidden = false;
}

/** @param {string} after  name of the last room shown; empty: from the start */
async function listRooms(after) {
  /** @type {{rooms: RoomCount[], next: string | null}} */
  const page = await api().call('GET', `rooms${after ? `?${new URLSearchParams({ after })}` : ''}`);
  const rows = element('room-rows', HTMLTableSectionElement);
  if (!after) rows.replaceChildren();
  for (const r of page.rooms) {
    const open = make('button', r.room);
    open.addEventListener('click', () => attempt(() => showRoom(r.room)));
    rows.append(row(open, String(r.publishers), String(r.subscribers)));
  }
  element('room-table', HTMLTableElement).hidden = rows.rows.length === 0;
  element('no-rooms', HTMLElement).hidden = rows.rows.length > 0;
  const more = element('more', HTMLButtonElement);
  more.hidden = page.next === null;
  more.value = page.next ?? '';
}

/** @param {string} room */
async function showRoom(room) {
  const input = element('list', HTMLFormElement).elements.namedItem('room');
  if (input instanceof HTMLInputElement) input.value = room;
  await listPeers(room);
}

/** @param {string} room */
async function listPeers(room) {
  checkRoom(room);
  const rows = element('peer-rows', HTMLTableSectionElement);
  /** @type {HTMLTableRowElement[]} */
  const made = [];
  for (const [role, word] of /** @type {[string, string][]} */ ([['pub', 'publisher'], ['sub', 'subscriber']])) {
    /** @type {{peers: ListedPeer[]}} */
    const list = await api().call('GET', `list/${role}/${room}`);
    for (const p of list.peers) {
      const kick = make('button', 'Kick', 'danger');
      kick.type = 'button';
      kick.title = `Ends all of ${p.id}'s sessions as ${word} and revokes the token`;
      kick.addEventListener('click', () => attempt(async () => {
        await api().call('DELETE', `${role}/${room}/${p.id}`);
        kick.closest('tr')?.remove();
        message(`${p.id} was removed as ${word}.`);
      }));
      made.push(row(p.full_id, word, p.state, time(p.joined_at), p.tracks.map((t) => `${t.id} (${t.codec})`).join(', '), p.node, kick));
    }
  }
  rows.replaceChildren(...made);
  element('peer-table', HTMLTableElement).hidden = made.length === 0;
  element('no-peers', HTMLElement).hidden = made.length > 0;
}

/** @param {...(string | Node)} cells */
function row(...cells) {
  const tr = make('tr');
  for (const cell of cells) {
    const td = make('td');
    td.append(cell);
    tr.append(td);
  }
  return tr;
}

/** @param {string} iso */
function time(iso) {
  const date = new Date(iso);
  return Number.isNaN(date.getTime()) ? iso : date.toLocaleString();
}

/** @param {string} id @param {(form: HTMLFormElement) => Promise<void>} task */
function onSubmit(id, task) {
  const form = element(id, HTMLFormElement);
  form.addEventListener('submit', (e) => {
    e.preventDefault();
    attempt(() => task(form));
  });
}

onSubmit('server', () => listRooms(''));
onSubmit('create', create);
onSubmit('list', (form) => listPeers(field(form, 'room')));
element('rooms', HTMLButtonElement).addEventListener('click', () => attempt(() => listRooms('')));
element('more', HTMLButtonElement).addEventListener('click', (e) => attempt(() => listRooms(/** @type {HTMLButtonElement} */ (e.currentTarget).value)));

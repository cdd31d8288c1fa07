/**
 * The rules of names: rooms, ids, and full ids "<id>+<suffix>", one per connection of a person.
 */
import { WeeverError } from './errors.js';

const MAX_ROOM = 64;
const MAX_ID = 48;
const MAX_FULL_ID = 64;
const SCREEN = '-screen';
const WORD = /^[A-Za-z0-9_~-]+$/;

/**
 * @param {string} what
 * @param {string} value
 * @param {number} longest
 */
function checkWord(what, value, longest) {
  if (typeof value !== 'string' || value.length < 1 || value.length > longest) {
    throw new WeeverError('bad-name', `The ${what} must have 1 to ${longest} characters.`, { final: true });
  }
  if (!WORD.test(value)) {
    throw new WeeverError('bad-name', `The ${what} may only contain the letters A to Z and a to z, digits, _, - and ~.`, { final: true });
  }
}

/**
 * @param {string} room
 * @returns {string} the same
 * @throws {WeeverError} naming the rule that is broken
 */
export function checkRoom(room) {
  checkWord('room', room, MAX_ROOM);
  return room;
}

/**
 * @param {string} id  without "+suffix"
 * @returns {string} the same
 * @throws {WeeverError} naming the rule that is broken
 */
export function checkId(id) {
  checkWord('name', id, MAX_ID);
  if (id === SCREEN) throw new WeeverError('bad-name', `The name needs something before "${SCREEN}".`, { final: true });
  return id;
}

/**
 * @param {string} text
 * @returns {boolean} whether it is a legal full id (the suffix may be absent)
 */
export function isFullId(text) {
  const [label = '', suffix, ...more] = text.split('+');
  return text.length <= MAX_FULL_ID && label.length <= MAX_ID && WORD.test(label) && label !== SCREEN
    && (suffix === undefined || WORD.test(suffix)) && more.length === 0;
}

/**
 * Makes the name of a new connection: nobody else will choose the same.
 *
 * @param {string} id
 * @param {(bytes: Uint8Array) => Uint8Array} [random]  fills the array; for tests
 * @returns {string} "<id>+<12 random characters>"
 */
export function newFullId(id, random = (bytes) => crypto.getRandomValues(bytes)) {
  const bytes = random(new Uint8Array(12));
  return `${id}+${Array.from(bytes, (b) => (b % 32).toString(32)).join('')}`;
}

/**
 * @param {string} fullId
 * @returns {string} the person: without "+suffix" and one final "-screen"
 */
export function idOf(fullId) {
  const [label = ''] = fullId.split('+');
  return label.endsWith(SCREEN) ? label.slice(0, -SCREEN.length) : label;
}

/**
 * @param {string} fullId
 * @returns {boolean} whether it is a screen share
 */
export function isScreen(fullId) {
  const [label = ''] = fullId.split('+');
  return label.endsWith(SCREEN);
}

/**
 * @param {string} id
 * @returns {string} the id under which this person's screen is published
 */
export function screenId(id) {
  return checkId(id + SCREEN);
}

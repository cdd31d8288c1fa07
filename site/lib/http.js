/**
 * The HTTP half of a session: POST an offer, PATCH candidates or an ICE restart, DELETE (RFC 9725 sections 4.2 and 4.3).
 *
 * The token goes with the POST only. A session's URL is a secret that suffices, and a session outlives its token.
 */
import { WeeverError } from './errors.js';

const SDP = 'application/sdp';
const FRAGMENT = 'application/trickle-ice-sdpfrag';
const PATIENCE = 10_000; // ms for any request

/**
 * What a POST brought.
 * @typedef {object} Created
 * @property {string} answer
 * @property {string} location  URL of the session; empty when the server did not tell
 * @property {string} etag      of the ICE session; empty: none
 * @property {RTCIceServer[]} iceServers
 */

export class Http {
  #fetch;
  #token;

  /**
   * @param {string} token  bearer; empty: none
   * @param {typeof fetch} [fetcher]
   */
  constructor(token, fetcher = (...args) => fetch(...args)) {
    this.#token = token;
    this.#fetch = fetcher;
  }

  /**
   * @param {string} url
   * @param {string} offer
   * @param {AbortSignal} signal
   * @returns {Promise<Created>}
   * @throws {WeeverError} final unless another attempt may succeed
   */
  async post(url, offer, signal) {
    /** @type {Record<string, string>} */
    const headers = this.#token ? { Authorization: `Bearer ${this.#token}` } : {};
    const { res, text: answer } = await this.#request('POST', url, signal, SDP, offer, headers);
    if (!answer.startsWith('v=0')) {
      throw new WeeverError('no-server', 'This address answers, but not as a Weever server does. Check the address.', { status: res.status, final: true });
    }
    const location = res.headers.get('Location') ?? '';
    return {
      answer,
      location: location && res.url ? new URL(location, res.url).href : location, // a handed-in fetch may not know its url
      etag: res.headers.get('ETag') ?? '',
      iceServers: iceServers(res.headers.get('Link') ?? ''),
    };
  }

  /**
   * @param {string} location
   * @param {string} fragment
   * @param {string} match  value of If-Match; empty: none
   * @param {AbortSignal} signal
   * @returns {Promise<{fragment: string, etag: string}>} both empty but after a restart
   * @throws {WeeverError}
   */
  async patch(location, fragment, match, signal) {
    const { res, text } = await this.#request('PATCH', location, signal, FRAGMENT, fragment, match ? { 'If-Match': match } : {});
    return { fragment: text, etag: res.headers.get('ETag') ?? '' };
  }

  /**
   * Ends the session; outlives the page. Whether it succeeds does not matter: a session that falls silent ends too.
   * @param {string} location
   */
  remove(location) {
    this.#fetch(location, { method: 'DELETE', keepalive: true }).catch(() => {});
  }

  /**
   * @param {string} method
   * @param {string} url
   * @param {AbortSignal} signal
   * @param {string} type  of the body
   * @param {string} body
   * @param {Record<string, string>} more  headers
   */
  async #request(method, url, signal, type, body, more) {
    const headers = { ...more, 'Content-Type': type, Accept: `${type}, application/problem+json` };
    const abort = new AbortController();
    const give = () => abort.abort();
    const timer = setTimeout(give, PATIENCE);
    signal.addEventListener('abort', give);
    if (signal.aborted) give();
    try {
      const res = await this.#fetch(url, { method, headers, body, signal: abort.signal, cache: 'no-store' });
      const text = await res.text();
      if (!res.ok) throw refusal(res, text);
      return { res, text };
    } catch (err) {
      if (err instanceof WeeverError) throw err;
      throw new WeeverError('network', 'The server cannot be reached. Check the network and the address.', { cause: err });
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', give);
    }
  }
}

/** Statuses after which the same request may succeed later: timeouts, conflicts, rate limits; all 5xx are. */
const PASSING = [408, 409, 425, 429];

/** What to say when the server itself says nothing. @type {Record<number, string>} */
const SENTENCES = {
  400: 'The server did not understand the request.',
  401: 'The server refused the token. Ask for a new one.',
  403: 'The server does not allow this.',
  404: 'There is nothing at this address. Check it.',
  409: 'The server is busy with another request for the same name.',
  413: 'The session description is too large for the server.',
  415: 'The server does not accept session descriptions at this address.',
  422: 'The server cannot serve what this browser offers.',
  429: 'The server is asked too often. Wait a moment.',
  503: 'The server cannot take anybody just now.',
};

/**
 * @param {Response} res
 * @param {string} body
 * @returns {WeeverError}
 */
function refusal(res, body) {
  const { status } = res;
  const detail = /\bjson\b/.test(res.headers.get('Content-Type') ?? '') ? problemDetail(body) : '';
  let text = SENTENCES[status] ?? `The server answered with status ${status}.`;
  if (detail && status !== 401) text += ` It says: ${detail}`;
  const final = status < 500 && !PASSING.includes(status);
  return new WeeverError(status === 401 ? 'bad-token' : 'refused', text, { status, final, retryAfter: retryAfter(res.headers) });
}

/**
 * @param {string} body  of a problem (RFC 9457)
 * @returns {string} its detail; empty: none
 */
function problemDetail(body) {
  try {
    const { detail } = JSON.parse(body);
    return typeof detail === 'string' ? detail : '';
  } catch {
    return '';
  }
}

/**
 * @param {Headers} headers
 * @param {number} [now]  ms since 1970
 * @returns {number} ms to wait, as Retry-After asks: at most ten minutes, 0 when absent (RFC 9110 section 10.2.3)
 */
export function retryAfter(headers, now = Date.now()) {
  const value = headers.get('Retry-After')?.trim() ?? '';
  const ms = /^[0-9]+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - now;
  return Number.isNaN(ms) ? 0 : Math.min(Math.max(ms, 0), 600_000);
}

/**
 * @param {string} header  all Link headers, joined by ", "
 * @returns {RTCIceServer[]} those with rel="ice-server" (RFC 9725 section 4.6)
 */
export function iceServers(header) {
  /** @type {RTCIceServer[]} */
  const list = [];
  for (const [, uri = '', tail = ''] of header.matchAll(/<([^>]*)>((?:\s*;\s*[\w-]+\s*=\s*(?:"(?:[^"\\]|\\.)*"|[^\s;,"]*))*)/g)) {
    /** @type {Map<string, string>} */
    const params = new Map();
    for (const [, name = '', quoted, bare = ''] of tail.matchAll(/;\s*([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*))/g)) {
      params.set(name.toLowerCase(), quoted === undefined ? bare : quoted.replace(/\\(.)/g, '$1'));
    }
    if (params.get('rel') !== 'ice-server' || !/^(stun|turn)s?:/.test(uri)) continue;
    const username = params.get('username');
    const credential = params.get('credential');
    if (username !== undefined && credential !== undefined) list.push({ urls: uri, username, credential });
    else if (uri.startsWith('stun')) list.push({ urls: uri });
  }
  return list;
}

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { Http, iceServers, retryAfter } from '../lib/http.js';

/**
 * Serves one handler on a free port of the loopback for the time of a test.
 * @param {import('node:test').TestContext} t
 * @param {(req: import('node:http').IncomingMessage & {text: string}, res: import('node:http').ServerResponse) => void} handler
 */
async function serve(t, handler) {
  const server = createServer(async (req, res) => {
    let text = '';
    for await (const chunk of req) text += chunk;
    handler(Object.assign(req, { text }), res);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  t.after(() => { server.closeAllConnections(); server.close(); });
  return `http://127.0.0.1:${/** @type {import('node:net').AddressInfo} */ (server.address()).port}`;
}

const idle = new AbortController().signal;

test('POST', async (t) => {
  const url = await serve(t, (req, res) => {
    assert.equal(req.method, 'POST');
    assert.equal(req.url, '/pub/tea/alice+1');
    assert.equal(req.headers['content-type'], 'application/sdp');
    assert.equal(req.headers.authorization, 'Bearer secret');
    assert.equal(req.text, 'v=0 offer');
    res.setHeader('Link', ['<stun:a.example:3478>; rel="ice-server"', '<turn:b.example:3478?transport=udp>; rel="ice-server"; username="u, v"; credential="x=="; credential-type="password"']);
    res.writeHead(201, { 'Content-Type': 'application/sdp', Location: '/pub/tea/alice+1/s1', ETag: '"e1"' }).end('v=0 answer');
  });
  assert.deepEqual(await new Http('secret').post(`${url}/pub/tea/alice+1`, 'v=0 offer', idle), {
    answer: 'v=0 answer', location: `${url}/pub/tea/alice+1/s1`, etag: '"e1"',
    iceServers: [{ urls: 'stun:a.example:3478' }, { urls: 'turn:b.example:3478?transport=udp', username: 'u, v', credential: 'x==' }],
  });
});

test('a page that is no server of ours', async (t) => {
  const url = await serve(t, (_, res) => res.end('<html>'));
  await assert.rejects(new Http('').post(url, 'v=0', idle), { code: 'no-server', final: true });
});

test('refusals', async (t) => {
  const problem = { 'Content-Type': 'application/problem+json' };
  const replies = [
    [401, { 'Content-Type': 'text/plain' }, 'bad token', { code: 'bad-token', status: 401, final: true, message: /token/ }],
    [400, problem, '{"detail":"room must be 1 to 64 characters"}', { code: 'refused', final: true, message: /room must be 1 to 64 characters/ }],
    [404, {}, '', { final: true }],
    [422, problem, '{', { final: true }],
    [409, problem, '{}', { final: false }],
    [429, { 'Retry-After': '3' }, '', { final: false, retryAfter: 3000 }],
    [503, { ...problem, 'Retry-After': '5' }, '{"detail":"the node is draining"}', { final: false, retryAfter: 5000, message: /draining/ }],
  ];
  for (const [status, headers, body, want] of replies) {
    const url = await serve(t, (_, res) => { res.writeHead(Number(status), /** @type {any} */ (headers)).end(body); });
    await assert.rejects(new Http('t').post(url, 'v=0', idle), (err) => {
      for (const [k, v] of Object.entries(want)) v instanceof RegExp ? assert.match(err[k], v) : assert.equal(err[k], v, `${status} ${k}`);
      return true;
    });
  }
});

test('nobody there, and a wait that is cut short', async (t) => {
  await assert.rejects(new Http('').post('http://127.0.0.1:1/', 'v=0', idle), { code: 'network', final: false });
  const stop = new AbortController();
  const url = await serve(t, () => stop.abort()); // never answers
  await assert.rejects(new Http('').post(url, 'v=0', stop.signal), { code: 'network' });
});

test('PATCH and DELETE', async (t) => {
  /** @type {(method: string | undefined) => void} */
  let deleted = () => {};
  const seen = new Promise((resolve) => { deleted = resolve; });
  const url = await serve(t, (req, res) => {
    if (req.method === 'DELETE') {
      assert.equal(req.headers.authorization, undefined);
      deleted(req.method);
      res.end();
      return;
    }
    assert.equal(req.headers['content-type'], 'application/trickle-ice-sdpfrag');
    assert.equal(req.headers.authorization, undefined);
    if (req.headers['if-match'] === '*') res.writeHead(200, { ETag: '"e2"' }).end('a=ice-ufrag:N');
    else res.writeHead(req.headers['if-match'] === '"e1"' ? 204 : 412).end();
  });
  const http = new Http('secret');
  assert.deepEqual(await http.patch(url, 'a=x', '"e1"', idle), { fragment: '', etag: '' });
  assert.deepEqual(await http.patch(url, 'a=x', '*', idle), { fragment: 'a=ice-ufrag:N', etag: '"e2"' });
  await assert.rejects(http.patch(url, 'a=x', '"e0"', idle), { status: 412 });
  http.remove(url);
  assert.equal(await seen, 'DELETE');
});

test('Link headers', () => {
  assert.deepEqual(iceServers(''), []);
  assert.deepEqual(iceServers('<https://x>; rel="next", <turn:a>; rel=ice-server, <javascript:1>; rel="ice-server", <stuns:b>;rel="ice-server"'), [{ urls: 'stuns:b' }]);
  assert.deepEqual(iceServers('<turn:a>; username="a\\"b"; credential="c"; rel="ice-server"'), [{ urls: 'turn:a', username: 'a"b', credential: 'c' }]);
});

test('Retry-After', () => {
  const of = (/** @type {string} */ v) => retryAfter(new Headers({ 'Retry-After': v }), Date.parse('2026-01-01T00:00:00Z'));
  assert.equal(of('7'), 7000);
  assert.equal(of('Thu, 01 Jan 2026 00:00:09 GMT'), 9000);
  assert.equal(of('Wed, 31 Dec 2025 00:00:00 GMT'), 0);
  assert.equal(of('soon'), 0);
  assert.equal(of('99999999'), 600_000);
  assert.equal(retryAfter(new Headers()), 0);
});

/**
 * Weever's client: publish a camera, a microphone or a screen into a room, and receive everybody in it.
 *
 *   const me = publish({ room: 'tea', id: 'alice', stream });
 *   const room = subscribe({ room: 'tea', id: 'alice' });
 *   room.on('track', ({ peer }) => { videoOf(peer.id).srcObject = peer.stream; });
 *
 * Both return at once, connect by themselves and stay connected until `leave` or a final refusal. Nothing here touches the page.
 * PROTOCOL.md beside this file describes what is said to the server, for those who write another client.
 */
import { WeeverError } from './lib/errors.js';
import { Publisher } from './lib/publisher.js';
import { Subscriber } from './lib/subscriber.js';
import { screenId } from './lib/names.js';

export { Publisher, Subscriber, WeeverError };
export { checkId, checkRoom, idOf, isScreen } from './lib/names.js';

/** @typedef {import('./lib/publisher.js').PublishOptions} PublishOptions */
/** @typedef {import('./lib/publisher.js').PublisherEvents} PublisherEvents */
/** @typedef {import('./lib/subscriber.js').SubscribeOptions} SubscribeOptions */
/** @typedef {import('./lib/subscriber.js').SubscriberEvents} SubscriberEvents */
/** @typedef {import('./lib/subscriber.js').Peer} Peer */
/** @typedef {import('./lib/session.js').State} State */
/** @typedef {import('./lib/control.js').TrackInfo} TrackInfo */
/** @typedef {import('./lib/control.js').Speaker} Speaker */

/**
 * Sends tracks into a room.
 *
 * @param {PublishOptions} options
 * @returns {Publisher}
 * @throws {WeeverError} when a name is not allowed or there is nothing to send
 */
export function publish(options) {
  return new Publisher(options);
}

/**
 * Shares a screen, as "<id>-screen". Without a stream the browser asks the user which one, which it does only in response to a
 * click; the sharing then ends, and its tracks are stopped, when the user stops it in the browser or on `leave`.
 *
 * @param {PublishOptions} options
 * @returns {Promise<Publisher>}
 * @throws {WeeverError} as `publish`, or when the user declines
 */
export async function publishScreen(options) {
  const id = screenId(options.id);
  if (options.stream || options.tracks) return publish({ ...options, id });
  let stream;
  try {
    stream = await navigator.mediaDevices.getDisplayMedia({ video: true, audio: true });
  } catch (err) {
    throw new WeeverError('no-screen', 'No screen was chosen, or the browser does not allow it to be shared.', { cause: err });
  }
  const tracks = stream.getTracks();
  for (const track of stream.getVideoTracks()) track.contentHint = 'detail'; // sharp text before smooth motion
  const publisher = publish({ ...options, id, stream });
  publisher.on('trackended', (track) => { if (track.kind === 'video') publisher.leave(); });
  publisher.on('state', (state) => { if (state === 'closed') for (const track of tracks) track.stop(); });
  return publisher;
}

/**
 * Receives everybody in a room but oneself.
 *
 * @param {SubscribeOptions} options
 * @returns {Subscriber}
 * @throws {WeeverError} when a name is not allowed
 */
export function subscribe(options) {
  return new Subscriber(options);
}

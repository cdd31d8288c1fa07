/**
 * Camera and microphone, with reasons a person understands.
 */

/**
 * @param {{audio: boolean, video: boolean}} wish
 * @returns {Promise<{stream: MediaStream | null, problem: string}>}
 *   what could be had of it, and what could not, in a sentence
 */
export async function capture({ audio, video }) {
  if (!audio && !video) return { stream: null, problem: '' };
  if (!navigator.mediaDevices) {
    return { stream: null, problem: 'The browser gives camera and microphone to secure pages only. Open this page by https, or on localhost. Until then you can watch.' };
  }
  try {
    return { stream: await get(audio, video), problem: '' };
  } catch (err) {
    if (audio && video && nameOf(err) !== 'NotAllowedError') {
      // One of the two may be missing or busy: take the other.
      for (const [a, v, lack] of /** @type {[boolean, boolean, string][]} */ ([[true, false, 'camera'], [false, true, 'microphone']])) {
        const stream = await get(a, v).catch(() => null);
        if (stream) return { stream, problem: `You take part without a ${lack}: ${reason(err)}` };
      }
    }
    return { stream: null, problem: `You can watch, but nobody sees or hears you: ${reason(err)}` };
  }
}

/** @param {boolean} audio @param {boolean} video */
function get(audio, video) {
  return navigator.mediaDevices.getUserMedia({
    audio: audio && { echoCancellation: true, noiseSuppression: true, autoGainControl: true },
    video: video && { width: { ideal: 1280 }, height: { ideal: 720 } },
  });
}

/** @param {unknown} err */
function nameOf(err) {
  return err instanceof Error || err instanceof DOMException ? err.name : '';
}

/** @param {unknown} err */
function reason(err) {
  switch (nameOf(err)) {
    case 'NotAllowedError':
      return 'the browser was not allowed to use them. Allow it beside the address, then join again.';
    case 'NotFoundError':
    case 'OverconstrainedError':
      return 'none was found on this device.';
    case 'NotReadableError':
    case 'AbortError':
      return 'it is in use by another program.';
    default:
      return 'the browser could not open it.';
  }
}

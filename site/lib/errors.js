/**
 * What went wrong, in a sentence a person can act on.
 */
export class WeeverError extends Error {
  /**
   * @param {string} code     one word for programs: "bad-name", "bad-token", "network", "lost", …
   * @param {string} message  one sentence for people
   * @param {{status?: number, final?: boolean, retryAfter?: number, cause?: unknown}} [more]
   */
  constructor(code, message, more = {}) {
    super(message, { cause: more.cause });
    this.name = 'WeeverError';
    this.code = code;
    /** HTTP status; 0 when there was none. */
    this.status = more.status ?? 0;
    /** Trying again unchanged is pointless; whoever reports a final error has stopped. */
    this.final = more.final ?? false;
    /** The server's wish: milliseconds to wait before the next attempt, 0 when it named none. */
    this.retryAfter = more.retryAfter ?? 0;
  }
}

/**
 * @param {unknown} err
 * @returns {WeeverError} err itself, or a wrapper that says that this program is at fault
 */
export function asWeeverError(err) {
  if (err instanceof WeeverError) return err;
  const text = err instanceof Error ? err.message : String(err);
  return new WeeverError('browser', `The browser refused a step of the connection: ${text}`, { cause: err });
}

/**
 * Stands in for the server where it has not answered yet: in an ICE restart, which the server answers with ICE lines only, while there
 * are sections that it has never seen. A Connection calls it, and offers those sections anew afterwards.
 */
import { sections } from './sdp.js';

/** Lines that are about the offering side alone. */
const OWN = /^a=(?:ssrc|ssrc-group|msid|fingerprint|candidate|end-of-candidates)\b/;

/**
 * @param {string} remote  the server's current description
 * @param {string} offer   ours, which may have more sections at its end
 * @returns {string} `remote` with these sections, accepted as they are but inactive: a section that is refused, or a layer of it, is
 *   lost to the browser for good
 */
export function withUnanswered(remote, offer) {
  const known = sections(remote).length;
  const added = sections(offer).slice(known);
  if (added.length === 0) return remote;
  const fingerprint = remote.match(/^a=fingerprint:.*$/m)?.[0].trimEnd();
  const out = remote.split(/\r?\n/).filter(Boolean).map((line) => (
    line.startsWith('a=group:BUNDLE') ? [line, ...added.map((s) => s.mid)].join(' ') : line));
  for (const section of offer.split(/^(?=m=)/m).slice(1 + known)) {
    for (const line of section.split(/\r?\n/).filter(Boolean)) {
      if (OWN.test(line)) continue;
      if (/^a=(?:sendrecv|sendonly|recvonly)$/.test(line)) out.push('a=inactive');
      else out.push(line.replace(/^(a=rid:\S+|a=simulcast:) ?send/, (all) => all.replace(/send$/, 'recv')));
    }
    if (fingerprint) out.push(fingerprint);
  }
  return out.join('\r\n') + '\r\n';
}

/**
 * The little that has to be known of SDP: whose track a section carries, and the ICE lines that PATCH requests exchange.
 */

/**
 * One m-line, as the other side describes it.
 * @typedef {object} Section
 * @property {string} mid
 * @property {string} kind     "audio", "video" or "application"
 * @property {boolean} sends   the describing side sends media in it
 * @property {string} stream   first half of its msid; empty: none
 * @property {string} track    second half of its msid; empty: none
 */

/**
 * The ICE half of a description (RFC 8840 section 4.4).
 * @typedef {object} IceLines
 * @property {string} ufrag
 * @property {string} pwd
 * @property {string[]} candidates  without "a="
 */

/**
 * @param {string} sdp
 * @returns {string[]} its lines, without ends and empty ones
 */
function lines(sdp) {
  return sdp.split(/\r?\n/).filter(Boolean);
}

/**
 * @param {string} sdp
 * @returns {Section[]} in order
 */
export function sections(sdp) {
  /** @type {Section[]} */
  const list = [];
  let sessionSends = true;
  for (const line of lines(sdp)) {
    const at = list[list.length - 1];
    if (line.startsWith('m=')) {
      const [kind = '', port] = line.slice(2).split(' ');
      list.push({ mid: '', kind, sends: sessionSends && port !== '0', stream: '', track: '' });
    } else if (/^a=(sendrecv|sendonly|recvonly|inactive)$/.test(line)) {
      const sends = line.startsWith('a=send');
      if (at) at.sends = sends;
      else sessionSends = sends;
    } else if (at && line.startsWith('a=mid:')) {
      at.mid = line.slice(6);
    } else if (at && line.startsWith('a=msid:') && !at.stream) {
      const [stream = '', track = ''] = line.slice(7).split(' ');
      at.stream = stream === '-' ? '' : stream;
      at.track = track;
    }
  }
  return list;
}

/**
 * @param {string} sdp  a description or a fragment
 * @returns {IceLines} of its first section; all of its candidates
 */
export function iceOf(sdp) {
  const all = lines(sdp);
  const value = (/** @type {string} */ name) => all.find((l) => l.startsWith(name))?.slice(name.length) ?? '';
  return {
    ufrag: value('a=ice-ufrag:'),
    pwd: value('a=ice-pwd:'),
    candidates: all.filter((l) => l.startsWith('a=candidate:')).map((l) => l.slice(2)),
  };
}

/**
 * Builds the body of a PATCH: our ICE credentials and some candidates, under the first m-line, which carries the bundle
 * (RFC 9725 section 4.3.1).
 *
 * @param {string} local  our current description
 * @param {string[]} candidates  without "a="
 * @param {boolean} complete  there will be no more
 * @returns {string}
 */
export function fragment(local, candidates, complete) {
  const all = lines(local);
  const { ufrag, pwd } = iceOf(local);
  const [first] = sections(local);
  const group = all.find((l) => l.startsWith('a=group:BUNDLE'));
  const media = all.find((l) => l.startsWith('m='));
  const out = [
    ...(group ? [group] : []),
    ...(media ? [media] : []),
    `a=mid:${first?.mid ?? '0'}`,
    `a=ice-ufrag:${ufrag}`,
    `a=ice-pwd:${pwd}`,
    ...candidates.map((c) => `a=${c}`),
    ...(complete ? ['a=end-of-candidates'] : []),
  ];
  return out.join('\r\n') + '\r\n';
}

/**
 * Turns the server's current description into its answer to our ICE restart: everything as it was, with the new ICE lines.
 * The description may have been an offer; then its open choices are closed as they were when the connection was made, and what
 * our side does not send is not received.
 *
 * @param {string} remote  the server's current description
 * @param {string} offer   ours, with the restart
 * @param {IceLines} ice   what the reply to the PATCH said
 * @param {string} setup   the server's DTLS role from its first answer: "active" or "passive"
 * @returns {string}
 */
export function restartAnswer(remote, offer, ice, setup) {
  const ours = sections(offer);
  /** @type {string[]} */
  const out = [];
  let section = -1;
  const addCandidates = () => out.push(...ice.candidates.map((c) => `a=${c}`));
  for (const line of lines(remote)) {
    if (line.startsWith('m=') && ++section === 1) addCandidates();
    if (line.startsWith('a=candidate:') || line === 'a=end-of-candidates') continue;
    if (line.startsWith('a=ice-ufrag:')) out.push(`a=ice-ufrag:${ice.ufrag}`);
    else if (line.startsWith('a=ice-pwd:')) out.push(`a=ice-pwd:${ice.pwd}`);
    else if (line.startsWith('a=setup:')) out.push(`a=setup:${setup}`);
    else if (line === 'a=recvonly' && !ours[section]?.sends) out.push('a=inactive');
    else out.push(line);
  }
  if (section === 0) addCandidates();
  return out.join('\r\n') + '\r\n';
}

/**
 * @param {string} sdp
 * @returns {string} the DTLS role it takes ("active", "passive" or "actpass"); empty: it does not say
 */
export function setupOf(sdp) {
  return lines(sdp).find((l) => l.startsWith('a=setup:'))?.slice(8) ?? '';
}

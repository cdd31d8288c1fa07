package history

import "time"

// A replay runs at ReplaySpeed times the speed at which the packets were sent, so that it takes at most a seventh of the four seconds
// that are kept.
const (
	ReplaySpeed = 8
	ReplayTick  = 5 * time.Millisecond // packets due within one tick go out together
)

// Replay is when what is replayed to one viewer, who joins with the cached key frame.
type Replay struct {
	ring  *Ring
	next  uint64 // index of the next packet
	began time.Time
	first uint32 // timestamp of the key frame
	pivot uint32 // timestamp at which a replay of ReplaySpeed that began now meets a live edge of speed 1
}

// Replay plans one that begins now with the packet of this index, which is what Cached returned.
func (r *Ring) Replay(from uint64) Replay {
	first, live := r.slot(from).timestamp, r.slot(r.newest).timestamp
	span := max(int32(live-first), 0)
	return Replay{ring: r, next: from, began: time.Now(), first: first, pivot: live + uint32(span/(ReplaySpeed-1))}
}

// Next fills burst (up to its capacity) with the packets that are due and copies their payloads behind dst, which it does not return. It says
// how long to wait before it is called again, or that the replay has caught up: then there is no packet left, and none in burst.
func (p *Replay) Next(burst []Packet, dst []byte) (_ []Packet, wait time.Duration, caughtUp bool) {
	r, now := p.ring, time.Now()
	for ; len(burst) < cap(burst); p.next++ {
		if p.next > r.newest {
			return burst, 0, len(burst) == 0 // come back to join when these are out
		}
		if !r.holds(p.next) {
			continue
		}
		if wait = p.due(r.slot(p.next).timestamp); wait > ReplayTick {
			return burst, wait, false
		}
		var packet Packet
		dst, _ = r.Get(p.next, &packet, dst)
		packet.At, packet.Speed, packet.Pivot = now, ReplaySpeed, p.pivot
		burst = append(burst, packet)
	}
	return burst, 0, false
}

// due returns how long from now until the packet with this timestamp is to be sent.
func (p *Replay) due(timestamp uint32) time.Duration {
	clock := uint64(p.ring.clock)
	ticks := min(uint64(max(int32(timestamp-p.first), 0)), 2*replaySeconds*clock) // a wild timestamp must not stop the replay
	return time.Until(p.began.Add(time.Duration(ticks * uint64(time.Second) / clock / ReplaySpeed)))
}

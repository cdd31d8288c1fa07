package congestion

// delivery measures what arrives: bytes in slots of the receiver's time, over the last half second of whole slots. It is the incoming
// bitrate of draft-ietf-rmcat-gcc-02 section 5.5.
type delivery struct {
	slots  [deliverySlots + 1]int64 // the one being filled, and those before it
	newest int64                    // number of the slot being filled
	first  int64                    // of the first whole slot since nothing came
	open   bool
}

const (
	deliverySlot  = 50_000 // µs
	deliverySlots = 10
	leastSlots    = 4  // whole ones that make a measurement
	deliveryPast  = 60 // what is older is a clock that was set
)

// add takes in bytes that arrived at a time in µs.
func (d *delivery) add(at int64, size int) {
	slot := at / deliverySlot
	switch {
	case !d.open || slot > d.newest+deliverySlots || slot < d.newest-deliveryPast:
		*d = delivery{newest: slot, first: slot + 1, open: true}
	case slot <= d.newest-int64(len(d.slots)):
		return
	}
	for ; d.newest < slot; d.newest++ {
		*d.slot(d.newest + 1) = 0
	}
	*d.slot(slot) += int64(size)
}

func (d *delivery) slot(n int64) *int64 {
	k := n % int64(len(d.slots))
	if k < 0 {
		k += int64(len(d.slots))
	}
	return &d.slots[k]
}

// rate is in bit/s; false: too little is known since the last silence.
func (d *delivery) rate() (float64, bool) { return d.over(deliverySlots) }

// peak is rate, or that of the last few slots if it is higher: of a link that has just been filled.
func (d *delivery) peak() (float64, bool) {
	long, ok := d.rate()
	short, _ := d.over(leastSlots)
	return max(long, short), ok
}

// over is the rate in the last n whole slots.
func (d *delivery) over(n int64) (float64, bool) {
	from := max(d.first, d.newest-n)
	whole := d.newest - from
	if !d.open || whole < leastSlots {
		return 0, false
	}
	var bytes float64
	for n := from; n < d.newest; n++ {
		bytes += float64(*d.slot(n))
	}
	return bytes * 8 * 1e6 / float64(whole*deliverySlot), true
}

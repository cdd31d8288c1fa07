package headerext

import (
	"testing"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

func TestIDs(t *testing.T) {
	t.Parallel()
	got := Of([]webrtc.RTPHeaderExtensionParameter{
		{URI: sdp.ABSSendTimeURI, ID: 2},
		{URI: sdp.AudioLevelURI, ID: 3},
		{URI: OrientationURI, ID: 4},
		{URI: sdp.TransportCCURI, ID: 5},
		{URI: sdp.AudioLevelURI, ID: 0},
		{URI: OrientationURI, ID: 300},
	})
	if want := (IDs{Level: 3, Orientation: 4, Wide: 5}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := (IDs{Level: 14, Orientation: 15, Wide: 15}).OneByte(); got != (IDs{Level: 14}) {
		t.Errorf("of 14 and 15 fit %+v", got)
	}
}

// A publisher's packets name what they belong to.
func TestBelonging(t *testing.T) {
	t.Parallel()
	all := []webrtc.RTPHeaderExtensionParameter{
		{URI: sdp.SDESMidURI, ID: 1},
		{URI: sdp.SDESRTPStreamIDURI, ID: 2},
		{URI: sdp.SDESRepairRTPStreamIDURI, ID: 255},
	}
	want := IDs{Mid: 1, Rid: 2, Repaired: 255}
	if got := Of(all); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := Of(nil); got != (IDs{}) {
		t.Errorf("of nothing %+v", got)
	}
}

func TestOr(t *testing.T) {
	t.Parallel()
	first, all := IDs{Wide: 3, Rid: 4}, IDs{Level: 11, Orientation: 12, Wide: 13, Mid: 14, Rid: 15, Repaired: 16}
	for _, c := range []struct{ a, b, want IDs }{
		{IDs{}, IDs{}, IDs{}},
		{IDs{}, all, all},
		{all, IDs{}, all},
		{first, all, IDs{Level: 11, Orientation: 12, Wide: 3, Mid: 14, Rid: 4, Repaired: 16}},
		{all, first, all},
	} {
		if got := c.a.Or(c.b); got != c.want {
			t.Errorf("%+v or %+v is %+v, want %+v", c.a, c.b, got, c.want)
		}
	}
}

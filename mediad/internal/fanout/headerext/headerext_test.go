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

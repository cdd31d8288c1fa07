package peek

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/pion/stun/v4"
)

// build makes a check as a client does.
func build(tb testing.TB, setters ...stun.Setter) []byte {
	tb.Helper()
	m, err := stun.Build(append([]stun.Setter{stun.BindingRequest, stun.TransactionID}, setters...)...)
	if err != nil {
		tb.Fatal(err)
	}
	return m.Raw
}

func TestUfrag(t *testing.T) {
	whole := build(t, stun.NewSoftware("before"), stun.NewUsername("ours:theirs"), stun.NewShortTermIntegrity("secret"), stun.Fingerprint)
	for name, c := range map[string]struct {
		message []byte
		want    string
	}{
		"a check":                         {whole, "ours"},
		"two colons":                      {build(t, stun.NewUsername("ours:theirs:more")), "ours"},
		"the first of two names":          {build(t, stun.NewUsername("ours:a"), stun.NewUsername("others:b")), "ours"},
		"no colon":                        {build(t, stun.NewUsername("ours")), ""},
		"empty":                           {build(t, stun.NewUsername("")), ""},
		"no name":                         {build(t, stun.Fingerprint), ""},
		"no attributes":                   {build(t), ""},
		"cut off in the middle":           {whole[:40], ""},
		"longer than its header says":     {append(bytes.Clone(whole), 1, 2, 3), "ours"},
		"an attribute longer than all":    {patch(whole, 22, 0xff, 0xff), ""},
		"an attribute as long as its end": {patch(build(t, stun.NewSoftware("abcd")), 23, 5), ""},
	} {
		t.Run(name, func(t *testing.T) {
			if !IsSTUN(c.message) || Type(c.message) != BindingRequest {
				t.Fatal("not taken for a check")
			}
			if got := Ufrag(c.message); string(got) != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func patch(b []byte, at int, with ...byte) []byte {
	b = bytes.Clone(b)
	copy(b[at:], with)
	return b
}

func TestKinds(t *testing.T) {
	indication := Indication()
	for name, c := range map[string]struct {
		packet         []byte
		stun, feedback bool
	}{
		"a check":                   {build(t), true, false},
		"what Indication makes":     {indication[:], true, false},
		"the same, a byte less":     {indication[:19], false, false},
		"media with STUN's cookie":  {patch(build(t), 0, 0x80, 96), false, false},
		"nothing":                   {nil, false, false},
		"a receiver report":         {[]byte{0x80, 201, 0, 1, 1, 2, 3, 4}, false, true},
		"with padding":              {[]byte{0xa1, 205, 0, 1, 1, 2, 3, 4}, false, true},
		"too short for a report":    {[]byte{0x80, 201, 0, 1, 1, 2, 3}, false, false},
		"RTP with a marker":         {[]byte{0x80, 0x80 | 96, 0, 1, 1, 2, 3, 4}, false, false},
		"RTP, the types around it":  {[]byte{0x80, 224, 0, 1, 1, 2, 3, 4}, false, false},
		"DTLS":                      {[]byte{22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, false, false},
		"what TURN's channels have": {[]byte{0x40, 201, 0, 1, 1, 2, 3, 4}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			if IsSTUN(c.packet) != c.stun || IsFeedback(c.packet) != c.feedback {
				t.Errorf("STUN %v, feedback %v", !c.stun, !c.feedback)
			}
		})
	}
	var m stun.Message
	if m.Raw = indication[:]; m.Decode() != nil || m.Type.Class != stun.ClassIndication || m.Type.Method != stun.MethodBinding {
		t.Errorf("what Indication makes is %v", m.Type)
	}
}

// FuzzPeek: no bytes make it panic, and where pion can read a message it finds the same name.
func FuzzPeek(f *testing.F) {
	f.Add(build(f, stun.NewUsername("ours:theirs"), stun.Fingerprint))
	f.Add(build(f, stun.NewSoftware("abc"), stun.NewUsername("a:"), stun.NewUsername(":b")))
	f.Add([]byte{0x80, 201, 0, 1, 1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, packet []byte) {
		IsFeedback(packet)
		if !IsSTUN(packet) {
			return
		}
		got := Ufrag(packet)
		var m stun.Message
		if m.Raw = packet; m.Decode() != nil || len(m.Attributes) > maxAttributes {
			return
		}
		if id := IDOf(packet); id != m.TransactionID {
			t.Errorf("id % x, want % x", id, m.TransactionID)
		}
		name, err := m.Get(stun.AttrUsername)
		want, _, found := bytes.Cut(name, []byte{':'})
		if err != nil || !found {
			want = nil
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	})
}

// BenchmarkUfrag is the longest that a stranger's packet is looked at: many attributes and no name.
func BenchmarkUfrag(b *testing.B) {
	check := build(b, stun.NewUsername("oursoursoursours:theirs"), stun.NewShortTermIntegrity("secret"), stun.Fingerprint)
	worst := make([]byte, 1480)
	copy(worst, build(b))
	binary.BigEndian.PutUint16(worst[2:], uint16(len(worst)-HeaderSize)) //nolint:gosec // small
	for name, m := range map[string][]byte{"a check": check, "nothing but empty attributes": worst} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Ufrag(m)
			}
		})
	}
}

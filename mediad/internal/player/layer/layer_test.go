package layer

import (
	"reflect"
	"strings"
	"testing"

	"weever/shared/apierr"
)

func ptr(n int) *int { return &n }

func TestParse(t *testing.T) {
	for body, want := range map[string]Wish{
		`{}`:                           {},
		`{"mediaId":"0"}`:              {Media: "0"},
		`{"mediaId":"video","rid":""}`: {Media: "video"},
		`{"mediaId":1,"rid":"h"}`:      {Media: "1", Rid: "h"},
		`{"encodingId":"h"}`:           {Rid: "h"},
		`{"rid":"l","encodingId":"h"}`: {Rid: "l"},
		`{"rid":null,"encodingId":"h","mediaId":null,"maxWidth":null}`:                                 {Rid: "h"},
		`{"spatialLayerId":0,"temporalLayerId":2,"maxSpatialLayerId":3,"maxTemporalLayerId":3,"x":{}}`: {Temporal: 2},
		`{"maxWidth":640,"maxHeight":0}`:                                                               {MaxWidth: ptr(640), MaxHeight: ptr(0)},
	} {
		if got, err := Parse([]byte(body)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", body, got, err)
		}
	}
	for _, body := range []string{
		``, `null`, `[]`, `"h"`, `{"rid":1}`, `{"rid":"h"`, `{"rid":"h"}{}`, `{"mediaId":{}}`, `{"mediaId":true}`, `{"maxWidth":"640"}`,
		`{"maxWidth":-1}`, `{"spatialLayerId":1.5}`, `{"spatialLayerId":99999999999999999999}`, "\x00",
	} {
		if _, err := Parse([]byte(body)); apierr.From(err).Code != apierr.BadRequest {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestSection(t *testing.T) {
	mids := []string{"a", "v", "2", "1"}
	for media, want := range map[string]int{"": 1, "1": 1, "v": 1, "3": 3} {
		if got, err := (Wish{Media: media}).Section(mids, []int{1, 3}); err != nil || got != want {
			t.Errorf("%q: %d, %v", media, got, err)
		}
	}
	for _, media := range []string{"0", "a", "2", "-1", "x", "01"} {
		_, err := Wish{Media: media}.Section(mids, []int{1, 3})
		if e := apierr.From(err); e.Code != apierr.Unacceptable || !strings.Contains(e.Detail, "1, 3") {
			t.Errorf("%q: %v", media, err)
		}
	}
	if _, err := (Wish{}).Section([]string{"0"}, nil); apierr.From(err).Code != apierr.Unacceptable {
		t.Errorf("audio alone: %v", err)
	}
}

var (
	three  = []Layer{{"h", 1280, 720}, {"m", 640, 360}, {"l", 320, 180}}
	blind  = []Layer{{Rid: "h"}, {Rid: "m"}, {Rid: "l"}}
	single = []Layer{{"", 1280, 720}}
)

func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		wish   Wish
		layers []Layer
		names  string // in the refusal; empty: there is none
	}{
		"nothing":              {Wish{}, three, ""},
		"nothing of nothing":   {Wish{}, nil, ""},
		"a rid":                {Wish{Rid: "m"}, three, ""},
		"another rid":          {Wish{Rid: "q"}, three, "h, m, l"},
		"a rid of one layer":   {Wish{Rid: "h"}, single, "single layer"},
		"a rid of nothing":     {Wish{Rid: "h"}, nil, "nothing is sent"},
		"a spatial layer":      {Wish{Spatial: 1}, three, "h, m, l"},
		"a temporal layer":     {Wish{Rid: "h", Temporal: 1}, single, "single layer"},
		"limits":               {Wish{MaxWidth: ptr(1)}, three, ""},
		"limits of one layer":  {Wish{MaxWidth: ptr(1)}, single, ""},
		"limits without sizes": {Wish{MaxHeight: ptr(1)}, blind, ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.wish.Check(c.layers)
			if c.names == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if e := apierr.From(err); e.Code != apierr.Unacceptable || !strings.Contains(e.Detail, c.names) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestChoose(t *testing.T) {
	below := map[string][]string{"h": {"m", "l"}, "m": {"l"}}
	for name, c := range map[string]struct {
		wish   Wish
		layers []Layer
		rid    string
		ok     bool
	}{
		"nothing":                    {Wish{}, three, "", false},
		"a rid":                      {Wish{Rid: "m"}, three, "m", true},
		"a rid before limits":        {Wish{Rid: "h", MaxWidth: ptr(1)}, three, "h", true},
		"the least is not there":     {Wish{Rid: "l"}, three[:2], "m", true},
		"nor is the one above it":    {Wish{Rid: "l"}, three[:1], "h", true},
		"one between is not there":   {Wish{Rid: "m"}, []Layer{three[0], three[2]}, "l", true},
		"the best is not there":      {Wish{Rid: "h"}, three[1:], "m", true},
		"a rid of nobody":            {Wish{Rid: "q"}, three, "l", true},
		"a rid of one layer":         {Wish{Rid: "h"}, single, "", false},
		"a rid of nothing":           {Wish{Rid: "h"}, nil, "", false},
		"width":                      {Wish{MaxWidth: ptr(640)}, three, "m", true},
		"height":                     {Wish{MaxHeight: ptr(359)}, three, "l", true},
		"both":                       {Wish{MaxWidth: ptr(4000), MaxHeight: ptr(4000)}, three, "h", true},
		"too small":                  {Wish{MaxWidth: ptr(0)}, three, "l", true},
		"sizes are not known":        {Wish{MaxWidth: ptr(640)}, blind, "", false},
		"some are not":               {Wish{MaxWidth: ptr(640)}, []Layer{{Rid: "h"}, {"m", 640, 360}, {Rid: "l"}}, "m", true},
		"those that are do not fit":  {Wish{MaxWidth: ptr(100)}, []Layer{{"h", 1280, 720}, {Rid: "l"}}, "l", true},
		"one layer":                  {Wish{MaxWidth: ptr(100)}, single, "", true},
		"no layer":                   {Wish{MaxWidth: ptr(100)}, nil, "", false},
		"no rid of an unnamed layer": {Wish{}, single, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			if rid, ok := c.wish.Choose(c.layers, below[c.wish.Rid]); rid != c.rid || ok != c.ok {
				t.Errorf("%q, %v", rid, ok)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"mediaId":"0","rid":"hd"}`, `{"encodingId":"1","maxWidth":640,"maxHeight":360}`, `{"mediaId":1,"spatialLayerId":0}`,
		`{"temporalLayerId":2,"maxSpatialLayerId":1,"maxTemporalLayerId":1}`, `null`, `[{}]`, `{"rid":"\u0000"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		w, err := Parse(body)
		if err != nil {
			if apierr.From(err).Code != apierr.BadRequest {
				t.Error(err)
			}
			return
		}
		if w.Check(three) == nil {
			if rid, ok := w.Choose(three, nil); ok && rid != "h" && rid != "m" && rid != "l" {
				t.Errorf("%+v chose %q", w, rid)
			}
		}
		if at, err := w.Section([]string{"a", "v"}, []int{1}); err == nil && at != 1 {
			t.Errorf("%+v is about section %d", w, at)
		}
	})
}

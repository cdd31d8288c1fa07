package gateway_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"testing"

	"weever/shared/gateway"
)

// seen is what the handler behind the gateway was asked.
type seen struct {
	Method, Path, Query, Body, Host, Remote string
	Header                                  http.Header
}

// ask sends an event and returns what the handler saw and what came back.
func ask(t *testing.T, event string, answer http.HandlerFunc) (seen, map[string]any) {
	t.Helper()
	var got seen
	h := gateway.New(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got = seen{r.Method, r.URL.EscapedPath(), r.URL.RawQuery, string(body), r.Host, r.RemoteAddr, r.Header}
		if answer != nil {
			answer(w, r)
		}
	}))
	raw, err := h.Invoke(t.Context(), []byte(event))
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	return got, out
}

func TestPaths(t *testing.T) {
	for _, tt := range []struct{ name, event, want string }{
		{
			"http api, default stage",
			`{"version":"2.0","routeKey":"POST /create/pub","rawPath":"/create/pub","requestContext":{"stage":"$default","http":{"method":"POST"}}}`,
			"/create/pub",
		},
		{
			"http api, named stage, route",
			`{"version":"2.0","routeKey":"GET /list/pub/{room}","rawPath":"/prod/list/pub/lobby","pathParameters":{"room":"lobby"},
			  "requestContext":{"stage":"prod","http":{"method":"GET"}}}`,
			"/list/pub/lobby",
		},
		{
			"http api, named stage, no route",
			`{"version":"2.0","routeKey":"$default","rawPath":"/prod/rooms","requestContext":{"stage":"prod","http":{"method":"GET"}}}`,
			"/rooms",
		},
		{
			"http api, a room named like the stage",
			`{"version":"2.0","routeKey":"$default","rawPath":"/list/pub/list","requestContext":{"stage":"$default","http":{"method":"GET"}}}`,
			"/list/pub/list",
		},
		{
			"http api, a stage that begins another word",
			`{"version":"2.0","routeKey":"$default","rawPath":"/rooms","requestContext":{"stage":"room","http":{"method":"GET"}}}`,
			"/rooms",
		},
		{
			"http api, proxy route",
			`{"version":"2.0","routeKey":"ANY /{proxy+}","rawPath":"/prod/pub/lobby/alice","pathParameters":{"proxy":"pub/lobby/alice"},
			  "requestContext":{"stage":"prod","http":{"method":"DELETE"}}}`,
			"/pub/lobby/alice",
		},
		{
			"rest api, direct",
			`{"resource":"/pub/{room}/{id}","path":"/pub/lobby/alice","httpMethod":"DELETE","pathParameters":{"room":"lobby","id":"alice"},
			  "requestContext":{"stage":"prod","path":"/prod/pub/lobby/alice"}}`,
			"/pub/lobby/alice",
		},
		{
			"rest api, base path of a custom domain",
			`{"resource":"/pub/{room}/{id}","path":"/media/v1/pub/lobby/alice","httpMethod":"DELETE","pathParameters":{"room":"lobby","id":"alice"},
			  "requestContext":{"stage":"prod"}}`,
			"/pub/lobby/alice",
		},
		{
			"rest api, proxy resource and base path",
			`{"resource":"/{proxy+}","path":"/media/rooms","httpMethod":"GET","pathParameters":{"proxy":"rooms"},"requestContext":{"stage":"prod"}}`,
			"/rooms",
		},
		{
			"http api with format 1.0, named stage, no route",
			`{"version":"1.0","resource":"$default","path":"/prod/rooms","httpMethod":"GET","requestContext":{"stage":"prod"}}`,
			"/rooms",
		},
		{
			"a full id, plus as it is",
			`{"version":"2.0","routeKey":"DELETE /pub/{room}/{id}","pathParameters":{"room":"lobby","id":"alice+tab"},
			  "requestContext":{"http":{"method":"DELETE"}}}`,
			"/pub/lobby/alice+tab",
		},
		{
			"a full id, plus still encoded",
			`{"version":"2.0","routeKey":"DELETE /pub/{room}/{id}","pathParameters":{"room":"lobby","id":"alice%2Btab"},
			  "requestContext":{"http":{"method":"DELETE"}}}`,
			"/pub/lobby/alice+tab",
		},
		{
			"a slash in a parameter stays in it",
			`{"version":"2.0","routeKey":"DELETE /pub/{room}/{id}","rawPath":"/pub/x/../../sub/lobby/alice",
			  "pathParameters":{"room":"x","id":"../../sub/lobby/alice"},"requestContext":{"http":{"method":"DELETE"}}}`,
			"/pub/x/..%2F..%2Fsub%2Flobby%2Falice",
		},
		{
			"an encoded slash in a parameter stays in it",
			`{"resource":"/pub/{room}/{id}","httpMethod":"DELETE","pathParameters":{"room":"x%2Fsub","id":"lobby%2Falice"},"requestContext":{}}`,
			"/pub/x%2Fsub/lobby%2Falice",
		},
		{
			"function url",
			`{"version":"2.0","routeKey":"$default","rawPath":"/list/sub/a%20b","requestContext":{"stage":"$default","http":{"method":"GET"}}}`,
			"/list/sub/a%20b",
		},
		{
			"a per cent sign that escapes nothing",
			`{"version":"2.0","routeKey":"$default","rawPath":"/list/sub/a%zz","requestContext":{"stage":"$default","http":{"method":"GET"}}}`,
			"/list/sub/a%25zz",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, _ := ask(t, tt.event, nil); got.Path != tt.want {
				t.Errorf("got %s, want %s", got.Path, tt.want)
			}
		})
	}
}

func TestRequestFields(t *testing.T) {
	body := base64.StdEncoding.EncodeToString([]byte("\x00binary\xff"))
	for _, tt := range []struct {
		name, event string
		want        seen
	}{
		{
			"version 2",
			`{"version":"2.0","routeKey":"$default","rawPath":"/rooms","rawQueryString":"after=a%2Bb&limit=5","body":"` + body + `","isBase64Encoded":true,
			  "headers":{"accept":"application/json,text/plain","content-type":"application/json"},
			  "requestContext":{"domainName":"api.example","http":{"method":"GET","sourceIp":"192.0.2.7"}}}`,
			seen{
				"GET", "/rooms", "after=a%2Bb&limit=5", "\x00binary\xff", "api.example", "192.0.2.7",
				http.Header{"Accept": {"application/json,text/plain"}, "Content-Type": {"application/json"}},
			},
		},
		{
			"version 1, many values",
			`{"resource":"/rooms","path":"/rooms","httpMethod":"GET","body":"{}","isBase64Encoded":false,
			  "headers":{"accept":"text/plain","host":"h.example"},"multiValueHeaders":{"accept":["application/json","text/plain"],"host":["h.example"]},
			  "queryStringParameters":{"after":"b"},"multiValueQueryStringParameters":{"after":["a+b","b"]},
			  "requestContext":{"domainName":"api.example","identity":{"sourceIp":"192.0.2.7"}}}`,
			seen{
				"GET", "/rooms", "after=a%2Bb&after=b", "{}", "h.example", "192.0.2.7",
				http.Header{"Accept": {"application/json", "text/plain"}, "Host": {"h.example"}},
			},
		},
		{
			"version 1, single values",
			`{"resource":"/rooms","path":"/rooms","httpMethod":"GET","body":null,"headers":{"Accept":"text/plain"},"multiValueHeaders":null,
			  "queryStringParameters":{"after":"b"},"multiValueQueryStringParameters":null,"requestContext":{"domainName":"api.example"}}`,
			seen{"GET", "/rooms", "after=b", "", "api.example", "", http.Header{"Accept": {"text/plain"}}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, _ := ask(t, tt.event, nil); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

const (
	get2  = `{"version":"2.0","rawPath":"/","requestContext":{"http":{"method":"GET"}}}`
	get1  = `{"resource":"/","path":"/","httpMethod":"GET","requestContext":{}}`
	head2 = `{"version":"2.0","rawPath":"/","requestContext":{"http":{"method":"HEAD"}}}`
)

func TestAnswers(t *testing.T) {
	text := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Add("Link", "<a>")
		w.Header().Add("Link", "<b>")
		w.WriteHeader(http.StatusAccepted)
		w.WriteHeader(http.StatusTeapot) // the first one counts
		_, _ = io.WriteString(w, "grüße")
	}
	_, out := ask(t, get2, text)
	if out["statusCode"] != 202.0 || out["body"] != "grüße" || out["isBase64Encoded"] == true {
		t.Errorf("version 2: %v", out)
	}
	if h := out["headers"].(map[string]any); h["Content-Type"] != "text/plain" || h["Link"] != "<a>, <b>" {
		t.Errorf("version 2: %v", h)
	}
	_, out = ask(t, get1, text)
	if out["statusCode"] != 202.0 || out["body"] != "grüße" || out["isBase64Encoded"] == true {
		t.Errorf("version 1: %v", out)
	}
	if h := out["multiValueHeaders"].(map[string]any); !reflect.DeepEqual(h["Link"], []any{"<a>", "<b>"}) {
		t.Errorf("version 1: %v", h)
	}

	binary := func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte{0xff, 0x00}) }
	for _, event := range []string{get1, get2} {
		_, out = ask(t, event, binary)
		if out["statusCode"] != 200.0 || out["body"] != "/wA=" || out["isBase64Encoded"] != true {
			t.Errorf("bytes: %v", out)
		}
	}
	_, out = ask(t, head2, text)
	if out["statusCode"] != 202.0 || out["body"] != "" {
		t.Errorf("HEAD: %v", out)
	}
	_, out = ask(t, get2, nil)
	if out["statusCode"] != 200.0 || out["body"] != "" {
		t.Errorf("a handler that wrote nothing: %v", out)
	}
}

func TestTheHandlerSeesTheEventsContext(t *testing.T) {
	type mark struct{}
	ctx := context.WithValue(t.Context(), mark{}, "yes")
	h := gateway.New(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Context().Value(mark{}) != "yes" {
			t.Error("another context")
		}
	}))
	if _, err := h.Invoke(ctx, []byte(get2)); err != nil {
		t.Fatal(err)
	}
}

var noEvents = []string{
	``, `null`, `[]`, `"x"`, `{}`, `{`, `{"version":"2.0"}`, `{"version":"2.0","requestContext":{"http":{"method":""}}}`,
	`{"version":"2.0","requestContext":{"http":{"method":"BAD METHOD"}}}`,
	`{"version":"2.0","isBase64Encoded":true,"body":"%","requestContext":{"http":{"method":"GET"}}}`,
	`{"version":"2.0","headers":[],"requestContext":{"http":{"method":"GET"}}}`,
	`{"httpMethod":"GET","path":7}`,
	`{"httpMethod":"GET","path":"/","requestContext":{"elb":{"targetGroupArn":"arn"}}}`,
	`{"Records":[{"eventSource":"aws:s3"}]}`,
	`{"source":"aws.events","detail-type":"Scheduled Event"}`,
}

func TestOtherEventsAreRefused(t *testing.T) {
	h := gateway.New(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") }))
	for _, event := range noEvents {
		out, err := h.Invoke(t.Context(), []byte(event))
		if !errors.Is(err, gateway.ErrEvent) || out != nil {
			t.Errorf("%s: got %s, %v", event, out, err)
		}
	}
}

// Whatever comes, there is an answer that API Gateway understands or ErrEvent.
func FuzzInvoke(f *testing.F) {
	for _, s := range append(noEvents, get1, get2, head2,
		`{"version":"2.0","routeKey":"A /{a+}/{b}/{","rawPath":"/x","pathParameters":{"a":"%2F..","":"%"},"rawQueryString":"%zz","requestContext":{"stage":"","http":{"method":"GET"}}}`,
		`{"resource":"/{proxy+}","path":"//","httpMethod":"OPTIONS","headers":{"":"","a\nb":"c"},"requestContext":{"stage":"/"}}`,
	) {
		f.Add([]byte(s))
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /list/{role}/{room}", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	})
	h := gateway.New(mux)
	f.Fuzz(func(t *testing.T, event []byte) {
		raw, err := h.Invoke(t.Context(), event)
		if err != nil {
			if !errors.Is(err, gateway.ErrEvent) {
				t.Fatalf("%v", err)
			}
			return
		}
		var out struct {
			StatusCode int `json:"statusCode"`
		}
		if err := json.Unmarshal(raw, &out); err != nil || out.StatusCode < 200 || out.StatusCode > 599 {
			t.Fatalf("%v: %s", err, raw)
		}
	})
}

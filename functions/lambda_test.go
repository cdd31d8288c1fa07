package functions_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"weever/shared/auth"
	"weever/shared/redisdb"
	"weever/shared/room"
	"weever/shared/store"
	"weever/shared/testkit"
	"weever/shared/testkit/lambda"
	"weever/shared/tokens"
)

// call is an HTTP request, in any of the ways one comes to a function.
type call struct {
	method, route, path string // route: the template's, like "/list/pub/{room}"
	params              map[string]string
	header              map[string]string
	body                string
}

// answer is what all the kinds of answers have in common.
type answer struct {
	StatusCode        int                 `json:"statusCode"`
	Headers           map[string]string   `json:"headers"`
	MultiValueHeaders map[string][]string `json:"multiValueHeaders"`
	Body              string              `json:"body"`
	IsBase64Encoded   bool                `json:"isBase64Encoded"`
}

func (a answer) header(name string) string {
	if vs := a.MultiValueHeaders[name]; len(vs) > 0 {
		return vs[0]
	}
	return a.Headers[name]
}

// kinds are the events as the services send them, trimmed to what could matter.
var kinds = map[string]func(c call) any{
	"http api": func(c call) any {
		return map[string]any{
			"version": "2.0", "routeKey": c.method + " " + c.route, "rawPath": c.path, "rawQueryString": "",
			"headers": c.header, "pathParameters": c.params, "body": c.body, "isBase64Encoded": false,
			"requestContext": map[string]any{
				"accountId": "123456789012", "apiId": "api", "stage": "$default", "routeKey": c.method + " " + c.route,
				"authorizer": map[string]any{"iam": map[string]any{"accessKey": "AKIA", "userArn": "arn:aws:iam::123456789012:user/backend"}},
				"domainName": "api.execute-api.eu-central-1.amazonaws.com", "requestId": "id", "timeEpoch": 1583348638390,
				"http": map[string]any{"method": c.method, "path": c.path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "backend"},
			},
		}
	},
	"http api with a stage": func(c call) any {
		return map[string]any{
			"version": "2.0", "routeKey": "$default", "rawPath": "/prod" + c.path, "rawQueryString": "",
			"headers": c.header, "body": base64.StdEncoding.EncodeToString([]byte(c.body)), "isBase64Encoded": true,
			"requestContext": map[string]any{
				"stage": "prod", "routeKey": "$default", "domainName": "api.execute-api.eu-central-1.amazonaws.com",
				"http": map[string]any{"method": c.method, "path": "/prod" + c.path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1"},
			},
		}
	},
	"rest api behind a custom domain": func(c call) any {
		multi := map[string][]string{}
		for k, v := range c.header {
			multi[k] = []string{v}
		}
		return map[string]any{
			"resource": c.route, "path": "/media/v1" + c.path, "httpMethod": c.method,
			"headers": c.header, "multiValueHeaders": multi, "queryStringParameters": nil, "multiValueQueryStringParameters": nil,
			"pathParameters": c.params, "stageVariables": nil, "body": c.body, "isBase64Encoded": false,
			"requestContext": map[string]any{
				"resourcePath": c.route, "httpMethod": c.method, "path": "/media/v1" + c.path, "stage": "prod", "protocol": "HTTP/1.1",
				"domainName": "control.example.com", "requestTimeEpoch": 1583348638390, "identity": map[string]any{"sourceIp": "192.0.2.1"},
			},
		}
	},
	"function url": func(c call) any {
		return map[string]any{
			"version": "2.0", "routeKey": "$default", "rawPath": c.path, "rawQueryString": "", "headers": c.header,
			"body": base64.StdEncoding.EncodeToString([]byte(c.body)), "isBase64Encoded": true,
			"requestContext": map[string]any{
				"accountId": "123456789012", "apiId": "url-id", "stage": "$default", "domainName": "url-id.lambda-url.eu-central-1.on.aws",
				"http": map[string]any{"method": c.method, "path": c.path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1"},
			},
		}
	},
}

// invoke sends c as an event and decodes the answer.
func invoke(t *testing.T, fn *lambda.Runtime, event any) answer {
	t.Helper()
	raw, err := fn.Invoke(event)
	if err != nil {
		t.Fatal(err)
	}
	var a answer
	if err := json.Unmarshal(raw, &a); err != nil {
		t.Fatalf("%v: %s", err, raw)
	}
	if a.IsBase64Encoded {
		t.Fatalf("text came as base64: %s", raw)
	}
	return a
}

var jsonHeader = map[string]string{"content-type": "application/json", "accept": "*/*"}

func TestFunctions(t *testing.T) {
	url := testkit.Redis(t)
	db, err := redisdb.Open(url, "weever")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tk, st := tokens.New(db, nil), store.New(db, nil)
	env := map[string]string{"WEEVER_REDIS": url}
	fns := map[string]*lambda.Runtime{}
	for _, name := range []string{"create", "list", "kick"} {
		fns[name] = lambda.Start(t, lambda.Build(t, name, "amd64"), env)
	}
	for kind, event := range kinds {
		t.Run(kind, func(t *testing.T) {
			rm := strings.ReplaceAll(kind, " ", "-")
			name, err := room.ParseName(rm)
			if err != nil {
				t.Fatal(err)
			}
			id, err := room.ParseID("alice")
			if err != nil {
				t.Fatal(err)
			}
			check := func(token string) error {
				_, err := tk.CheckToken(t.Context(), name, room.Pub, id, token)
				return err
			}

			// The original's management page: an extra key, a token, plain text back.
			got := invoke(t, fns["create"], event(call{
				method: http.MethodPost, route: "/create/pub", path: "/create/pub", header: jsonHeader,
				body: `{"room":"` + rm + `","id":"alice","role":"pub","token":"secret"}`,
			}))
			if got.StatusCode != http.StatusOK || got.Body != "pub set" || !strings.HasPrefix(got.header("Content-Type"), "text/plain") {
				t.Fatalf("create: %+v", got)
			}
			if err := check("secret"); err != nil {
				t.Fatal(err)
			}

			// A backend that lets us choose the token.
			got = invoke(t, fns["create"], event(call{
				method: http.MethodPost, route: "/create/pub", path: "/create/pub", header: jsonHeader,
				body: `{"room":"` + rm + `","id":"alice","ttl_seconds":60}`,
			}))
			var made struct {
				Token     string    `json:"token"`
				ExpiresAt time.Time `json:"expires_at"`
			}
			if err := json.Unmarshal([]byte(got.Body), &made); err != nil || got.StatusCode != http.StatusOK {
				t.Fatalf("create: %v, %+v", err, got)
			}
			if ttl := time.Until(made.ExpiresAt); ttl > time.Minute || ttl < 50*time.Second {
				t.Errorf("expires in %v", ttl)
			}
			if err := check(made.Token); err != nil {
				t.Fatal(err)
			}

			goLive(t, st, name, "alice+tab1")
			got = invoke(t, fns["list"], event(call{
				method: http.MethodGet, route: "/list/pub/{room}", path: "/list/pub/" + rm, params: map[string]string{"room": rm},
			}))
			if got.StatusCode != http.StatusOK || got.Body != "alice+tab1" {
				t.Fatalf("list: %+v", got)
			}

			got = invoke(t, fns["kick"], event(call{
				method: http.MethodDelete, route: "/pub/{room}/{id}", path: "/pub/" + rm + "/alice+tab1",
				params: map[string]string{"room": rm, "id": "alice+tab1"},
			}))
			if got.StatusCode != http.StatusNoContent || got.Body != "" {
				t.Fatalf("kick: %+v", got)
			}
			if err := check(made.Token); err == nil {
				t.Fatal("the token of somebody who was kicked still opens")
			}

			// Each function serves its own routes only.
			got = invoke(t, fns["list"], event(call{
				method: http.MethodDelete, route: "/pub/{room}/{id}", path: "/pub/" + rm + "/alice",
				params: map[string]string{"room": rm, "id": "alice"},
			}))
			if got.StatusCode != http.StatusNotFound || !strings.Contains(got.Body, "urn:weever:problem:not-found") {
				t.Fatalf("list was asked to kick: %+v", got)
			}
		})
	}
	t.Run("no token in the logs", func(t *testing.T) {
		if log := fns["create"].Log(); strings.Contains(log, "secret") || !strings.Contains(log, "token set") {
			t.Errorf("the log is\n%s", log)
		}
	})
	t.Run("an event that is none", func(t *testing.T) {
		_, err := fns["list"].Invoke(map[string]any{"source": "aws.events", "detail-type": "Scheduled Event"})
		if err == nil || !strings.Contains(err.Error(), "not an HTTP request") {
			t.Fatalf("got %v", err)
		}
		if got := invoke(t, fns["list"], kinds["http api"](call{method: http.MethodGet, route: "/rooms", path: "/rooms"})); got.StatusCode != http.StatusOK {
			t.Fatalf("after it: %+v", got)
		}
	})
}

// goLive writes a publisher's record as a node does.
func goLive(t *testing.T, st *store.Store, rm room.Name, fullID string) {
	t.Helper()
	id, err := room.ParseFullID(fullID)
	if err != nil {
		t.Fatal(err)
	}
	inc, err := st.NextInc(t.Context(), rm)
	if err != nil {
		t.Fatal(err)
	}
	_, err = st.GoLive(t.Context(), rm, room.Publisher{
		FullID: id, Session: auth.NewToken(), Owner: room.Owner{Node: "n1", Instance: "secret-instance", Epoch: 1}, Inc: inc,
		JoinedAt: time.Now().UTC(), Tracks: []room.Track{{ID: "video0", Kind: "video", Codec: "video/VP8", Clock: 90000}},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestFunctionWhileRedisIsAway(t *testing.T) {
	srv := testkit.StartRedis(t)
	srv.Stop()
	fn := lambda.Start(t, lambda.Build(t, "list", "amd64"), map[string]string{"WEEVER_REDIS": srv.URL, "WEEVER_NAMESPACE": "other"})
	event := kinds["http api"](call{method: http.MethodGet, route: "/rooms", path: "/rooms"})
	got := invoke(t, fn, event)
	if got.StatusCode != http.StatusServiceUnavailable || got.header("Retry-After") != "2" || strings.Contains(got.Body, "127.0.0.1") {
		t.Fatalf("got %+v", got)
	}
	srv.Start()
	if got := invoke(t, fn, event); got.StatusCode != http.StatusOK {
		t.Fatalf("Redis is back: %+v", got)
	}
}

package functions_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"weever/shared/auth"
	"weever/shared/redisdb"
	"weever/shared/room"
	"weever/shared/store"
	"weever/shared/testkit"
	"weever/shared/testkit/lambda"
	"weever/shared/testkit/planted"
	"weever/shared/testkit/tool"
	"weever/shared/tokens"
)

// What the answers are.
const (
	plain   = "text/plain; charset=utf-8"
	asJSON  = "application/json"
	problem = "application/problem+json"
)

// example is a file of events/, whose function it is for, and what is answered.
type example struct {
	file, function string
	status         int
	contentType    string
	body           string // a pattern for all of it
}

// examples are all files of events/, in an order in which they make sense. Before the first of them alice publishes in the lobby as
// alice+tab1, and bob watches.
var examples = []example{
	{"create-pub", "Create", http.StatusOK, plain, `pub set`},
	{"create-sub", "Create", http.StatusOK, asJSON, `{"room":"lobby","id":"bob","role":"sub","token":"[A-Za-z0-9_-]{22,}","expires_at":"[^"]+Z"}`},
	{"create-sub-base64", "Create", http.StatusOK, plain, `sub set`},
	{"create-pub-bad-json", "Create", http.StatusBadRequest, problem, `{.*"status":400,"detail":"the body must be a JSON object like .*"}`},
	{"create-pub-bad-room", "Create", http.StatusBadRequest, problem, `{.*"status":400,"detail":"[^"]*room may only contain the characters A-Z a-z 0-9 _ - ~"}`},
	{"create-pub-bad-ttl", "Create", http.StatusBadRequest, problem, `{.*"status":400,"detail":"ttl_seconds must be a whole number from 1 to 2592000"}`},
	{"create-pub-no-type", "Create", http.StatusUnsupportedMediaType, problem, `{.*"status":415,"detail":"send the request as Content-Type: application/json"}`},
	{"list-pub", "List", http.StatusOK, plain, `alice\+tab1`},
	{"list-sub", "List", http.StatusOK, asJSON, `{"room":"lobby","role":"sub","peers":\[{"id":"bob","full_id":"bob","node":"n1","state":"live","joined_at":"[^"]+","tracks":\[\]}\]}`},
	{"list-rooms", "List", http.StatusOK, asJSON, `{"rooms":\[{"room":"lobby","publishers":1,"subscribers":1}\],"next":null}`},
	{"list-pub-bad-room", "List", http.StatusBadRequest, problem, `{.*"status":400,"detail":"[^"]*room may only contain the characters A-Z a-z 0-9 _ - ~"}`},
	{"kick-pub", "Kick", http.StatusNoContent, "", ``},
	{"kick-sub", "Kick", http.StatusNoContent, "", ``},
	{"kick-pub-bad-id", "Kick", http.StatusBadRequest, problem, `{.*"status":400,"detail":"[^"]*id may only contain the characters A-Z a-z 0-9 _ - ~"}`},
}

// runEvents gives every event of events/ to the function that it is for, with the variables of local.json and a real Redis.
func runEvents(t *testing.T, built string) {
	url := testkit.Redis(t)
	db, err := redisdb.Open(url, "weever")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tk, lobby, alice, bob := tokens.New(db, nil), name(t, "lobby"), id(t, "alice"), id(t, "bob")
	st := store.New(db, nil)
	goLive(t, st, lobby, "alice+tab1")
	watch(t, st, lobby, "bob")

	fns := map[string]*lambda.Runtime{}
	for _, title := range functions {
		fns[title] = lambda.Start(t, filepath.Join(built, title+"Function", "bootstrap"), localEnv(t, url))
	}
	for _, x := range examples {
		got := invoke(t, fns[x.function], []byte(planted.Read(t, "events/"+x.file+".json")))
		t.Logf("%s: %d %s", x.file, got.StatusCode, got.Body)
		if !x.fits(got) {
			t.Errorf("%s: %+v, want %d %s %s", x.file, got, x.status, x.contentType, x.body)
		}
		switch x.file {
		case "create-pub":
			if _, err := tk.CheckToken(t.Context(), lobby, room.Pub, alice, "let-alice-in"); err != nil {
				t.Errorf("%s: %v", x.file, err)
			}
		case "create-sub":
			checkMade(t, tk, got.Body)
		case "create-sub-base64":
			if _, err := tk.CheckToken(t.Context(), lobby, room.Sub, id(t, "carol"), "let-carol-in"); err != nil {
				t.Errorf("%s: %v", x.file, err)
			}
		case "kick-pub":
			checkKicked(t, tk, room.Pub, alice, "let-alice-in")
		case "kick-sub":
			checkKicked(t, tk, room.Sub, bob, "")
		}
	}
	for _, title := range functions {
		if log := fns[title].Log(); strings.Contains(log, "let-") || strings.Contains(log, url) {
			t.Errorf("%s writes secrets to its log:\n%s", title, log)
		}
	}
	// An event for another function is answered otherwise than its own.
	for _, x := range examples {
		if x.function != "List" && x.fits(invoke(t, fns["List"], []byte(planted.Read(t, "events/"+x.file+".json")))) {
			t.Errorf("%s: List answers for %s", x.file, x.function)
		}
	}
	notEvents(t, fns["Create"])
	tool.Checked(t, "Lambda Runtime API", "2018-06-01", fmt.Sprintf("the built functions, with %d events through the Runtime API and a real Redis", len(examples)))
}

func (x example) fits(got answer) bool {
	return got.StatusCode == x.status && got.header("Content-Type") == x.contentType && regexp.MustCompile(`^`+x.body+`$`).MatchString(got.Body)
}

// localEnv is what local.json sets, with the URL of a Redis that is there. The file may set what the template has, and nothing else: sam
// leaves out the rest without a word.
func localEnv(t *testing.T, url string) map[string]string {
	t.Helper()
	var file struct{ Parameters map[string]string }
	if err := json.Unmarshal([]byte(planted.Read(t, "local.json")), &file); err != nil {
		t.Fatal(err)
	}
	tpl, err := parse(t, planted.Read(t, "../template.yaml"), nil)
	if err != nil {
		t.Fatal(err)
	}
	all, err := tpl.GetServerlessGlobalFunction()
	if err != nil {
		t.Fatal(err)
	}
	has, wants := slices.Sorted(maps.Keys(file.Parameters)), slices.Sorted(maps.Keys(all.Environment.Variables))
	if !slices.Equal(has, wants) {
		t.Errorf("local.json sets %q, the template %q", has, wants)
	}
	if db, err := redisdb.Open(file.Parameters["WEEVER_REDIS"], file.Parameters["WEEVER_NAMESPACE"]); err != nil {
		t.Errorf("local.json: %v", err)
	} else {
		db.Close()
	}
	file.Parameters["WEEVER_REDIS"] = url
	return file.Parameters
}

func checkMade(t *testing.T, tk *tokens.Tokens, body string) {
	t.Helper()
	var made struct {
		Token     string    `json:"token"`
		ExpiresAt time.Time `json:"expires_at"`
	}
	if err := json.Unmarshal([]byte(body), &made); err != nil {
		t.Error(err)
		return
	}
	if left := time.Until(made.ExpiresAt); left > time.Hour || left < time.Hour-time.Minute {
		t.Errorf("the token lasts %v", left)
	}
	if grant, err := tk.CheckToken(t.Context(), name(t, "lobby"), room.Sub, id(t, "bob"), made.Token); err != nil || !grant.Say {
		t.Errorf("the token that was made gives %+v, %v", grant, err)
	}
}

func checkKicked(t *testing.T, tk *tokens.Tokens, role room.Role, who room.ID, token string) {
	t.Helper()
	if at, err := tk.KickedAt(t.Context(), name(t, "lobby"), role, who); err != nil || time.Since(at) > time.Minute {
		t.Errorf("kicked at %v, %v", at, err)
	}
	if _, err := tk.CheckToken(t.Context(), name(t, "lobby"), role, who, token); err == nil {
		t.Errorf("the token of %s still opens", who)
	}
}

// notEvents sends what a function must not take for a request. It must go on serving.
func notEvents(t *testing.T, create *lambda.Runtime) {
	t.Helper()
	good := planted.Read(t, "events/create-pub.json")
	for _, m := range []struct{ name, old, planted, says string }{
		{"an unknown version", `"version": "2.0"`, `"version": "3.0"`, "the event is not an HTTP request"},
		{"the fields of another version", `"version": "2.0"`, `"version": "1.0"`, "the event is not an HTTP request"},
		{"no method", `"method": "POST"`, `"verb": "POST"`, "the event is not an HTTP request"},
		{"a body that is no base64", `"isBase64Encoded": false`, `"isBase64Encoded": true`, "its body is said to be base64 and is not"},
		{"a wrong type", `"rawPath": "/create/pub"`, `"rawPath": 7`, "the event is not an HTTP request"},
	} {
		if got, err := create.Invoke([]byte(planted.In(t, good, m.old, m.planted))); err == nil || !strings.Contains(err.Error(), m.says) {
			t.Errorf("%s: got %s, %v", m.name, got, err)
		}
	}
	if got := invoke(t, create, []byte(good)); got.StatusCode != http.StatusOK {
		t.Errorf("after what was no event: %+v", got)
	}
}

// Every file is an example of the test above, every route has one, and each is as API Gateway would send it: as one that SAM makes.
func TestEventFiles(t *testing.T) {
	files, err := filepath.Glob("events/*")
	if err != nil {
		t.Fatal(err)
	}
	tpl, err := parse(t, planted.Read(t, "../template.yaml"), nil)
	if err != nil {
		t.Fatal(err)
	}
	routes := map[string]string{}
	for _, title := range functions {
		for _, e := range function(t, tpl, title).Events {
			routes[text(e.Properties.HttpApiEvent.Method)+" "+text(e.Properties.HttpApiEvent.Path)] = title
		}
	}
	model := samTool(t).Run(t, "sam", "local", "generate-event", "apigateway", "http-api-proxy")
	used := map[string]bool{}
	for _, x := range examples {
		raw := planted.Read(t, "events/"+x.file+".json")
		if err := eventFault([]byte(raw), []byte(model), x.function, routes); err != nil {
			t.Errorf("%s: %v", x.file, err)
		}
		var e events.APIGatewayV2HTTPRequest
		if err := json.Unmarshal([]byte(raw), &e); err != nil {
			t.Fatal(err)
		}
		used["events/"+x.file+".json"], used[e.RouteKey] = true, true
	}
	for _, wanted := range slices.Concat(files, slices.Collect(maps.Keys(routes))) {
		if !used[wanted] {
			t.Errorf("%s: no example is about it", wanted)
		}
	}
	good := planted.Read(t, "events/kick-pub.json")
	for _, m := range []struct{ old, planted, says string }{
		{`"version": "2.0"`, `"version": "1.0"`, "version"},
		{`"rawPath"`, `"rawpath"`, "rawpath"},
		{`"sourceIp"`, `"sourceIP"`, "sourceIP"},
		{`"callerId"`, `"caller"`, "caller"},
		{`"timeEpoch": 1767268800000`, `"timeEpoch": "now"`, "timeEpoch"},
		{`"rawPath": "/pub/lobby/alice"`, `"rawPath": "/pub/lobby/bob"`, "rawPath"},
		{`"path": "/pub/lobby/alice"`, `"path": "/pub/lobby/bob"`, "rawPath"},
		{`"routeKey": "DELETE /pub/{room}/{id}"`, `"routeKey": "DELETE /pub/{room}"`, "is no route of Kick"},
		{`"room": "lobby"`, `"rom": "lobby"`, "rawPath"},
	} {
		if err := eventFault([]byte(planted.In(t, good, m.old, m.planted)), []byte(model), "Kick", routes); err == nil || !strings.Contains(err.Error(), m.says) {
			t.Errorf("%s: got %v", m.planted, err)
		}
	}
	tool.Checked(t, "sam", version(t, "sam"), "events/*.json have the form of sam local generate-event")
}

// eventFault compares an event with one that SAM made, and with the route that it is said to have come by.
func eventFault(raw, model []byte, function string, routes map[string]string) error {
	var e events.APIGatewayV2HTTPRequest
	strict := json.NewDecoder(bytes.NewReader(raw))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&e); err != nil {
		return err
	}
	var has, knows map[string]any
	if err := json.Unmarshal(raw, &has); err != nil {
		return err
	}
	if err := json.Unmarshal(model, &knows); err != nil {
		return err
	}
	if has["version"] != knows["version"] {
		return fmt.Errorf("version %v, not %v", has["version"], knows["version"])
	}
	for _, part := range []string{"", "requestContext", "requestContext.http"} {
		for key := range object(has, part) {
			if _, known := object(knows, part)[key]; !known {
				return fmt.Errorf("%s %s is nothing that API Gateway sends", part, key)
			}
		}
	}
	if routes[e.RouteKey] != function || e.RequestContext.RouteKey != e.RouteKey {
		return fmt.Errorf("%s is no route of %s", e.RouteKey, function)
	}
	method, path, _ := strings.Cut(e.RouteKey, " ")
	for key, value := range e.PathParameters {
		path = strings.ReplaceAll(path, "{"+key+"}", strings.ReplaceAll(value, " ", "%20"))
	}
	if http := e.RequestContext.HTTP; e.RawPath != path || http.Path != path || http.Method != method {
		return fmt.Errorf("%s %s: method, rawPath or path are others than those of the route", http.Method, e.RawPath)
	}
	return nil
}

// object follows a path of keys.
func object(in map[string]any, path string) map[string]any {
	for key := range strings.FieldsFuncSeq(path, func(r rune) bool { return r == '.' }) {
		in, _ = in[key].(map[string]any)
	}
	return in
}

func name(t *testing.T, s string) room.Name {
	t.Helper()
	n, err := room.ParseName(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func id(t *testing.T, s string) room.ID {
	t.Helper()
	i, err := room.ParseID(s)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// watch writes a viewer's record as a node does.
func watch(t *testing.T, st *store.Store, rm room.Name, fullID string) {
	t.Helper()
	full, err := room.ParseFullID(fullID)
	if err != nil {
		t.Fatal(err)
	}
	owner := room.Owner{Node: "n1", Instance: "secret-instance", Epoch: 1}
	if _, err := st.AddSubscriber(t.Context(), rm, room.Subscriber{FullID: full, Session: auth.NewToken(), Owner: owner, JoinedAt: time.Now().UTC()}); err != nil {
		t.Fatal(err)
	}
}

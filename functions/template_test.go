package functions_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"weever/shared/controlapi"
	"weever/shared/redisdb/redisdbtest"
	"weever/shared/store"
	"weever/shared/tokens"
)

// The gateway passes on what the template names and the functions serve what their main names: a route in one of them alone is one that
// nobody can call, or one that answers 404.
func TestTemplateRoutesWhatTheFunctionsServe(t *testing.T) {
	template := read(t, "../template.yaml")
	makefile := read(t, "../Makefile")
	db := redisdbtest.Open(t, "redis://127.0.0.1:1") // nothing listens there: 503 says that a route exists

	all := map[string]bool{
		"POST /create/pub": true, "POST /create/sub": true,
		"GET /list/pub/{room}": true, "GET /list/sub/{room}": true, "GET /rooms": true,
		"DELETE /pub/{room}/{id}": true, "DELETE /sub/{room}/{id}": true,
	}
	event := regexp.MustCompile(`Type: HttpApi, .*Method: ([A-Z]+), Path: "?([^ "]+)"? `)
	for name, routes := range map[string]controlapi.Routes{"create": controlapi.Create, "list": controlapi.List, "kick": controlapi.Kick} {
		title := strings.ToUpper(name[:1]) + name[1:]
		_, block, found := strings.Cut(template, "\n  "+title+"Function:\n")
		if !found {
			t.Fatalf("template.yaml has no %sFunction", title)
		}
		block, _, _ = strings.Cut(block, "\n\n")
		if !strings.Contains(block, "CodeUri: bin/package/lambda/"+name+"/\n") {
			t.Errorf("%sFunction: CodeUri is not where make package puts the bootstrap", title)
		}
		if main := read(t, name+"/main.go"); !strings.Contains(main, "controlapi."+title+"}") {
			t.Errorf("functions/%s does not serve controlapi.%s", name, title)
		}
		h := controlapi.New(controlapi.Config{Tokens: tokens.New(db, nil), Store: store.New(db, nil), Routes: routes})
		for _, m := range event.FindAllStringSubmatch(block, -1) {
			method, path := m[1], m[2]
			if !all[method+" "+path] {
				t.Errorf("%sFunction: %s %s is not a route of the API, or is here twice", title, method, path)
			}
			delete(all, method+" "+path)
			r := httptest.NewRequestWithContext(t.Context(), method, strings.NewReplacer("{room}", "lobby", "{id}", "alice").Replace(path),
				strings.NewReader(`{"room":"lobby","id":"alice"}`))
			r.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			if h.ServeHTTP(w, r); w.Code != http.StatusServiceUnavailable {
				t.Errorf("%sFunction: %s %s gives %d", title, method, path, w.Code)
			}
		}
	}
	for route := range all {
		t.Errorf("template.yaml lacks %s", route)
	}
	if !strings.Contains(makefile, "$(BIN)/package/lambda/") {
		t.Error("the Makefile puts the bootstraps elsewhere")
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

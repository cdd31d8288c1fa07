package site

import (
	"io/fs"
	"net/url"
	"path"
	"regexp"
	"strings"
	"testing"
)

// references finds what a file makes the browser load, by the file's extension. The last submatch is the address.
var references = map[string]*regexp.Regexp{
	".html": regexp.MustCompile(`(?:src|href)="([^"]*)"`),
	".js":   regexp.MustCompile(`(?m)^(?:import|export)\s(?:[^;]*?\sfrom\s+)?'([^']+)'`),
	".css":  regexp.MustCompile(`(?:url\(\s*['"]?|@import\s+['"])([^'")]+)`),
	".svg":  regexp.MustCompile(`(?:href|src)="([^"]*)"`),
}

// files lists every embedded file.
func files(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := fs.WalkDir(FS, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(FS, name)
		all[name] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestEveryReferenceIsALocalFile(t *testing.T) {
	all := files(t)
	used := map[string]bool{"index.html": true, "manage.html": true}
	for name, text := range all {
		re := references[path.Ext(name)]
		if re == nil {
			t.Errorf("%s: do not know what a %s file refers to", name, path.Ext(name))
			continue
		}
		for _, m := range re.FindAllStringSubmatch(text, -1) {
			u, err := url.Parse(m[1])
			if err != nil || u.IsAbs() || u.Host != "" || strings.HasPrefix(u.Path, "/") {
				t.Errorf("%s refers to %q, which is not a relative path: the site must work at any place and load nothing from others", name, m[1])
				continue
			}
			target := path.Join(path.Dir(name), u.Path)
			if _, ok := all[target]; !ok {
				t.Errorf("%s refers to %q: there is no embedded file %s", name, m[1], target)
			}
			used[target] = true
		}
	}
	for name := range all {
		if !used[name] {
			t.Errorf("%s is embedded, but nothing refers to it", name)
		}
	}
	if len(used) < 10 {
		t.Fatalf("only %d files found: the test does not see the references", len(used))
	}
}

// TestNothingInline: a Content-Security-Policy of default-src 'self' would block it, and with it a name that smuggles a script in.
func TestNothingInline(t *testing.T) {
	inline := map[string]*regexp.Regexp{
		".html": regexp.MustCompile(`(?i)\son[a-z]+\s*=|\sstyle\s*=|<style|<script(?:\s[^>]*)?>\s*[^<\s]|javascript:`),
		".js":   regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|setAttribute\('(?:style|on)`),
	}
	for name, text := range files(t) {
		if re := inline[path.Ext(name)]; re != nil {
			if found := re.FindString(text); found != "" {
				t.Errorf("%s: %q", name, found)
			}
		}
		if path.Ext(name) == ".html" && !strings.Contains(text, `http-equiv="Content-Security-Policy" content="default-src 'self';`) {
			t.Errorf("%s has no Content-Security-Policy of its own", name)
		}
	}
}

func TestTestsAreNotEmbedded(t *testing.T) {
	for name := range files(t) {
		if strings.Contains(name, "test") || strings.HasSuffix(name, ".md") || strings.HasSuffix(name, ".go") {
			t.Errorf("%s is embedded", name)
		}
	}
}

// TestLibraryLeavesThePageAlone: weever.js and lib/ must work in any page, and in a worker or Node as far as they need no media.
func TestLibraryLeavesThePageAlone(t *testing.T) {
	dom := regexp.MustCompile(`\b(document|window|localStorage|location\.(href|search))\b`)
	comment := regexp.MustCompile(`(?s)/\*.*?\*/|(?m)//.*$`)
	for name, text := range files(t) {
		if name == "weever.js" || strings.HasPrefix(name, "lib/") {
			if found := dom.FindString(comment.ReplaceAllString(text, "")); found != "" {
				t.Errorf("%s uses %s", name, found)
			}
		}
	}
}

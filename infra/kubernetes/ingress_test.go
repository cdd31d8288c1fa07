package kubernetes

import (
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"weever/shared/testkit/planted"
	"weever/shared/testkit/proc"
	"weever/shared/testkit/tool"
)

// directives are what ingress-nginx makes of the annotations that it has for one directive of nginx each.
func directives(t *testing.T, m *manifests) string {
	t.Helper()
	var lines strings.Builder
	for name, value := range m.all("Ingress")[0].Metadata.Annotations {
		directive := strings.ReplaceAll(strings.TrimPrefix(name, "nginx.ingress.kubernetes.io/"), "-", "_")
		switch directive {
		case "proxy_body_size":
			directive = "client_max_body_size"
		case "proxy_read_timeout", "proxy_next_upstream_timeout":
			value += "s"
		}
		fmt.Fprintf(&lines, "%s %s;\n", directive, value)
	}
	return lines.String()
}

// nginx balances between pods, in turn.
func (l *lab) nginx(t *testing.T, more string, pods ...*running) (url string) {
	t.Helper()
	bin, err := tool.Find("nginx")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	at := l.lan.Host.String() + ":" + proc.FreePort(t, l.lan.Host.String())
	servers := ""
	for _, p := range pods {
		servers += "server " + p.addr() + ":" + p.number("public") + " max_fails=0;\n"
	}
	conf := filepath.Join(dir, "nginx.conf")
	planted.Write(t, conf, `daemon off; master_process off; pid `+dir+`/pid; error_log stderr notice;
events {}
http {
	access_log off; client_body_temp_path `+dir+`/body; proxy_temp_path `+dir+`/proxy; fastcgi_temp_path `+dir+`/f; uwsgi_temp_path `+dir+`/u; scgi_temp_path `+dir+`/s;
	upstream nodes { `+servers+` }
	server {
		listen `+at+`;
		location / { proxy_pass http://nodes; `+more+` }
	}
}
`)
	p := proc.New(t, "nginx")
	t.Cleanup(p.Stop)
	if err := p.Run(exec.Command(bin, "-e", "stderr", "-c", conf), "getrlimit", proc.StartLimit); err != nil { //nolint:gosec // ours
		t.Fatal(err)
	}
	return "http://" + at
}

// With what examples/ingress-nginx.yaml says a node that drains is passed over, and nobody notices.
func TestIngressAsksAnotherNode(t *testing.T) {
	l := newLab(t)
	values := append(quick("ingress.host=a.example"), "-f", "weever/examples/ingress-nginx.yaml")
	m := accepted(t, template(t, chart, values...))
	d := m.deployment(t)
	drained, other := l.start(t, l.kubelet(t), &d), l.start(t, l.kubelet(t), &d)
	if body, err := drained.private("/preStop"); err != nil || !strings.Contains(body, `"drained":true`) {
		t.Fatalf("%s %v", body, err)
	}
	with, without := l.nginx(t, directives(t, m), drained, other), l.nginx(t, "", drained, other)
	refused := 0
	for range 4 {
		if status, answer := publish(t, with); status != http.StatusCreated {
			t.Errorf("%d %s", status, answer)
		}
		if status, _ := publish(t, without); status == http.StatusServiceUnavailable {
			refused++
		}
	}
	if refused == 0 {
		t.Error("without the annotations nobody was refused: the test shows nothing")
	}
	tool.Checked(t, "nginx", "of this machine", "the annotations of examples/ingress-nginx.yaml, as directives before two pods of which one drains")
}

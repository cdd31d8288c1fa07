package kubernetes

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"weever/shared/testkit/planted"
	"weever/shared/testkit/tool"
)

// notes are what helm install says in the end. Without a cluster it says nothing, so they are made a manifest of.
func notes(t *testing.T, args ...string) string {
	t.Helper()
	dir := copyOfChart(t)
	planted.Write(t, filepath.Join(dir, "templates", "notes.yaml"), `notes: {{ include "weever.notes" . | toJson }}`)
	out := template(t, dir, append(args, "--show-only", "templates/notes.yaml")...)
	_, line, _ := strings.Cut(out, "notes: ")
	var text string
	if err := json.Unmarshal([]byte(line), &text); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	return text
}

// What is said after an installation is true of it.
func TestNotes(t *testing.T) {
	for name, c := range map[string]struct {
		args      []string
		says, not []string
	}{
		"as it is": {
			with(), []string{"Clients need a way in", "port 80)", "plain HTTP", "8443/udp of each machine", "keep 9443/tcp", "enforce=privileged"}, []string{"custom.metrics"},
		},
		"host port": {sets("media.network=hostPort"), []string{"8443/udp of each machine", "enforce=privileged"}, []string{"no NetworkPolicy"}},
		"pod": {
			sets("media.network=pod", "media.address=interfaces"), []string{"8443/udp of each pod"}, []string{"enforce=privileged", "no NetworkPolicy"},
		},
		"ingress, nobody trusted": {
			sets("ingress.enabled=true", "ingress.host=a.example"), []string{"https://a.example/", "config.trusted-proxies"}, []string{"plain HTTP"},
		},
		"ingress": {
			with("-f", "weever/examples/ingress-nginx.yaml", "--set", "ingress.host=a.example"), []string{"https://a.example/"}, []string{"count as one"},
		},
		"TLS": {
			sets("tls.secretName=c", "service.type=LoadBalancer"), []string{"https, port 443", "get service media-weever"}, []string{"plain HTTP"},
		},
		"Prometheus kept out": {
			sets("media.network=hostPort", "serviceMonitor.enabled=true"), []string{"in networkPolicy.privateFrom"}, nil,
		},
		"Prometheus on the machine's network": {sets("serviceMonitor.enabled=true"), []string{"private API"}, []string{"networkPolicy.privateFrom"}},
		"sessions":                            {with("-f", "weever/examples/load-balancer.yaml"), []string{"namespaces/calls/pods/*/weever_sessions"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			text := notes(t, c.args...)
			for _, want := range c.says {
				if !strings.Contains(text, want) {
					t.Errorf("no word of %q in:\n%s", want, text)
				}
			}
			for _, no := range c.not {
				if strings.Contains(text, no) {
					t.Errorf("%q is not true here:\n%s", no, text)
				}
			}
			m := accepted(t, template(t, chart, c.args...))
			for _, found := range regexp.MustCompile(`(deployment|service)[/ ](media-\S+)`).FindAllStringSubmatch(text, -1) {
				if !slices.ContainsFunc(m.Objects, func(o object) bool { return strings.EqualFold(o.Kind, found[1]) && o.Metadata.Name == found[2] }) {
					t.Errorf("there is no %s", found[0])
				}
			}
		})
	}
}

// The README's commands do what they say, as far as that can be seen without a cluster.
func TestReadme(t *testing.T) {
	root, err := tool.Root()
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(planted.Read(t, filepath.Join(root, "README.md")), "\n### Kubernetes\n")
	section, _, _ = strings.Cut(section, "\n#")
	here := tool.Call{Dir: root, Env: []string{"PATH=" + filepath.Join(root, "bin", "tools") + ":" + os.Getenv("PATH")}}
	var secret struct {
		Metadata struct{ Name, Namespace string }
		Data     map[string]string
	}
	installed := 0
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(section, -1) {
		for _, command := range strings.Split(strings.TrimSpace(strings.ReplaceAll(block[1], "\\\n", " ")), "\n") {
			switch words := strings.Fields(command); {
			case words[0] == "docker", strings.HasPrefix(command, "kubectl label namespace"): // these need Docker and a cluster
			case strings.HasPrefix(command, "kubectl apply"):
				accepted(t, planted.Read(t, filepath.Join(root, words[len(words)-1])))
			case strings.HasPrefix(command, "kubectl create namespace"):
				here.Run(t, "sh", "-c", command+" --dry-run=client --output=json")
			case strings.HasPrefix(command, "kubectl create secret"):
				out := here.Run(t, "sh", "-c", command+" --dry-run=client --output=json")
				if err := json.Unmarshal([]byte(out), &secret); err != nil {
					t.Fatal(err)
				}
			case words[0] == "helm":
				installed++
				out := here.Run(t, "sh", "-c", strings.Replace(command, "helm install", "helm template", 1))
				d := accepted(t, out).deployment(t)
				for key := range secret.Data {
					if !d.reads(secret.Metadata.Name, key) {
						t.Errorf("nobody reads %s of %s after %s", key, secret.Metadata.Name, command)
					}
				}
				if secret.Metadata.Namespace != "weever" || len(secret.Data) != 3 {
					t.Errorf("the Secret is %v", secret)
				}
			default:
				t.Errorf("nobody has tried %s", command)
			}
		}
	}
	if installed != 3 {
		t.Errorf("%d commands of helm", installed)
	}
	tool.Checked(t, "kubectl create --dry-run", kubernetes, "the README's Secret, against what the pod reads")
}

package kubernetes

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/pion/webrtc/v4"

	"weever/shared/eventually"
	"weever/shared/testkit"
	"weever/shared/testkit/netns"
	"weever/shared/testkit/planted"
	"weever/shared/testkit/proc"
	"weever/shared/testkit/tool"
)

const adminToken = "the-admin-token"

// lab is machines around Redis and NATS.
type lab struct {
	t       *testing.T
	lan     *netns.LAN
	image   string
	secrets map[string]map[string]string
}

func newLab(t *testing.T) *lab {
	t.Helper()
	lan := netns.NewLAN(t)
	host := lan.Host.String()
	nats, err := server.NewServer(&server.Options{Host: host, Port: server.RANDOM_PORT, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	nats.Start()
	t.Cleanup(func() { nats.Shutdown(); nats.WaitForShutdown() })
	if !nats.ReadyForConnections(proc.StartLimit) {
		t.Fatal("nats-server is not ready")
	}
	return &lab{
		t: t, lan: lan, image: image(t),
		secrets: map[string]map[string]string{"weever": {
			"redis": testkit.StartRedisAt(t, host).URL, "nats": nats.ClientURL(), "admin-token": adminToken + "\n",
		}},
	}
}

// kubelet adds a machine.
func (l *lab) kubelet(t *testing.T) *kubelet {
	t.Helper()
	return &kubelet{t: t, station: l.lan.Station(), image: l.image, secrets: l.secrets}
}

// quick is values that make a pod end soon; nobody has to show a token to mediad.
func quick(more ...string) []string {
	return sets(append([]string{"media.address=node", "config.no-auth=true", "drain.timeoutSeconds=3", "drain.delaySeconds=1"}, more...)...)
}

// The pod as it is rendered is started, asked, drained and ended as a kubelet does it, with the real programs.
func TestPodRuns(t *testing.T) {
	l := newLab(t)
	for name, values := range map[string][]string{
		"on the machine's network":    quick(),
		"with the machine's UDP port": quick("media.network=hostPort", "ports.public=9000", "ports.private=9001", "media.udpPort=9002"),
		"on its own network":          quick("media.network=pod", "media.address=interfaces"),
	} {
		t.Run(name, func(t *testing.T) {
			d := accepted(t, template(t, chart, values...)).deployment(t)
			first, second := l.start(t, l.kubelet(t), &d), l.start(t, l.kubelet(t), &d)
			first.listensAsDeclared()
			first.keepsSecrets()
			if got, want := first.candidate(), netip.AddrPortFrom(first.k.station.Addr, uint16(first.port("media"))); got != want { //nolint:gosec // a port
				t.Errorf("clients are told %v, not %v", got, want)
			}
			first.occupy(2)
			over := make(chan end, 1)
			go func() { over <- first.terminate() }()
			eventually.True(t, 3*time.Second, "the drained node not to be ready", func() bool { return first.ask(first.c.ReadinessProbe) != nil })
			if err := first.ask(first.c.LivenessProbe); err != nil {
				t.Errorf("a node that drains is alive: %v", err)
			}
			if err := second.ask(second.c.ReadinessProbe); err != nil {
				t.Errorf("while another node drains: %v", err)
			}
			e := <-over
			// One second of delay, three of drain: the load generator does not go elsewhere.
			if e.failed != nil || !strings.Contains(e.hook, `"drained":true`) || e.after < 4*time.Second || e.exit != 0 {
				t.Errorf("%+v\n%s", e, first.Said())
			}
			if e := second.terminate(); e.failed != nil || e.hook != `{"drained":true,"left":0}`+"\n" || e.took > 4*time.Second || e.exit != 0 {
				t.Errorf("nobody was there: %+v\n%s", e, second.Said())
			}
		})
	}
	tool.Checked(t, "mediad", "of this tree", "the rendered pods: they start as their user on a root that is read-only, answer the probes, and the preStop hook drains them in time")
}

// In an image that has no helper SIGTERM does the same; and the node serves TLS.
func TestPodWhoseHookFails(t *testing.T) {
	l := newLab(t)
	cert, key := certificate(t)
	l.secrets["cert"] = map[string]string{"tls.crt": cert, "tls.key": key}
	l.image = t.TempDir()
	if err := os.CopyFS(l.image, os.DirFS(image(t))); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(l.image, "usr/bin/helper")); err != nil {
		t.Fatal(err)
	}
	d := accepted(t, template(t, chart, quick("tls.secretName=cert")...)).deployment(t)
	p := l.start(t, l.kubelet(t), &d)
	p.occupy(1)
	if e := p.terminate(); e.failed == nil || e.took < 3*time.Second || e.exit != 0 {
		t.Errorf("%+v\n%s", e, p.Said())
	}
}

// Two of them on one machine would take each other's ports. The scheduler knows by the ports that are declared as the machine's.
func TestTwoPodsNeedTwoMachines(t *testing.T) {
	l := newLab(t)
	d := accepted(t, template(t, chart, quick()...)).deployment(t)
	machine := l.kubelet(t)
	l.start(t, machine, &d)
	second, err := machine.run(&d)
	if err == nil { // the first one has answered its probe
		select {
		case <-second.Exited():
			err = errors.New(second.Said())
		case <-time.After(proc.StartLimit):
			t.Fatal("two pods run on one machine")
		}
	}
	if !strings.Contains(err.Error(), "is taken") {
		t.Errorf("two pods on one machine: %v", err)
	}
}

// Mistakes that only show when the pod runs.
func TestPlantedMistakesOfRunning(t *testing.T) {
	l := newLab(t)
	const deployment, mediad = "templates/deployment.yaml", "templates/_mediad.tpl"
	for name, c := range map[string]struct {
		file, wrong, right string
		says               string
	}{
		"a probe's path":         {deployment, "path: /livez", "path: /liveness", "statuscode: 401"},
		"a probe's port":         {deployment, "path: /liveness, port: public", "path: /liveness, port: private", "statuscode: 404"},
		"an unknown flag":        {mediad, "--udp-prot=", "--udp-port=", "unknown flag --udp-prot"},
		"a variable's bad value": {mediad, "fieldPath: metadata.name}}\n- name: WEEVER_HOST\n  value: nowhere", "fieldPath: metadata.name}}", `--host "nowhere" (from WEEVER_HOST)`},
		"another key":            {deployment, "{key: {{ . }}-url, path", "{key: {{ . }}, path", "references non-existent secret key"},
		"another Secret":         {deployment, `secretName: "other"`, "secretName: {{ .Values.secret.name | quote }}", `secret "other" not found`},
		"files of another":       {deployment, "defaultMode: 0400", "defaultMode: 0440", "permission denied"},
		"a privileged port":      {mediad, "--port=443", "--port={{ int .Values.ports.public }}", "permission denied"},
		"links to a weever-tcp":  {deployment, "enableServiceLinks: true", "enableServiceLinks: false", "WEEVER_TCP_PORT"},
		"a hook's program":       {mediad, "/usr/bin/helpers,", "/usr/bin/helper,", "FailedPreStopHook"},
		"a hook's command":       {mediad, " drian,", " drain,", "usage: helper"},
		"a hook's file":          {mediad, "/token, \"", "/admin-token, \"", "/etc/weever/secret/token: no such file"},
		"a hook without a token": {mediad, "/nats, \"", "/admin-token, \"", "/preStop: 401"},
		"a hook's port":          {mediad, "{{ int .Values.ports.public }}\", {{ int .Values.drain", "{{ int .Values.ports.private }}\", {{ int .Values.drain", "/preStop: 4"},
	} {
		t.Run(name, func(t *testing.T) {
			k := l.kubelet(t)
			k.services = []string{"WEEVER_TCP"}
			d := accepted(t, template(t, replacing(t, c.file, c.wrong, c.right), quick("media.network=hostPort")...)).deployment(t)
			said := ""
			p, err := k.run(&d)
			if err != nil {
				said = err.Error()
			} else {
				e := p.terminate()
				said = fmt.Sprint(e.failed, e.hook)
			}
			if !strings.Contains(said, c.says) {
				t.Errorf("no word of %q in: %s", c.says, said)
			}
		})
	}
}

// start runs a pod and waits until it is ready.
func (l *lab) start(t *testing.T, k *kubelet, d *deployment) *running {
	t.Helper()
	p, err := k.run(d)
	if err != nil {
		t.Fatal(err)
	}
	eventually.Nil(t, proc.StartLimit, "the pod to be ready", func() error { return p.ask(p.c.ReadinessProbe) })
	return p
}

func (p *running) port(name string) int {
	n, err := strconv.Atoi(p.number(name))
	if err != nil {
		p.k.t.Fatal(err)
	}
	return n
}

// listensAsDeclared compares the sockets of the pod's network with the ports that the pod says it has.
func (p *running) listensAsDeclared() {
	t := p.k.t
	t.Helper()
	var want, got []string
	for _, port := range p.c.Ports {
		want = append(want, fmt.Sprintf("%s %d", strings.ToLower(port.Protocol), port.ContainerPort))
	}
	for _, table := range []struct{ file, protocol, listening string }{{"tcp", "tcp", "0A"}, {"tcp6", "tcp", "0A"}, {"udp", "udp", "07"}, {"udp6", "udp", "07"}} {
		text := planted.Read(t, "/proc/"+strconv.Itoa(p.cmd.Process.Pid)+"/net/"+table.file)
		for _, line := range strings.Split(text, "\n")[1:] {
			f := strings.Fields(line)
			if len(f) < 4 || f[3] != table.listening {
				continue
			}
			_, hex, _ := strings.Cut(f[1], ":")
			n, err := strconv.ParseUint(hex, 16, 16)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprintf("%s %d", table.protocol, n))
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if got = slices.Compact(got); !slices.Equal(got, want) {
		t.Errorf("mediad listens at %v, the pod says %v", got, want)
	}
}

// keepsSecrets looks where everybody on the machine may.
func (p *running) keepsSecrets() {
	t := p.k.t
	t.Helper()
	for _, file := range []string{"cmdline", "environ"} {
		text := planted.Read(t, "/proc/"+strconv.Itoa(p.cmd.Process.Pid)+"/"+file)
		for key, value := range p.k.secrets["weever"] {
			if strings.Contains(text, strings.TrimSpace(value)) {
				t.Errorf("%s is in the process's %s", key, file)
			}
		}
	}
}

// publish offers a stream at a base URL.
func publish(t *testing.T, url string) (status int, answer string) {
	t.Helper()
	pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pc.Close() }()
	if _, err := pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo); err != nil {
		t.Fatal(err)
	}
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(url+"/pub/tea/alice", "application/sdp", strings.NewReader(offer.SDP))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// candidate is what a client is told to send its media to.
func (p *running) candidate() netip.AddrPort {
	t := p.k.t
	t.Helper()
	status, answer := publish(t, "http://"+p.addr()+":"+p.number("public"))
	for line := range strings.Lines(answer) {
		if f := strings.Fields(line); strings.HasPrefix(line, "a=candidate:") && len(f) > 5 {
			if at, err := netip.ParseAddrPort(f[4] + ":" + f[5]); err == nil {
				return at
			}
		}
	}
	t.Fatalf("no candidate in %d %s", status, answer)
	return netip.AddrPort{}
}

// occupy puts viewers on a node, with media, until the test ends.
func (p *running) occupy(viewers int) {
	t := p.k.t
	t.Helper()
	scheme := "http"
	if flagOf(p.c, "cert-file") != "" {
		scheme = "https"
	}
	cmd := exec.CommandContext(t.Context(), program(t), "load", "--insecure", "--url", scheme+"://"+p.addr()+":"+p.number("public"), //nolint:gosec // ours
		"--subs", strconv.Itoa(viewers), "--duration", "1h")
	cmd.Env = os.Environ()
	load := proc.New(t, "load")
	if err := load.Run(cmd, "", proc.StartLimit); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(load.Stop)
	eventually.Nil(t, proc.StartLimit, "viewers on the node", func() error {
		rooms, err := p.private("/rooms")
		if want := fmt.Sprintf(`"subscribers":%d`, viewers); err == nil && !strings.Contains(rooms, want) {
			err = fmt.Errorf("no %s in %s; the load generator says %q", want, rooms, load.Said())
		}
		return err
	})
}

// private asks the private API as somebody who has the token.
func (p *running) private(path string) (string, error) {
	req, err := http.NewRequestWithContext(p.k.t.Context(), http.MethodGet, "http://"+p.addr()+":"+p.number("private")+path, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+adminToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var body json.RawMessage
	err = json.NewDecoder(resp.Body).Decode(&body)
	return string(body), err
}

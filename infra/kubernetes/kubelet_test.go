package kubernetes

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"weever/shared/testkit/netns"
	"weever/shared/testkit/proc"
)

// This file does with a pod what a kubelet does: its Secrets become files, its containers see nothing but their image and these, as the user
// that the pod says, and its probes and hooks are carried out. Each machine is a network namespace.

// enter makes what a container sees: its image, read-only if the pod says so, and the volumes.
const enter = `set -eu
root=$1 lock=$2 user=$3 group=$4; shift 4
mount --bind "$root" "$root"
while [ "$1" != -- ]; do
	mount --bind "$1" "$root$2"
	[ "$3" = false ] || mount -o remount,bind,ro "$root$2"
	shift 3
done
shift
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
[ "$lock" = false ] || mount -o remount,bind,ro "$root"
exec chroot --userspec="$user" --groups="$group" "$root" "$@"
`

// kubelet is that of one machine.
type kubelet struct {
	t        *testing.T
	station  *netns.Station
	image    string                       // folder with mediad's image
	secrets  map[string]map[string]string // by name and key
	services []string                     // names of those of the namespace
}

// running is a pod on a machine.
type running struct {
	*proc.Process
	k   *kubelet
	dir string
	d   deployment
	c   container // mediad
	cmd *exec.Cmd
}

// run starts a pod. The error is what an event of the pod would say, or how a container ended.
func (k *kubelet) run(d *deployment) (*running, error) {
	k.t.Helper()
	p := &running{Process: proc.New(k.t, "mediad"), k: k, dir: k.t.TempDir(), d: *d, c: d.mediad(k.t)}
	if err := p.mountSecrets(); err != nil {
		return nil, err
	}
	p.cmd = p.command(p.c, append([]string{entrypoint}, p.c.Args...)...)
	k.t.Cleanup(p.Stop)
	if err := p.Run(p.cmd, "", proc.StartLimit); err != nil {
		return nil, err
	}
	return p, p.await(p.c.StartupProbe)
}

// mountSecrets makes the volumes.
func (p *running) mountSecrets() error {
	as := p.d.Template.Spec.SecurityContext
	for _, v := range p.d.Template.Spec.Volumes {
		dir := p.volume(v.Name)
		if err := errors.Join(os.MkdirAll(dir, 0o750), os.Chown(dir, 0, as.FSGroup), os.Chmod(dir, 0o2775)); err != nil { //nolint:gosec // as a kubelet does
			return err
		}
		if v.Secret == nil {
			continue
		}
		secret, ok := p.k.secrets[v.Secret.SecretName]
		if !ok {
			return fmt.Errorf("secret %q not found", v.Secret.SecretName)
		}
		items := map[string]string{}
		for _, i := range v.Secret.Items {
			items[i.Key] = i.Path
		}
		if v.Secret.Items == nil {
			for key := range secret {
				items[key] = key
			}
		}
		for key, path := range items {
			value, ok := secret[key]
			if !ok {
				return fmt.Errorf("references non-existent secret key: %s", key)
			}
			file := filepath.Join(dir, path)
			if err := errors.Join(os.WriteFile(file, []byte(value), 0o600), os.Chown(file, 0, as.FSGroup), os.Chmod(file, os.FileMode(v.Secret.DefaultMode))); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *running) volume(name string) string { return filepath.Join(p.dir, "volumes", name) }

// command prepares a program to run in a container.
func (p *running) command(c container, argv ...string) *exec.Cmd {
	t := p.k.t
	t.Helper()
	root := filepath.Join(p.dir, "root")
	as := p.d.Template.Spec.SecurityContext
	user := strconv.Itoa(as.RunAsUser) + ":" + strconv.Itoa(as.RunAsGroup)
	args := []string{"-c", enter, "sh", root, strconv.FormatBool(c.SecurityContext.ReadOnlyRootFilesystem), user, strconv.Itoa(as.FSGroup)}
	dirs := []string{"proc", "dev"}
	for _, m := range c.VolumeMounts {
		dirs = append(dirs, m.MountPath)
		args = append(args, p.volume(m.Name), m.MountPath, strconv.FormatBool(m.ReadOnly))
	}
	for _, dir := range dirs {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil { //nolint:gosec // as in an image
			t.Fatal(err)
		}
	}
	if err := os.CopyFS(root, os.DirFS(p.k.image)); err != nil && !errors.Is(err, fs.ErrExist) { // it is there for the second command
		t.Fatal(err)
	}
	cmd := p.k.station.Command(context.Background(), "sh", append(append(args, "--"), argv...)...)
	// Some clusters give every pod a proxy. It is not for the pod's own address.
	cmd.Env = append(p.environment(c), "PATH=/bin:/sbin:/usr/bin:/usr/sbin", "HTTP_PROXY=http://127.0.0.1:1")
	return cmd
}

// environment is what a container is given, Service links included.
func (p *running) environment(c container) (env []string) {
	t := p.k.t
	t.Helper()
	known := map[string]string{"metadata.name": "media-weever-5d8f9c7b6d-abcde", "status.podIP": p.addr(), "status.hostIP": p.addr()}
	if links := p.d.Template.Spec.EnableServiceLinks; links == nil || *links {
		for _, name := range p.k.services {
			env = append(env, name+"_SERVICE_HOST=10.96.0.9", name+"_PORT=tcp://10.96.0.9:80")
		}
	}
	for _, v := range c.Env {
		value, ok := v.Value, true
		if v.ValueFrom != nil && v.ValueFrom.FieldRef != nil {
			value, ok = known[v.ValueFrom.FieldRef.FieldPath]
		}
		if !ok {
			t.Fatalf("%s: %s is not known here", v.Name, v.ValueFrom.FieldRef.FieldPath)
		}
		env = append(env, v.Name+"="+value)
	}
	return env
}

func (p *running) addr() string { return p.k.station.Addr.String() }

// number is the port of a name.
func (p *running) number(name any) string {
	for _, port := range p.c.Ports {
		if port.Name == name {
			return strconv.Itoa(port.ContainerPort)
		}
	}
	return fmt.Sprint(name)
}

// ask carries out a probe once.
func (p *running) ask(pr *probe) error {
	g := pr.HTTPGet
	client := http.Client{
		Timeout:   time.Duration(pr.TimeoutSeconds) * time.Second,
		Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, //nolint:gosec // as a kubelet does
	}
	scheme := map[string]string{"HTTPS": "https"}[g.Scheme]
	if scheme == "" {
		scheme = "http"
	}
	resp, err := client.Get(scheme + "://" + net.JoinHostPort(p.addr(), p.number(g.Port)) + g.Path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if resp.StatusCode >= 200 && resp.StatusCode < 400 {
		return err
	}
	return fmt.Errorf("HTTP probe failed with statuscode: %d: %s", resp.StatusCode, bytes.TrimSpace(body))
}

// await asks until the answer is good, for as long as a kubelet would, or until mediad has ended.
func (p *running) await(pr *probe) (err error) {
	limit := time.After(time.Duration(pr.PeriodSeconds*pr.FailureThreshold) * time.Second)
	again := time.NewTicker(20 * time.Millisecond) // a kubelet asks less often
	defer again.Stop()
	refusals := 0
	for {
		if err = p.ask(pr); err == nil {
			return nil
		}
		// One that answers will not think better of it, but while it starts.
		if refused := errors.Is(err, syscall.ECONNREFUSED); !refused {
			refusals++
		}
		if refusals > 5*pr.FailureThreshold {
			return err
		}
		select {
		case <-p.Exited():
			return fmt.Errorf("mediad has ended with %d: %s", p.ExitCode(), p.Said())
		case <-limit:
			return err
		case <-again.C:
		}
	}
}

// end is how a pod ended.
type end struct {
	hook   string        // what the hook printed
	failed error         // of the hook
	after  time.Duration // until the hook was over
	took   time.Duration // all of it
	exit   int
}

// terminate ends a pod: the hook first, then SIGTERM, and it fails the test when that takes too long.
func (p *running) terminate() (e end) {
	t := p.k.t
	t.Helper()
	began := time.Now()
	grace := time.After(time.Duration(p.d.Template.Spec.TerminationGracePeriodSeconds) * time.Second)
	if hook := p.c.Lifecycle.PreStop; hook != nil {
		var out, faults bytes.Buffer
		cmd := p.command(p.c, hook.Exec.Command...)
		cmd.Stdout, cmd.Stderr = &out, &faults
		if err := cmd.Run(); err != nil {
			e.failed = fmt.Errorf("FailedPreStopHook: %w: %s", err, faults.String())
		}
		e.hook = out.String()
	}
	e.after = time.Since(began)
	p.Signal(syscall.SIGTERM)
	select {
	case <-p.Exited():
	case <-grace:
		t.Fatalf("mediad was killed: it had not ended within terminationGracePeriodSeconds: %s", p.Said())
	}
	e.took, e.exit = time.Since(began), p.ExitCode()
	return e
}

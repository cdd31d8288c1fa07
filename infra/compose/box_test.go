package compose

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"

	"weever/shared/testkit/netns"
	"weever/shared/testkit/proc"
	"weever/shared/testkit/tool"
)

// This file runs a service without a container engine: in a network namespace, in a root of its own that cannot be written, with its
// mounts, as its user, with no way to privileges.

const searchPath = "/opt/bin:/opt/tools:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// box is one running service.
type box struct {
	*proc.Process
	t       *testing.T
	service types.ServiceConfig
	addr    string
	cmd     *exec.Cmd
}

// site is what boxes have in common.
type site struct {
	t       *testing.T
	project *types.Project
	image   string            // folder with the image of mediad
	others  string            // folder that stands for all other images: programs of this machine
	volumes string            // folder of the named volumes
	hosts   string            // file: the names of all services
	secrets map[string]string // files, by the names of a swarm's secrets
}

// owners are those of the folders that other images have where volumes are mounted. Docker fills volumes when it makes the containers, before
// any of them starts.
var owners = map[string]string{"/data": "999:1000", "/prometheus": "65534:65534", "/etc/prometheus": "65534:65534"}

func newSite(t *testing.T, p *types.Project, image string, addrs map[string]string) *site {
	t.Helper()
	dir := t.TempDir()
	s := &site{t: t, project: p, image: image, others: filepath.Join(dir, "others"), volumes: filepath.Join(dir, "volumes"), hosts: filepath.Join(dir, "hosts")}
	run := func(script string) {
		t.Helper()
		if out, err := exec.Command("sh", "-euc", script).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	// As on machines where /bin and /lib are links; wget is busybox', as in those images.
	run(fmt.Sprintf(`chmod 755 %[1]s; mkdir -p %[2]s/usr %[2]s/opt/bin %[2]s/opt/tools %[3]s
for d in bin sbin lib lib64; do ln -s usr/$d %[2]s/$d; done
ln -s /usr/bin/busybox %[2]s/opt/bin/wget
ln -s /usr/bin/nc.openbsd %[2]s/opt/bin/nc`, quote(dir), quote(s.others), quote(s.volumes)))
	for name := range p.Volumes {
		run("mkdir " + quote(filepath.Join(s.volumes, name)))
	}
	for _, service := range p.Services {
		for _, v := range service.Volumes {
			if owner := owners[v.Target]; v.Type == types.VolumeTypeVolume && owner != "" && !nocopy(v) {
				run("chown " + owner + " " + quote(filepath.Join(s.volumes, v.Source)) + "; : >" + quote(filepath.Join(s.volumes, v.Source, ".image")))
			}
		}
	}
	text := "127.0.0.1 localhost\n"
	for name, addr := range addrs {
		text += addr + " " + name + "\n"
	}
	if err := os.WriteFile(s.hosts, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return s
}

// box prepares a service.
func (s *site) box(name string, at *netns.Station) *box {
	b := &box{Process: proc.New(s.t, name), t: s.t, service: s.project.Services[name], addr: at.Addr.String()}
	s.t.Cleanup(b.Stop)
	root := s.t.TempDir()
	argv := append(slices.Clone([]string(b.service.Entrypoint)), b.service.Command...)
	if len(b.service.Entrypoint) == 0 {
		argv = append([]string{"/usr/bin/mediad"}, argv...) // our image's
	}
	script := s.rootfs(b.service, root) + "exec " + b.prefix(root+"/root") + " " + quote(argv...) + "\n"
	b.cmd = at.Command(s.t.Context(), "sh", "-euc", script)
	return b
}

// rootfs is the script that mounts a service's files.
func (s *site) rootfs(service types.ServiceConfig, dir string) string {
	base, ours := s.others, len(service.Entrypoint) == 0 || service.Build != nil // other images' are written down
	if ours {
		base = s.image
	}
	root := dir + "/root"
	script := fmt.Sprintf(`mount -t tmpfs -o mode=755 tmpfs %[1]s; mkdir %[1]s/upper %[1]s/work %[2]s
mount -t overlay overlay -o lowerdir=%[3]s,upperdir=%[1]s/upper,workdir=%[1]s/work %[2]s
mkdir -p %[2]s/etc %[2]s/proc %[2]s/dev; cp %[4]s %[2]s/etc/hosts; : >%[2]s/etc/resolv.conf
mount --rbind /proc %[2]s/proc; mount --rbind /dev %[2]s/dev
`, quote(dir), quote(root), quote(base), quote(s.hosts))
	if !ours {
		built, err := tool.Find("nats-server")
		if err != nil {
			s.t.Fatal(err)
		}
		script += fmt.Sprintf("mount --bind /usr %[1]s/usr; mount --bind %[2]s %[1]s/opt/tools\n", quote(root), quote(filepath.Dir(built)))
	}
	mounts := slices.Clone(service.Volumes)
	slices.SortStableFunc(mounts, func(a, b types.ServiceVolumeConfig) int { return len(a.Target) - len(b.Target) }) // what is inside comes later
	for _, v := range mounts {
		source := v.Source
		if v.Type == types.VolumeTypeVolume {
			source = filepath.Join(s.volumes, v.Source)
			script += fmt.Sprintf("[ ! -d %[1]s ] || [ -n \"$(ls -A %[2]s)\" ] || { chown --reference=%[1]s %[2]s; chmod --reference=%[1]s %[2]s; }\n",
				quote(root+v.Target), quote(source)) // an empty volume gets the owner of what is there in the image
		}
		script += fmt.Sprintf("if [ -d %[1]s ]; then mkdir -p %[2]s; else mkdir -p %[3]s; [ -e %[2]s ] || : >%[2]s; fi; mount --bind %[1]s %[2]s\n",
			quote(source), quote(root+v.Target), quote(filepath.Dir(root+v.Target)))
		if v.ReadOnly {
			script += "mount -o remount,bind,ro " + quote(root+v.Target) + "\n"
		}
	}
	for _, c := range service.Configs { // who runs may read them, and nobody write
		script += s.file(s.project.Configs[c.Source].File, root+c.Target, "0", "0", 0o444)
	}
	for _, c := range service.Secrets {
		script += s.file(s.secrets[c.Source], root+"/run/secrets/"+c.Source, c.UID, c.GID, uint32(*c.Mode)) //nolint:gosec // a file's mode
	}
	for _, m := range service.Tmpfs {
		target, options, _ := strings.Cut(m, ":")
		script += fmt.Sprintf("mkdir -p %[1]s; mount -t tmpfs -o %[2]s tmpfs %[1]s\n", quote(root+target), options)
	}
	if service.ReadOnly {
		script += "mount -o remount,ro " + quote(root) + "\n"
	}
	return script
}

// file puts a copy of a file where a service expects it.
func (s *site) file(source, target, uid, gid string, mode uint32) string {
	return fmt.Sprintf("mkdir -p %s; cp %s %[3]s; chown %[4]s:%[5]s %[3]s; chmod %[6]o %[3]s\n", quote(filepath.Dir(target)), quote(source), quote(target), uid, gid, mode)
}

// prefix is what a program of the service is started with: its environment, its user and groups, its root.
func (b *box) prefix(root string) string {
	words := []string{"env", "-i", "PATH=" + searchPath}
	for k, v := range b.service.Environment {
		words = append(words, k+"="+*v)
	}
	return quote(append(words, "setpriv", "--no-new-privs", "chroot", "--userspec="+b.service.User, "--groups="+strings.Join(b.service.GroupAdd, ","), root)...)
}

// start runs the service. With its health check it is there when that says so.
func (b *box) start() error {
	if err := b.Run(b.cmd, "", proc.StartLimit); err != nil {
		return err
	}
	if b.service.Restart == "no" {
		<-b.Exited()
		if code := b.ExitCode(); code != 0 {
			return fmt.Errorf("exit code %d: %s", code, b.Said())
		}
	}
	return nil
}

// healthy runs the service's own health check inside it.
func (b *box) healthy() error {
	select {
	case <-b.Exited():
		return fmt.Errorf("it has ended: %s", b.Said())
	default:
	}
	test := b.service.HealthCheck.Test
	if test[0] != "CMD" {
		return fmt.Errorf("not understood: %v", test)
	}
	pid := b.cmd.Process.Pid
	script := fmt.Sprintf("exec nsenter --target %d --net %s %s", pid, b.prefix(fmt.Sprintf("/proc/%d/root", pid)), quote(test[1:]...))
	if out, err := exec.Command("sh", "-euc", script).CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w: %s; it said: %s", test, err, out, b.Said())
	}
	return nil
}

// publish is the rules by which a machine hands on what comes to an address of it to the services that have published a port, as Docker
// makes them, for the protocols named. Who answers is not let in unasked.
func publish(p *types.Project, addrs map[string]string, address string, protocols string) string {
	var rules strings.Builder
	for name, s := range p.Services {
		for _, port := range s.Ports {
			if regexp.MustCompile(protocols).MatchString(port.Protocol) {
				fmt.Fprintf(&rules, "ip daddr %s %s dport %s dnat to %s:%d\n", address, port.Protocol, port.Published, addrs[name], port.Target)
			}
		}
	}
	return fmt.Sprintf(`
add table ip compose
delete table ip compose
table ip compose {
	chain out { type nat hook output priority -100
%s	}
	chain post { type nat hook postrouting priority 100
		oifname "eth0" masquerade
	}
	chain in { type filter hook input priority 0
		iifname "eth0" ct state new meta l4proto udp drop
	}
}
`, rules.String())
}

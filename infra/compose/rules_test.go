package compose

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
)

// pinned is an image with a whole version: "nats:2.15.2-alpine".
var pinned = regexp.MustCompile(`^[a-z0-9./-]+:v?\d+\.\d+\.\d+(-[a-z0-9.]+)?$`)

// faults lists what breaks the rules that every service keeps to. flags are mediad's variables.
func faults(p *types.Project, flags []string) (list []string) {
	fault := func(service, format string, args ...any) {
		list = append(list, service+": "+fmt.Sprintf(format, args...))
	}
	ports := map[string]string{}
	for name, s := range p.Services {
		if s.Build == nil && !pinned.MatchString(s.Image) {
			fault(name, "image %q has no whole version", s.Image)
		}
		if s.Privileged || len(s.CapAdd) > 0 || !slices.Contains(s.CapDrop, "ALL") {
			fault(name, "has capabilities")
		}
		if !slices.Contains(s.SecurityOpt, "no-new-privileges:true") && !swarm(s) { // swarm knows no such option
			fault(name, "may gain privileges")
		}
		if !s.ReadOnly {
			fault(name, "can write to its image")
		}
		if uid, _, _ := strings.Cut(s.User, ":"); uid == "" || uid == "0" || uid == "root" {
			fault(name, "runs as root, or as whoever the image says")
		}
		if s.NetworkMode == "host" || s.Pid == "host" || s.Ipc == "host" {
			fault(name, "shares a namespace with the machine")
		}
		if once := s.Restart == "no"; !once && (s.HealthCheck == nil || s.HealthCheck.Disable || len(s.HealthCheck.Test) == 0) {
			fault(name, "has no health check")
		}
		list = append(list, wiring(p, name, s, flags)...)
		for _, port := range s.Ports {
			key := port.Published + "/" + port.Protocol
			if other, taken := ports[key]; taken {
				fault(name, "port %s is taken by %s", key, other)
			}
			ports[key] = name
		}
	}
	slices.Sort(list)
	return list
}

func swarm(s types.ServiceConfig) bool { return s.Deploy != nil }

// wiring lists what a service names and is not there.
func wiring(p *types.Project, name string, s types.ServiceConfig, flags []string) (list []string) {
	fault := func(format string, args ...any) { list = append(list, name+": "+fmt.Sprintf(format, args...)) }
	for other, how := range s.DependsOn {
		d, ok := p.Services[other]
		switch {
		case !ok:
			fault("depends on %s, which is not there", other)
		case how.Condition == types.ServiceConditionHealthy && (d.HealthCheck == nil || d.HealthCheck.Disable):
			fault("waits for the health of %s, which has no check", other)
		}
	}
	for _, v := range s.Volumes {
		if v.Type != types.VolumeTypeBind {
			if s.Build == nil && shared(p, v.Source) && !nocopy(v) {
				fault("may put what its image has, and its owner, into the volume %s of others", v.Source)
			}
			continue
		}
		if _, err := os.Stat(v.Source); err != nil {
			fault("mounts what is not in the repository: %v", err)
		}
		if !v.ReadOnly {
			fault("can write to %s", v.Source)
		}
	}
	for _, c := range s.Configs {
		if _, err := os.Stat(p.Configs[c.Source].File); err != nil {
			fault("config %s: %v", c.Source, err)
		}
	}
	for key, value := range s.Environment {
		if strings.HasPrefix(key, "WEEVER_") && isNode(s) && !slices.Contains(flags, key) {
			fault("%s is no setting of mediad", key)
		}
		if value == nil {
			fault("%s has no value", key)
		}
	}
	return list
}

// shared reports whether our own image has a volume, too.
func shared(p *types.Project, volume string) bool {
	for _, s := range p.Services {
		if s.Build != nil && slices.ContainsFunc(s.Volumes, func(v types.ServiceVolumeConfig) bool { return v.Source == volume }) {
			return true
		}
	}
	return false
}

func nocopy(v types.ServiceVolumeConfig) bool { return v.Volume != nil && v.Volume.NoCopy }

// isNode tells media nodes from other services.
func isNode(s types.ServiceConfig) bool {
	return len(s.Entrypoint) == 0 && s.Environment["WEEVER_REDIS"] != nil
}

// nodeFaults lists what is wrong with the ports and addresses of the media nodes of a single machine.
func nodeFaults(p *types.Project) (list []string) {
	for name, s := range p.Services {
		if !isNode(s) {
			continue
		}
		env := func(key string) string {
			if v := s.Environment[key]; v != nil {
				return *v
			}
			return ""
		}
		want := map[string]string{"tcp": env("WEEVER_PORT"), "udp": env("WEEVER_UDP_PORT")}
		for _, port := range s.Ports {
			inside := fmt.Sprint(port.Target)
			if inside == "9443" {
				if port.HostIP != "127.0.0.1" {
					list = append(list, name+": the private API is open to others")
				}
				continue
			}
			if inside != port.Published || want[port.Protocol] != inside {
				list = append(list, fmt.Sprintf("%s: %s port %s is published as %s", name, port.Protocol, inside, port.Published))
			}
			delete(want, port.Protocol)
		}
		for protocol, port := range want {
			list = append(list, fmt.Sprintf("%s: %s port %s is not published", name, protocol, port))
		}
		address := ""
		if n := s.Networks["default"]; n != nil {
			address = n.Ipv4Address
		}
		if env("WEEVER_PRIVATE_HOST") != address || env("WEEVER_ADVERTISE_HOST") != address || address == "" {
			list = append(list, name+": is announced at an address that is not its own")
		}
	}
	slices.Sort(list)
	return list
}

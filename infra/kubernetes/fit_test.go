package kubernetes

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// This file is what the API server does not look at: whether the objects fit each other.

// misfits says what does not fit.
func misfits(t *testing.T, m *manifests) (faults []string) {
	t.Helper()
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	d := m.deployment(t)
	own := d.Template.Metadata.Labels
	for _, o := range m.all("Service") {
		s := spec[service](t, o)
		if !s.Selector.within(own) {
			fault("Service %s selects other pods: %v", o.Metadata.Name, s.Selector)
		}
		if s.SessionAffinity != "None" {
			fault("Service %s pins sessions", o.Metadata.Name)
		}
		for _, p := range s.Ports {
			if !d.hasPort(t, p.TargetPort, p.Protocol) {
				fault("Service %s: the pod has no port %v", o.Metadata.Name, p.TargetPort)
			}
		}
	}
	budgets := m.all("PodDisruptionBudget")
	for _, o := range budgets {
		if s := spec[disruptionBudget](t, o); !s.Selector.MatchLabels.within(own) {
			fault("PodDisruptionBudget %s selects other pods: %v", o.Metadata.Name, s.Selector)
		}
	}
	faults = append(faults, misfitsOfPod(t, &d)...)
	faults = append(faults, misfitsOfPolicy(t, m, &d)...)
	return append(faults, misfitsOfOthers(t, m, &d)...)
}

// hasPort reports whether mediad has a port of a name.
func (d *deployment) hasPort(t *testing.T, name any, protocol string) bool {
	t.Helper()
	return slices.ContainsFunc(d.mediad(t).Ports, func(p port) bool { return p.Name == name && p.Protocol == protocol })
}

func misfitsOfPod(t *testing.T, d *deployment) (faults []string) {
	t.Helper()
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	p, c := d.Template.Spec, d.mediad(t)
	if !d.Selector.MatchLabels.within(d.Template.Metadata.Labels) {
		fault("the Deployment selects other pods: %v", d.Selector)
	}
	hosts := p.HostNetwork
	for _, port := range c.Ports {
		if hosts = hosts || port.HostPort != 0; p.HostNetwork && port.HostPort != port.ContainerPort {
			fault("port %s is the machine's, and the scheduler does not know", port.Name)
		}
		if port.HostPort != 0 && port.HostPort != port.ContainerPort {
			fault("port %s: clients are told %d, which is not the machine's %d", port.Name, port.ContainerPort, port.HostPort)
		}
	}
	if surge := d.Strategy.RollingUpdate.MaxSurge; hosts && fmt.Sprint(surge) != "0" {
		fault("maxSurge is %v: on a full cluster the new pod waits for a port for ever", surge)
	}
	for name, probe := range map[string]*probe{"startup": c.StartupProbe, "liveness": c.LivenessProbe, "readiness": c.ReadinessProbe} {
		switch {
		case probe == nil:
			fault("there is no %s probe", name)
		case !d.hasPort(t, probe.HTTPGet.Port, "TCP"):
			fault("the %s probe asks port %v, which the pod does not have", name, probe.HTTPGet.Port)
		}
	}
	if p.EnableServiceLinks == nil || *p.EnableServiceLinks {
		fault("Services named weever-… would set variables of mediad")
	}
	if p.AutomountServiceAccountToken == nil || *p.AutomountServiceAccountToken {
		fault("the pod has a token for the API server")
	}
	drain := seconds(t, flagOf(c, "drain-timeout"))
	if p.TerminationGracePeriodSeconds < drain+10 {
		fault("terminationGracePeriodSeconds %d is too short for a drain of %d s", p.TerminationGracePeriodSeconds, drain)
	}
	if d.ProgressDeadlineSeconds < p.TerminationGracePeriodSeconds+60 {
		fault("progressDeadlineSeconds %d: a roll-out that waits for a drain of %d s would count as failed", d.ProgressDeadlineSeconds, drain)
	}
	if c.Lifecycle.PreStop == nil {
		fault("there is no preStop hook")
	}
	return append(faults, misfitsOfFiles(p, c)...)
}

// misfitsOfFiles looks at what mediad is told to read, and at what it must not be told otherwise.
func misfitsOfFiles(p pod, c container) (faults []string) {
	there := map[string]bool{}
	for _, m := range c.VolumeMounts {
		for _, v := range p.Volumes {
			if v.Name != m.Name || v.Secret == nil {
				continue
			}
			for _, item := range v.Secret.Items {
				there[path.Join(m.MountPath, item.Path)] = true
			}
			if v.Secret.Items == nil { // of type kubernetes.io/tls
				there[path.Join(m.MountPath, "tls.crt")], there[path.Join(m.MountPath, "tls.key")] = true, true
			}
		}
	}
	for _, arg := range c.Args {
		if _, value, _ := strings.Cut(arg, "="); strings.HasPrefix(value, "/") && !there[value] {
			faults = append(faults, fmt.Sprintf("%s: no Secret is mounted there", arg))
		}
	}
	for _, name := range []string{"redis", "nats", "admin-token"} {
		if flagOf(c, name+"-file") == "" {
			faults = append(faults, fmt.Sprintf("--%s-file is missing", name))
		}
	}
	for _, v := range c.Env {
		if v.ValueFrom == nil || v.ValueFrom.FieldRef == nil {
			faults = append(faults, fmt.Sprintf("%s: nothing but what Kubernetes knows of a pod belongs into its environment", v.Name))
		}
	}
	return faults
}

// misfitsOfPolicy asks for one rule for each port, and none besides.
func misfitsOfPolicy(t *testing.T, m *manifests, d *deployment) (faults []string) {
	t.Helper()
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	policies := m.all("NetworkPolicy")
	if d.Template.Spec.HostNetwork && len(policies) > 0 {
		fault("a NetworkPolicy does not apply to pods on the machine's network")
	}
	for _, o := range policies {
		s := spec[networkPolicy](t, o)
		if !s.PodSelector.MatchLabels.within(d.Template.Metadata.Labels) {
			fault("NetworkPolicy %s selects other pods: %v", o.Metadata.Name, s.PodSelector)
		}
		open := map[string]bool{}
		for _, rule := range s.Ingress {
			if len(rule.Ports) == 0 {
				fault("NetworkPolicy %s lets everything in", o.Metadata.Name)
			}
			for _, p := range rule.Ports {
				if open[fmt.Sprint(p.Port)] = true; !d.hasPort(t, p.Port, p.Protocol) {
					fault("NetworkPolicy %s opens %v/%s, which the pod does not have", o.Metadata.Name, p.Port, p.Protocol)
				}
				if p.Port == "private" && len(rule.From) == 0 {
					fault("NetworkPolicy %s opens the private API to everybody", o.Metadata.Name)
				}
			}
		}
		for _, p := range d.mediad(t).Ports {
			if !open[p.Name] {
				fault("NetworkPolicy %s keeps everybody from port %s", o.Metadata.Name, p.Name)
			}
		}
	}
	return faults
}

func misfitsOfOthers(t *testing.T, m *manifests, d *deployment) (faults []string) {
	t.Helper()
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	name := m.all("Deployment")[0].Metadata.Name
	for _, o := range m.all("HorizontalPodAutoscaler") {
		s := spec[autoscaler](t, o)
		if s.ScaleTargetRef.Kind != "Deployment" || s.ScaleTargetRef.Name != name {
			fault("the autoscaler is for %v", s.ScaleTargetRef)
		}
		for _, metric := range s.Metrics {
			if r := metric.ContainerResource; r != nil && r.Container != d.mediad(t).Name {
				fault("the autoscaler looks at a container %s", r.Container)
			}
		}
		if d.Replicas != 1 { // what the API server takes for nothing said
			fault("the Deployment has a number of replicas of its own, %d, beside its autoscaler", d.Replicas)
		}
	}
	for _, o := range m.all("ServiceMonitor") {
		s := spec[serviceMonitor](t, o)
		for _, e := range s.Endpoints {
			selected := 0
			for _, svc := range m.all("Service") {
				if s.Selector.MatchLabels.within(svc.Metadata.Labels) && hasServicePort(t, svc, e.Port) {
					selected++
				}
			}
			if selected != 1 {
				fault("the ServiceMonitor finds %d Services with a port %s", selected, e.Port)
			}
			if key := e.Authorization.Credentials; !d.reads(key.Name, key.Key) {
				fault("the ServiceMonitor shows %v, which is not the node's token", key)
			}
		}
	}
	for _, o := range m.all("Ingress") {
		for _, rule := range spec[ingress](t, o).Rules {
			for _, p := range rule.HTTP.Paths {
				if to := p.Backend.Service; !slices.ContainsFunc(m.all("Service"), func(s object) bool {
					return s.Metadata.Name == to.Name && hasServicePort(t, s, to.Port.Name)
				}) {
					fault("the Ingress leads to %v", to)
				}
			}
		}
	}
	account := d.Template.Spec.ServiceAccountName
	for _, o := range m.all("ServiceAccount") {
		if o.Metadata.Name != account || o.Automount == nil || *o.Automount {
			fault("ServiceAccount %s is not the pod's %s, or has a token mounted", o.Metadata.Name, account)
		}
	}
	return faults
}

func hasServicePort(t *testing.T, o object, name string) bool {
	t.Helper()
	for _, p := range spec[service](t, o).Ports {
		if p.Name == name {
			return true
		}
	}
	return false
}

// reads reports whether the pod has a key of a Secret.
func (d *deployment) reads(secret, key string) bool {
	for _, v := range d.Template.Spec.Volumes {
		if v.Secret == nil || v.Secret.SecretName != secret {
			continue
		}
		for _, item := range v.Secret.Items {
			if item.Key == key {
				return true
			}
		}
	}
	return false
}

// flagOf is the value that mediad is given for a flag.
func flagOf(c container, name string) string {
	for _, arg := range c.Args {
		if value, ok := strings.CutPrefix(arg, "--"+name+"="); ok {
			return value
		}
	}
	return ""
}

func seconds(t *testing.T, duration string) int {
	t.Helper()
	n, err := strconv.Atoi(strings.TrimSuffix(duration, "s"))
	if err != nil {
		t.Fatalf("%q: %v", duration, err)
	}
	return n
}

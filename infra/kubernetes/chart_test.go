package kubernetes

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"weever/shared/testkit/planted"
	"weever/shared/testkit/tool"
)

// variant is values that the chart is rendered with.
type variant struct {
	args      []string
	forbidden []string // what the pod does that the level "restricted" of pod security forbids
	besides   []string // what it consists of beside a Deployment, an account, two Services and a PodDisruptionBudget
}

var (
	onHost   = []string{"host namespaces", "hostPort"}
	hostPort = []string{"hostPort"}

	variants = map[string]variant{
		"as it is":              {with(), onHost, nil},
		"host port":             {sets("media.network=hostPort"), hostPort, []string{"NetworkPolicy"}},
		"the machine's address": {sets("media.address=node"), onHost, nil},
		"pods' network":         {sets("media.network=pod", "media.address=interfaces"), nil, []string{"NetworkPolicy"}},
		"without NetworkPolicy": {sets("media.network=hostPort", "networkPolicy.enabled=false"), hostPort, nil},
		"a digest":              {sets("image.tag=", "image.digest=sha256:"+strings.Repeat("0123456789abcdef", 4)), onHost, nil},
		"TLS":                   {sets("tls.secretName=cert", "service.type=LoadBalancer", "service.externalTrafficPolicy=Local"), onHost, nil},
		"other ports": {
			sets("ports.public=9000", "ports.private=9001", "media.udpPort=9002", "service.port=8080", "service.type=NodePort"), onHost, nil,
		},
		"all secrets": {
			setJSON(`secret={"name":"s","also":["nats-creds","nats-ca","nats-cert","nats-key","jwt-secret","turn-secret"]}`), onHost, nil,
		},
		"ingress": {
			with("-f", "weever/examples/ingress-nginx.yaml", "--set", "ingress.host=sfu.example.org"), onHost, []string{"Ingress"},
		},
		"load balancer and HPA": {
			with("-f", "weever/examples/load-balancer.yaml", "--set", "tls.secretName=cert"), onHost, []string{"HorizontalPodAutoscaler", "PrometheusRule", "ServiceMonitor"},
		},
		"HPA by sessions alone": {
			sets("autoscaling.enabled=true", "autoscaling.cpuPercent=0", "autoscaling.sessionsPerNode=300"), onHost, []string{"HorizontalPodAutoscaler"},
		},
		"test cluster": {with("-f", "test-cluster/values.yaml"), nil, []string{"NetworkPolicy"}},
		"where it runs and as whom": {
			setJSON(`priorityClassName="p",affinity={"nodeAffinity":{}},serviceAccount={"name":""},imagePullSecrets=[{"name":"r"}]`), onHost, nil,
		},
		"labels and peers": {
			setJSON(`podLabels={"team":"calls"},podAnnotations={"a/b":"c"},media={"network":"hostPort"},networkPolicy={` +
				`"privateFrom":[{"namespaceSelector":{"matchLabels":{"team":"backend"}}}],"publicFrom":[{"ipBlock":{"cidr":"10.0.0.0/8"}}]}`),
			hostPort,
			[]string{"NetworkPolicy"},
		},
	}
)

func TestChartIsLinted(t *testing.T) {
	version := tool.Call{}.Run(t, "helm", "version", "--template", "{{.Version}}")
	for name, v := range variants {
		t.Run(name, func(t *testing.T) {
			tool.Call{}.Run(t, "helm", append([]string{"lint", "--strict", chart}, v.args...)...)
		})
	}
	broken := replacing(t, "Chart.yaml", "version: one", "version: 0.1.0")
	tool.Call{}.Refused(t, "helm", append([]string{"lint", "--strict", broken}, least...)...)
	tool.Checked(t, "helm lint", version, "the chart with each of its variants of values")
}

// Whatever the values, the API server takes what comes out, and its parts fit each other.
func TestEveryVariantIsAccepted(t *testing.T) {
	for name, v := range variants {
		t.Run(name, func(t *testing.T) {
			m := accepted(t, template(t, chart, v.args...))
			var kinds []string
			for _, o := range m.Objects {
				kinds = append(kinds, o.Kind)
			}
			want := append([]string{"Deployment", "PodDisruptionBudget", "Service", "Service", "ServiceAccount"}, v.besides...)
			slices.Sort(want)
			if slices.Sort(kinds); !slices.Equal(kinds, want) {
				t.Errorf("got %v, want %v", kinds, want)
			}
			if got := m.Forbidden["restricted"]; !slices.Equal(got, v.forbidden) {
				t.Errorf(`the level "restricted" forbids %q, not %q`, got, v.forbidden)
			}
			for _, fault := range misfits(t, m) {
				t.Error(fault)
			}
			if strings.Contains(m.yaml, "helm.sh/hook") || strings.Contains(m.yaml, "helm.sh/resource-policy") {
				t.Error("something is left after helm uninstall")
			}
		})
	}
	names := slices.Sorted(maps.Keys(variants))
	tool.Checked(t, "kubecheck", kubernetes, "the chart's objects as the API server creates them, and its pods by level of pod security: "+join(names))
}

// A release may be called anything that Helm allows: names and node ids stay valid.
func TestNamesOfReleases(t *testing.T) {
	for _, name := range []string{"a", "my.release", "weever", "a-release-name-as-long-as-helm-lets-it-be-of-53-chars"} {
		m := accepted(t, tool.Call{}.Run(t, "helm", append([]string{"template", name, chart}, least...)...))
		for _, fault := range misfits(t, m) {
			t.Errorf("%s: %s", name, fault)
		}
		// Kubernetes adds a hash and five characters, 17 in all; a node's id has 64.
		if d := m.all("Deployment")[0].Metadata.Name; len(d) > 47 || slices.Contains([]byte(d), '.') {
			t.Errorf("%s: pods of %q have names that no node can have", name, d)
		}
	}
}

// The operator gets all alerts of infra/prometheus, untouched by Helm, whose braces look the same.
func TestAlerts(t *testing.T) {
	m := accepted(t, template(t, chart, with("-f", "weever/examples/load-balancer.yaml")...))
	shipped := planted.Read(t, "../prometheus/alerts.yml")
	rules := 0
	for _, g := range spec[prometheusRule](t, m.all("PrometheusRule")[0]).Groups {
		for _, r := range g.Rules {
			if rules++; !strings.Contains(shipped, "- alert: "+r.Alert+"\n") {
				t.Errorf("%s is not shipped", r.Alert)
			}
		}
	}
	if want := strings.Count(shipped, "- alert: "); rules != want || want == 0 {
		t.Errorf("%d alerts, want %d", rules, want)
	}
	if !strings.Contains(m.yaml, "{{ $labels.instance }}") {
		t.Error("the labels of alerts are lost")
	}
}

// A packed chart is the same: nothing in it leads out of it.
func TestPackage(t *testing.T) {
	dir := t.TempDir()
	tool.Call{}.Run(t, "helm", "package", chart, "--destination", dir)
	packed, err := filepath.Glob(filepath.Join(dir, "weever-*.tgz"))
	if err != nil || len(packed) != 1 {
		t.Fatalf("%q %v", packed, err)
	}
	values := with("-f", "weever/examples/load-balancer.yaml")
	if template(t, packed[0], values...) != template(t, chart, values...) {
		t.Error("it renders otherwise than its folder")
	}
}

// The chart gives arguments alone, and a user: the image has to have mediad as its entrypoint, for that user, and the helper of the hook.
func TestImageIsForTheChart(t *testing.T) {
	d := accepted(t, template(t, chart, least...)).deployment(t)
	as, helper := d.Template.Spec.SecurityContext, d.mediad(t).Lifecycle.PreStop.Exec.Command[0]
	image := planted.Read(t, "../compose/Dockerfile")
	for _, want := range []string{
		fmt.Sprintf("USER %d:%d\n", as.RunAsUser, as.RunAsGroup),
		"-o /out" + entrypoint + " ./mediad\n", "-o /out" + helper + " ./infra/compose/helper\n", "COPY --from=build /out/usr /usr\n", `ENTRYPOINT ["` + entrypoint + `"]`,
	} {
		if !strings.Contains(image, want) {
			t.Errorf("infra/compose/Dockerfile has no %q", want)
		}
	}
	if helper != "/usr/bin/helper" {
		t.Errorf("the hook runs %s", helper)
	}
}

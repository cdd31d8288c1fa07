package kubernetes

import (
	"slices"
	"strings"
	"testing"

	"weever/shared/testkit/tool"
)

// Values that cannot work are refused before anything is made, by a message that names them and, where there is one, the remedy.
func TestValuesThatAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		says []string
	}{
		"nothing said": {nil, []string{
			"image.repository is missing", "image.tag is missing", "secret.name is missing: name a Secret with the keys redis, nats and admin-token",
		}},
		"a missing Secret":            {sets("secret.name="), []string{"secret.name is missing"}},
		"a Secret's name":             {sets("secret.name=My_Secret"), []string{"/secret/name"}},
		"a key that is none":          {setJSON(`secret={"also":["nats-password"]}`), []string{"/secret/also/0", "turn-secret"}},
		"half a certificate":          {setJSON(`secret={"also":["nats-cert"]}`), []string{"nats-cert and nats-key must be given together"}},
		"no nodes":                    {sets("replicas=0"), []string{"/replicas", "want 1"}},
		"a number as text":            {with("--set-string", "replicas=2"), []string{"/replicas", "want integer"}},
		"misspelt":                    {sets("media.netwerk=host"), []string{"/media", "netwerk"}},
		"misspelt at the top":         {sets("repliccas=3"), []string{"repliccas"}},
		"another network":             {sets("media.network=bridge"), []string{"/media/network", "hostPort"}},
		"a privileged port":           {sets("ports.public=443"), []string{"/ports/public", "1,024"}},
		"a port that is none":         {sets("media.udpPort=70000"), []string{"/media/udpPort", "65,535"}},
		"one port for two":            {sets("ports.private=8443"), []string{"ports.private: 8443 is ports.public already"}},
		"an address nobody can reach": {sets("media.network=hostPort", "media.address=interfaces"), []string{"use auto or node"}},
		"a machine that is not asked": {sets("media.network=pod"), []string{"media.address: auto does not go with media.network: pod", "use interfaces"}},
		"a flag that is none":         {sets("config.max-session=3"), []string{"/config", "max-session"}},
		"a secret in the open":        {sets("config.admin-token=hunter2"), []string{"/config", "admin-token"}},
		"a flag that has a place":     {sets("config.udp-port=3"), []string{"/config", "udp-port"}},
		"a flag's wrong type":         {sets("config.max-cpu=much"), []string{"/config/max-cpu", "want integer"}},
		"a list in one text":          {setJSON(`config={"cors-domain":"a.example,b.example"}`), []string{"/config/cors-domain", "want array"}},
		"a token in a URL":            {sets("config.jwks-url=https://user:token@keys.example"), []string{"/config/jwks-url"}},
		"the latest image":            {sets("image.tag=latest"), []string{"/image/tag"}},
		"a version as number":         {[]string{"--set", "image.repository=r.example/m,secret.name=s", "--set-json", "image.tag=1.2"}, []string{"/image/tag", "want string"}},
		"a digest that is none":       {sets("image.digest=abc"), []string{"/image/digest"}},
		"no time to drain":            {sets("drain.timeoutSeconds=0"), []string{"/drain/timeoutSeconds", "want 1"}},
		"an Ingress for nobody":       {sets("ingress.enabled=true"), []string{"ingress.host is missing"}},
		"TLS twice": {
			sets("ingress.enabled=true", "ingress.host=a.example", "tls.secretName=c"), []string{"exclude each other", "ingress.tlsSecretName"},
		},
		"a host that is none":     {sets("ingress.enabled=true", "ingress.host=https://a.example"), []string{"/ingress/host"}},
		"the autoscaler's bounds": {sets("autoscaling.enabled=true", "autoscaling.maxReplicas=1"), []string{"maxReplicas: 1 is less than autoscaling.minReplicas: 2"}},
		"nothing to scale by":     {sets("autoscaling.enabled=true", "autoscaling.cpuPercent=0"), []string{"set autoscaling.cpuPercent or autoscaling.sessionsPerNode"}},
		"a share of nothing":      {with("--set", "autoscaling.enabled=true", "--set-json", `resources.requests.cpu=null`), []string{"resources.requests.cpu, which is missing"}},
		"nobody may be disturbed": {sets("podDisruptionBudget.maxUnavailable=0"), []string{"/podDisruptionBudget/maxUnavailable"}},
		"a label of the chart's":  {with("--set-json", `podLabels={"app.kubernetes.io/name":"x"}`), []string{"podLabels: app.kubernetes.io/name is the chart's own"}},
		"an old cluster":          {with("--kube-version", "1.29.3"), []string{">=1.30.0"}},
	} {
		t.Run(name, func(t *testing.T) {
			said := tool.Call{}.Refused(t, "helm", append([]string{"template", chart}, c.args...)...)
			for _, want := range c.says {
				if !strings.Contains(said, want) {
					t.Errorf("no word of %q in:\n%s", want, said)
				}
			}
			if strings.Contains(said, "hunter2") {
				t.Errorf("a secret is shown:\n%s", said)
			}
		})
	}
	tool.Checked(t, "helm template", kubernetes, "that values which cannot work are refused, each by name")
}

// Several faults are told in one run.
func TestAllFaultsAtOnce(t *testing.T) {
	said := tool.Call{}.Refused(t, "helm", append([]string{"template", chart}, sets("secret.name=", "ports.private=8443", "ingress.enabled=true")...)...)
	for _, want := range []string{"secret.name is missing", "ports.private: 8443", "ingress.host is missing"} {
		if !strings.Contains(said, want) {
			t.Errorf("no word of %q in:\n%s", want, said)
		}
	}
}

// Mistakes in the chart itself, of each kind, are found by those who are there to find them.
func TestPlantedMistakes(t *testing.T) {
	hosted := with()
	ported := sets("media.network=hostPort")
	busy := with("-f", "weever/examples/load-balancer.yaml")
	routed := with("-f", "weever/examples/ingress-nginx.yaml", "--set", "ingress.host=a.example")
	const deployment, mediad = "templates/deployment.yaml", "templates/_mediad.tpl"
	for name, c := range map[string]struct {
		file, wrong, right string
		args               []string
		refused            string // by the API server
		misfit             string // by misfits
	}{
		"a misspelt field":        {deployment, "terminationGracePeriod:", "terminationGracePeriodSeconds:", hosted, `unknown field "spec.template.spec.terminationGracePeriod"`, ""},
		"a wrong type":            {deployment, "maxSurge: [0]", "maxSurge: 0", hosted, "maxSurge", ""},
		"a bad value":             {deployment, "type: Rolling", "type: RollingUpdate", hosted, "spec.strategy: Unsupported value", ""},
		"a volume that is none":   {deployment, "name: secrets\n              mountPath", "name: secret\n              mountPath", hosted, "volumeMounts[0].name: Not found", ""},
		"a label that no pod has": {deployment, "matchLabels:\n      app: weever\n", "matchLabels:\n      {{- include \"weever.selector\" . | nindent 6 }}\n", hosted, "`selector` does not match template `labels`", ""},
		"a port without a name":   {deployment, "port: metrics}", "port: private}", hosted, "", "probe asks port metrics"},
		"service links":           {deployment, "enableServiceLinks: true", "enableServiceLinks: false", hosted, "", "would set variables of mediad"},
		"a token of the account":  {deployment, "automountServiceAccountToken: true", "automountServiceAccountToken: false", hosted, "", "has a token for the API server"},
		"no time":                 {deployment, "terminationGracePeriodSeconds: 30", "terminationGracePeriodSeconds: {{ add .Values.drain.delaySeconds .Values.drain.timeoutSeconds 30 }}", hosted, "", "too short for a drain of 300 s"},
		"no time to roll out":     {deployment, "progressDeadlineSeconds: 300", "progressDeadlineSeconds: {{ add .Values.drain.delaySeconds .Values.drain.timeoutSeconds 630 }}", hosted, "", "would count as failed"},
		"a surge":                 {deployment, "maxSurge: 1", "maxSurge: 0", hosted, "", "waits for a port for ever"},
		"the machine's port":      {mediad, "hostPort: 0", "hostPort: {{ int .Values.ports.public }}", hosted, "", "port public is the machine's, and the scheduler does not know"},
		"another machine's port":  {mediad, "hostPort: 5000", "hostPort: {{ int .Values.media.udpPort }}", ported, "", "clients are told 8443"},
		"a file that is not":      {mediad, "/etc/weever/secrets/{{ . }}", "/etc/weever/secret/{{ . }}", hosted, "", "no Secret is mounted there"},
		"a secret in the open":    {mediad, "- name: WEEVER_ADMIN_TOKEN\n  value: hunter2\n- name: WEEVER_NODE_ID", "- name: WEEVER_NODE_ID", hosted, "", "WEEVER_ADMIN_TOKEN: nothing but"},
		"no hook":                 {deployment, "lifecycle: {}\n", "lifecycle:\n            preStop:\n              {{- include \"weever.preStop\" . | nindent 14 }}\n", hosted, "", "there is no preStop hook"},
		"a Service of others":     {"templates/services.yaml", "selector:\n    app: weever", "selector:\n    {{- include \"weever.selector\" . | nindent 4 }}", hosted, "", "selects other pods"},
		"a Service to nowhere":    {"templates/services.yaml", "targetPort: http", "targetPort: public", hosted, "", "the pod has no port http"},
		"sticky sessions":         {"templates/services.yaml", "sessionAffinity: ClientIP", "sessionAffinity: None", hosted, "", "pins sessions"},
		"a budget of others":      {"templates/poddisruptionbudget.yaml", "app: weever", "{{- include \"weever.selector\" . | nindent 6 }}", hosted, "", "PodDisruptionBudget media-weever selects other pods"},
		"a policy that shuts":     {"templates/networkpolicy.yaml", "{protocol: UDP, port: 1}", "{protocol: UDP, port: media}", ported, "", "keeps everybody from port media"},
		"a policy of TCP":         {"templates/networkpolicy.yaml", "{protocol: TCP, port: media}", "{protocol: UDP, port: media}", ported, "", "opens media/TCP"},
		"a policy that is open":   {"templates/networkpolicy.yaml", "- {}", "- podSelector: {}", ported, "must specify a peer", ""},
		"a policy for nothing":    {"templates/networkpolicy.yaml", ".Values.networkPolicy.enabled", "and .Values.networkPolicy.enabled (ne .Values.media.network \"host\")", hosted, "", "does not apply to pods on the machine's network"},
		"another's autoscaler":    {"templates/horizontalpodautoscaler.yaml", "kind: StatefulSet", "kind: Deployment", busy, "", "the autoscaler is for"},
		"another container's CPU": {"templates/horizontalpodautoscaler.yaml", "container: weever", "container: mediad", busy, "", "looks at a container weever"},
		"replicas and autoscaler": {deployment, "{{- if true }}\n  replicas", "{{- if not .Values.autoscaling.enabled }}\n  replicas", busy, "", "beside its autoscaler"},
		"a monitor's field":       {"templates/servicemonitor.yaml", "endpoint:", "endpoints:", busy, `unknown field "endpoint"`, ""},
		"a monitor of nothing":    {"templates/servicemonitor.yaml", "- port: metrics", "- port: private", busy, "", "finds 0 Services"},
		"a monitor's token":       {"templates/servicemonitor.yaml", "key: token", "key: admin-token", busy, "", "is not the node's token"},
		"an Ingress to nowhere":   {"templates/ingress.yaml", "name: https", "name: {{ include \"weever.scheme\" . }}", routed, "", "the Ingress leads to"},
	} {
		t.Run(name, func(t *testing.T) {
			yaml := template(t, replacing(t, c.file, c.wrong, c.right), c.args...)
			if c.refused != "" {
				if said := (tool.Call{Stdin: yaml}).Refused(t, "kubecheck"); !strings.Contains(said, c.refused) {
					t.Errorf("no word of %q in:\n%s", c.refused, said)
				}
				return
			}
			if found := misfits(t, accepted(t, yaml)); !slices.ContainsFunc(found, func(f string) bool { return strings.Contains(f, c.misfit) }) {
				t.Errorf("%q is not among %q", c.misfit, found)
			}
		})
	}
}

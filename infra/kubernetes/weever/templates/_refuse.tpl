{{/* What the schema cannot say: all faults at once, each with its remedy. */}}
{{- define "weever.refuse" -}}
{{- $v := .Values -}}
{{- $faults := list -}}
{{- if not $v.image.repository -}}
{{- $faults = append $faults "image.repository is missing: name the image of mediad, without its tag" -}}
{{- end -}}
{{- if not (or $v.image.tag $v.image.digest) -}}
{{- $faults = append $faults "image.tag is missing: name a version, or a digest in image.digest" -}}
{{- end -}}
{{- if not $v.secret.name -}}
{{- $faults = append $faults "secret.name is missing: name a Secret with the keys redis, nats and admin-token; kubectl create secret generic makes one" -}}
{{- end -}}
{{- if and (eq $v.media.network "hostPort") (eq $v.media.address "interfaces") -}}
{{- $faults = append $faults "media.address: interfaces does not go with media.network: hostPort: clients cannot reach the pod's own address; use auto or node" -}}
{{- end -}}
{{- if and (eq $v.media.network "pod") (ne $v.media.address "interfaces") -}}
{{- $faults = append $faults (printf "media.address: %s does not go with media.network: pod: the machine does not listen there; use interfaces" $v.media.address) -}}
{{- end -}}
{{- if eq (int $v.ports.public) (int $v.ports.private) -}}
{{- $faults = append $faults (printf "ports.private: %v is ports.public already; choose another" $v.ports.private) -}}
{{- end -}}
{{- if and $v.ingress.enabled (not $v.ingress.host) -}}
{{- $faults = append $faults "ingress.host is missing: name the host that clients call" -}}
{{- end -}}
{{- if and $v.ingress.enabled $v.tls.secretName -}}
{{- $faults = append $faults "ingress.enabled and tls.secretName exclude each other: an Ingress ends TLS, put its certificate into ingress.tlsSecretName" -}}
{{- end -}}
{{- if and $v.autoscaling.enabled (lt (int $v.autoscaling.maxReplicas) (int $v.autoscaling.minReplicas)) -}}
{{- $faults = append $faults (printf "autoscaling.maxReplicas: %v is less than autoscaling.minReplicas: %v" $v.autoscaling.maxReplicas $v.autoscaling.minReplicas) -}}
{{- end -}}
{{- if and $v.autoscaling.enabled (not (or $v.autoscaling.cpuPercent $v.autoscaling.sessionsPerNode)) -}}
{{- $faults = append $faults "autoscaling has nothing to go by: set autoscaling.cpuPercent or autoscaling.sessionsPerNode" -}}
{{- end -}}
{{- if and $v.autoscaling.enabled $v.autoscaling.cpuPercent (not (dig "requests" "cpu" "" $v.resources)) -}}
{{- $faults = append $faults "autoscaling.cpuPercent is a share of resources.requests.cpu, which is missing" -}}
{{- end -}}
{{- if ne (has "nats-cert" $v.secret.also) (has "nats-key" $v.secret.also) -}}
{{- $faults = append $faults "secret.also: nats-cert and nats-key must be given together" -}}
{{- end -}}
{{- range $key, $_ := $v.podLabels -}}
{{- if has $key (list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component") -}}
{{- $faults = append $faults (printf "podLabels: %s is the chart's own; Services select pods by it" $key) -}}
{{- end -}}
{{- end -}}
{{- with $faults -}}
{{- fail (printf "\n\nthese values cannot be used:\n  %s\n" (join "\n  " .)) -}}
{{- end -}}
{{- end -}}

{{- define "weever.notes" -}}
{{- $name := include "weever.fullname" . -}}
{{- $scheme := include "weever.scheme" . -}}
{{- $ns := .Release.Namespace -}}
Weever's nodes are the Deployment {{ $name }} in {{ $ns }}. A node is ready when it has reached Redis and NATS:

  kubectl -n {{ $ns }} rollout status deployment/{{ $name }}
  kubectl -n {{ $ns }} logs deployment/{{ $name }}

{{ if .Values.ingress.enabled -}}
Clients call https://{{ .Values.ingress.host }}/
{{- if not (hasKey .Values.config "trusted-proxies") }}
  All of them count as one client for --rate-limit: name the Ingress controller's addresses in config.trusted-proxies.
{{- end }}
{{- else if eq .Values.service.type "ClusterIP" -}}
Clients need a way in: the Service {{ $name }} is for this cluster alone ({{ $scheme }}, port {{ include "weever.servicePort" . }}). Set ingress or service.type.
{{- else -}}
Clients call the address of the Service {{ $name }}, {{ $scheme }}, port {{ include "weever.servicePort" . }}:

  kubectl -n {{ $ns }} get service {{ $name }}
{{- end }}
{{- if and (eq $scheme "http") (not .Values.ingress.enabled) }}
  It is plain HTTP: browsers give pages no camera there. Set tls.secretName, or end TLS before it.
{{- end }}

Media goes straight to the nodes, not through any Service: {{ .Values.media.udpPort }}/udp of each
{{- if eq .Values.media.network "pod" }} pod must be reachable for clients.
{{- else }} machine that runs one must be open to the world.
{{- end }}
{{- if eq .Values.media.network "host" }}
  The nodes are on the machines' own network, where no NetworkPolicy applies: keep {{ .Values.ports.private }}/tcp of the machines to yourself.
{{- end }}
{{- if ne .Values.media.network "pod" }}
  No more nodes run than there are machines: each takes a port of its machine. The namespace must allow that:

  kubectl label namespace {{ $ns }} pod-security.kubernetes.io/enforce=privileged
{{- end }}

{{- if and .Values.serviceMonitor.enabled .Values.networkPolicy.enabled (ne .Values.media.network "host") (not .Values.networkPolicy.privateFrom) }}

Prometheus reaches the nodes from this namespace alone: elsewhere name its pods, and your backend's, in networkPolicy.privateFrom.
{{- end }}

Tokens are made with the private API:

  kubectl -n {{ $ns }} port-forward service/{{ $name }}-private {{ .Values.ports.private }}
{{- if .Values.autoscaling.sessionsPerNode }}

The autoscaler asks for sessions. Whether your cluster knows them:

  kubectl get --raw "/apis/custom.metrics.k8s.io/v1beta1/namespaces/{{ $ns }}/pods/*/weever_sessions"
{{- end }}
{{- end -}}

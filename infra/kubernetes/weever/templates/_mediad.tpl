{{/* What mediad is told. Secrets come as files. */}}
{{- define "weever.args" -}}
- serve
- --port={{ int .Values.ports.public }}
- --private-port={{ int .Values.ports.private }}
- --udp-port={{ int .Values.media.udpPort }}
- --drain-timeout={{ int .Values.drain.timeoutSeconds }}s
{{- if .Values.tls.secretName }}
- --cert-file=/etc/weever/tls/tls.crt
- --key-file=/etc/weever/tls/tls.key
{{- else }}
- --plain-http
{{- end }}
{{- $flags := include "weever.secretFlags" . | fromYaml }}
{{- range concat (list "redis" "nats" "admin-token") .Values.secret.also | uniq }}
- --{{ get $flags . }}=/etc/weever/secret/{{ . }}
{{- end }}
{{- if eq .Values.media.address "auto" }}
- --public-ip=auto
{{- end }}
{{- range $flag, $value := .Values.config }}
{{- if kindIs "slice" $value }}
- {{ printf "--%s=%s" $flag (join "," $value) | quote }}
{{- else if kindIs "float64" $value }}
- --{{ $flag }}={{ int64 $value }}
{{- else }}
- {{ printf "--%s=%v" $flag $value | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Keys of the Secret, and which flag is given the file. */}}
{{- define "weever.secretFlags" -}}
redis: redis-file
nats: nats-file
admin-token: admin-token-file
nats-creds: nats-creds
nats-ca: nats-ca-file
nats-cert: nats-cert-file
nats-key: nats-key-file
jwt-secret: jwt-secret-file
turn-secret: turn-secret-file
{{- end -}}

{{/* The pod's name is the node's, by which logs and metrics are found. On the machine's network the private API is on its internal address alone. */}}
{{- define "weever.env" -}}
- name: WEEVER_NODE_ID
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: WEEVER_PRIVATE_HOST
  valueFrom: {fieldRef: {fieldPath: status.podIP}}
{{- if eq .Values.media.address "node" }}
- name: WEEVER_PUBLIC_IP
  valueFrom: {fieldRef: {fieldPath: status.hostIP}}
{{- end }}
{{- end -}}

{{/* Ports of the machine are declared as such, so that the scheduler keeps pods apart that would take them from each other. */}}
{{- define "weever.ports" -}}
{{- $host := eq .Values.media.network "host" -}}
- name: public
  containerPort: {{ int .Values.ports.public }}
  {{- if $host }}
  hostPort: {{ int .Values.ports.public }}
  {{- end }}
- name: private
  containerPort: {{ int .Values.ports.private }}
  {{- if $host }}
  hostPort: {{ int .Values.ports.private }}
  {{- end }}
- name: media
  protocol: UDP
  containerPort: {{ int .Values.media.udpPort }}
  {{- if ne .Values.media.network "pod" }}
  hostPort: {{ int .Values.media.udpPort }}
  {{- end }}
{{- end -}}

{{/*
The kubelet's own HTTP hook would have the admin token in the pod, for everybody who may look at pods. So a program of the image reads it from
its file. A request that comes twice joins the drain that is on, unlike a second SIGTERM. Where it gives up, SIGTERM goes on with the drain.
*/}}
{{- define "weever.preStop" -}}
exec:
  command: [/usr/bin/helper, drain, /etc/weever/secret/admin-token, "{{ int .Values.ports.private }}", {{ int .Values.drain.delaySeconds }}s]
{{- end -}}

{{/* What the level "restricted" asks of a container, and no writing. */}}
{{- define "weever.locked" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

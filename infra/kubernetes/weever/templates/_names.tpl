{{/* Names and labels. Node ids are the pods' names: no dots, and short enough for 64 characters with what Kubernetes adds. */}}
{{- define "weever.fullname" -}}
{{- $name := ternary .Release.Name (printf "%s-weever" .Release.Name) (contains "weever" .Release.Name) -}}
{{- $name | replace "." "-" | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "weever.selector" -}}
app.kubernetes.io/name: weever
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "weever.labels" -}}
{{ include "weever.selector" . }}
app.kubernetes.io/component: mediad
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "weever.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "weever.fullname" .) -}}
{{- end -}}

{{- define "weever.image" -}}
{{- $i := .Values.image -}}
{{- if $i.digest }}{{ printf "%s@%s" $i.repository $i.digest }}{{ else }}{{ printf "%s:%s" $i.repository $i.tag }}{{ end -}}
{{- end -}}

{{- define "weever.scheme" -}}
{{- ternary "https" "http" (ne .Values.tls.secretName "") -}}
{{- end -}}

{{- define "weever.servicePort" -}}
{{- .Values.service.port | default (ternary 443 80 (ne .Values.tls.secretName "")) | int -}}
{{- end -}}

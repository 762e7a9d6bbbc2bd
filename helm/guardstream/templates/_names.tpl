{{- define "guardstream.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "guardstream.fullname" -}}
{{- $name := include "guardstream.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "guardstream.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "guardstream.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "guardstream.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository ($image.tag | default (printf "%s%s" .Chart.AppVersion $image.tagSuffix)) -}}
{{- end -}}
{{- end -}}

{{- define "guardstream.selectorLabels" -}}
app.kubernetes.io/name: {{ include "guardstream.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "guardstream.commonLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: guardstream
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "guardstream.labels" -}}
{{ include "guardstream.selectorLabels" . }}
app.kubernetes.io/component: worker
{{ include "guardstream.commonLabels" . }}
{{- end -}}

{{- /* Without versions: an upgrade of the chart alone must not restart the workers. */ -}}
{{- define "guardstream.podLabels" -}}
{{ include "guardstream.selectorLabels" . }}
app.kubernetes.io/component: worker
app.kubernetes.io/part-of: guardstream
{{- end -}}

{{- /* Jobs have another name, so that selectors of workers do not match them. */ -}}
{{- define "guardstream.jobSelectorLabels" -}}
app.kubernetes.io/name: {{ printf "%s-%s" (include "guardstream.name" .root) .component }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end -}}

{{- define "guardstream.jobLabels" -}}
{{ include "guardstream.jobSelectorLabels" . }}
app.kubernetes.io/component: {{ .component }}
{{ include "guardstream.commonLabels" .root }}
{{- end -}}

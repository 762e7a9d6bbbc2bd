{{- define "guardstream.podSecurityContext" -}}
runAsNonRoot: true
{{- with .Values.securityContext }}
{{- if not (kindIs "invalid" .runAsUser) }}
runAsUser: {{ .runAsUser | int }}
{{- end }}
{{- if not (kindIs "invalid" .runAsGroup) }}
runAsGroup: {{ .runAsGroup | int }}
{{- end }}
{{- if not (kindIs "invalid" .fsGroup) }}
fsGroup: {{ .fsGroup | int }}
fsGroupChangePolicy: OnRootMismatch
{{- end }}
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "guardstream.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- /* For every container. Service links are disabled: the worker rejects unknown variables with
       its prefix, and a Service named guardstream adds some (GUARDSTREAM_PORT). */ -}}
{{- define "guardstream.podBasics" -}}
serviceAccountName: {{ .serviceAccount }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . | quote }}
{{- end }}
{{- end }}
securityContext:
  {{- include "guardstream.podSecurityContext" .root | nindent 2 }}
{{- end -}}

{{- define "guardstream.placement" -}}
{{- with .Values.scheduling.runtimeClassName }}
runtimeClassName: {{ . | quote }}
{{- end }}
{{- with .Values.scheduling.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .Values.scheduling.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.scheduling.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* `secret` contains the credentials. */ -}}
{{- define "guardstream.kafkaVariables" -}}
- name: GUARDSTREAM_CONFIG
  value: /etc/guardstream/settings.yaml
{{- with .secret }}
- name: GUARDSTREAM_KAFKA__USERNAME
  valueFrom:
    secretKeyRef:
      name: {{ . | quote }}
      key: {{ $.root.Values.credentials.usernameKey | quote }}
- name: GUARDSTREAM_KAFKA__PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ . | quote }}
      key: {{ $.root.Values.credentials.passwordKey | quote }}
{{- end }}
# libraries look up home directory and user, which the image may not define
- name: HOME
  value: /tmp
- name: USER
  value: guardstream
{{- end -}}

{{- define "guardstream.modelVariables" -}}
- name: HF_HOME
  value: /cache/huggingface
- name: DO_NOT_TRACK
  value: "1"
{{- end -}}

{{- define "guardstream.hubToken" -}}
{{- with .Values.model.token }}
{{- if .existingSecret }}
- name: HF_TOKEN
  valueFrom:
    secretKeyRef:
      name: {{ .existingSecret | quote }}
      key: {{ .key | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "guardstream.kafkaMounts" -}}
- name: settings
  mountPath: /etc/guardstream/settings.yaml
  subPath: settings.yaml
  readOnly: true
{{- if .Values.tls.existingSecret }}
- name: tls
  mountPath: /etc/guardstream/tls
  readOnly: true
{{- end }}
- name: scratch
  mountPath: /tmp
{{- end -}}

{{- /* `settings` is the name of the ConfigMap. */ -}}
{{- define "guardstream.kafkaVolumes" -}}
- name: settings
  configMap:
    name: {{ .settings }}
{{- with .root.Values.tls.existingSecret }}
- name: tls
  secret:
    secretName: {{ . | quote }}
    defaultMode: 0440
{{- end }}
- name: scratch
  emptyDir:
    sizeLimit: {{ .root.Values.scratch.sizeLimit }}
{{- end -}}

{{- define "guardstream.modelMounts" -}}
- name: cache
  mountPath: /cache
{{- if .Values.model.image.reference }}
- name: model
  mountPath: {{ .Values.model.image.mountPath }}
  readOnly: true
{{- end }}
{{- end -}}

{{- define "guardstream.cacheClaim" -}}
{{- .Values.model.cache.existingClaim | default (printf "%s-model-cache" (include "guardstream.fullname" .)) -}}
{{- end -}}

{{- /* Whether each worker has its own claim. */ -}}
{{- define "guardstream.claimTemplate" -}}
{{- $cache := .Values.model.cache -}}
{{- if and $cache.enabled (eq .Values.workload.kind "StatefulSet") (not $cache.existingClaim) -}}
yes
{{- end -}}
{{- end -}}

{{- define "guardstream.modelVolumes" -}}
{{- if not (include "guardstream.claimTemplate" .) -}}
- name: cache
{{- if .Values.model.cache.enabled }}
  persistentVolumeClaim:
    claimName: {{ include "guardstream.cacheClaim" . }}
{{- else }}
  emptyDir:
    sizeLimit: {{ .Values.model.cache.size }}
{{- end }}
{{- end }}
{{- with .Values.model.image }}
{{- if .reference }}
- name: model
  image:
    reference: {{ .reference | quote }}
    pullPolicy: {{ .pullPolicy }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "guardstream.claimSpec" -}}
{{- with .Values.model.cache -}}
accessModes:
  {{- toYaml .accessModes | nindent 2 }}
{{- with .storageClass }}
storageClassName: {{ . }}
{{- end }}
resources:
  requests:
    storage: {{ .size }}
{{- end -}}
{{- end -}}

{{- define "guardstream.probe" -}}
httpGet:
  path: {{ .path }}
  port: health
periodSeconds: {{ .probe.periodSeconds }}
timeoutSeconds: {{ .probe.timeoutSeconds }}
failureThreshold: {{ .failureThreshold | default .probe.failureThreshold }}
{{- end -}}

{{- define "guardstream.podTemplate" -}}
{{- $settings := fromYaml (include "guardstream.settings" .) -}}
{{- $startup := .Values.probes.startup -}}
{{- $loadingSeconds := mul $startup.periodSeconds $startup.failureThreshold -}}
metadata:
  labels:
    {{- include "guardstream.podLabels" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    kubectl.kubernetes.io/default-container: worker
    # a pod reads its settings once: changed settings roll the pods
    checksum/config: {{ include "guardstream.config" . | sha256sum }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- include "guardstream.podBasics" (dict "root" . "serviceAccount" (include "guardstream.serviceAccountName" .)) | nindent 2 }}
  {{- with include "guardstream.placement" . }}
  {{- . | nindent 2 }}
  {{- end }}
  terminationGracePeriodSeconds: {{ include "guardstream.gracePeriod" . }}
  {{- $affinity := dict }}
  {{- range $kind, $rules := .Values.scheduling.affinity }}
  {{- if $rules }}{{ $_ := set $affinity $kind $rules }}{{ end }}
  {{- end }}
  {{- with $affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.scheduling.topologySpread }}
  topologySpreadConstraints:
    {{- range . }}
    - maxSkew: {{ .maxSkew | default 1 }}
      topologyKey: {{ .topologyKey | default "kubernetes.io/hostname" }}
      whenUnsatisfiable: {{ .whenUnsatisfiable | default "ScheduleAnyway" }}
      labelSelector:
        matchLabels:
          {{- include "guardstream.selectorLabels" $ | nindent 10 }}
    {{- end }}
  {{- end }}
  {{- if include "guardstream.prepulls" . }}
  initContainers:
    - name: model
      image: {{ include "guardstream.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      command: [hf, download]
      args:
        - {{ $settings.engine.model | quote }}
        {{- with $settings.engine.revision }}
        - {{ printf "--revision=%s" . | quote }}
        {{- end }}
        {{- range .Values.model.prepull.exclude }}
        - {{ printf "--exclude=%s" . | quote }}
        {{- end }}
        - --quiet
      env:
        - name: HOME
          value: /tmp
        {{- include "guardstream.modelVariables" . | nindent 8 }}
        {{- with include "guardstream.hubToken" . | trim }}
        {{- . | nindent 8 }}
        {{- end }}
        {{- range .Values.extraEnv }}
        {{- list . | toYaml | nindent 8 }}
        {{- end }}
      securityContext:
        {{- include "guardstream.securityContext" . | nindent 8 }}
      resources:
        requests:
          cpu: 500m
          memory: 1Gi
        limits:
          memory: 4Gi
      terminationMessagePolicy: FallbackToLogsOnError
      volumeMounts:
        - name: cache
          mountPath: /cache
        - name: scratch
          mountPath: /tmp
  {{- end }}
  containers:
    - name: worker
      image: {{ include "guardstream.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      command: [guardstream]
      args: [run]
      env:
        {{- include "guardstream.kafkaVariables" (dict "root" . "secret" .Values.credentials.existingSecret) | nindent 8 }}
        {{- if .Values.workload.staticMembership }}
        - name: POD_NAMESPACE
          valueFrom:
            fieldRef:
              fieldPath: metadata.namespace
        - name: POD_NAME
          valueFrom:
            fieldRef:
              fieldPath: metadata.name
        {{- /* Kubernetes expands $(...): pods of other releases and namespaces may share the group. */}}
        - name: GUARDSTREAM_INPUT__GROUP_INSTANCE_ID
          value: $(POD_NAMESPACE).{{ .Release.Name }}.$(POD_NAME)
        {{- end }}
        {{- include "guardstream.modelVariables" . | nindent 8 }}
        {{- if or .Values.model.offline (include "guardstream.prepulls" .) }}
        - name: HF_HUB_OFFLINE
          value: "1"
        {{- else }}
        {{- with include "guardstream.hubToken" . | trim }}
        {{- . | nindent 8 }}
        {{- end }}
        {{- end }}
        # compiled kernels: cached for one writer; concurrent writers would corrupt them
        {{- $compiled := "/cache" }}
        {{- if or .Values.model.cache.existingClaim (has "ReadWriteMany" .Values.model.cache.accessModes) }}
        {{- $compiled = "/tmp/cache" }}
        {{- end }}
        - name: XDG_CACHE_HOME
          value: {{ $compiled }}/xdg
        - name: XDG_CONFIG_HOME
          value: /tmp/config
        - name: VLLM_CACHE_ROOT
          value: {{ $compiled }}/vllm
        - name: TRITON_CACHE_DIR
          value: {{ $compiled }}/triton
        - name: TORCHINDUCTOR_CACHE_DIR
          value: {{ $compiled }}/inductor
        - name: FLASHINFER_WORKSPACE_BASE
          value: {{ $compiled }}/flashinfer
        - name: CUDA_CACHE_PATH
          value: {{ $compiled }}/cuda
        {{- range .Values.extraEnv }}
        {{- list . | toYaml | nindent 8 }}
        {{- end }}
      ports:
        - name: health
          containerPort: {{ $settings.health.port | int }}
      startupProbe:
        {{- include "guardstream.probe" (dict "path" "/startupz" "probe" $startup) | nindent 8 }}
      readinessProbe:
        {{- include "guardstream.probe" (dict "path" "/readyz" "probe" .Values.probes.readiness) | nindent 8 }}
      livenessProbe:
        {{- $liveness := .Values.probes.liveness }}
        {{- $failureThreshold := $liveness.failureThreshold }}
        {{- if eq $settings.engine.on_death "restart" }}
        # the event loop is blocked while the model is reloaded
        {{- $failureThreshold = max $failureThreshold (ceil (divf $loadingSeconds $liveness.periodSeconds) | int) }}
        {{- end }}
        {{- include "guardstream.probe" (dict "path" "/livez" "probe" $liveness "failureThreshold" $failureThreshold) | nindent 8 }}
      resources:
        requests:
          {{- toYaml .Values.resources.requests | nindent 10 }}
        limits:
          {{- with .Values.resources.limits }}
          {{- toYaml . | nindent 10 }}
          {{- end }}
          {{- if .Values.gpu.count }}
          {{ .Values.gpu.resourceName }}: {{ .Values.gpu.count }}
          {{- end }}
      securityContext:
        {{- include "guardstream.securityContext" . | nindent 8 }}
      # the last log lines contain the reason of an exit
      terminationMessagePolicy: FallbackToLogsOnError
      volumeMounts:
        {{- include "guardstream.kafkaMounts" . | nindent 8 }}
        {{- include "guardstream.modelMounts" . | nindent 8 }}
        - name: shared-memory
          mountPath: /dev/shm
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    {{- include "guardstream.kafkaVolumes" (dict "root" . "settings" (include "guardstream.fullname" .)) | nindent 4 }}
    {{- with include "guardstream.modelVolumes" . | trim }}
    {{- . | nindent 4 }}
    {{- end }}
    - name: shared-memory
      emptyDir:
        medium: Memory
        sizeLimit: {{ .Values.sharedMemory.sizeLimit }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{- /* The file for --config: the given settings, and the paths of mounted certificates.
       As JSON, which is YAML: helm's own YAML leaves some texts plain that Python's takes for
       something else ("="). */ -}}
{{- define "guardstream.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- $tls := .Values.tls -}}
{{- if $tls.existingSecret -}}
{{- $files := dict -}}
{{- range $setting, $key := dict "ca_file" $tls.caKey "certificate_file" $tls.certificateKey "key_file" $tls.privateKeyKey -}}
{{- if $key -}}
{{- $_ := set $files $setting (printf "/etc/guardstream/tls/%s" $key) -}}
{{- end -}}
{{- end -}}
{{- $_ := set $config "kafka" (mergeOverwrite (deepCopy ($config.kafka | default dict)) $files) -}}
{{- end -}}
{{- toPrettyJson $config -}}
{{- end -}}

{{- /* The same with the worker's defaults, for calculations in the chart. */ -}}
{{- define "guardstream.settings" -}}
{{- $defaults := fromYaml (.Files.Get "files/default-settings.yaml") -}}
{{- mergeOverwrite $defaults (fromYaml (include "guardstream.config" .)) | toYaml -}}
{{- end -}}

{{- define "guardstream.gracePeriod" -}}
{{- $settings := fromYaml (include "guardstream.settings" .) -}}
{{- add (ceil $settings.shutdown.drain_seconds | int) .Values.shutdown.marginSeconds -}}
{{- end -}}

{{- /* The maximum number of workers that are not idle, or empty if unknown. */ -}}
{{- define "guardstream.mostWorkers" -}}
{{- if .Values.inputPartitions -}}
{{- $settings := fromYaml (include "guardstream.settings" .) -}}
{{- mul .Values.inputPartitions (len $settings.input.topics) -}}
{{- end -}}
{{- end -}}

{{- define "guardstream.maxReplicas" -}}
{{- .Values.autoscaling.maxReplicas | default (include "guardstream.mostWorkers" .) | int -}}
{{- end -}}

{{- /* Whether the model is a name on Hugging Face. */ -}}
{{- define "guardstream.fromHub" -}}
{{- $engine := (fromYaml (include "guardstream.settings" .)).engine -}}
{{- if and (eq $engine.kind "vllm") (ne $engine.model "demonstration") (not (hasPrefix "/" $engine.model)) -}}
yes
{{- end -}}
{{- end -}}

{{- define "guardstream.prepulls" -}}
{{- if and .Values.model.prepull.enabled (not .Values.model.offline) (include "guardstream.fromHub" .) -}}
yes
{{- end -}}
{{- end -}}

{{- /* Number of GPUs that the engine requires. */ -}}
{{- define "guardstream.engineDevices" -}}
{{- $extra := (fromYaml (include "guardstream.settings" .)).engine.extra -}}
{{- $devices := 1 -}}
{{- range list "tensor_parallel_size" "pipeline_parallel_size" "data_parallel_size" -}}
{{- $devices = mul $devices (index $extra . | default 1) -}}
{{- end -}}
{{- $devices -}}
{{- end -}}

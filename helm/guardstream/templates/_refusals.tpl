{{- /* Checks that the schema cannot express: values that are valid alone but conflict. */ -}}
{{- define "guardstream.refuse" -}}
{{- $values := .Values -}}
{{- $settings := fromYaml (include "guardstream.settings" .) -}}
{{- $most := include "guardstream.mostWorkers" . | int -}}
{{- $scaled := $values.autoscaling.enabled -}}
{{- $given := $values.config.kafka | default dict -}}

{{- range $path := (fromYaml (.Files.Get "files/secret-settings.yaml")).paths -}}
{{- $found := $values.config -}}
{{- range $path -}}
{{- $found = get ($found | default dict) . -}}
{{- end -}}
{{- if $found -}}
{{- fail (printf "config.%s would be readable in a ConfigMap: put it into a Secret, and set credentials.existingSecret or mount it with extraVolumes" (join "." $path)) -}}
{{- end -}}
{{- end -}}
{{- if (($values.config.input | default dict).group_instance_id) -}}
{{- fail "config.input.group_instance_id would be the same for every worker: use workload.kind StatefulSet and workload.staticMembership" -}}
{{- end -}}
{{- range $values.extraEnv -}}
{{- if and (hasPrefix "GUARDSTREAM_" .name) (not .valueFrom) -}}
{{- fail (printf "extraEnv %s: settings belong in config, where the chart validates them" .name) -}}
{{- end -}}
{{- end -}}
{{- if and $values.tls.existingSecret (or $given.ca_file $given.certificate_file $given.key_file) -}}
{{- fail "config.kafka.ca_file, certificate_file and key_file are set by tls.existingSecret: use one of them" -}}
{{- end -}}
{{- if ne (empty $values.tls.certificateKey) (empty $values.tls.privateKeyKey) -}}
{{- fail "tls.certificateKey and tls.privateKeyKey must be set together" -}}
{{- end -}}
{{- if and (hasPrefix "SASL" $settings.kafka.security_protocol) (ne $settings.kafka.sasl_mechanism "OAUTHBEARER") (not $values.credentials.existingSecret) -}}
{{- fail (printf "config.kafka.security_protocol %s needs credentials.existingSecret" $settings.kafka.security_protocol) -}}
{{- end -}}

{{- if not $settings.health.port -}}
{{- fail "config.health.port 0 disables the server that the probes need" -}}
{{- end -}}
{{- if has $settings.health.host (list "127.0.0.1" "localhost" "::1") -}}
{{- fail (printf "config.health.host %s cannot be reached by the probes; remove it" $settings.health.host) -}}
{{- end -}}

{{- if and $values.workload.staticMembership (ne $values.workload.kind "StatefulSet") -}}
{{- fail "workload.staticMembership needs workload.kind StatefulSet: pods of a Deployment have no stable names" -}}
{{- end -}}
{{- if and $scaled (not $most) -}}
{{- fail "autoscaling.enabled needs inputPartitions: workers beyond the number of partitions are idle" -}}
{{- end -}}
{{- if and $values.topics.create (not $most) -}}
{{- fail "topics.create needs inputPartitions" -}}
{{- end -}}
{{- if and $most (not $scaled) (gt (int $values.workload.replicas) $most) -}}
{{- fail (printf "workload.replicas is %d and there are %d partitions: the other workers would be idle" (int $values.workload.replicas) $most) -}}
{{- end -}}
{{- if $scaled -}}
{{- if gt (include "guardstream.maxReplicas" . | int) $most -}}
{{- fail (printf "autoscaling.maxReplicas is %d and there are %d partitions: the other workers would be idle" (int $values.autoscaling.maxReplicas) $most) -}}
{{- end -}}
{{- if gt (int $values.autoscaling.minReplicas) (include "guardstream.maxReplicas" . | int) -}}
{{- fail (printf "autoscaling.minReplicas %d is more than the maximum, %s" (int $values.autoscaling.minReplicas) (include "guardstream.maxReplicas" .)) -}}
{{- end -}}
{{- if not (or $values.autoscaling.lag.enabled $values.autoscaling.work.enabled) -}}
{{- fail "autoscaling.enabled needs autoscaling.lag.enabled or autoscaling.work.enabled" -}}
{{- end -}}
{{- if and $values.autoscaling.work.enabled (not $values.autoscaling.work.prometheusUrl) -}}
{{- fail "autoscaling.work.enabled needs autoscaling.work.prometheusUrl" -}}
{{- end -}}
{{- end -}}
{{- if and $values.topics.create (gt (int $values.topics.minInsyncReplicas) (int $values.topics.replicas)) -}}
{{- fail (printf "topics.minInsyncReplicas %d is more than topics.replicas, %d" (int $values.topics.minInsyncReplicas) (int $values.topics.replicas)) -}}
{{- end -}}

{{- $cache := $values.model.cache -}}
{{- $several := gt (ternary (include "guardstream.maxReplicas" . | int) (int $values.workload.replicas) $scaled) 1 -}}
{{- if and $several $cache.enabled (eq $values.workload.kind "Deployment") (not $cache.existingClaim) (not (has "ReadWriteMany" $cache.accessModes)) -}}
{{- fail "model.cache.accessModes: several workers of a Deployment share one claim, which needs ReadWriteMany; or use workload.kind StatefulSet, or model.cache.enabled false" -}}
{{- end -}}
{{- if and $values.model.offline (include "guardstream.fromHub" .) (not (and $cache.enabled $cache.existingClaim)) -}}
{{- fail (printf "model.offline: the model %s cannot be downloaded; set model.cache.existingClaim to a claim that contains it, or set config.engine.model to a folder of model.image" $settings.engine.model) -}}
{{- end -}}
{{- $mount := $values.model.image.mountPath -}}
{{- if and $values.model.image.reference (not (hasPrefix $mount $settings.engine.model)) -}}
{{- fail (printf "config.engine.model %s is not below model.image.mountPath, %s" $settings.engine.model $mount) -}}
{{- end -}}

{{- $devices := include "guardstream.engineDevices" . | int -}}
{{- if eq $settings.engine.kind "vllm" -}}
{{- if and (gt (int $values.gpu.count) 0) (ne (int $values.gpu.count) $devices) -}}
{{- fail (printf "gpu.count is %d and the sizes in config.engine.extra (tensor_parallel_size, ...) require %d" (int $values.gpu.count) $devices) -}}
{{- end -}}
{{- else if gt (int $values.gpu.count) 0 -}}
{{- fail "gpu.count: the simulated engine needs none; set it to 0" -}}
{{- end -}}
{{- end -}}

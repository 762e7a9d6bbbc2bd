{{- define "guardstream.kafkaEgress" -}}
{{- $settings := fromYaml (include "guardstream.settings" .) -}}
{{- $ports := list -}}
{{- range splitList "," $settings.kafka.bootstrap_servers -}}
{{- $ports = append $ports (regexFind "[0-9]+$" (trim .) | default "9092" | int) -}}
{{- end -}}
{{- range .Values.networkPolicy.kafkaPorts -}}
{{- $ports = append $ports (int .) -}}
{{- end -}}
# names
- ports:
    - port: 53
      protocol: UDP
    - port: 53
      protocol: TCP
# Kafka
- ports:
    {{- range uniq $ports }}
    - port: {{ . }}
      protocol: TCP
    {{- end }}
  {{- with .Values.networkPolicy.kafkaTo }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

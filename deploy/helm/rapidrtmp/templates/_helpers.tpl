{{- define "rapidrtmp.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "rapidrtmp.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "rapidrtmp.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "rapidrtmp.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "rapidrtmp.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "rapidrtmp.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- /* What all objects of a release have in common. */ -}}
{{- define "rapidrtmp.selector" -}}
app.kubernetes.io/name: {{ include "rapidrtmp.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "rapidrtmp.labels" -}}
{{ include "rapidrtmp.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- /* The Secret with keys, or nothing. */ -}}
{{- define "rapidrtmp.secret" -}}
{{- if .Values.secrets.existing -}}
{{- .Values.secrets.existing -}}
{{- else if .Values.secrets.values -}}
{{- include "rapidrtmp.fullname" . }}-keys
{{- end -}}
{{- end -}}

{{- /* The settings that the Secret has, as JSON: a list has no other way out of a template. */ -}}
{{- define "rapidrtmp.secretNames" -}}
{{- if .Values.secrets.existing -}}
{{- .Values.secrets.names | toJson -}}
{{- else -}}
{{- keys .Values.secrets.values | sortAlpha | toJson -}}
{{- end -}}
{{- end -}}

{{- /* The content of a ConfigMap, out of a dict of settings. A large number must not become 1e+06. */ -}}
{{- define "rapidrtmp.settings" -}}
{{- range $name, $value := . }}
{{ $name }}: {{ if kindIs "float64" $value }}{{ $value | int64 | quote }}{{ else }}{{ $value | toString | quote }}{{ end }}
{{- end }}
{{- end -}}

{{- /* The specification of a pod. Of a dict: root, component, data, preStopSeconds, drainSeconds,
resources, rtmps. */ -}}
{{- define "rapidrtmp.pod" -}}
{{- $values := .root.Values -}}
serviceAccountName: {{ include "rapidrtmp.serviceAccount" .root }}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: {{ add .preStopSeconds .drainSeconds 40 }}
{{- with $values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 1000
  runAsGroup: 1000
  fsGroup: 1000
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
containers:
  - name: rapidrtmp
    image: "{{ $values.image.repository }}:{{ default .root.Chart.AppVersion $values.image.tag }}"
    imagePullPolicy: {{ $values.image.pullPolicy }}
    envFrom:
      - configMapRef:
          name: {{ .name }}
    ports:
      - name: http
        containerPort: 8080
      - name: rtmp
        containerPort: 1935
      {{- if .rtmps }}
      - name: rtmps
        containerPort: 1936
      {{- end }}
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities:
        drop: [ALL]
    resources:
      {{- toYaml .resources | nindent 6 }}
    startupProbe:
      httpGet:
        path: /health
        port: http
      periodSeconds: 2
      timeoutSeconds: 3
      failureThreshold: 60
    livenessProbe:
      httpGet:
        path: /health
        port: http
      periodSeconds: 30
      timeoutSeconds: 3
    readinessProbe:
      httpGet:
        path: /ready
        port: http
      periodSeconds: 10
      timeoutSeconds: 3
    lifecycle:
      preStop:
        exec:
          command: [sleep, {{ .preStopSeconds | toString | quote }}]
    volumeMounts:
      - name: data
        mountPath: /app/data
      {{- if include "rapidrtmp.secret" .root }}
      - name: keys
        mountPath: /run/secrets/rapidrtmp
        readOnly: true
      {{- end }}
      {{- if .rtmps }}
      - name: tls
        mountPath: /run/secrets/tls
        readOnly: true
      {{- end }}
volumes:
  - name: data
    {{- toYaml .data | nindent 4 }}
  {{- with include "rapidrtmp.secret" .root }}
  - name: keys
    secret:
      secretName: {{ . }}
      defaultMode: 0440
  {{- end }}
  {{- if .rtmps }}
  - name: tls
    secret:
      secretName: {{ required "rtmps.enabled wants rtmps.secretName" $values.rtmps.secretName }}
      defaultMode: 0440
  {{- end }}
{{- range $name := list "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" }}
{{- with index $values $name }}
{{ $name }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}

{{- /* Rules for what a pod calls: DNS, and what is given. */ -}}
{{- define "rapidrtmp.egress" -}}
- ports:
    - protocol: UDP
      port: 53
    - protocol: TCP
      port: 53
{{- end -}}

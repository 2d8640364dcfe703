{{- define "forethought.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "forethought.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains (include "forethought.name" .) .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "forethought.name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "forethought.selector" -}}
app.kubernetes.io/name: {{ include "forethought.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "forethought.labels" -}}
{{ include "forethought.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "forethought.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "forethought.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- /* Shards are told apart by their number, which only a StatefulSet gives them. */ -}}
{{- define "forethought.kind" -}}
{{- if gt (int .Values.shards) 1 -}}StatefulSet{{- else -}}{{ .Values.kind }}{{- end -}}
{{- end -}}

{{- define "forethought.pods" -}}
{{- if gt (int .Values.shards) 1 -}}{{ int .Values.shards }}{{- else -}}{{ int .Values.replicas }}{{- end -}}
{{- end -}}

{{- define "forethought.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end -}}

{{- /* The pod of a Deployment and of a StatefulSet. */ -}}
{{- define "forethought.pod" -}}
metadata:
  labels:
    {{- include "forethought.selector" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .Values.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "forethought.serviceAccount" . }}
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    seccompProfile: {type: RuntimeDefault}
  containers:
    - name: forethought
      image: {{ include "forethought.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args:
        - run
        - --config.file=/etc/forethought/forethought.yml
        - --web.listen-address=0.0.0.0:{{ .Values.web.port }}
        - --replica=$(POD_NAME)
        {{- if gt (int .Values.shards) 1 }}
        - --shard=$(POD_INDEX)/{{ int .Values.shards }}
        {{- end }}
        - --log.format=json
        - --storage.path=/var/lib/forethought/history
        {{- with .Values.memoryLimit }}
        - --storage.memory-limit={{ . }}
        {{- end }}
        {{- if .Values.web.enableLifecycle }}
        - --web.enable-lifecycle
        {{- end }}
        {{- if .Values.web.enableAdminApi }}
        - --web.enable-admin-api
        {{- end }}
        {{- with .Values.web.externalUrl }}
        - --web.external-url={{ . }}
        # The path is for the proxy to take off: probes, scrapes and tests come without it.
        - --web.route-prefix=/
        {{- end }}
        {{- if .Values.grpc.enabled }}
        - --grpc.listen-address=0.0.0.0:{{ .Values.grpc.port }}
        {{- if .Values.grpc.tls.secretName }}
        - --grpc.config.file=/etc/forethought-grpc/tls.yml
        {{- end }}
        {{- end }}
        {{- if .Values.external.enabled }}
        - --external.listen-address=0.0.0.0:{{ .Values.external.port }}
        - --external.config.file=/etc/forethought-external/external.yml
        {{- end }}
        {{- range .Values.extraArgs }}
        - {{ . | quote }}
        {{- end }}
      env:
        - name: POD_NAME
          valueFrom: {fieldRef: {fieldPath: metadata.name}}
        {{- if gt (int .Values.shards) 1 }}
        - name: POD_INDEX
          valueFrom: {fieldRef: {fieldPath: "metadata.labels['apps.kubernetes.io/pod-index']"}}
        {{- end }}
        {{- with .Values.env }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with .Values.envFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - {name: web, containerPort: {{ .Values.web.port }}, protocol: TCP}
        {{- if .Values.grpc.enabled }}
        - {name: grpc, containerPort: {{ .Values.grpc.port }}, protocol: TCP}
        {{- end }}
        {{- if .Values.external.enabled }}
        - {name: external, containerPort: {{ .Values.external.port }}, protocol: TCP}
        {{- end }}
      livenessProbe:
        httpGet: {path: /-/healthy, port: web}
        initialDelaySeconds: 5
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        httpGet: {path: /-/ready, port: web}
        periodSeconds: 5
        timeoutSeconds: 3
      {{- with .Values.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        runAsNonRoot: true
        capabilities: {drop: [ALL]}
      volumeMounts:
        - {name: config, mountPath: /etc/forethought, readOnly: true}
        - {name: data, mountPath: /var/lib/forethought}
        - {name: tmp, mountPath: /tmp}
        {{- if and .Values.grpc.enabled .Values.grpc.tls.secretName }}
        - {name: grpc-config, mountPath: /etc/forethought-grpc, readOnly: true}
        - {name: grpc-certificates, mountPath: /etc/forethought-certificates, readOnly: true}
        {{- end }}
        {{- if .Values.external.enabled }}
        - {name: external-config, mountPath: /etc/forethought-external, readOnly: true}
        - {name: external-certificates, mountPath: /etc/forethought-external-certificates, readOnly: true}
        - {name: kubernetes, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
        {{- end }}
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: config
      configMap: {name: {{ default (include "forethought.fullname" .) .Values.existingConfigMap }}}
    {{- if not .Values.persistence.enabled }}
    - name: data
      emptyDir: {sizeLimit: 1Gi}
    {{- end }}
    - name: tmp
      emptyDir: {sizeLimit: 256Mi}
    {{- if and .Values.grpc.enabled .Values.grpc.tls.secretName }}
    - name: grpc-config
      configMap: {name: {{ include "forethought.fullname" . }}-grpc}
    - name: grpc-certificates
      secret: {secretName: {{ .Values.grpc.tls.secretName }}}
    {{- end }}
    {{- if .Values.external.enabled }}
    - name: external-config
      configMap: {name: {{ include "forethought.fullname" . }}-external}
    - name: external-certificates
      secret: {secretName: {{ .Values.external.tls.secretName }}}
    # What automountServiceAccountToken would mount, where it is needed alone.
    - name: kubernetes
      projected:
        sources:
          - serviceAccountToken: {path: token, expirationSeconds: 3607}
          - configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}]}
          - downwardAPI: {items: [{path: namespace, fieldRef: {fieldPath: metadata.namespace}}]}
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  affinity:
    {{- if .Values.affinity }}
    {{- toYaml .Values.affinity | nindent 4 }}
    {{- else }}
    podAntiAffinity:
      preferredDuringSchedulingIgnoredDuringExecution:
        - weight: 100
          podAffinityTerm:
            topologyKey: kubernetes.io/hostname
            labelSelector:
              matchLabels:
                {{- include "forethought.selector" . | nindent 16 }}
    {{- end }}
  {{- with .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

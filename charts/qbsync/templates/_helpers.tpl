{{- define "qbsync.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "qbsync.fullname" -}}
{{- $name := include "qbsync.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "qbsync.selectorLabels" -}}
app.kubernetes.io/name: {{ include "qbsync.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "qbsync.labels" -}}
{{ include "qbsync.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "qbsync.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "qbsync.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "qbsync.image" -}}
{{- with .Values.image }}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ default $.Chart.AppVersion .tag }}{{ end }}
{{- end }}
{{- end }}

{{- define "qbsync.encryptionSecret" -}}
{{- required "set encryption.existingSecret to the name of a Secret in the release's namespace that holds ENCRYPTION_MASTER_KEY; make one with: kubectl create secret generic qbsync-encryption --from-literal=ENCRYPTION_MASTER_KEY=\"$(openssl rand -base64 32)\"" .Values.encryption.existingSecret }}
{{- end }}

{{- /* What the operator does with watched objects, cluster-wide or in one namespace. */ -}}
{{- define "qbsync.rules" -}}
- apiGroups: [qbsync.dev]
  resources: [quickbooksconnections, invoicesyncs]
  # patch: finalizers, while a deletion has something to do in QuickBooks. Nobody's spec is ever written.
  verbs: [get, list, watch, patch]
- apiGroups: [qbsync.dev]
  resources: [quickbooksconnections/status, invoicesyncs/status]
  verbs: [get, patch]
# Client secrets and imports are read by name, token Secrets written: never listed, never watched.
# delete: authorization codes once they are used, and the tokens of a grant that was revoked.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create, update, patch, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
# Its labels, for connections with allowedNamespaces.from: Selector; and whether it is being deleted.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
{{- end }}

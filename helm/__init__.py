"""What makes and checks the chart in `helm/guardstream`.

`values` says what can be set; `documents` makes the chart's values.yaml, its schema, its table and
its copies of other files from that. `program` gets helm, `rendering` asks it for manifests, and
`validation` holds these against Kubernetes' own schemas.
"""

"""Generator and checks of the chart in `helm/guardstream`.

`values` defines the values; `documents` generates values.yaml, its schema, its table and copies of
other files. `program` provides the helm binary, `rendering` renders manifests with it, and
`validation` checks them against Kubernetes' schemas.
"""

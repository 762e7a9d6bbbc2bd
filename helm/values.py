"""Every value of the chart, with its unit, default and description.

`values.yaml`, `values.schema.json` and the table in the chart's README are generated from these
models. Names follow Kubernetes' conventions; an unknown key is an error at every level. `config`
contains the worker's settings, with the schema of `worker.runtime.settings`.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Count = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]
Port = Annotated[int, Field(ge=1, le=65535)]
# what Kubernetes accepts: 500m, 2, 0.5, 16Gi
Quantity = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi)?$")]
Texts = dict[str, str]


class _Group(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        use_attribute_docstrings=True,
    )


class Image(_Group):
    """The worker's image. Build it from the Dockerfile, and push it to your registry."""

    repository: str = Field("guardstream", min_length=1)
    tag: str = ""
    """Defaults to the chart's appVersion."""
    tag_suffix: str = ""
    """Suffix for the appVersion: `-cpu` for the image without CUDA."""
    digest: str = Field("", pattern=r"^(sha256:[0-9a-f]{64})?$")
    """`sha256:...` pins the image and overrides the tag."""
    pull_policy: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"
    pull_secrets: list[str] = []
    """Names of image pull Secrets."""


class Workload(_Group):
    """The workload that runs the workers."""

    kind: Literal["Deployment", "StatefulSet"] = "Deployment"
    """A StatefulSet gives every worker a stable name and a separate model cache."""
    replicas: Natural = 1
    """Number of workers; ignored with `autoscaling.enabled`."""
    static_membership: bool = False
    """Each worker's `input.group_instance_id` is `NAMESPACE.RELEASE.POD`: a restart within
    `config.input.session_timeout_seconds` moves no partition. Needs a StatefulSet."""
    annotations: Texts = {}
    """Annotations of the Deployment or StatefulSet."""


class Credentials(_Group):
    """User and password for SASL, from an existing Secret."""

    existing_secret: str = ""
    username_key: str = "username"
    password_key: str = "password"  # noqa: S105 - the name of a key


class Tls(_Group):
    """Certificates from an existing Secret, mounted as files."""

    existing_secret: str = ""
    """If empty, the certificates trusted by the image are used."""
    ca_key: str = "ca.crt"
    """Key of the trusted CA certificates; empty for none."""
    certificate_key: str = ""
    """For mutual TLS: usually `tls.crt`."""
    private_key_key: str = ""
    """For mutual TLS: usually `tls.key`."""


class ModelCache(_Group):
    """Storage for models and compiled kernels."""

    enabled: bool = True
    """Use a persistent volume; without it every pod downloads the model again."""
    existing_claim: str = ""
    """An existing PersistentVolumeClaim, mounted at /cache. Hugging Face's cache is
    `/cache/huggingface`; `config.engine.model` can be a folder in the claim."""
    storage_class: str = ""
    """Defaults to the cluster's default storage class."""
    access_modes: list[Literal["ReadWriteOnce", "ReadWriteMany"]] = Field(
        ["ReadWriteOnce"], min_length=1
    )
    """A Deployment with more than one worker needs `ReadWriteMany`."""
    size: Quantity = "30Gi"
    keep: bool = True
    """Keep the claim when the release is deleted (claims of a StatefulSet are always kept)."""
    annotations: Texts = {}


class ModelImage(_Group):
    """An image with the model's files, mounted as a volume; requires Kubernetes' ImageVolume."""

    reference: str = ""
    """Image reference; `config.engine.model` must be a folder below `mountPath`."""
    pull_policy: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"
    mount_path: str = Field("/models", pattern=r"^/.+")


class Prepull(_Group):
    """An init container that downloads the model, so that loading does not need the network."""

    enabled: bool = True
    """Applies only if `config.engine.model` is a Hugging Face name."""
    exclude: list[str] = ["original/*", "*.pth", "*.gguf"]
    """Files that vLLM does not read."""


class HubToken(_Group):
    """Hugging Face token, for gated models."""

    existing_secret: str = ""
    key: str = "token"


class Model(_Group):
    """The source of the model that `config.engine` names."""

    offline: bool = False
    """Air-gapped mode: Hugging Face is never contacted (HF_HUB_OFFLINE). Provide the model in a
    claim or an image."""
    cache: ModelCache = ModelCache()
    image: ModelImage = ModelImage()
    prepull: Prepull = Prepull()
    token: HubToken = HubToken()


class Gpu(_Group):
    """GPUs of a worker."""

    count: Natural = 1
    """The product of the engine's parallel sizes; 0 for none."""
    resource_name: str = Field("nvidia.com/gpu", min_length=1)
    """Resource name; for a MIG slice `nvidia.com/mig-3g.40gb`, for example."""


class Resources(_Group):
    """Of the worker's container, except the GPU. Cores feed the engine; memory holds queues."""

    requests: dict[str, str | int | float] = {"cpu": "2", "memory": "12Gi"}
    limits: dict[str, str | int | float] = {"memory": "24Gi"}


class SizeLimit(_Group):
    """The size limit of a volume."""

    size_limit: Quantity


class Toleration(_Group):
    """A toleration, as in Kubernetes."""

    key: str = ""
    operator: Literal["Exists", "Equal"] = "Equal"
    value: str = ""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""
    toleration_seconds: int | None = None


class Affinity(_Group):
    """As in Kubernetes."""

    node_affinity: dict[str, Any] = {}
    pod_affinity: dict[str, Any] = {}
    pod_anti_affinity: dict[str, Any] = {}


class TopologySpread(_Group):
    """A constraint, as in Kubernetes; the chart adds the label selector."""

    max_skew: Count = 1
    topology_key: str = "kubernetes.io/hostname"
    when_unsatisfiable: Literal["ScheduleAnyway", "DoNotSchedule"] = "ScheduleAnyway"


class Scheduling(_Group):
    """Scheduling constraints of the pods."""

    runtime_class_name: str = ""
    """`nvidia` if it is not the node's default runtime."""
    priority_class_name: str = ""
    node_selector: Texts = {}
    tolerations: list[Toleration] = []
    affinity: Affinity = Affinity()
    topology_spread: list[TopologySpread] = [TopologySpread()]


class Probe(_Group):
    """Timing of a probe."""

    period_seconds: Count
    timeout_seconds: Count
    failure_threshold: Count


class Probes(_Group):
    """Probes on `config.health.port`."""

    startup: Probe = Probe(period_seconds=10, timeout_seconds=5, failure_threshold=120)
    """Allows 20 minutes for loading the model."""
    readiness: Probe = Probe(period_seconds=10, timeout_seconds=5, failure_threshold=3)
    liveness: Probe = Probe(period_seconds=10, timeout_seconds=5, failure_threshold=6)
    """With `config.engine.on_death: restart`, the failure threshold covers the time of `startup`,
    because the worker reloads the model."""


class Shutdown(_Group):
    """Pod termination.

    `terminationGracePeriodSeconds` is `config.shutdown.drain_seconds`, rounded up, plus the margin.
    """

    margin_seconds: Annotated[int, Field(ge=40)] = 45
    """Settling and leaving the group takes up to 30 s if brokers are down; freeing the GPU takes
    longer."""


class SecurityContext(_Group):
    """User and group of the worker.

    The rest is fixed: not root, no capabilities, no privilege escalation, read-only root,
    RuntimeDefault seccomp.
    """

    run_as_user: Natural | None = 2000
    """The image's user; null if the platform assigns it (OpenShift)."""
    run_as_group: Natural | None = 0
    fs_group: Natural | None = 2000
    """Group that owns the volumes; null if the platform assigns it."""


class ServiceAccount(_Group):
    """The worker does not use the Kubernetes API: no token is mounted."""

    create: bool = True
    name: str = ""
    """Defaults to the name of the release."""
    annotations: Texts = {}


class PodDisruptionBudget(_Group):
    """Limits voluntary disruptions, such as node maintenance."""

    enabled: bool = False
    max_unavailable: Count = 1


class NetworkPeer(_Group):
    """A peer, as in Kubernetes."""

    pod_selector: dict[str, Any] | None = None
    namespace_selector: dict[str, Any] | None = None
    ip_block: dict[str, Any] | None = None


class NetworkPolicy(_Group):
    """Ingress: the health port. Egress: DNS, Kafka, Hugging Face unless offline, the collector."""

    enabled: bool = False
    metrics_from: list[NetworkPeer] = []
    """Peers that may reach the health port; all if empty. The kubelet is always allowed."""
    kafka_to: list[NetworkPeer] = []
    """Peers of the brokers; all if empty."""
    kafka_ports: list[Port] = []
    """Advertised ports of brokers, in addition to those of `config.kafka.bootstrap_servers`."""
    hub_ports: list[Port] = [443]
    """Ports for model downloads."""
    extra_egress: list[dict[str, Any]] = []
    """Additional egress rules, as in Kubernetes."""


class PodMonitor(_Group):
    """For the Prometheus operator."""

    enabled: bool = False
    labels: Texts = {}
    """Labels that your Prometheus selects by."""
    interval: str = Field("15s", pattern=r"^[0-9]+(ms|s|m)$")


class PrometheusRule(_Group):
    """Recording rules and alerts; enable them in one release of a cluster."""

    enabled: bool = False
    labels: Texts = {}
    """Labels that your Prometheus selects by."""


class Dashboard(_Group):
    """A ConfigMap for Grafana's sidecar; enable it in one release of a cluster."""

    enabled: bool = False
    labels: Texts = {"grafana_dashboard": "1"}
    annotations: Texts = {}


class Monitoring(_Group):
    """Monitoring of the workers."""

    docs_url: str = Field("docs/operations.md", pattern=r"^[^\s\"'#]+$")
    """URL of your copy of docs/operations.md, for links in alerts and dashboard."""
    pod_monitor: PodMonitor = PodMonitor()
    prometheus_rule: PrometheusRule = PrometheusRule()
    dashboard: Dashboard = Dashboard()


class Topics(_Group):
    """A Job that creates missing topics before install and upgrade.

    It runs `guardstream topics`, and does not change existing topics.
    """

    create: bool = False
    """Requires `inputPartitions`."""
    existing_secret: str = ""
    """Secret with credentials that may create topics, with the keys of `credentials`; defaults to
    the worker's credentials."""
    output_partitions: Count | None = None
    """Defaults to the number of input partitions."""
    replicas: Count = 3
    min_insync_replicas: Count = 2
    """A value below 2 can lose acknowledged records."""
    retention_hours: Count = 168
    """Retention of input and verdicts; must exceed the worst backlog."""
    dead_letter_retention_hours: Count = 720


class LagTrigger(_Group):
    """Scaling on consumer lag, queried from Kafka."""

    enabled: bool = True
    records_per_worker: Count = 5000
    """Records that one worker judges in the time allowed for a backlog."""
    kafka_version: str = Field("2.5.0", pattern=r"^[0-9]+\.[0-9]+\.[0-9]+$")
    """Protocol version for KEDA; its default is too old for Kafka 4."""


class WorkTrigger(_Group):
    """Scaling on prompts in flight and backlog in Prometheus; requires the recording rules."""

    enabled: bool = False
    prometheus_url: str = ""
    prompts_per_worker: Count | None = None
    """Target for prompts at a worker's engine; defaults to a quarter of
    `config.engine.max_num_seqs`."""
    backlog_seconds: Count = 60
    """Time to clear a backlog: your objective for the age of verdicts."""


class ScaleUp(_Group):
    """Fast, but a worker takes minutes to load."""

    workers: Count = 4
    """Maximum number of workers added per period."""
    period_seconds: Annotated[int, Field(ge=1, le=1800)] = 15
    stabilization_seconds: Annotated[int, Field(ge=0, le=3600)] = 60
    """Prevents a scale-up caused by a rebalance, which briefly fills the engines."""


class ScaleDown(_Group):
    """Slow: every removed worker drains first, and moves partitions."""

    workers: Count = 1
    """Maximum number of workers removed per period."""
    period_seconds: Annotated[int, Field(ge=1, le=1800)] = 120
    """Must be at least the grace period."""
    stabilization_seconds: Annotated[int, Field(ge=0, le=3600)] = 600


class Autoscaling(_Group):
    """Autoscaling with KEDA. Requires `inputPartitions`: workers beyond that number are idle."""

    enabled: bool = False
    min_replicas: Count = 1
    max_replicas: Count | None = None
    """Defaults to the number of partitions, and cannot exceed it."""
    polling_seconds: Count = 30
    lag: LagTrigger = LagTrigger()
    work: WorkTrigger = WorkTrigger()
    scale_up: ScaleUp = ScaleUp()
    scale_down: ScaleDown = ScaleDown()


class Variable(_Group):
    """An environment variable, as in Kubernetes."""

    name: str = Field(min_length=1)
    value: str | None = None
    value_from: dict[str, Any] | None = None


class VolumeMount(_Group):
    """A volume mount, as in Kubernetes."""

    name: str
    mount_path: str
    sub_path: str = ""
    read_only: bool = True


class Values(_Group):
    """Values of the chart."""

    name_override: str = ""
    fullname_override: str = ""
    global_: dict[str, Any] = Field({}, alias="global", description="Global values of Helm.")
    image: Image = Image()
    workload: Workload = Workload()
    config: dict[str, Any] = {}
    """The worker's settings; the project's README lists all of them. Validated against
    `worker/runtime/settings`. Do not put passwords here."""
    input_partitions: Count | None = None
    """Number of partitions of each input topic."""
    credentials: Credentials = Credentials()
    tls: Tls = Tls()
    model: Model = Model()
    gpu: Gpu = Gpu()
    resources: Resources = Resources()
    shared_memory: SizeLimit = SizeLimit(size_limit="2Gi")
    """Volume of /dev/shm, used by the engine's processes; counts as memory of the pod."""
    scratch: SizeLimit = SizeLimit(size_limit="8Gi")
    """Volume of /tmp; also holds compiled kernels if several workers share a model cache."""
    scheduling: Scheduling = Scheduling()
    probes: Probes = Probes()
    shutdown: Shutdown = Shutdown()
    security_context: SecurityContext = SecurityContext()
    service_account: ServiceAccount = ServiceAccount()
    pod_annotations: Texts = {}
    pod_labels: Texts = {}
    extra_env: list[Variable] = []
    """Other environment variables (`HTTPS_PROXY`, `NCCL_DEBUG`); settings belong in `config`."""
    extra_volumes: list[dict[str, Any]] = []
    """Volumes of workers and Jobs, as in Kubernetes: for more files that `config` refers to."""
    extra_volume_mounts: list[VolumeMount] = []
    pod_disruption_budget: PodDisruptionBudget = PodDisruptionBudget()
    network_policy: NetworkPolicy = NetworkPolicy()
    monitoring: Monitoring = Monitoring()
    topics: Topics = Topics()
    autoscaling: Autoscaling = Autoscaling()

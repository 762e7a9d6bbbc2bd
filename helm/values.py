"""Every value of the chart: its unit, its default, its reason.

From these models come the chart's `values.yaml`, `values.schema.json` and the table in its README.
Names are written as Kubernetes writes them; an unknown key is an error at every level. `config` is
the worker's own settings, and takes its schema from `worker.runtime.settings`.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Count = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]
Port = Annotated[int, Field(ge=1, le=65535)]
# what Kubernetes takes: 500m, 2, 0.5, 16Gi
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
    """The worker's image. Build it from the Dockerfile, and push it where the cluster can pull."""

    repository: str = Field("guardstream", min_length=1)
    tag: str = ""
    """The chart's appVersion when empty."""
    tag_suffix: str = ""
    """Added to the appVersion: `-cpu` for the image without CUDA."""
    digest: str = Field("", pattern=r"^(sha256:[0-9a-f]{64})?$")
    """`sha256:...` pins the image; wins over the tag."""
    pull_policy: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"
    pull_secrets: list[str] = []
    """Names of Secrets."""


class Workload(_Group):
    """How workers run."""

    kind: Literal["Deployment", "StatefulSet"] = "Deployment"
    """A StatefulSet gives every worker a name and a model cache of its own."""
    replicas: Natural = 1
    """Workers; not used with `autoscaling.enabled`."""
    static_membership: bool = False
    """Each worker's `input.group_instance_id` is `NAMESPACE.RELEASE.POD`: a restart within
    `config.input.session_timeout_seconds` moves no partition. Needs a StatefulSet."""
    annotations: Texts = {}
    """Of the Deployment or StatefulSet."""


class Credentials(_Group):
    """User and password for SASL, from a Secret that is there already."""

    existing_secret: str = ""
    username_key: str = "username"
    password_key: str = "password"  # noqa: S105 - the name of a key


class Tls(_Group):
    """Certificates, from a Secret that is there already; mounted as files."""

    existing_secret: str = ""
    """Without one, the certificates that the image trusts count."""
    ca_key: str = "ca.crt"
    """Key of the certificates to trust; empty for none."""
    certificate_key: str = ""
    """For mutual TLS: usually `tls.crt`."""
    private_key_key: str = ""
    """For mutual TLS: usually `tls.key`."""


class ModelCache(_Group):
    """Where models and compiled kernels are kept."""

    enabled: bool = True
    """A volume; without it every pod downloads the model again."""
    existing_claim: str = ""
    """A PersistentVolumeClaim of yours, mounted at /cache: Hugging Face's cache is
    `/cache/huggingface`, and a folder of it can be `config.engine.model`."""
    storage_class: str = ""
    """The cluster's default when empty."""
    access_modes: list[Literal["ReadWriteOnce", "ReadWriteMany"]] = Field(
        ["ReadWriteOnce"], min_length=1
    )
    """More than one worker of a Deployment needs `ReadWriteMany`."""
    size: Quantity = "30Gi"
    keep: bool = True
    """Not deleted with the release (Deployment; claims of a StatefulSet always stay)."""
    annotations: Texts = {}


class ModelImage(_Group):
    """A model's files in an image, mounted as a volume; needs Kubernetes' ImageVolume."""

    reference: str = ""
    """`config.engine.model` is then a folder below `mountPath`."""
    pull_policy: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"
    mount_path: str = Field("/models", pattern=r"^/.+")


class Prepull(_Group):
    """An init container that downloads the model, so that loading it needs no network."""

    enabled: bool = True
    """Only where `config.engine.model` is a name on Hugging Face."""
    exclude: list[str] = ["original/*", "*.pth", "*.gguf"]
    """Files that vLLM does not read."""


class HubToken(_Group):
    """For models that need a login at Hugging Face."""

    existing_secret: str = ""
    key: str = "token"


class Model(_Group):
    """Where the model comes from. Which one is said in `config.engine`."""

    offline: bool = False
    """Air-gapped: Hugging Face is never asked (HF_HUB_OFFLINE); bring the model in a claim or an
    image."""
    cache: ModelCache = ModelCache()
    image: ModelImage = ModelImage()
    prepull: Prepull = Prepull()
    token: HubToken = HubToken()


class Gpu(_Group):
    """What a worker computes on."""

    count: Natural = 1
    """As many as the engine's parallel sizes multiply to; 0 for none."""
    resource_name: str = Field("nvidia.com/gpu", min_length=1)
    """`nvidia.com/mig-3g.40gb` for a slice."""


class Resources(_Group):
    """Of the worker's container, beside the GPU. The cores feed the engine; memory holds queues."""

    requests: dict[str, str | int | float] = {"cpu": "2", "memory": "12Gi"}
    limits: dict[str, str | int | float] = {"memory": "24Gi"}


class SizeLimit(_Group):
    """A bound of a volume."""

    size_limit: Quantity


class Toleration(_Group):
    """A toleration, as Kubernetes has it."""

    key: str = ""
    operator: Literal["Exists", "Equal"] = "Equal"
    value: str = ""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""
    toleration_seconds: int | None = None


class Affinity(_Group):
    """As Kubernetes has it."""

    node_affinity: dict[str, Any] = {}
    pod_affinity: dict[str, Any] = {}
    pod_anti_affinity: dict[str, Any] = {}


class TopologySpread(_Group):
    """A constraint, as Kubernetes has it; the chart adds the label selector."""

    max_skew: Count = 1
    topology_key: str = "kubernetes.io/hostname"
    when_unsatisfiable: Literal["ScheduleAnyway", "DoNotSchedule"] = "ScheduleAnyway"


class Scheduling(_Group):
    """Where pods may run."""

    runtime_class_name: str = ""
    """`nvidia` where that is not the node's default runtime."""
    priority_class_name: str = ""
    node_selector: Texts = {}
    tolerations: list[Toleration] = []
    affinity: Affinity = Affinity()
    topology_spread: list[TopologySpread] = [TopologySpread()]


class Probe(_Group):
    """How patient the kubelet is."""

    period_seconds: Count
    timeout_seconds: Count
    failure_threshold: Count


class Probes(_Group):
    """On `config.health.port`."""

    startup: Probe = Probe(period_seconds=10, timeout_seconds=5, failure_threshold=120)
    """Loading a model takes minutes: 20 of them."""
    readiness: Probe = Probe(period_seconds=10, timeout_seconds=5, failure_threshold=3)
    liveness: Probe = Probe(period_seconds=10, timeout_seconds=5, failure_threshold=6)
    """With `config.engine.on_death: restart` it is as patient as `startup`, since the model is
    loaded anew in place."""


class Shutdown(_Group):
    """How a pod ends.

    `terminationGracePeriodSeconds` is `config.shutdown.drain_seconds`, rounded up, and the margin.
    """

    margin_seconds: Annotated[int, Field(ge=40)] = 45
    """Settling and leaving Kafka takes up to 30 s when brokers are away, freeing the GPU some
    more."""


class SecurityContext(_Group):
    """Who the worker runs as.

    The rest is fixed: not root, no capabilities, no privilege escalation, read-only root,
    RuntimeDefault seccomp.
    """

    run_as_user: Natural | None = 2000
    """The image's user; null where the platform chooses (OpenShift)."""
    run_as_group: Natural | None = 0
    fs_group: Natural | None = 2000
    """Owns the volumes; null where the platform chooses."""


class ServiceAccount(_Group):
    """The worker never talks to Kubernetes: no token is mounted."""

    create: bool = True
    name: str = ""
    """The release's when empty."""
    annotations: Texts = {}


class PodDisruptionBudget(_Group):
    """How many workers may be away for a node's maintenance."""

    enabled: bool = False
    max_unavailable: Count = 1


class NetworkPeer(_Group):
    """A peer, as Kubernetes has it."""

    pod_selector: dict[str, Any] | None = None
    namespace_selector: dict[str, Any] | None = None
    ip_block: dict[str, Any] | None = None


class NetworkPolicy(_Group):
    """In: the health port. Out: DNS, Kafka, Hugging Face unless offline, the collector."""

    enabled: bool = False
    metrics_from: list[NetworkPeer] = []
    """Who may reach the health port; anybody when empty. The kubelet always may."""
    kafka_to: list[NetworkPeer] = []
    """Where brokers are; anywhere when empty."""
    kafka_ports: list[Port] = []
    """Ports that brokers advertise, beside those of `config.kafka.bootstrap_servers`."""
    hub_ports: list[Port] = [443]
    """For downloads of models."""
    extra_egress: list[dict[str, Any]] = []
    """More rules, as Kubernetes has them."""


class PodMonitor(_Group):
    """For the Prometheus operator."""

    enabled: bool = False
    labels: Texts = {}
    """What your Prometheus selects by."""
    interval: str = Field("15s", pattern=r"^[0-9]+(ms|s|m)$")


class PrometheusRule(_Group):
    """Recording rules and alerts; enable them in one release of a cluster."""

    enabled: bool = False
    labels: Texts = {}
    """What your Prometheus selects by."""


class Dashboard(_Group):
    """A ConfigMap for Grafana's sidecar; enable it in one release of a cluster."""

    enabled: bool = False
    labels: Texts = {"grafana_dashboard": "1"}
    annotations: Texts = {}


class Monitoring(_Group):
    """What watches the workers."""

    docs_url: str = Field("docs/operations.md", pattern=r"^[^\s\"'#]+$")
    """Where your people read docs/operations.md: alerts and dashboard link there."""
    pod_monitor: PodMonitor = PodMonitor()
    prometheus_rule: PrometheusRule = PrometheusRule()
    dashboard: Dashboard = Dashboard()


class Topics(_Group):
    """A Job before install and upgrade that creates the topics that are missing.

    It runs `guardstream topics`, and changes none that is there.
    """

    create: bool = False
    """Needs `inputPartitions`."""
    existing_secret: str = ""
    """Credentials with the right to create, with the keys of `credentials`; those of the worker
    when empty."""
    output_partitions: Count | None = None
    """As many as the input's when null."""
    replicas: Count = 3
    min_insync_replicas: Count = 2
    """Less than 2 can lose what Kafka acknowledged."""
    retention_hours: Count = 168
    """Of input and verdicts; longer than the worst backlog."""
    dead_letter_retention_hours: Count = 720


class LagTrigger(_Group):
    """Records that wait, asked of Kafka."""

    enabled: bool = True
    records_per_worker: Count = 5000
    """What one worker judges in the time that a backlog may take."""
    kafka_version: str = Field("2.5.0", pattern=r"^[0-9]+\.[0-9]+\.[0-9]+$")
    """Protocol that KEDA speaks; its own default is too old for Kafka 4."""


class WorkTrigger(_Group):
    """Prompts under way and work that waits, asked of Prometheus; needs the recording rules."""

    enabled: bool = False
    prometheus_url: str = ""
    prompts_per_worker: Count | None = None
    """Prompts at a worker's engine when all is well; a quarter of `config.engine.max_num_seqs` when
    null."""
    backlog_seconds: Count = 60
    """In which a backlog is to be gone: the age that is promised."""


class ScaleUp(_Group):
    """Quick, but a worker takes minutes to load."""

    workers: Count = 4
    """At most so many more in a period."""
    period_seconds: Annotated[int, Field(ge=1, le=1800)] = 15
    stabilization_seconds: Annotated[int, Field(ge=0, le=3600)] = 60
    """A rebalance fills engines for a moment: that must not start workers."""


class ScaleDown(_Group):
    """Slow: every worker that goes drains first, and moves partitions."""

    workers: Count = 1
    """At most so many less in a period."""
    period_seconds: Annotated[int, Field(ge=1, le=1800)] = 120
    """At least the grace period."""
    stabilization_seconds: Annotated[int, Field(ge=0, le=3600)] = 600


class Autoscaling(_Group):
    """With KEDA. Needs `inputPartitions`: more workers than partitions have nothing to do."""

    enabled: bool = False
    min_replicas: Count = 1
    max_replicas: Count | None = None
    """As many as there are partitions when null; never more."""
    polling_seconds: Count = 30
    lag: LagTrigger = LagTrigger()
    work: WorkTrigger = WorkTrigger()
    scale_up: ScaleUp = ScaleUp()
    scale_down: ScaleDown = ScaleDown()


class Variable(_Group):
    """A variable, as Kubernetes has it."""

    name: str = Field(min_length=1)
    value: str | None = None
    value_from: dict[str, Any] | None = None


class VolumeMount(_Group):
    """A mount, as Kubernetes has it."""

    name: str
    mount_path: str
    sub_path: str = ""
    read_only: bool = True


class Values(_Group):
    """Values of the chart."""

    name_override: str = ""
    fullname_override: str = ""
    global_: dict[str, Any] = Field({}, alias="global", description="Helm's own.")
    image: Image = Image()
    workload: Workload = Workload()
    config: dict[str, Any] = {}
    """The worker's settings, every one of them: the project's README has the table. Checked against
    `worker/runtime/settings.py`. Passwords do not belong here."""
    input_partitions: Count | None = None
    """Partitions of each input topic."""
    credentials: Credentials = Credentials()
    tls: Tls = Tls()
    model: Model = Model()
    gpu: Gpu = Gpu()
    resources: Resources = Resources()
    shared_memory: SizeLimit = SizeLimit(size_limit="2Gi")
    """Between the engine's processes, at /dev/shm; counts as memory of the pod."""
    scratch: SizeLimit = SizeLimit(size_limit="8Gi")
    """What is written at /tmp; compiled kernels too, where several workers share a model cache."""
    scheduling: Scheduling = Scheduling()
    probes: Probes = Probes()
    shutdown: Shutdown = Shutdown()
    security_context: SecurityContext = SecurityContext()
    service_account: ServiceAccount = ServiceAccount()
    pod_annotations: Texts = {}
    pod_labels: Texts = {}
    extra_env: list[Variable] = []
    """Variables that are no settings (`HTTPS_PROXY`, `NCCL_DEBUG`); settings belong in `config`."""
    extra_volumes: list[dict[str, Any]] = []
    """As Kubernetes has them, of workers and Jobs: Secrets with more files that `config` names."""
    extra_volume_mounts: list[VolumeMount] = []
    pod_disruption_budget: PodDisruptionBudget = PodDisruptionBudget()
    network_policy: NetworkPolicy = NetworkPolicy()
    monitoring: Monitoring = Monitoring()
    topics: Topics = Topics()
    autoscaling: Autoscaling = Autoscaling()

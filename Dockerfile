# Two images: `gpu` on vLLM's image, `cpu` with the demonstration guard. See docs/image.md;
# `make image-check` builds and runs both without a registry.

# Full reference with tag and digest: vllm/vllm-openai:v0.33.0@sha256:…
ARG VLLM_BASE=name-VLLM_BASE-by-tag-and-digest
ARG PYTHON_BASE=python:3.13-slim


FROM ${PYTHON_BASE} AS wheel
ARG UV_VERSION=0.13.9
RUN python3 -m venv /opt/uv && /opt/uv/bin/pip install --no-cache-dir --quiet "uv==${UV_VERSION}"
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY worker worker
RUN /opt/uv/bin/uv build --quiet --wheel --out-dir /dist


FROM ${PYTHON_BASE} AS cpu-packages
COPY --from=wheel /opt/uv /opt/uv
COPY requirements/run.txt /requirements/run.txt
COPY --from=wheel /dist /dist
ENV UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
# --no-deps: the lock file is complete, and excludes packages that text models never load
RUN --mount=type=cache,target=/root/.cache/uv \
    python3 -m venv --without-pip /opt/guardstream \
    && /opt/uv/bin/uv pip install --quiet --python /opt/guardstream/bin/python \
       --no-deps --require-hashes -r /requirements/run.txt \
    && /opt/uv/bin/uv pip install --quiet --python /opt/guardstream/bin/python \
       --no-deps /dist/*.whl


FROM ${PYTHON_BASE} AS cpu
ARG REVISION=unknown
LABEL org.opencontainers.image.title="guardstream (cpu)" \
      org.opencontainers.image.description="Judges chat events of Kafka on a CPU, with a demonstration guard" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${REVISION}"
# libraries that vLLM's CPU build links to; and the same ids as in vLLM's image, so that one pod security
# context fits both
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends libnuma1 libstdc++6 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 2000 --gid 0 --no-create-home --home-dir /var/cache/guardstream vllm \
    && install -d -o 2000 -g 0 -m 0775 /var/cache/guardstream
COPY --from=cpu-packages /opt/guardstream /opt/guardstream
# all writes go below /var/cache/guardstream and /tmp: with both mounted, the root file system can be
# read-only
ENV PATH=/opt/guardstream/bin:$PATH \
    HOME=/var/cache/guardstream \
    XDG_CACHE_HOME=/var/cache/guardstream \
    GUARDSTREAM_CACHE_DIR=/var/cache/guardstream/kafka \
    GUARDSTREAM_ENGINE__MODEL=demonstration \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    DO_NOT_TRACK=1 \
    VLLM_NO_USAGE_STATS=1
USER 2000:0
WORKDIR /var/cache/guardstream
EXPOSE 8080
# no HEALTHCHECK: it cannot distinguish /livez, /readyz and /startupz as probes can
ENTRYPOINT ["/opt/guardstream/bin/guardstream"]
CMD ["run"]


FROM ${VLLM_BASE} AS gpu
ARG REVISION=unknown
ARG VLLM_BASE
# what the worker does not need: `evaluate` for `guardstream evaluate`
ARG EXTRAS=
LABEL org.opencontainers.image.title="guardstream" \
      org.opencontainers.image.description="Judges chat events of Kafka with a reasoning guard model on vLLM" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${VLLM_BASE}"
USER root
COPY --from=wheel /dist /tmp/install
COPY requirements/run.txt requirements/constrain.py /tmp/install/
# A venv on top of the base's packages: the base's versions are kept, above all torch and vLLM; missing
# packages are installed at the locked version.
RUN test "$(id -u vllm)" = 2000 \
    && python3 -m venv --system-site-packages /opt/guardstream \
    && python3 /tmp/install/constrain.py /tmp/install/run.txt > /tmp/install/constraints.txt \
    && /opt/guardstream/bin/pip install --no-cache-dir --quiet --disable-pip-version-check \
       --constraint /tmp/install/constraints.txt "$(echo /tmp/install/*.whl)${EXTRAS:+[$EXTRAS]}" \
    && /opt/guardstream/bin/python /tmp/install/constrain.py --unchanged /opt/guardstream \
    && install -d -o 2000 -g 0 -m 0775 /var/cache/guardstream \
    && rm -r /tmp/install
ENV PATH=/opt/guardstream/bin:$PATH \
    HOME=/var/cache/guardstream \
    XDG_CACHE_HOME=/var/cache/guardstream \
    HF_HOME=/var/cache/guardstream/huggingface \
    VLLM_CACHE_ROOT=/var/cache/guardstream/vllm \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    DO_NOT_TRACK=1 \
    VLLM_NO_USAGE_STATS=1
USER 2000:0
WORKDIR /var/cache/guardstream
EXPOSE 8080
ENTRYPOINT ["/opt/guardstream/bin/guardstream"]
CMD ["run"]

#!/usr/bin/env bash
# On the bare machine: install what has arrived; with `measure SECONDS`, measure once all of it has.
# Each call of this file continues where the last one stopped.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder="${GPU_KIT_FOLDER:-build/gpu}"
python3 -m benchmarks.gpu.unpack "$folder"
if [ "${1:-}" != measure ]; then exit 0; fi
PYTHONPATH="$folder/site${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 \
  python3 -m benchmarks.gpu measure --out "${OUT:?names the folder for the figures}" \
  --seconds "${2:-500}" --cargo "$folder/cargo" "${@:3}" 2>&1 | tee "$OUT/measure.log"

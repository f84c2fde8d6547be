#!/usr/bin/env bash
# Runs the benchmarks against a private agent; ONLY=name runs one, JSON=file writes the rows.
set -euo pipefail
cd "$(dirname "$0")/.."
exec python3 -B scripts/bench.py ${ONLY:+--only "$ONLY"} ${JSON:+--json "$JSON"} --runs "${RUNS:-5}"

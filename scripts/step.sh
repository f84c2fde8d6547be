#!/usr/bin/env bash
# step.sh TITLE COMMAND…: runs a command with a heading and its time; its output is shown on a terminal, and only on
# failure elsewhere, where a long build would bury the rest.
set -euo pipefail
title=$1
shift
printf '==> %s\n' "$title"
started=$(date +%s%N)
if [ -t 1 ] || [ -n "${VERBOSE:-}" ]; then
  "$@"
else
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  if ! "$@" >"$log" 2>&1; then
    cat "$log"
    printf '==> %s: failed\n' "$title" >&2
    exit 1
  fi
fi
elapsed=$((($(date +%s%N) - started) / 1000000))
printf '    %d.%01d s\n' $((elapsed / 1000)) $((elapsed % 1000 / 100))

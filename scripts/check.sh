#!/usr/bin/env bash
# Lint, and the generated files: every one is made anew and compared with what is committed.
set -euo pipefail
cd "$(dirname "$0")/.."
failed=0

scripts/step.sh "lint Swift" swift format lint --strict --recursive --parallel Sources Tests Examples Package.swift || failed=1

printf '==> systemd units\n'
scripts/units.sh || failed=1

printf '==> shell syntax\n'
for script in scripts/*.sh Tests/System/*.sh Tests/System/lib/*.sh Tests/System/lib/runner .ci/run; do
  bash -n "$script" || failed=1
done

scripts/step.sh "build the agent" swift build --product hypeman-agent
printf '==> generated files\n'
before=$(mktemp -d)
trap 'rm -rf "$before"' EXIT
generated=(docs/wiring.txt README.md Sources/AgentHTTP/Generated)
tar -cf "$before/files.tar" "${generated[@]}"
make -s oapi-generate
.build/debug/hypeman-agent graph > docs/wiring.txt
scripts/readme.sh .build/debug/hypeman-agent
mkdir "$before/files"
tar -xf "$before/files.tar" -C "$before/files"
for file in "${generated[@]}"; do
  if ! diff -r "$before/files/$file" "$file" >"$before/diff"; then
    printf '%s is stale; run: make generate-all\n' "$file" >&2
    head -20 "$before/diff" >&2
    failed=1
  fi
done
exit "$failed"

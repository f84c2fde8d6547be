#!/usr/bin/env bash
# units.sh: checks the systemd units as an installation would have them: what systemd says of them, and how much of the
# system is open to each (`systemd-analyze security`; at most 2.0).
set -euo pipefail
cd "$(dirname "$0")/.."
limit=20
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir "$root/bin" "$root/units"
for program in hypeman-agent hypeman-exec; do
  printf '#!/bin/sh\n' >"$root/bin/$program"
  chmod 755 "$root/bin/$program"
done
for unit in systemd/*.service systemd/*.socket systemd/*.slice; do
  sed "s|@BINDIR@|$root/bin|; s|@LIBEXECDIR@|$root/bin|" "$unit" >"$root/units/${unit#systemd/}"
done

# Manual pages are there once the package is installed.
said=$(SYSTEMD_UNIT_PATH="$root/units:/usr/lib/systemd/system:/lib/systemd/system" systemd-analyze verify --man=no \
  "$root/units/hypeman-agent.service" "$root/units/hypeman-agent.socket" "$root/units/hypeman.slice" \
  "$root/units/hypeman-vm@$(printf 'a%.0s' {1..24}).service" "$root/units/hypeman-dnsmasq@vmbr0.service" 2>&1) || true
if [ -n "$said" ]; then
  printf 'systemd-analyze verify:\n%s\n' "$said" >&2
  exit 1
fi

mkdir -p "$root/root/usr/lib/systemd/system" "$root/root$root/bin"
cp "$root"/units/* "$root/root/usr/lib/systemd/system/"
for unit in systemd/*.service; do
  unit=${unit#systemd/}
  score=$(systemd-analyze security --offline=true --no-pager --root="$root/root" "$unit" 2>/dev/null |
    sed -n 's/^→ Overall exposure level for .*: \([0-9]*\)\.\([0-9]\) .*/\1\2/p')
  if [ -z "$score" ] || [ "$((10#$score))" -gt "$limit" ]; then
    echo "systemd-analyze security $unit: ${score:-nothing} tenths; at most $limit are allowed" >&2
    exit 1
  fi
  printf '    %s: exposure %d.%d\n' "$unit" $((10#$score / 10)) $((10#$score % 10))
done

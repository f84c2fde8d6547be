#!/usr/bin/env bash
# package-test.sh BIN: installs BIN/hypeman_*.deb in a fresh Debian 12, twice, and takes it away again: what must be there
# is, and what must be gone. No systemd runs there; `make system-test` has one.
set -euo pipefail
cd "$(dirname "$0")/.."
packages=("$1"/hypeman_*.deb)
[ -s "${packages[0]}" ] || { echo "package-test.sh: there is no $1/hypeman_*.deb: run 'make deb' first" >&2; exit 1; }
package=$(printf '%s\n' "${packages[@]}" | sort -V | tail -n 1)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
passed=0 failed=0
claim() {
  local what=$1
  shift
  if "$@" >"$work/said" 2>&1; then
    echo "ok - $what"
    passed=$((passed + 1))
  else
    echo "not ok - $what"
    sed 's/^/  # /' "$work/said" | tail -n 20
    failed=$((failed + 1))
  fi
}

# This machine's own sources of packages and its way to them, so that nothing is named here.
sources=()
for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
  [ -e "$file" ] && sources+=("$file")
done
(cd scripts/system-test && python3 -B -c 'import disk; print(disk.apt_options(), end="")') >"$work/apt.conf"
scripts/step.sh "make a Debian 12 without anything" \
  mmdebstrap --variant=minbase --quiet --skip=cleanup/apt/lists --aptopt="$work/apt.conf" bookworm "$work/root" \
  "${sources[@]}"
cp "$work/apt.conf" "$work/root/etc/apt/apt.conf.d/99test"
mkdir -p "$work/root/packages" "$work/root/etc/ssl/certs"
cp "$package" "$work/root/packages/hypeman.deb"
cp /etc/ssl/certs/ca-certificates.crt "$work/root/etc/ssl/certs/"
cp /etc/resolv.conf "$work/root/etc/resolv.conf" 2>/dev/null || true
for device in null zero random urandom; do [ -e "$work/root/dev/$device" ] || cp -a "/dev/$device" "$work/root/dev/"; done
inside() { chroot "$work/root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive LC_ALL=C "$@"; }
printf '#!/bin/sh\nexit 101\n' >"$work/root/usr/sbin/policy-rc.d"
chmod 755 "$work/root/usr/sbin/policy-rc.d"

claim "apt installs it with what it needs" inside apt-get install -y --no-install-recommends /packages/hypeman.deb
claim "and once more" inside apt-get install -y --reinstall /packages/hypeman.deb
claim "the programs run without Swift" inside sh -c 'hypeman --version && hypeman-agent --version'
claim "no library is missing" sh -c '! chroot "$1" ldd /usr/bin/hypeman /usr/bin/hypeman-agent /usr/lib/hypeman/hypeman-exec | grep "not found"' sh "$work/root"
claim "the user is there, with its groups" inside sh -c 'id hypeman && id -nG hypeman | grep -w hypeman-vm && id -nG hypeman | grep -w kvm'
claim "the agent starts with the host" inside sh -c 'systemctl is-enabled hypeman-agent.service && systemctl is-enabled hypeman-agent.socket'
claim "its configuration is its own" inside sh -c 'test "$(stat -c "%a %U %G" /etc/hypeman/hypeman.env)" = "640 root hypeman"'
claim "the guest's kernel and initrd are there" inside test -s /usr/lib/hypeman/vmlinux -a -s /usr/lib/hypeman/initrd
claim "the tools that it uses are there" inside sh -c 'for tool in qemu-system-x86_64 dnsmasq iptables-nft-restore nft mkfs.ext4; do command -v $tool || exit 1; done; test -s /usr/share/qemu/qboot.rom'
claim "the bus finds policy, contract and service" inside sh -c 'cd /usr/share/dbus-1 && test -s system.d/io.hypeman.Agent1.conf -a -s system-services/io.hypeman.Agent1.service && test "$(ls interfaces/io.hypeman.Agent1.*.xml | wc -l)" = 8'
claim "a call would start the agent" inside sh -c 'test "$(readlink /etc/systemd/system/dbus-io.hypeman.Agent1.service)" = /lib/systemd/system/hypeman-agent.service'
claim "the bus takes the policy" inside sh -c 'mkdir -p /run/dbus && dbus-daemon --system --fork --print-pid >/run/dbus/test && dbus-send --system --print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus.ListActivatableNames | grep io.hypeman.Agent1; status=$?; kill "$(cat /run/dbus/test)"; exit $status'
claim "polkit finds the actions" inside test -s /usr/share/polkit-1/actions/io.hypeman.agent1.policy
claim "its files are as they were packed" sh -c '! chroot "$1" dpkg --verify hypeman | grep .' sh "$work/root"
claim "completions are there" inside test -s /usr/share/bash-completion/completions/hypeman -a -s /usr/share/zsh/vendor-completions/_hypeman -a -s /usr/share/fish/vendor_completions.d/hypeman.fish

inside sh -c 'mkdir -p /var/lib/hypeman/instances && echo kept >/var/lib/hypeman/instances/disk && echo "#" >>/etc/hypeman/hypeman.env'
claim "apt takes it away" inside apt-get remove -y hypeman
claim "data and configuration stay" inside sh -c 'grep -q kept /var/lib/hypeman/instances/disk && test -e /etc/hypeman/hypeman.env'
claim "and are there for the next installation" inside sh -c 'apt-get install -y --no-install-recommends /packages/hypeman.deb && grep -q kept /var/lib/hypeman/instances/disk && tail -n 1 /etc/hypeman/hypeman.env | grep -x "#"'
claim "apt purges it" inside apt-get purge -y hypeman
claim "nothing is left of it" inside sh -c '! find / -xdev -name "*hypeman*" ! -path "/packages/*" ! -path "/proc/*" ! -path "/var/log/*" ! -path "/var/cache/*" ! -path "/var/lib/apt/*" | grep .'
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]

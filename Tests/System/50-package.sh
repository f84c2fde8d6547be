#!/usr/bin/env bash
# The package installs on a bare Debian from what is on the disk, and an image runs with nothing else done.
# deadline: 240 s
. "$PAYLOAD/checks/lib/check.sh"
. "$PAYLOAD/checks/lib/service.sh"

score() { systemd-analyze --no-pager security "$1" | sed -n 's/^→ Overall exposure level.*: \([0-9.]*\) .*/\1/p'; }
low() { score "$1" | awk '{ print; low = $1 <= 2.0 } END { exit !(NR == 1 && low) }'; }
# What people get: no word of the guest is lost, its exit code is the command's.
run_once() { with_console once hypeman run --rm --name once --memory 256MB --cpus 1 busybox:1 sh -c 'echo hello from $((6*7)); exit 3'; }
ran() { run_once; [ $? -eq 3 ]; }

# What an earlier check did as it was advised is the package's to do here.
rm -f /etc/sysctl.d/60-hypeman.conf
sysctl --quiet --write net.ipv4.ip_forward=0
check "${packages[*]##*/} is installed" install_package || fail
check "its service is active within seconds" eventually 10 systemctl is-active hypeman-agent.service || fail
check "it answers" eventually 10 answers || fail
check "an image is imported" make_image || fail
contains "a program runs, its output and its exit code come" "hello from 42" run_once
check "the exit code is its own" ran
expect "under KVM" kvm get /capabilities '.hypervisors[] | select(.name == "qemu").accelerator'

expect "systemd finds nothing wrong with its units" "" systemd-analyze verify --man=no --recursive-errors=no \
  hypeman-agent.service hypeman-agent.socket hypeman.slice hypeman-vm@aaaaaaaaaaaaaaaaaaaaaaaa.service \
  hypeman-dnsmasq@vmbr0.service
for unit in hypeman-agent.service hypeman-vm@aaaaaaaaaaaaaaaaaaaaaaaa.service hypeman-dnsmasq@vmbr0.service; do
  check "systemd's exposure level of ${unit%%.*} is at most 2.0" low "$unit"
done
contains "the service tells how it is" "instances" show hypeman-agent.service StatusText
check "nothing was logged that is an error" not says . "journalctl --quiet --no-pager --boot --priority=err --unit=hypeman-agent"

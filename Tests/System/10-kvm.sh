#!/usr/bin/env bash
# KVM works: what the hypervisors' checks stand on.
# deadline: 60 s
. "$PAYLOAD/checks/lib/check.sh"

check "the processor's KVM module loads" modprobe kvm_amd || exit 1
check "there is a /dev/kvm" eventually 10 test -c /dev/kvm
contains "the agent's own look at the host finds it" "accelerator kvm" hypeman-agent check

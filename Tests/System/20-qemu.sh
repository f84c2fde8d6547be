#!/usr/bin/env bash
# QEMU under KVM is a hypervisor, and hypeman-init is a guest there: the suites that pass under software emulation.
# deadline: 480 s
. "$PAYLOAD/checks/lib/check.sh"

modprobe kvm_amd
export HYPEMAN_TEST_GUEST=$PAYLOAD/guest HYPEMAN_TEST_ACCELERATOR=kvm HYPEMAN_TEST_PATIENCE=4
suite '^HypervisorPluginTests\.QEMU'

#!/usr/bin/env bash
# The same for Cloud Hypervisor, whose binary is brought in where CLOUD_HYPERVISOR names one.
# deadline: 480 s
. "$PAYLOAD/checks/lib/check.sh"

if [ -z "${CLOUD_HYPERVISOR:-}" ]; then
  skip "Cloud Hypervisor is a hypervisor: CLOUD_HYPERVISOR names no binary"
  exit 0
fi
modprobe kvm_amd
export HYPEMAN_TEST_GUEST=$PAYLOAD/guest HYPEMAN_TEST_PATIENCE=4
suite '^HypervisorPluginTests\.CloudHypervisor[A-Za-z]*Conformance'

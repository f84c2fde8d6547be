#!/usr/bin/env bash
# VMs as units: the suites of the supervisor and of hypervisors under it, as the agent's user, with the installed units.
# deadline: 720 s
. "$PAYLOAD/checks/lib/check.sh"
. "$PAYLOAD/checks/lib/service.sh"

need_service
cd / || fail
export HYPEMAN_TEST_GUEST=$PAYLOAD/guest HYPEMAN_TEST_ACCELERATOR=kvm HYPEMAN_TEST_PATIENCE=4
as_agent "$PAYLOAD/bin/hypeman-agentPackageTests.xctest" --testing-library swift-testing --no-parallel --verbose \
  --filter '^HypervisorPluginTests\.(SystemdSupervisorTests|UnitHypervisorTests)' 2>&1 \
  | python3 "$PAYLOAD/checks/lib/suite.py" "$STATE/results"
check "no unit of a VM is left" not says . "systemctl --no-legend list-units 'hypeman-vm@*'"
expect "nor what was handed to one" "" find /var/lib/hypeman/vms -mindepth 1

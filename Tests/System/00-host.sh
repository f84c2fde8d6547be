#!/usr/bin/env bash
# The host is what the others take it for: a Debian with systemd, bus, polkit and machined, all of it up.
# deadline: 180 s
. "$PAYLOAD/checks/lib/check.sh"

expect "systemd is up and no unit has failed" running timeout 150 systemctl is-system-running --wait \
  || systemctl --no-legend --failed | sed 's/^/#   /'
expect "PID 1 is systemd" systemd cat /proc/1/comm
contains "machined answers on the bus" '".host" "host"' \
  busctl call org.freedesktop.machine1 /org/freedesktop/machine1 org.freedesktop.machine1.Manager ListMachines
contains "polkit knows systemd's actions" org.freedesktop.systemd1.manage-units pkaction
contains "the journal has this boot" "Checks of the whole host" journalctl --boot --quiet --unit=system-test

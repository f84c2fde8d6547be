#!/usr/bin/env bash
# The package is removed under a VM: its guest ends in order, the network is as before, data stay until the purge.
# deadline: 180 s
. "$PAYLOAD/checks/lib/check.sh"
. "$PAYLOAD/checks/lib/service.sh"

need_service
check "an instance runs" start box -- sh -c "$program" || fail
check "the package is removed" apt-get --quiet --yes remove hypeman
check "its guest has ended" not pgrep -f qemu-system
check "so has its name service" not pgrep dnsmasq
check "its bridge is gone" not ip link show vmbr0
check "its rules are gone" not says hypeman "nft list ruleset"
check "its data stay" test -s /var/lib/hypeman/state.db
check "its configuration, too" test -s /etc/hypeman/hypeman.env
check "it is installed again" install_package
check "it answers" eventually 30 answers || fail
contains "the program was asked, and finished" "done" hypeman logs box
check "it is purged" apt-get --quiet --yes purge hypeman
expect "and nothing stays" "" find / -xdev -name '*hypeman*' \
  -not -path '/payload/*' -not -path '/var/log/*' -not -path '/var/cache/*' -not -path '/var/lib/apt/*' \
  -not -path '/var/lib/system-test/*' -not -path '/sys/*' -not -path '/proc/*'

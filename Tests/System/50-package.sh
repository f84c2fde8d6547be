#!/usr/bin/env bash
# The packages that PACKAGES names install on a bare Debian with apt, from what is on the disk.
# deadline: 180 s
. "$PAYLOAD/checks/lib/check.sh"

shopt -s nullglob
packages=("$PAYLOAD"/packages/*.deb)
if [ ${#packages[@]} -eq 0 ]; then
  skip "the package installs: PACKAGES names none"
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
check "${packages[*]##*/} is installed" \
  apt-get --quiet --yes --no-install-recommends install "${packages[@]}"

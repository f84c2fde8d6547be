#!/usr/bin/env bash
# Installs the Debian packages that building, testing and the demo need, if any is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
  # to build
  libdbus-1-dev libext2fs-dev libisal-dev liblz4-dev libsqlite3-dev libzstd-dev zlib1g-dev pkg-config
  # guest kernel and initrd
  binutils lz4 python3 zstd
  # the package
  dpkg-dev
  # to run instances
  dnsmasq-base e2fsprogs iproute2 iptables nftables qemu-system-x86
  # images for the demo and the tests, and what checks them
  curl docker-registry erofs-utils mmdebstrap podman skopeo umoci
  # tests
  attr busybox-static conntrack dbus-daemon kmod libcap2-bin libglib2.0-bin libsystemd-dev mount openssl polkitd procps python3-jeepney systemd
)

# mmdebstrap unpacks in a user namespace where the caller isn't root.
[ "$(id -u)" -eq 0 ] || packages+=(uidmap)

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q '^install ok installed$' || missing+=("$package")
done

if ! command -v swift >/dev/null; then
  echo "swift is not on PATH: install Swift 6.3 (https://www.swift.org/install/linux) and put its bin directory there" >&2
  exit 1
fi

[ ${#missing[@]} -eq 0 ] && exit 0

run=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "not root, and no sudo: install by hand: ${missing[*]}" >&2; exit 1; }
  run=(sudo)
fi
echo "==> install ${#missing[@]} Debian packages: ${missing[*]}"
"${run[@]}" apt-get update -qq
"${run[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null

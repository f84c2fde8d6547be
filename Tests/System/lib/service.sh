# The installed package and its service, for checks that need one; sourced after check.sh. Without a package the check that
# sources this is skipped. One that needs the package, and finds none installed, installs it: each can be run alone.
shopt -s nullglob
packages=("$PAYLOAD"/packages/*.deb)
if [ ${#packages[@]} -eq 0 ]; then
  skip "$(basename "$0" .sh): PACKAGES names no package"
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
# What is installed, not what was built.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
modprobe kvm_amd 2>/dev/null || true

# What the runner shows of the journal is enough; this ends the check at once.
fail() { exit 1; }
not() { ! "$@"; }
# In a shell of its own, so that an argument may be a pipe.
says() { sh -c "$2" | grep -q -- "$1"; }

# show UNIT PROPERTY, is UNIT PROPERTY VALUE: as systemd has it.
show() { systemctl show --property="$2" --value "$1"; }
is() { [ "$(show "$1" "$2")" = "$3" ]; }
# get PATH FILTER: asks the HTTP API, and takes a part of the answer with jq.
get() { curl --silent --show-error --fail --unix-socket /run/hypeman/agent.sock "http://localhost$1" | jq -r "$2"; }
answers() { hypeman health >/dev/null 2>&1; }
install_package() { apt-get --quiet --yes --no-install-recommends --allow-downgrades "$@" install "${packages[@]}"; }
# As the agent's user, with its groups, and nothing else of the agent's.
as_agent() { setpriv --reuid=hypeman --regid=hypeman-vm --init-groups "$@"; }
# unit NAME: the unit of an instance's VM.
unit() { printf 'hypeman-vm@%s.service\n' "$(get "/instances/$1" .id)"; }

# A program that says when it was asked to end, and takes a moment to.
program='trap "echo bye; sleep 1; echo done; exit 0" TERM; echo up; while :; do sleep 1; done'

# with_console NAME COMMAND…: runs it, and shows what the guest's console says if that takes longer than a minute.
with_console() {
  local name=$1 watcher status=0
  shift
  { sleep 60 && hypeman logs --source console "$name" | tail -n 25; } &
  watcher=$!
  "$@" || status=$?
  kill "$watcher" 2>/dev/null
  return "$status"
}

# start NAME [OPTION…] -- COMMAND…: an instance of the image, and its guest answers.
start() {
  local name=$1 options=()
  shift
  while [ "$1" != -- ]; do
    options+=("$1")
    shift
  done
  shift
  with_console "$name" hypeman run -d --name "$name" --memory 256MB --cpus 1 "${options[@]}" busybox:1 "$@" \
    && hypeman exec --wait-for-agent 2m "$name" true
}

# An image of Debian's static busybox.
make_image() {
  local tree=$work/tree
  mkdir -p "$tree/bin" "$tree/dev" "$tree/proc" "$tree/sys" "$tree/tmp"
  cp /bin/busybox "$tree/bin/"
  for name in sh cat date dd echo sleep true; do ln -sf busybox "$tree/bin/$name"; done
  tar -cf "$work/image.tar" -C "$tree" . && hypeman import "$work/image.tar" busybox:1
}

# need_service: for a check that another should have run before.
need_service() {
  dpkg-query --show --showformat='${db:Status-Status}' hypeman 2>/dev/null | grep -qx installed \
    || check "the package is installed" install_package || fail
  check "the service answers" eventually 30 answers || fail
  hypeman images | grep -q busybox || check "an image is imported" make_image || fail
}

# A debug agent with the state of this check alone, for what needs no package; sourced after check.sh.
name=$(basename "$0" .sh)
export DATA_DIR=/var/lib/$name RUNTIME_DIR=/run/$name HYPEMAN_SOCKET=/run/$name/agent.sock
export KERNEL_PATH=$PAYLOAD/guest/kernel/vmlinux INITRD_PATH=$PAYLOAD/guest/initrd
export LOG_LEVEL=debug
agent=

answers() { hypeman health >/dev/null 2>&1; }

# Starts it, and waits until it answers or ends.
start_agent() {
  hypeman-agent serve >>"$DATA_DIR.log" 2>&1 &
  agent=$!
  eventually 60 answers_or_ended
  answers || { tail -n 3 "$DATA_DIR.log"; return 1; }
}
answers_or_ended() { answers || ! kill -0 "$agent" 2>/dev/null; }

# kill_agent: as a crash does it.
kill_agent() {
  kill -KILL "$agent"
  wait "$agent" 2>/dev/null
  ! answers
}

stop_agent() {
  kill "$agent" && wait "$agent"
}

# The log, after a failure, without the requests.
show_agent_log() { grep -v '\[AgentHTTP\]\|ServiceLifecycle' "$DATA_DIR.log" | tail -n 60 | cut -c 1-400 | sed 's/^/#   /'; }

# get PATH FILTER: asks the HTTP API, and takes a part of the answer with jq.
get() { curl --silent --show-error --fail --unix-socket "$HYPEMAN_SOCKET" "http://localhost$1" | jq -r "$2"; }

# page URL: fetches a page from a server that may not be up yet.
page() { curl --silent --show-error --retry 30 --retry-all-errors --retry-delay 1 --max-time 60 "$1"; }

# make_busybox_image NAME: imports an image of Debian's static busybox.
make_busybox_image() {
  local tree=$work/tree
  mkdir -p "$tree/bin" "$tree/dev" "$tree/proc" "$tree/sys" "$tree/tmp"
  cp /bin/busybox "$tree/bin/"
  for name in sh cat date echo httpd mkdir sleep test true; do ln -sf busybox "$tree/bin/$name"; done
  tar -cf "$work/image.tar" -C "$tree" . && hypeman import "$work/image.tar" "$1"
}

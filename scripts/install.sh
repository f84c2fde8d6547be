#!/usr/bin/env bash
# install.sh BIN DESTDIR PREFIX: installs what `make build` put into BIN, under DESTDIR, as it shall run in PREFIX.
#
# Manual pages and completions are made of what the programs say of themselves. What systemd, polkit and others read lies
# where they look for it, under PREFIX where they look there too (/usr and /usr/local), and the configuration is in /etc.
# Nothing is started; `systemd-sysusers` makes the users that the units name.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$1 destination=$2 prefix=$3
root=$destination$prefix
libexec=$prefix/lib/hypeman
for file in hypeman-agent hypeman hypeman-exec guest/vmlinux guest/initrd; do
  [ -s "$bin/$file" ] || { echo "install.sh: there is no $bin/$file: run 'make build' first" >&2; exit 1; }
done

# put FILE PATH [MODE]: a file of the tree, with the places of this installation in it.
put() {
  mkdir -p "$(dirname "$2")"
  sed "s|@BINDIR@|$prefix/bin|g; s|@LIBEXECDIR@|$libexec|g" "$1" >"$2"
  chmod "${3:-644}" "$2"
}

install -d "$root/bin" "$destination$libexec"
if [ -d "$bin/lib" ]; then
  # Where Swift is not linked in, programs find it beside themselves (scripts/debug-package.sh).
  install -m 755 "$bin/hypeman-agent" "$bin/hypeman" "$destination$libexec/"
  install -m 644 "$bin"/lib/* "$destination$libexec/"
  ln -sf "$libexec/hypeman-agent" "$libexec/hypeman" "$root/bin/"
else
  install -m 755 "$bin/hypeman-agent" "$bin/hypeman" "$root/bin/"
fi
install -m 755 "$bin/hypeman-exec" "$destination$libexec/"
install -m 644 "$bin/guest/vmlinux" "$bin/guest/initrd" "$destination$libexec/"

for unit in systemd/*.service systemd/*.socket systemd/*.slice; do
  put "$unit" "$root/lib/systemd/system/${unit#systemd/}"
done
put systemd/hypeman.sysusers "$root/lib/sysusers.d/hypeman.conf"
put systemd/hypeman.tmpfiles "$root/lib/tmpfiles.d/hypeman.conf"
put systemd/hypeman.sysctl "$root/lib/sysctl.d/60-hypeman.conf"
# These three are read in /usr alone (polkit(8), NetworkManager.conf(5), systemd.network(5)).
put systemd/hypeman.rules "$destination/usr/share/polkit-1/rules.d/60-hypeman.rules"
put systemd/hypeman.networkmanager "$destination/usr/lib/NetworkManager/conf.d/60-hypeman.conf"
put systemd/hypeman.network "$destination/usr/lib/systemd/network/10-hypeman.network"
# The message bus: who may do what, the contract, and how a call starts the agent. The bus looks in /usr alone, too.
put systemd/io.hypeman.agent1.policy "$destination/usr/share/polkit-1/actions/io.hypeman.agent1.policy"
put systemd/io.hypeman.Agent1.conf "$destination/usr/share/dbus-1/system.d/io.hypeman.Agent1.conf"
for file in dbus/*.xml; do put "$file" "$destination/usr/share/dbus-1/interfaces/$(basename "$file")"; done
put dbus/io.hypeman.Agent1.service "$destination/usr/share/dbus-1/system-services/io.hypeman.Agent1.service"

install -d -m 750 "$destination/etc/hypeman" "$destination/etc/hypeman/docker"
[ -e "$destination/etc/hypeman/hypeman.env" ] || put systemd/hypeman.env "$destination/etc/hypeman/hypeman.env" 640

install -d "$root/share/man" "$root/share/bash-completion/completions" "$root/share/zsh/vendor-completions" \
  "$root/share/fish/vendor_completions.d"
variables=$(mktemp)
trap 'rm -f "$variables"' EXIT
"$bin/hypeman-agent" variables >"$variables"
"$bin/hypeman" --experimental-dump-help | scripts/make-man.py 1 "$root/share/man/man1"
"$bin/hypeman-agent" --experimental-dump-help | scripts/make-man.py 8 "$root/share/man/man8" "$variables"
for program in hypeman hypeman-agent; do
  "$bin/$program" --generate-completion-script bash | sed '1{/^#!/d}' >"$root/share/bash-completion/completions/$program"
  "$bin/$program" --generate-completion-script zsh >"$root/share/zsh/vendor-completions/_$program"
  "$bin/$program" --generate-completion-script fish >"$root/share/fish/vendor_completions.d/$program.fish"
done

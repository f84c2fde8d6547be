#!/usr/bin/env bash
# deb.sh BIN: makes BIN/hypeman_VERSION_ARCH.deb of what `make build` put into BIN.
#
# The same sources make the same package: times are that of the last commit (SOURCE_DATE_EPOCH), owners root's, and names
# in order. VERSION is the agent's, or $DEB_VERSION;
# $DEB_COMPRESSION is what dpkg-deb knows, by default xz.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$1
umask 022
export LC_ALL=C
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH
architecture=$(dpkg --print-architecture)
version=${DEB_VERSION:-$("$bin/hypeman-agent" --version)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir "$root"

scripts/install.sh "$bin" "$root" /usr
documents=$root/usr/share/doc/hypeman
mkdir -p "$documents" "$root/DEBIAN" "$root/usr/share/lintian/overrides"
find "$root" -type f \( -path "$root/usr/bin/*" -o -path '*/hypeman-exec' \) -exec strip --strip-unneeded \
  --remove-section=.comment --remove-section=.note {} +
find "$root/usr/share/man" -type f -exec gzip -9n {} +
sed 's/^ *//' packaging/debian/lintian-overrides >"$root/usr/share/lintian/overrides/hypeman"

# The kernel as Debian calls its sources: their name, and the version that was built.
read -r kernel_package kernel_version <.build/guest/kernel/version
scripts/copyright.sh "$kernel_package" "$kernel_version" >"$documents/copyright"
{
  printf 'hypeman (%s) bookworm; urgency=medium\n\n' "$version"
  printf '  * What changed is in CHANGELOG.md of the sources.\n\n'
  printf ' -- hypeman developers <hypeman@localhost>  %s\n' "$(date -Rud "@$SOURCE_DATE_EPOCH")"
} | gzip -9n >"$documents/changelog.gz"

# dpkg-shlibdeps looks at a source package; this is as much of one as it needs.
mkdir -p "$work/source/debian"
printf 'Source: hypeman\n\nPackage: hypeman\nArchitecture: any\n' >"$work/source/debian/control"
programs=("$root/usr/bin/hypeman-agent" "$root/usr/bin/hypeman" "$root/usr/lib/hypeman/hypeman-exec")
options=()
# Libraries of Swift that lie beside the programs are of no package.
if [ -d "$bin/lib" ]; then
  programs=("$root"/usr/lib/hypeman/{hypeman-agent,hypeman,hypeman-exec})
  options=("-l$root/usr/lib/hypeman" --ignore-missing-info)
fi
depends=$(cd "$work/source" && dpkg-shlibdeps -O "${options[@]}" "${programs[@]}" 2>"$work/shlibdeps.log" | sed -n 's/^shlibs:Depends=//p')
[ -n "$depends" ] || { cat "$work/shlibdeps.log" >&2; exit 1; }
case $architecture in
  amd64) qemu=qemu-system-x86 ;;
  arm64) qemu=qemu-system-arm ;;
  *) echo "deb.sh: no QEMU is known for $architecture" >&2; exit 1 ;;
esac

(cd "$root" && find . -type f ! -path './DEBIAN/*' -printf '%P\0' | sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
size=$(du -sk --apparent-size --exclude=DEBIAN "$root" | cut -f1)
sed "s|@VERSION@|$version|; s|@ARCHITECTURE@|$architecture|; s|@SIZE@|$size|; s|@DEPENDS@|$depends|; s|@QEMU@|$qemu|
  s|@KERNEL@|linux (= $kernel_version)|" packaging/debian/control >"$root/DEBIAN/control"
install -m 644 packaging/debian/conffiles "$root/DEBIAN/"
install -m 755 packaging/debian/postinst packaging/debian/prerm packaging/debian/postrm "$root/DEBIAN/"
find "$root" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
package=$bin/hypeman_${version}_$architecture.deb
dpkg-deb --root-owner-group "-Z${DEB_COMPRESSION:-xz}" --build "$root" "$package" >/dev/null
echo "    $package, $(($(stat -c %s "$package") / 1048576)) MiB; depends on $depends"

#!/usr/bin/env bash
# copyright.sh KERNEL-PACKAGE KERNEL-VERSION: prints the package's copyright file: what is in it that others wrote, each
# with its licence, as it stands in its sources.
set -euo pipefail
cd "$(dirname "$0")/.."
kernel_package=$1 kernel_version=$2

# licence FILE: a text as the body of a field.
licence() { sed 's/^[[:space:]]*$/./; s/^/ /; s/\t/    /g' "$1"; }

cat <<HEAD
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: hypeman-agent
Comment: hypeman's own sources come without a licence; who has them has what
 their owner says. Everything else in the package is listed below.

Files: usr/lib/hypeman/vmlinux usr/lib/hypeman/initrd
Copyright: 1991-2023 Linus Torvalds and many others
License: GPL-2
Comment: The kernel, and in the initrd its modules, are those of Debian's
 package $kernel_package $kernel_version, not changed but unpacked. Their source
 is Debian's source package linux $kernel_version. On Debian systems the text of
 the licence is in /usr/share/common-licenses/GPL-2.
HEAD

# stands_for FILE NAME: one that Debian has the text of, by its name; else the text itself.
stands_for() {
  if grep -q 'Apache License' "$1" && grep -q 'Version 2.0' "$1"; then
    grep -q 'Runtime Library Exception' "$1" && echo 'Apache-2.0 with Runtime Library Exception' || echo Apache-2.0
  else
    printf '%s\n' "$2"
  fi
}

# entry NAME FILE: what is linked in, and its licence.
entry() {
  local name=$1 file=$2 kind
  kind=$(stands_for "$file" "licence-of-$1")
  printf '\nFiles: usr/bin/*\nCopyright: the authors of %s\nLicense: %s\nComment: %s is linked in.\n' "$name" "$kind" "$name"
  case $kind in Apache-2.0*) ;; *) printf '\nLicense: %s\n' "$kind" && licence "$file" ;; esac
}

swift=$(dirname "$(dirname "$(command -v swift)")")
if [ -e "$swift/share/swift/LICENSE.txt" ]; then entry Swift "$swift/share/swift/LICENSE.txt"; fi
for checkout in .build/checkouts/*/; do
  for file in "$checkout"LICENSE.txt "$checkout"LICENSE "$checkout"LICENSE.md; do
    [ -e "$file" ] || continue
    entry "$(basename "$checkout")" "$file"
    break
  done
done
cat <<'TAIL'

License: GPL-2
 See /usr/share/common-licenses/GPL-2.

License: Apache-2.0
 See /usr/share/common-licenses/Apache-2.0.

License: Apache-2.0 with Runtime Library Exception
 See /usr/share/common-licenses/Apache-2.0, and:
 .
 As an exception, if you use this Software to compile your source code and
 portions of this Software are embedded into the binary product as a result,
 you may redistribute such product without providing attribution as would
 otherwise be required by Sections 4(a), 4(b) and 4(d) of the License.
TAIL

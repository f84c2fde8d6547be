#!/usr/bin/env bash
# readme.sh AGENT: writes the configuration table into README.md, between its two markers.
set -euo pipefail
cd "$(dirname "$0")/.."
agent=$1
"$agent" variables | python3 -c '
import pathlib, sys
readme = pathlib.Path("README.md")
text = readme.read_text()
start, end = "<!-- configuration: made by `make generate-all` -->\n", "<!-- end of configuration -->"
before, rest = text.split(start)
_, after = rest.split(end)
readme.write_text(before + start + sys.stdin.read() + end + after)
'

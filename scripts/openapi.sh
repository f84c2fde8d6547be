#!/bin/sh
# Embeds openapi.yaml, which is written by hand, into the agent. With --check only says whether that is up to date.
set -eu
cd "$(dirname "$0")/.."
target=Sources/AgentHTTP/Generated/OpenAPIDocument.swift

generate() {
    cat <<'HEAD'
// Made by scripts/openapi.sh from openapi.yaml; edit that and run `make oapi-generate`.
// swift-format-ignore-file

/// The API's description as it stands in this build.
enum OpenAPIDocument {
    static let yaml = ###"""
HEAD
    sed -e 's/^\(..*\)$/        \1/' openapi.yaml
    cat <<'TAIL'

        """###
}
TAIL
}

if grep -q '"""###' openapi.yaml; then
    echo "openapi.yaml contains the delimiter of a Swift string" >&2
    exit 1
fi
if [ "${1:-}" = --check ]; then
    generate | cmp -s - "$target" || {
        echo "$target is stale: run make oapi-generate" >&2
        exit 1
    }
else
    mkdir -p "$(dirname "$target")"
    generate >"$target.new"
    mv "$target.new" "$target"
fi

#!/usr/bin/env bash
# preview-cli.sh BRANCH: builds the command line of a branch (default: the present tree) into bin/hypeman.
set -euo pipefail
cd "$(dirname "$0")/.."
branch=$1
mkdir -p bin
if [ -z "$branch" ]; then
  scripts/step.sh "build hypeman" swift build -c release --product hypeman
  install .build/release/hypeman bin/hypeman
  exit 0
fi
git rev-parse --verify --quiet "$branch^{commit}" >/dev/null || {
  echo "CLI_BRANCH=$branch is no branch, tag or commit of this repository; fetch it first" >&2
  exit 1
}
tree=$(mktemp -d)
trap 'git worktree remove --force "$tree"' EXIT
git worktree add --quiet --detach "$tree" "$branch"
scripts/step.sh "build hypeman of $branch" \
  swift build -c release --product hypeman --package-path "$tree" --scratch-path "$PWD/.build-preview"
install .build-preview/release/hypeman bin/hypeman

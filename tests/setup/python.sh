#!/usr/bin/env bash
# Makes a virtual environment with the Python programs of the tests and prints its folder.
# shellcheck source=tests/setup/common.sh
. "$(dirname "$0")/common.sh"

venv="$FORESAIL_CACHE/venv"
requirements="$(cd "$(dirname "$0")" && pwd)/requirements.txt"
lock python
if ! cmp -s "$requirements" "$venv/.requirements"; then
  say "installing the Python programs of the tests"
  rm -rf "$venv"
  if ! python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
    apt_install python3 python3-venv
    /usr/bin/python3 -m venv "$venv"
  else
    python3 -m venv "$venv"
  fi
  "$venv/bin/pip" install --quiet --retries 5 -r "$requirements" >&2
  cp "$requirements" "$venv/.requirements"
fi
echo "$venv"

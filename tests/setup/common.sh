# Sourced by the scripts beside it: where things are cached, and how Debian packages are installed.
# shellcheck shell=bash

set -euo pipefail

FORESAIL_CACHE="${FORESAIL_CACHE:-$HOME/.cache/foresail}"
mkdir -p "$FORESAIL_CACHE/bin"

say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Runs a command as root: directly, or through sudo without a prompt.
as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo -n "$@"
  else
    die "needs root for: $* (no sudo found)"
  fi
}

# Installs Debian packages that are missing. Services that come with them are not started: the tests start
# their own servers on free ports. An existing policy-rc.d is left as it is.
apt_install() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null || die "missing: ${missing[*]} (no apt-get here: install them by hand)"

  say "installing ${missing[*]}"
  local policy=/usr/sbin/policy-rc.d ours=no
  if [ ! -e "$policy" ]; then
    ours=yes
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
  fi
  local failed=0 apt=(env DEBIAN_FRONTEND=noninteractive apt-get -y -qq -o Acquire::Retries=5
    -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0)
  # Package lists that came with the machine's image may be old: refresh them, but try on if only some fail.
  as_root "${apt[@]}" update >&2 || say "apt-get update had failures, trying with the lists at hand"
  as_root "${apt[@]}" install --no-install-recommends "${missing[@]}" >&2 || failed=$?
  if [ "$ours" = yes ]; then as_root rm -f "$policy"; fi
  return "$failed"
}

# Runs the rest of the calling script alone: two test runs on one machine share one cache.
lock() {
  exec 9>"$FORESAIL_CACHE/$1.lock"
  flock 9
}

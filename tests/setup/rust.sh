#!/usr/bin/env bash
# Installs cargo subcommands where they are missing, into the cache.
#
# Usage: tests/setup/rust.sh [cargo-nextest] [cargo-deny]
# shellcheck source=tests/setup/common.sh
. "$(dirname "$0")/common.sh"

command -v cargo >/dev/null || die "cargo not found: install Rust from https://rustup.rs"
lock rust
export PATH="$FORESAIL_CACHE/bin:$PATH"

# Without optimization: built once in half of the time, and neither of the two computes anything.
install_missing() { # NAME VERSION [FLAG...]
  local name="$1" version="$2" began=$SECONDS
  shift 2
  command -v "$name" >/dev/null && return 0
  say "building $name $version (once)"
  CARGO_TARGET_DIR="$FORESAIL_CACHE/build-$name" nice cargo install --quiet --debug --locked --root "$FORESAIL_CACHE" \
    "$name" --version "$version" "$@" >&2
  rm -rf "$FORESAIL_CACHE/build-$name"
  say "built $name in $((SECONDS - began)) s"
}

# The toolchain of rust-toolchain.toml and its components: rustup fetches them at the first use.
(cd "$(dirname "$0")/../.." && cargo --version >/dev/null)
for name in "$@"; do
  case "$name" in
    # Updating itself is what most of its dependencies are for.
    cargo-nextest) install_missing cargo-nextest 0.9.143 --no-default-features ;;
    cargo-deny) install_missing cargo-deny 0.20.2 ;;
    *) die "unknown subcommand $name" ;;
  esac
done

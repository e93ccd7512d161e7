#!/usr/bin/env bash
# Unpacks servers from a newer Debian suite into the cache, with the C library and loader that they were built for:
# nothing of the machine's own packages changes, and no root is needed. Prints the folder, which is laid out as `/` is.
#
# Usage: tests/setup/debian.sh SUITE PACKAGE...
# shellcheck source=tests/setup/common.sh
. "$(dirname "$0")/common.sh"

suite="$1"
shift
key="$(cat "$0" <(echo "$suite $*") | sha256sum | cut -c1-12)"
root="$FORESAIL_CACHE/servers/debian-$suite-$key"
lock debian
if [ -d "$root" ]; then
  echo "$root"
  exit 0
fi

say "unpacking $* from Debian $suite (once)"
work="$(mktemp -d "$FORESAIL_CACHE/build-debian.XXXXXX")"
trap 'rm -rf "$work"' EXIT

# A private state of apt that knows this suite only and takes nothing for installed.
mkdir -p "$work/lists/partial" "$work/sources.d" "$work/archives/partial" "$work/root"
mirror="$(sed -nE 's/^(URIs: |deb (\[.*\] )?)(https?:[^ ]*debian\/?)( .*)?$/\3/p' \
  /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | grep -v security | head -n 1 || true)"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=$keyring] ${mirror:-http://deb.debian.org/debian} $suite main" >"$work/sources.list"
apt=(apt-get -qq -y -o Acquire::Retries=5 -o Dir::Etc::sourcelist="$work/sources.list"
  -o Dir::Etc::sourceparts="$work/sources.d" -o Dir::State::lists="$work/lists" -o Dir::State::status=/dev/null
  -o Dir::Cache="$work" -o Dir::Cache::archives="$work/archives" -o APT::Sandbox::User= -o Debug::NoLocking=1)
"${apt[@]}" update >&2
"${apt[@]}" install --no-install-recommends --download-only "$@" >&2
for package in "$work"/archives/*.deb; do dpkg-deb --extract "$package" "$work/root"; done
for package in "$work"/archives/*.deb; do
  dpkg-deb --show --showformat '${Package}\t${Version}\n' "$package"
done >"$work/root/versions.tsv"

# Every program asks for the loader beside it, and finds the libraries beside it.
cd "$work/root"
loader="$(find . -name 'ld-linux-*.so.*' -type f | head -n 1)"
[ -n "$loader" ] || die "no loader among the packages of $suite"
libraries="$(dirname "$loader" | cut -c2-)"
find . -type f -perm -u+x -size +1k -print0 | while IFS= read -r -d '' file; do
  patchelf --print-interpreter "$file" >/dev/null 2>&1 || continue
  patchelf --set-interpreter "$root$(cut -c2- <<<"$loader")" --force-rpath --set-rpath "$root$libraries" "$file"
done
# Erlang has its own folder written into its start script.
for script in usr/lib/erlang/bin/erl usr/lib/erlang/erts-*/bin/erl; do
  [ ! -f "$script" ] || sed -i "s#=/usr/lib/erlang#=$root/usr/lib/erlang#" "$script"
done
mv "$work/root" "$root"
echo "$root"

#!/usr/bin/env bash
# Builds programs written in Go, once, into the cache, each at exactly the version that its go.mod pins.
#
# Usage: tests/setup/go.sh [--built] FOLDER...     (--built: only says which are there, and builds nothing)
#
# A FOLDER holds go.mod with `tool` lines and go.sum (made by pin.sh), and perhaps a file `flags` with further flags
# of `go build`, a line each, and a file `empty`: files that the module embeds and its release lacks, such as the parts of
# a page, which are made empty; and a file `copy`: files of the module that are kept beside the programs. Prints a line per
# FOLDER: where its programs are.
# shellcheck source=tests/setup/common.sh
. "$(dirname "$0")/common.sh"

here="$(cd "$(dirname "$0")" && pwd)"
# What building leaves behind is several GB: it is kept apart, and deleted when everything is built.
work="$FORESAIL_CACHE/build-go"

# The module that the first tool belongs to, and its version.
module_of() {
  awk '$1 == "tool" && $2 != "(" { tool = tool ? tool : $2 } intool && $1 != ")" { tool = tool ? tool : $1 }
    $1 == "tool" && $2 == "(" { intool = 1 } $1 == ")" { intool = 0 }
    $1 == "require" { $1 = ""; $0 = $0 } $2 ~ /^v[0-9]/ { version[$1] = $2 }
    END { for (module = tool; module != "" && !(module in version); ) if (!sub("/[^/]*$", "", module)) break
          print module, version[module] }' "$1/go.mod"
}
version_of() { module_of "$1" | cut -d' ' -f2; }

built() { # FOLDER: where its programs are, or will be
  local key
  key="$( (cat "$1/go.mod" "$1/go.sum" "$1/flags" "$1/empty" "$1/copy" 2>/dev/null || true; stamps "$1") | sha256sum | cut -c1-12)"
  echo "$FORESAIL_CACHE/servers/$(basename "$1")-$(release "$(version_of "$1")")-$key"
}

build() { # FOLDER TARGET
  local folder="$1" target="$2" fresh flags=() module file
  [ ! -f "$folder/flags" ] || mapfile -t flags <"$folder/flags"
  local begun=$SECONDS
  say "building $(basename "$folder") $(version_of "$folder") (once)"
  fresh="$(mktemp -d "$target.XXXXXX")"
  # shellcheck disable=SC2064
  trap "rm -rf '$fresh'" EXIT
  export GOFLAGS="-mod=readonly -modcacherw" GOCACHE="$work/cache" GOMODCACHE="$work/modules" CGO_ENABLED=0
  if [ -f "$folder/empty" ] || [ -f "$folder/copy" ]; then
    read -r module _ <<<"$(module_of "$folder")"
    "$go" -C "$folder" mod download "$module"
    module="$("$go" -C "$folder" list -m -f '{{.Dir}}' "$module")"
  fi
  if [ -f "$folder/empty" ]; then
    while read -r file; do mkdir -p "$(dirname "$module/$file")"; touch "$module/$file"; done <"$folder/empty"
  fi
  if [ -f "$folder/copy" ]; then
    mkdir "$fresh/files"
    # shellcheck disable=SC2086
    while read -r file; do cp "$module"/$file "$fresh/files/"; done <"$folder/copy"
  fi
  nice "$go" -C "$folder" build -trimpath -buildvcs=false "${flags[@]}" \
    -ldflags "-s -w $(stamps "$folder")" -o "$fresh/" tool 2> >(grep -v "^go: downloading" >&2)
  chmod 755 "$fresh"
  mv "$fresh" "$target"
  trap - EXIT
  say "built $(basename "$folder") in $((SECONDS - begun)) s"
}

# Programs know their version from the linker only, and say nothing or v0.0.0 otherwise.
stamps() {
  local module version minor
  read -r module version <<<"$(module_of "$1")"
  case "$module" in
    k8s.io/kubernetes)
      minor="$(cut -d. -f2 <<<"$version")"
      printf -- '-X %s ' "k8s.io/component-base/version.gitVersion=$version" \
        "k8s.io/component-base/version.gitMajor=1" "k8s.io/component-base/version.gitMinor=$minor" \
        "k8s.io/client-go/pkg/version.gitVersion=$version"
      ;;
    github.com/prometheus/*)
      printf -- '-X github.com/prometheus/common/version.Version=%s' "$(release "$version")"
      ;;
  esac
}

# Prometheus 3.16.0 is v0.316.0 of its module.
release() { sed -E 's/^v0\.([0-9])([0-9]{2})\./\1.\2./; s/^v//' <<<"$1"; }

if [ "${1:-}" = --built ]; then
  shift
  for folder in "$@"; do [ ! -d "$(built "$folder")" ] || built "$folder"; done
  exit 0
fi
lock go
mkdir -p "$FORESAIL_CACHE/servers"
missing=()
for folder in "$@"; do [ -d "$(built "$folder")" ] || missing+=("$folder"); done
if [ ${#missing[@]} -gt 0 ]; then
  go="$("$here/go-toolchain.sh")"
  for folder in "${missing[@]}"; do build "$folder" "$(built "$folder")"; done
  rm -rf "$work"
fi
for folder in "$@"; do built "$folder"; done

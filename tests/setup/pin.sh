#!/usr/bin/env bash
# Pins a program written in Go to a version: writes FOLDER/go.mod and go.sum, which go.sh builds.
#
# Usage: tests/setup/pin.sh FOLDER MODULE VERSION PACKAGE...
#
# By hand, when a newer version is wanted: FOLDER is one of .ci/servers, and the result is committed. A PACKAGE is a path
# below MODULE, '' the module itself. What is replaced in the module's own go.mod is replaced here as well, since Go heeds
# only the main module's replacements: Kubernetes names its own parts as v0.0.0 with a local folder, and those become the
# parts' releases.
set -euo pipefail
[ $# -ge 4 ] || { sed -n '2,5p' "$0" | cut -c3- >&2; exit 2; }
folder="$1" module="$2" version="$3"
shift 3
export GOFLAGS=-mod=mod GOTOOLCHAIN=local
mkdir -p "$folder"
cd "$folder"
rm -f go.mod go.sum
go mod init "foresail.dev/tests/$(basename "$folder")" 2>/dev/null
theirs="$(go mod download -json "$module@$version" | sed -n 's/.*"GoMod": "\(.*\)",/\1/p')"
[ -n "$theirs" ] || { echo "no $module@$version" >&2; exit 1; }
go mod edit -go="$(sed -n 's/^go //p' "$theirs")"
# v1.36.3 of Kubernetes is v0.36.3 of its parts.
go mod edit -json "$theirs" | python3 -c '
import json, sys
theirs = json.load(sys.stdin)
required = {entry["Path"]: entry["Version"] for entry in theirs.get("Require") or []}
for entry in theirs.get("Replace") or []:
    old, new = entry["Old"], entry["New"]
    path, release = new["Path"], new.get("Version")
    if path.startswith("."):
        if required.get(old["Path"]) != "v0.0.0":
            continue
        path, release = old["Path"], "v0" + sys.argv[1].removeprefix("v1")
    left = old["Path"] + ("@" + old["Version"] if old.get("Version") else "")
    print(f"{left}={path}@{release}")
' "$version" | while read -r line; do go mod edit -replace="$line"; done
go mod edit -require="$module@$version"
for package in "$@"; do go mod edit -tool="$module${package:+/$package}"; done
go mod tidy >&2

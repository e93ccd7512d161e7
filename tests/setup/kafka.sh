#!/usr/bin/env bash
# Takes Apache Kafka from Maven Central into the cache, once, as .ci/servers/kafka/pom.xml pins it. Prints the folder:
# `libs` holds the broker and its tools.
# shellcheck source=tests/setup/common.sh
. "$(dirname "$0")/common.sh"

pom="$(cd "$(dirname "$0")/../../.ci/servers/kafka" && pwd)/pom.xml"
version="$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$pom")"
root="$FORESAIL_CACHE/servers/kafka-$version-$(sha256sum <"$pom" | cut -c1-12)"
lock kafka
if [ -d "$root" ]; then
  echo "$root"
  exit 0
fi

say "taking Apache Kafka $version from Maven Central (once)"
work="$(mktemp -d "$FORESAIL_CACHE/build-kafka.XXXXXX")"
trap 'rm -rf "$work"' EXIT
mvn --batch-mode --quiet --file "$pom" -Dmaven.repo.local="$work/repository" \
  dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$work/root/libs" >&2
chmod 755 "$work/root"
mv "$work/root" "$root"
echo "$root"

#!/usr/bin/env bash
# Installs what the tests need from Debian: only what is missing; nothing is left running.
# shellcheck source=tests/setup/common.sh
. "$(dirname "$0")/common.sh"

# Programs and the package each comes from: a program that is there already needs no package.
has() { command -v "$1" >/dev/null || compgen -G "$1" >/dev/null; }
wanted=()
need() { has "$1" || wanted+=("$2"); }

need '/usr/lib/postgresql/*/bin/initdb' postgresql
need chromium chromium
need curl curl
need git git
need cc gcc
# librdkafka, a Kafka client and a mock of the broker, is built from source.
need c++ g++
need make make
need cmake cmake
need pkg-config pkg-config
need protoc protobuf-compiler
# Apache Kafka, from Maven Central.
need java openjdk-17-jre-headless
need mvn maven
# The page is driven in Chromium by Node.
need node nodejs
need npm npm
# Servers of a newer Debian.
need patchelf patchelf

lock packages
[ ${#wanted[@]} -eq 0 ] || apt_install "${wanted[@]}"

#!/usr/bin/env bash
# Installs the servers that the tests start, from Debian. Only what is missing; nothing is left running.
# shellcheck source=tests/setup/common.sh
. "$(dirname "$0")/common.sh"

# Server programs and the package each comes from: a program that is there already needs no package.
has() { command -v "$1" >/dev/null || [ -x "$1" ] || compgen -G "$1" >/dev/null; }
wanted=()
need() { has "$1" || wanted+=("$2"); }

need prometheus prometheus
need promtool prometheus
need prometheus-alertmanager prometheus-alertmanager
need redis-server redis-server
need nats-server nats-server
need /usr/lib/rabbitmq/bin/rabbitmq-server rabbitmq-server
need '/usr/lib/postgresql/*/bin/initdb' postgresql
need etcd etcd-server
need kubectl kubernetes-client
need chromium chromium
need curl curl
need git git
need cc gcc
# librdkafka, the Kafka broker of the tests, is built from source.
need c++ g++
need make make
need cmake cmake
need pkg-config pkg-config
need protoc protobuf-compiler

lock packages
[ ${#wanted[@]} -eq 0 ] || apt_install "${wanted[@]}"

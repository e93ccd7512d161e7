#!/usr/bin/env bash
# Sets up the servers that the tests start, and prints a folder with a link to each program and versions.tsv, which says
# what each of them is. What is there already is not built again.
#
# Usage: tests/setup/servers.sh [--servers today|debian] [--peers]
#
#   --servers today    the newest releases: from their Go modules, from Debian trixie, from Maven Central (default)
#   --servers debian   Prometheus, Alertmanager, NATS, Redis and RabbitMQ as Debian bookworm has them, some years old
#   --peers            also KEDA, Argo Rollouts and Karpenter with its provider of KWOK nodes
#
#   KUBERNETES_VERSION=1.36.3   builds that Kubernetes instead of the pinned one; 1.36 is its newest patch
#   KUBEBUILDER_ASSETS=FOLDER   takes etcd and Kubernetes from there; nothing of these is built
# shellcheck source=tests/setup/common.sh
. "$(dirname "$0")/common.sh"
cd "$(dirname "$0")"
pins="$PWD/../../.ci/servers"

generation=today
peers=no
while [ $# -gt 0 ]; do
  case "$1" in
    --servers) generation="${2:-}"; shift 2 || die "--servers needs today or debian" ;;
    --peers) peers=yes; shift ;;
    *) die "unknown argument $1: see the top of tests/setup/servers.sh" ;;
  esac
done
case "$generation" in today | debian) ;; *) die "--servers $generation: today and debian are known" ;; esac

kubernetes_folder() {
  if [ -z "${KUBERNETES_VERSION:-}" ]; then
    echo "$pins/kubernetes"
    return
  fi
  local go version folder
  go="$(./go-toolchain.sh)"
  export PATH="$(dirname "$go"):$PATH"
  version="$(cd / && GOFLAGS=-mod=mod go list -m -f '{{.Version}}' "k8s.io/kubernetes@v${KUBERNETES_VERSION#v}")" ||
    die "KUBERNETES_VERSION=$KUBERNETES_VERSION: no such release (as 1.36.3, or 1.36 for its newest patch)"
  if grep -q "k8s.io/kubernetes $version" "$pins/kubernetes/go.mod"; then
    echo "$pins/kubernetes"
    return
  fi
  folder="$FORESAIL_CACHE/pinned/$version/kubernetes"
  if [ ! -f "$folder/go.sum" ]; then
    say "reading what Kubernetes $version is made of"
    ./pin.sh "$folder" k8s.io/kubernetes "$version" \
      cmd/kube-apiserver cmd/kube-controller-manager cmd/kube-scheduler cmd/kubectl 2> >(grep -v downloading >&2)
  fi
  echo "$folder"
}

# The folder is made anew beside the old one and then put in its place: another run may be reading it.
fresh="$(mktemp -d "$FORESAIL_CACHE/programs.XXXXXX")"
trap 'rm -rf "$fresh"' EXIT
row() { printf '%s\t%s\t%s\n' "$@" >>"$fresh/versions.tsv"; }
link() { # PROGRAM [NAME]
  [ -x "$1" ] || die "$1 is missing"
  ln -sf "$1" "$fresh/${2:-$(basename "$1")}"
}
# RabbitMQ looks for its scripts beside itself, and for Erlang on PATH: a link would be the wrong place.
rabbitmq() { # ROOT
  printf '#!/bin/sh\nPATH="%s:$PATH" exec "%s" "$@"\n' "$1/usr/lib/erlang/bin" "$1/usr/lib/rabbitmq/bin/rabbitmq-server" \
    >"$fresh/rabbitmq-server"
  chmod 755 "$fresh/rabbitmq-server"
}
links() { local program; for program in "$1"/*; do [ -d "$program" ] || link "$program"; done; }

# What `go.sh` built: the folder's name is NAME-VERSION-KEY.
name_of() { basename "$1" | sed 's/-[^-]*-[^-]*$//'; }
from_module() { # TITLE FOLDER
  local name
  name="$(basename "$2")"
  name="${name%-*}"
  row "$1" "${name##*-}" "Go module"
  links "$2"
  [ ! -d "$2/files" ] || ln -s "$2/files" "$fresh/$(name_of "$2").files"
  # Go names a program after its folder, which says little for some.
  case "$1" in
    etcd) mv "$fresh/server" "$fresh/etcd" ;;
    KEDA) mv "$fresh/operator" "$fresh/keda-operator"; mv "$fresh/adapter" "$fresh/keda-adapter" ;;
    Karpenter) mv "$fresh/kwok" "$fresh/karpenter" ;;
  esac
}

of_peers=("$pins/keda" "$pins/argo-rollouts" "$pins/karpenter")
declare -A title=([etcd]=etcd [kwok]=KWOK [metrics-server]=metrics-server [helm]=Helm [prometheus]=Prometheus
  [alertmanager]=Alertmanager [nats-server]=NATS [kubernetes]=Kubernetes
  [keda]=KEDA [argo-rollouts]="Argo Rollouts" [karpenter]=Karpenter)

modules=(kwok metrics-server helm)
[ "$generation" = debian ] || modules+=(prometheus alertmanager nats-server)
folders=("${modules[@]/#/$pins/}")
if [ -z "${KUBEBUILDER_ASSETS:-}" ]; then
  kubernetes="$(kubernetes_folder)"
  modules=(kubernetes etcd "${modules[@]}")
  folders=("$kubernetes" "$pins/etcd" "${folders[@]}")
  set="$generation-$(sed -n 's:.*k8s.io/kubernetes \(v[^ ]*\).*:kubernetes-\1:p' "$kubernetes/go.mod" | head -n 1)"
else
  set="$generation-assets"
fi
mapfile -t built < <(./go.sh "${folders[@]}")
[ ${#built[@]} = ${#folders[@]} ] || die "a server could not be built"
# Peers that are there already are linked as well: `testbed up --with keda` finds them. They come first, since Karpenter's
# program is named kwok too.
[ "$peers" = no ] || ./go.sh "${of_peers[@]}" >/dev/null
for folder in $(./go.sh --built "${of_peers[@]}"); do
  name="$(name_of "$folder")"
  from_module "${title[$name]}" "$folder"
done
for i in "${!modules[@]}"; do from_module "${title[${modules[i]}]}" "${built[i]}"; done
if [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
  for program in etcd kube-apiserver kube-controller-manager kube-scheduler; do link "$KUBEBUILDER_ASSETS/$program"; done
  if [ -x "$KUBEBUILDER_ASSETS/kubectl" ]; then link "$KUBEBUILDER_ASSETS/kubectl"; else
    command -v kubectl >/dev/null || apt_install kubernetes-client
    link "$(command -v kubectl)"
  fi
  row Kubernetes "$("$KUBEBUILDER_ASSETS/kube-apiserver" --version | sed 's/Kubernetes v//')" KUBEBUILDER_ASSETS
  row etcd "$("$KUBEBUILDER_ASSETS/etcd" --version | sed -n 's/etcd Version: //p')" KUBEBUILDER_ASSETS
fi

# The upstream part of a Debian version.
upstream() { sed -E 's/^[0-9]+://; s/[-+].*//' <<<"$1"; }
if [ "$generation" = today ]; then
  root="$(./debian.sh trixie redis-server rabbitmq-server)"
  link "$root/usr/bin/redis-server"
  link "$root/usr/lib/erlang/bin/epmd"
  rabbitmq "$root"
  version_of() { sed -n "s/^$1\t//p" "$root/versions.tsv"; }
  from="Debian trixie"
else
  apt_install redis-server rabbitmq-server prometheus prometheus-alertmanager nats-server
  link /usr/bin/redis-server
  link /usr/bin/epmd
  rabbitmq ""
  link /usr/bin/prometheus
  link /usr/bin/promtool
  link /usr/bin/prometheus-alertmanager alertmanager
  link /usr/sbin/nats-server
  version_of() { dpkg-query -W -f='${Version}' "$1"; }
  from="Debian, installed"
  row Prometheus "$(upstream "$(version_of prometheus)")" "$from"
  row Alertmanager "$(upstream "$(version_of prometheus-alertmanager)")" "$from"
  row NATS "$(upstream "$(version_of nats-server)")" "$from"
fi
row Redis "$(upstream "$(version_of redis-server)")" "$from"
row RabbitMQ "$(upstream "$(version_of rabbitmq-server)")" "$from"

kafka="$(./kafka.sh)"
ln -s "$kafka/libs" "$fresh/kafka"
row "Apache Kafka" "$(basename "$kafka" | cut -d- -f2)" "Maven Central"
row Java "$(java -version 2>&1 | sed -n 's/.* version "\([^"]*\)".*/\1/p')" "this machine"
row PostgreSQL "$(find /usr/lib/postgresql -mindepth 1 -maxdepth 1 -printf '%f\n' | sort -V | tail -n 1)" "Debian, installed"
row Chromium "$(chromium --version 2>/dev/null | sed -n 's/.*Chromium \([0-9.]*\).*/\1/p')" "Debian, installed"
row moto "$(sed -n 's/^moto.*==//p' requirements.txt)" PyPI
row rotel "$(sed -n 's/^rotel==//p' requirements.txt)" PyPI

programs="$FORESAIL_CACHE/programs/$set"
lock programs
mkdir -p "$FORESAIL_CACHE/programs"
chmod 755 "$fresh"
rm -rf "$programs"
mv "$fresh" "$programs"
trap - EXIT
# For tests that are run by hand, without `tests/run`.
if [ -z "${KUBERNETES_VERSION:-}${KUBEBUILDER_ASSETS:-}" ] && [ "$generation" = today ]; then
  ln -sfn "$set" "$FORESAIL_CACHE/programs/default"
fi
echo "$programs"

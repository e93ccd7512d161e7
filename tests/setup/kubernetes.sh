#!/usr/bin/env bash
# Builds kube-apiserver and kube-controller-manager from Debian's source package, once, into the cache.
#
# Prints the folder that holds them and etcd, in the layout that KUBEBUILDER_ASSETS means. Where that variable
# is set already nothing is built and its folder is printed: so the same tests run against any version.
# shellcheck source=tests/setup/common.sh
. "$(dirname "$0")/common.sh"

VERSION=1.20.2
SOURCE_PACKAGE=kubernetes
ASSETS="$FORESAIL_CACHE/kubernetes-$VERSION"
GO=/usr/lib/go-1.19/bin/go

if [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
  for binary in etcd kube-apiserver; do
    [ -x "$KUBEBUILDER_ASSETS/$binary" ] || die "KUBEBUILDER_ASSETS=$KUBEBUILDER_ASSETS has no $binary"
  done
  echo "$KUBEBUILDER_ASSETS"
  exit 0
fi

lock kubernetes
if ! command -v etcd >/dev/null; then apt_install etcd-server; fi
command -v kubectl >/dev/null || apt_install kubernetes-client
mkdir -p "$ASSETS"
ln -sf "$(command -v etcd)" "$ASSETS/etcd"
if [ -x "$ASSETS/kube-apiserver" ] && [ -x "$ASSETS/kube-controller-manager" ]; then
  echo "$ASSETS"
  exit 0
fi

say "building kube-apiserver and kube-controller-manager $VERSION (some minutes, once)"
apt_install golang-1.19-go golang-github-modern-go-reflect2-dev ca-certificates xz-utils
work="$(mktemp -d "$FORESAIL_CACHE/build-kubernetes.XXXXXX")"
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT

# The source package, through a private apt state: the machine's own source entries stay as they are, and no
# root is needed.
fetch() {
  mkdir -p "$work/apt/lists/partial" "$work/apt/sources.d" "$work/download"
  local entries="$work/apt/sources.list" own=/etc/apt/sources.list.d/debian.sources
  : >"$entries"
  if [ -f "$own" ] && grep -q bookworm "$own"; then
    sed 's/^Types:.*/Types: deb-src/' "$own" >"$work/apt/sources.d/debian.sources"
  elif grep -qs '^deb .*bookworm' /etc/apt/sources.list; then
    sed -n 's/^deb \(.*bookworm.*\)/deb-src \1/p' /etc/apt/sources.list >"$entries"
  else
    echo "deb-src http://deb.debian.org/debian bookworm main" >"$entries"
  fi
  local apt=(apt-get -qq -o Acquire::Retries=5 -o Dir::Etc::sourcelist="$entries"
    -o Dir::Etc::sourceparts="$work/apt/sources.d" -o Dir::State::lists="$work/apt/lists"
    -o Dir::Cache="$work/apt" -o APT::Sandbox::User=)
  "${apt[@]}" update >&2
  (cd "$work/download" && "${apt[@]}" source --download-only "$SOURCE_PACKAGE" >&2)
}
fetch

export GOPATH="$work/go" GOCACHE="$work/gocache" GOFLAGS= GO111MODULE=off CGO_ENABLED=0
tree="$GOPATH/src/k8s.io/kubernetes"
mkdir -p "$tree"
tar -xf "$work"/download/"$SOURCE_PACKAGE"_*.orig.tar.* --strip-components=1 -C "$tree"
cd "$tree"

# One file is generated and not shipped: the OpenAPI definitions of the built-in kinds.
"$GO" build -o "$work/openapi-gen" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen
mapfile -t packages < <(
  grep -rl --include='*.go' '+k8s:openapi-gen=true' pkg cmd vendor/k8s.io staging/src/k8s.io 2>/dev/null |
    grep -v -e /testdata/ -e /code-generator/ -e /sample- -e _test.go |
    xargs -n1 dirname | sort -u |
    sed -e 's#^staging/src/#vendor/#' -e 's#^#k8s.io/kubernetes/#' | sort -u
)
inputs=()
for package in "${packages[@]}"; do
  # The generator's own sources name the marker without carrying it.
  case "$package" in */kube-openapi/*) continue ;; esac
  inputs+=(-i "$package")
done
"$work/openapi-gen" -O zz_generated.openapi -o "$GOPATH/src" -p k8s.io/kubernetes/pkg/generated/openapi \
  --go-header-file hack/boilerplate/boilerplate.generatego.txt -r "$work/report" "${inputs[@]}" >&2

# reflect2 1.0.1 cannot iterate maps on Go 1.18 and later, which kills the server at the first custom resource.
# Debian's package has 1.0.2: lay it over the vendored files.
overlay() {
  local old=vendor/github.com/modern-go/reflect2 new=/usr/share/gocode/src/github.com/modern-go/reflect2 name first=1
  printf '{"Replace":{'
  for name in $( (ls "$old"; ls "$new") | grep -E '\.(go|s)$' | grep -v _test.go | sort -u); do
    [ "$first" = 1 ] || printf ','
    first=0
    if [ -e "$new/$name" ]; then
      printf '"%s":"%s"' "$tree/$old/$name" "$(readlink -f "$new/$name")"
    else
      printf '"%s":""' "$tree/$old/$name"
    fi
  done
  printf '}}\n'
}
overlay >"$work/overlay.json"

stamp=k8s.io/kubernetes/vendor/k8s.io/component-base/version
client=k8s.io/kubernetes/vendor/k8s.io/client-go/pkg/version
nice "$GO" build -overlay "$work/overlay.json" -o "$work/" \
  -ldflags "-s -w -X $stamp.gitVersion=v$VERSION -X $stamp.gitMajor=1 -X $stamp.gitMinor=20 -X $client.gitVersion=v$VERSION" \
  ./cmd/kube-apiserver ./cmd/kube-controller-manager
install -m 755 "$work/kube-apiserver" "$work/kube-controller-manager" "$ASSETS/"
say "built $("$ASSETS/kube-apiserver" --version)"
echo "$ASSETS"

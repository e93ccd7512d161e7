# `just` lists the recipes. What CI runs is `.ci/run`.

_list:
    @just --list --unsorted

# Format, lint, licences, generated files, rules: everything but the tests
check:
    tests/check

# Set up what the tests need and run all of them
test *arguments:
    tests/run {{arguments}}

# The quick tests: no servers
quick:
    cargo nextest run --workspace --lib

# Write every generated file anew: CRDs, chart, manifests, reference pages
generate:
    tests/generate

# KEDA, Argo Rollouts and Karpenter: built, and tried on the testbed
peers *arguments:
    tests/peers {{arguments}}

# A cluster to try things on; prints its KUBECONFIG
up *arguments:
    cargo run --package testbed -- up {{arguments}}

# The optimized binary
release:
    cargo build --release --package foresail

# The container image, without Docker; prints its size
image *arguments:
    tests/image {{arguments}}

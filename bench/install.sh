#!/usr/bin/env bash
# Installs what bench/run uses, if it is missing: nginx and haproxy to compare
# with, a C compiler and OpenSSL's headers for the load generator, openssl for
# a certificate. Caddy is built by bench/run.
set -euo pipefail

missing=()
need() { dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q 'ok installed' || missing+=("$1"); }
for package in gcc libc6-dev make libssl-dev openssl python3; do need "$package"; done
[[ -x ${NGINX:-/usr/sbin/nginx} ]] || missing+=(nginx-light)
[[ -x ${HAPROXY:-/usr/sbin/haproxy} ]] || missing+=(haproxy)
((${#missing[@]})) || exit 0

echo "bench/install.sh: installing ${missing[*]}"
as_root() { if ((EUID == 0)); then "$@"; else sudo "$@"; fi; }
as_root apt-get update -q
# The packages' services are not wanted: bench/run starts processes of its own.
as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -q -y --no-install-recommends "${missing[@]}"

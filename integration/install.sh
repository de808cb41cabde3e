#!/bin/sh
# Installs what the integration tests use and nobody of sluice wrote: Debian
# packages with apt-get (as root, or through sudo) and npm packages below this
# folder. It does nothing when all of it is there.
set -eu
cd "$(dirname "$0")"

missing=
need() { # need PACKAGE COMMAND...: the package is missing when the command fails
	package=$1
	shift
	"$@" >/dev/null 2>&1 || missing="$missing $package"
}

# The interpreter is Debian's own, because the packages are.
need python3-twisted /usr/bin/python3 -c 'import twisted'
need python3-txws /usr/bin/python3 -c 'import txws'
need python3-websockets /usr/bin/python3 -c 'import websockets'
need python3-h11 /usr/bin/python3 -c 'import h11'
need mosquitto command -v mosquitto
need websockify command -v websockify
need curl command -v curl
need nghttp2-client command -v h2load
need slowhttptest command -v slowhttptest
need wrk command -v wrk
need pebble command -v pebble
need testssl.sh command -v testssl
need openssl command -v openssl
need prometheus command -v promtool
need chromium command -v chromium
need nodejs command -v node
need npm command -v npm
need systemd command -v systemd-analyze # it is asked about the units, and runs nothing
need gcc command -v gcc # go test -race, which wants C and its headers
need libc6-dev test -e /usr/include/stdlib.h

if [ -n "$missing" ]; then
	root=
	if [ "$(id -u)" -ne 0 ]; then
		command -v sudo >/dev/null || {
			echo "integration/install.sh: missing Debian packages; as root run: apt-get install$missing" >&2
			exit 1
		}
		root=sudo
	fi
	echo "installing Debian packages for the integration tests:$missing"
	$root apt-get update -q
	# shellcheck disable=SC2086 # one word a package
	# Services of the packages are not wanted: the tests start processes of their own.
	$root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -qy --no-install-recommends $missing
fi

# The lock file is copied once all is installed: the next run compares it.
if ! cmp -s package-lock.json node_modules/.installed-lock.json; then
	echo "installing npm packages for the integration tests: ws, playwright-core, axe-core"
	npm ci --no-audit --no-fund
	cp package-lock.json node_modules/.installed-lock.json
fi

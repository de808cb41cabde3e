#!/bin/sh
# Runs the Windows tests of what sessions are made of in Wine: the packages that are named, or those of the
# portable relay and what it is made of. It needs wine64 and gcc-mingw-w64-x86-64 of Debian.
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- ./internal/codec ./internal/frame ./proxy/relay/core ./proxy/relay/portable ./route ./upgrade

wine=$(command -v wine64 || echo /usr/lib/wine/wine64)
for tool in "$wine" x86_64-w64-mingw32-gcc; do
	command -v "$tool" >/dev/null || {
		echo "integration/windows.sh: $tool is missing: apt-get install wine64 gcc-mingw-w64-x86-64" >&2
		exit 1
	}
done
dir=$(mktemp -d)
finish() {
	for server in "$(dirname "$wine")/wineserver64" "$(dirname "$wine")/wineserver" wineserver; do
		"$server" -k 2>/dev/null && break
	done
	rm -rf "$dir"
}
trap finish EXIT
export WINEPREFIX="$dir/prefix" WINEDEBUG=-all

# Go takes its random numbers from a library that Wine 8 has not.
cat >"$dir/prng.c" <<-'C'
	#include <windows.h>
	BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);
	__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE b, SIZE_T n) { return SystemFunction036(b, (ULONG)n); }
C
x86_64-w64-mingw32-gcc -shared -o "$dir/bcryptprimitives.dll" "$dir/prng.c" -ladvapi32
"$wine" wineboot --init >/dev/null 2>&1 || :
cp "$dir/bcryptprimitives.dll" "$WINEPREFIX/drive_c/windows/system32/"

# Wine cannot remove what the skipped test leaves in its directory.
status=0
for package; do
	GOOS=windows GOARCH=amd64 go test -c -o "$dir/test.exe" "$package"
	(cd "$package" && "$wine" "$dir/test.exe" -test.timeout=10m -test.skip='^TestAStalledTLSClientDoesNotDelayTheEngine$') || status=1
	echo "$package: $([ $status = 0 ] && echo passed || echo failed)"
done
exit $status

#!/bin/sh
# Fetches libchdb, the ClickHouse engine as a library, with the npm client into
# .cache/chdb/VERSION/ (or under CORDON_CACHE_DIR). Does nothing when it is there.
set -eu

version=26.5.3 # keep in step with Version in internal/chdb/find.go

# The package of this platform, and the sha512 of its tarball as npm writes it.
case "$(uname -s)-$(uname -m)" in
Linux-x86_64) package=@chdb/lib-linux-x64-gnu
    integrity=sha512-fPrLmRt5Moor9yGz4mazbrNje4t7X9KB2mTGkXFWRxRBs2iKy8yh6jx11xsa0Qr3iDFMU/yHqd+bVdYJXu3QaQ== ;;
Linux-aarch64) package=@chdb/lib-linux-arm64-gnu integrity= ;;
Darwin-x86_64) package=@chdb/lib-darwin-x64 integrity= ;;
Darwin-arm64) package=@chdb/lib-darwin-arm64 integrity= ;;
*)
    echo "fetch-chdb: there is no ClickHouse library for $(uname -s) on $(uname -m); use an external ClickHouse (clickhouse.dsn)" >&2
    exit 1 ;;
esac

root=$(cd "$(dirname "$0")/.." && pwd)
dir=${CORDON_CACHE_DIR:-$root/.cache}/chdb/$version
[ -s "$dir/libchdb.so" ] && exit 0

command -v npm >/dev/null || {
    echo "fetch-chdb: npm is missing, and the ClickHouse library comes as an npm package; install npm (Debian: apt-get install npm)" >&2
    exit 1
}

mkdir -p "$dir"
tmp=$(mktemp -d "$dir/fetch.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM

# progress PID WHAT PATH...: on a terminal, shows how the paths grow while the process runs.
progress() {
    pid=$1 what=$2
    shift 2
    if [ -t 2 ]; then
        while kill -0 "$pid" 2>/dev/null; do
            size=$(du -skc "$@" 2>/dev/null | tail -n 1 | cut -f 1)
            printf '\r%s %s MB' "$what" "$((${size:-0} / 1024))" >&2
            sleep 0.5
        done
        printf '\r\033[K' >&2
    fi
    wait "$pid"
}

echo "fetching ClickHouse library $version ($package, about 160 MB)" >&2
(cd "$tmp" && exec npm pack --silent --prefer-offline "$package@$version" >npm.out 2>npm.err) &
progress $! "downloaded" "$(npm config get cache 2>/dev/null)/_cacache/tmp" "$tmp" || {
    cat "$tmp/npm.out" "$tmp/npm.err" >&2
    echo "fetch-chdb: npm could not fetch $package@$version" >&2
    exit 1
}
tarball=$(ls "$tmp"/*.tgz)

if command -v sha512sum >/dev/null; then
    sum=$(sha512sum "$tarball" | cut -d ' ' -f 1)
else
    sum=$(shasum -a 512 "$tarball" | cut -d ' ' -f 1)
fi
if [ -n "$integrity" ]; then
    want=$(printf %s "${integrity#sha512-}" | base64 -d | od -An -v -tx1 | tr -d ' \n')
    [ "$sum" = "$want" ] || {
        echo "fetch-chdb: $package@$version is not what this script expects: sha512 is $sum, should be $want" >&2
        exit 1
    }
else
    echo "fetch-chdb: no checksum is pinned for $package; npm vouches for sha512 $sum" >&2
fi

tar -xzf "$tarball" -C "$tmp" package/libchdb.so &
progress $! "unpacked" "$tmp/package"
mv -f "$tmp/package/libchdb.so" "$dir/libchdb.so"
echo "ClickHouse library is in $dir" >&2

#!/usr/bin/env bash
# Checks and bundles the pages: internal/web/ui/src -> internal/web/dist, which is kept in the repository, so that nobody
# but who changes the pages needs node. Beside the bundle lies the digest of its sources; a test compares it.
set -euo pipefail
cd "$(dirname "$0")/.."
ui=internal/web/ui
work=${CORDON_CACHE_DIR:-$PWD/.cache}/web
mkdir -p "$work"
cp "$ui/package.json" "$ui/package-lock.json" "$ui/tsconfig.json" "$work/"
rm -rf "$work/src"
cp -r "$ui/src" "$work/src"
(cd "$work" && { cmp -s package-lock.json node_modules/.of || { npm ci --silent --no-fund --no-audit && cp package-lock.json node_modules/.of; }; } && npx tsc -p .)
out=$PWD/internal/web/dist/assets
${GO:-go} tool esbuild "$work/src/main.tsx" --bundle --minify --format=esm --target=es2022 --jsx=automatic --jsx-import-source=preact \
  --legal-comments=none --log-level=warning --outfile="$out/app.js"
${GO:-go} tool esbuild "$ui/src/app.css" --minify --log-level=warning --outfile="$out/app.css"
(cd "$ui" && LC_ALL=C cat package.json package-lock.json $(cd . && find src -type f | LC_ALL=C sort)) | sha256sum | cut -c1-64 > internal/web/ui/digest

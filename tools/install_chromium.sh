#!/bin/sh
# Installs Debian's chromium, which tests/e2e drives, unless a browser is there. Needs root; else says what to do.
set -eu
for name in chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null 2>&1; then
        exit 0
    fi
done
if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" != 0 ]; then
    echo "tests/e2e need chromium: install it ('sudo apt-get install chromium', or your system's package of it)" >&2
    exit 1
fi
echo "installing chromium (once, for tests/e2e)"
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium >/dev/null

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# chan-containers - two containers joined by a channel: no network between them, nobody in the path
#
#     examples/chan-containers.sh        as root; $WHARF and $CHAN name the programs
#
# Both are given the channel "talk": a directory that each finds at /run/chan/talk, and the address in
# it as $CHAN_TALK. One serves there, the other dials; the second may only dial (:ro). A message can
# carry a descriptor: the last call hands a file of the one to the other.
set -eu
chan=${CHAN:-$(command -v chan)}
dir=$(mktemp -d)
wharf() { "${WHARF:-wharf}" --root "$dir/wharf" "$@"; }
trap 'wharf rm -f server >/dev/null 2>&1; rm -rf "$dir"' EXIT

# an image of `chan`, a shell, and the libraries that they name
mkdir -p "$dir/image/bin" "$dir/image/tmp"
for file in $(ldd "$chan" | grep -o '/[^ ]*'); do
    mkdir -p "$dir/image${file%/*}"
    cp -L "$file" "$dir/image$file"
done
cp "$chan" "$dir/image/bin/chan"
cp "$(command -v busybox)" "$dir/image/bin/sh"
tar -C "$dir/image" -c . | wharf import - talker >/dev/null

wharf run -d --name server --chan talk talker sh -c 'exec chan serve $CHAN_TALK --echo --take' >/dev/null
echo '{"value": "hello from the other container"}' |
    wharf run --rm -i --chan talk:ro talker sh -c 'exec chan dial $CHAN_TALK --wait 10 --call'
echo '{"value": "a file"}' |
    wharf run --rm -i --chan talk:ro talker \
        sh -c 'echo of mine >/tmp/f; exec chan dial $CHAN_TALK --wait 10 --call --fd file=3 3</tmp/f'
echo "the server saw:"
wharf logs server

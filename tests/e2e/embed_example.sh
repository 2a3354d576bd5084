#!/usr/bin/env bash
# Installs a build into a folder of its own, moves that folder, builds examples/embed against it and runs that.
#   embed_example.sh SOURCE_DIR BUILD_DIR COMPILER MAKE_GGUF     CXXFLAGS, LDFLAGS: the example's, as CMake takes them
set -euo pipefail
source=$1 build=$2 compiler=$3 make_gguf=$4

fail() {
  echo "embed_example: $*" >&2
  exit 1
}

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export DRIFTWOOD_CACHE=$folder/cache XDG_DATA_HOME=$folder/data

cmake --install "$build" --prefix "$folder/first" >"$folder/install.log" || fail "$(cat "$folder/install.log")"
# What is installed must not depend on where, nor on the build.
mv "$folder/first" "$folder/prefix"
if grep -rIl -e "$build" -e "$folder/first" "$folder/prefix"; then fail "these files name the build or the first prefix"; fi
[ "$("$folder/prefix/bin/driftwood" version)" ] || fail "the installed program does not run"

cmake -G Ninja -S "$source/examples/embed" -B "$folder/build" -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_COMPILER="$compiler" \
  -DCMAKE_PREFIX_PATH="$folder/prefix" >"$folder/configure.log" ||
  fail "$(cat "$folder/configure.log")"
cmake --build "$folder/build" >"$folder/build.log" || fail "$(cat "$folder/build.log")"

library=$(find "$folder/prefix" -name 'libdriftwood.so.?.?.?')
if [ -n "$library" ]; then
  # Of what the library is made of nothing can be seen from outside but driftwood::v1, and what a template of the
  # standard library leaves behind.
  others=$(nm -D --defined-only "$library" | awk '{ print $3 }' |
    grep -vE '^_Z(Z?NK?|GV|T[ISV]N?)?(St|9driftwood2v1)|^_ZN?K?9__gnu_cxx' | c++filt || true)
  [ -z "$others" ] || fail "the library also exports: $others"
fi

"$make_gguf" --arch llama --representative "$folder/model.gguf" >/dev/null
guest=$(find "$folder/prefix" -name chat.wasm)
run() { "$folder/build/embed" "$guest" "$folder/model.gguf" "$folder/snapshots" >"$folder/output" || fail "the example failed"; }
run
cat "$folder/output"
# Both children and the actor that was saved go on from the same state. (A random model may well say lines.)
python3 - "$folder/output" <<'END' || fail "not one answer, two children's and one of the actor that came back, all three the same"
import re, sys
parts = re.split(r"^(actor|child|again): ", open(sys.argv[1], encoding="utf-8", errors="replace").read(), flags=re.M)
who, answers = parts[1::2], parts[2::2]
sys.exit(who != ["actor", "child", "child", "again"] or len(set(answers[1:])) != 1 or min(map(len, answers)) < 2)
END

status=0
"$folder/build/embed" "$folder/nothing.wasm" "$folder/model.gguf" "$folder/snapshots" 2>"$folder/error" || status=$?
[ "$status" = 1 ] || fail "status $status for a program that is not there"
grep -q 'nothing.wasm' "$folder/error" || fail "no sentence for a program that is not there: $(cat "$folder/error")"

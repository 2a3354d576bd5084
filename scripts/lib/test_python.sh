# shellcheck shell=bash
# The Python packages that only tests use, in the cache, Go among them. Needs common.sh and third_party.sh.

test_python_dir() {
  echo "$DW_CACHE/deps/test-python-$( (cat "$DW_PINS/test-requirements.txt" && python3 --version && uname -s -m) |
    short_hash)"
}
install_test_python() {
  local stage=$2
  python3 -m pip install --quiet --no-deps --only-binary=:all: --require-hashes --root-user-action=ignore \
    --target "$stage" -r "$DW_PINS/test-requirements.txt"
}

# Installs them where they are missing, and sets DW_TEST_PYTHON to their folder; build() hands their Go on. One step.
# Without them (offline, or no wheels for this system) the tests that use them are skipped.
need_test_python() {
  step "Python packages of the tests"
  if make_result "$(test_python_dir)" install_test_python; then
    DW_TEST_PYTHON=$(test_python_dir)
    DW_CONFIGURE+=("-DDRIFTWOOD_GO=$DW_TEST_PYTHON/go/bin/go")
  else
    warn "the tests that use them will be skipped"
    DW_TEST_PYTHON=
  fi
}

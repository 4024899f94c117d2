#!/bin/sh
# RUSTC_WRAPPER of the fuzz crates: our own crates and what decodes for them are built with
# coverage for libFuzzer and with debug assertions, everything else as it is in the workspace, so
# that DataFusion is not built a second time. Needs no unstable flag.
rustc=$1
shift
name=
before=
for argument; do
    [ "$before" = --crate-name ] && name=$argument
    before=$argument
done
case $name in
model | bus | ingest | arrow_ipc | flatbuffers) level=3 ;;
# Their time goes into the planner, which is built already: quickly built is enough.
runtime | sql | detect | correlate | gannet) level=1 ;;
*) exec "$rustc" "$@" ;;
esac
exec "$rustc" "$@" -Copt-level=$level -Ccodegen-units=1 -Cdebug-assertions -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares

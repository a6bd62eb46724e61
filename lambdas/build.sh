#!/bin/sh
# Makes /opt/venv for the functions: the packages that the library needs on Lambda, at exact versions.
set -eu

# Annoy is compiled here but runs elsewhere, so it is built for the oldest processor of each kind that Lambda has.
case "$(uname -m)" in
  x86_64) processor=x86-64-v2 ;;
  aarch64) processor=armv8.2-a ;;
  *) echo "no Lambda function runs on $(uname -m)" >&2; exit 1 ;;
esac
export ANNOY_COMPILER_ARGS="-O3,-march=$processor,-ffast-math,-fno-associative-math,-std=c++14,-DANNOYLIB_MULTITHREADED_BUILD"

python3 -m venv /opt/pip
python3 -m venv --without-pip /opt/venv
/opt/pip/bin/python -m pip --python /opt/venv/bin/python install --use-pep517 --no-compile --disable-pip-version-check \
  --no-deps --require-hashes --requirement functions.lock
# Required by packages for parts that no function uses.
/opt/pip/bin/python -m pip --python /opt/venv/bin/python uninstall --quiet --yes flatbuffers \
  lance-namespace-urllib3-client ml-dtypes protobuf tqdm

cd /opt/venv/lib/python3*/site-packages
sh /source/trim.sh
# Of the SDK, every service but those that a function calls.
find botocore/data -mindepth 1 -maxdepth 1 -type d \
  ! -name sqs ! -name stepfunctions ! -name sts ! -name s3 -exec rm -rf {} +
# A function's file system is read-only: code that is not compiled here is compiled at every cold start.
/opt/venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib

#!/bin/sh
# Removes from the site-packages in the current folder what no server or function ever loads: a third of pyarrow,
# symbols for debuggers, sources for compilers. The last step of each Dockerfile imports what is left.
set -eu

# Of pyarrow: the data server, the file systems (obstore and Lance have their own), what compiles against it.
rm -rf pyarrow/include pyarrow/includes pyarrow/src pyarrow/*flight* pyarrow/*_encryption* pyarrow/libarrow_s3* pyarrow/_pyarrow_cpp_tests*
rm -f pyarrow/_s3fs* pyarrow/_gcsfs* pyarrow/_azurefs* pyarrow/_hdfs* pyarrow/_orc* pyarrow/_dataset_orc*
# A wheel has no links: pyarrow's holds its own libraries three times.
for library in pyarrow/libarrow_python*.so; do
  for twin in "$library".*; do cmp -s "$library" "$twin" && ln -sf "$(basename "$library")" "$twin"; done
done
# Of LiteRT: the GPU delegate, the API for compiled models, tools, what only writes models.
rm -rf ai_edge_litert/libLiteRtWebGpuAccelerator.so ai_edge_litert/libLiteRt.so ai_edge_litert/tools \
  ai_edge_litert/vendors ai_edge_litert/aot ai_edge_litert/schema_py_generated.py ai_edge_litert/*_pb2.py
rm -rf numpy/f2py numpy/distutils
rm -f numpy/_core/_simd.*.so numpy/_core/*_tests.*.so
# Of rapidfuzz: other measures than the distance of letters, and the same for newer processors.
rm -rf rapidfuzz/fuzz_cpp*.so rapidfuzz/distance/metrics_cpp_avx2*.so rapidfuzz/__pyinstaller
# Of wordllama: everything but its table of words.
if [ -d wordllama ]; then
  find wordllama -type f ! -path 'wordllama/weights/l2_supercat_256.safetensors' \
    ! -path 'wordllama/tokenizers/l2_supercat_tokenizer_config.json' -delete
  : >wordllama/__init__.py
fi
find . -type d \( -name tests -o -name test -o -name testing \) -prune -exec rm -rf {} +
find . \( -name '*.pyi' -o -name '*.pyx' -o -name '*.pxi' -o -name '*.pxd' -o -name '*.h' -o -name '*.a' \) -delete
# auditwheel has rewritten the libraries of numpy and Pillow: a full strip would break them, and any strip numpy's.
find PIL pillow.libs -type f \( -name '*.so' -o -name '*.so.*' \) -exec strip --strip-debug {} +
find pyarrow ai_edge_litert obstore annoy pdqhash rapidfuzz -type f \( -name '*.so' -o -name '*.so.*' \) -exec strip --strip-unneeded {} +

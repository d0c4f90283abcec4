#!/bin/sh
# rustdoc with its JSON, which is still unstable, on a stable toolchain. In the place of rustdoc alone, so that nothing else is
# built in another way than ever.
RUSTC_BOOTSTRAP=1 exec rustdoc "$@"

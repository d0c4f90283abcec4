# The command `streamherd`, for workers of any language (`--exec`), the dashboard and operators:
#   docker build -t streamherd .
#   docker run --rm streamherd --url redis://HOST --service orders status
# A program that runs another one by `--exec` needs it in its image: start from this one, or copy the binary into its own.

# At least the `rust-version` of Cargo.toml.
FROM rust:1.88-slim-bookworm AS build
WORKDIR /src
# ring builds a little C.
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
COPY . .
RUN cargo build --release --locked -p streamherd-cli

# The same Debian as above, for its libc; it has `sh`, which `--exec` needs.
FROM debian:bookworm-slim
# The authorities that a rediss:// URL trusts, unless --tls-ca names others.
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/target/release/streamherd /usr/local/bin/streamherd
# A number, so that Kubernetes can see that it isn't root; the same as in examples/deploy.
USER 10001:10001
# What a worker ends by without loss. Its probes (`worker --probes`) are asked by the orchestrator: there is no HEALTHCHECK.
STOPSIGNAL SIGTERM
ENTRYPOINT ["streamherd"]
CMD ["help"]

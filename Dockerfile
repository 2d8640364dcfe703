# syntax=docker/dockerfile:1
# Debian 12 in both stages: the binary is linked to the glibc that it will find.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock build.rs ./
COPY src src
COPY benches benches
# The caches outlive the build; the binary must not stay in one.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --profile dist --locked --bin forethought \
    && cp target/dist/forethought /forethought

# `cc` and not `static`: the binary needs glibc and libgcc.
FROM gcr.io/distroless/cc-debian12:nonroot
LABEL org.opencontainers.image.title="forethought" \
      org.opencontainers.image.description="Predicts and watches your Prometheus series, and gives the result back as Prometheus series" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY LICENSE /LICENSE
COPY --from=build /forethought /usr/bin/forethought
# The number of the user and not the name: `runAsNonRoot` cannot judge a name.
USER 65532:65532
EXPOSE 10057 10058
ENTRYPOINT ["/usr/bin/forethought"]
CMD ["run", "--config.file=/etc/forethought/forethought.yml"]

# One image for every stage; which one is the container's command.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked -p gannet

FROM debian:bookworm-slim
RUN useradd --system --no-create-home gannet
WORKDIR /srv/gannet
COPY --from=build /src/target/release/gannet /usr/local/bin/gannet
COPY config config
# what waits while the log is away, as the configuration says; mount a volume to keep it
RUN mkdir gannet.spool && chown gannet gannet.spool
USER gannet
CMD ["gannet", "--help"]

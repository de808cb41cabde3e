# sluice alone in an image: one static binary, the CA roots for TLS to backends,
# and the licenses.
#
#   docker build -t sluice .
#   docker run -p 80:80 -p 443:443 --stop-timeout 40 \
#     -v "$PWD/conf:/etc/sluice:ro" -v sluice:/var/lib/sluice sluice
#
# "make images" makes one for several architectures. The process is user 65532,
# not root. Docker and Podman let it listen on ports below 1024
# (net.ipv4.ip_unprivileged_port_start=0 in the container). Where a runtime does
# not, listen on 8080 and 8443 in sluice.yaml and publish those as 80 and 443.
# Files that sluice.yaml names must be mounted and readable for it.

# It needs BuildKit, which docker build has used by itself since Docker 23: before that, DOCKER_BUILDKIT=1 docker
# build. It runs where it builds, and compiles for the system of the image.
FROM --platform=$BUILDPLATFORM golang:1.26.8 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
# Without --build-arg VERSION=... the Makefile asks git.
ARG VERSION
ARG TARGETOS
ARG TARGETARCH
RUN GOOS=$TARGETOS GOARCH=$TARGETARCH make build GO_LDFLAGS='-s -w' && mkdir /state
RUN go run ./packaging/release -platforms="${TARGETOS}_$TARGETARCH" -licenses=/LICENSES.txt

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /src/bin/sluice /sluice
COPY --from=build /src/LICENSE /LICENSES.txt /
COPY --from=build --chown=65532:65532 /state /var/lib/sluice
# For the socket of "takeover", in a volume that two containers share.
COPY --from=build --chown=65532:65532 --chmod=700 /state /run/takeover
USER 65532:65532
# The default of state_dir, and where the socket of "docker exec NAME /sluice status" and its like is.
ENV STATE_DIRECTORY=/var/lib/sluice RUNTIME_DIRECTORY=/var/lib/sluice/run
VOLUME /var/lib/sluice
EXPOSE 80 443
HEALTHCHECK --interval=15s --timeout=5s --start-period=5s \
  CMD ["/sluice", "health", "--config", "/etc/sluice/sluice.yaml"]
# SIGTERM drains, for at most shutdown.delay (0s) and shutdown.timeout (30s).
STOPSIGNAL SIGTERM
ENTRYPOINT ["/sluice"]
CMD ["run", "--config", "/etc/sluice/sluice.yaml"]
ARG VERSION
ARG CREATED
LABEL org.opencontainers.image.title="sluice" \
  org.opencontainers.image.description="WebSocket-first reverse proxy and TLS gateway" \
  org.opencontainers.image.licenses="MIT" \
  org.opencontainers.image.version="${VERSION}" \
  org.opencontainers.image.created="${CREATED}"

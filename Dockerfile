# sluice alone in an image: one static binary and the CA roots for TLS to
# backends.
#
#   docker build -t sluice .
#   docker run -p 80:80 -p 443:443 --stop-timeout 35 \
#     -v ./sluice.yaml:/etc/sluice/sluice.yaml:ro -v sluice:/var/lib/sluice sluice
#
# The process is user 65532, not root. Docker and Podman let it listen on ports
# below 1024 (net.ipv4.ip_unprivileged_port_start=0 in the container). Where a
# runtime does not, listen on 8080 and 8443 in sluice.yaml and publish those as
# 80 and 443. Files that sluice.yaml names must be mounted and readable for it.

FROM golang:1.26.8 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
# Without --build-arg VERSION=... the Makefile asks git.
ARG VERSION
RUN make build && mkdir /state

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /src/bin/sluice /sluice
COPY --from=build --chown=65532:65532 /state /var/lib/sluice
USER 65532:65532
# The default state_dir is below it.
ENV HOME=/var/lib/sluice
# The socket of "docker exec NAME /sluice status" and its like.
ENV RUNTIME_DIRECTORY=/var/lib/sluice/run
VOLUME /var/lib/sluice
EXPOSE 80 443
HEALTHCHECK --interval=15s --timeout=5s --start-period=5s \
  CMD ["/sluice", "health", "--config", "/etc/sluice/sluice.yaml"]
# SIGTERM, which docker stop sends, drains for at most shutdown_timeout (30s).
ENTRYPOINT ["/sluice"]
CMD ["run", "--config", "/etc/sluice/sluice.yaml"]

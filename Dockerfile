# A static executable in an empty image. Alpine's Rust targets musl, so the result needs nothing beside it.
# Without Docker: tests/image builds the last stage with buildah.
FROM rust:1.95-alpine AS build
RUN apk add --no-cache musl-dev make perl ca-certificates
WORKDIR /src
COPY . .
RUN cargo build --profile image --locked --package foresail && cp target/image/foresail /foresail

FROM scratch
COPY --from=build /foresail /foresail
# Certificates of public authorities, for Prometheus and chats outside the cluster.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/foresail"]
CMD ["run"]

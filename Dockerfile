# An image for docker, Kubernetes and ECS work pools, and for a worker in a container (docs/deploy.md):
#     docker build --tag stencil .
#     docker build --tag stencil --build-arg STORES="s3fs gcsfs" .      # what opens s3:// and gs://
# It holds the package and no secret. A run gets Prefect's address from its worker, and Label Studio's token from a block.
FROM python:3.12-slim AS build
WORKDIR /src
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /dist .

FROM python:3.12-slim
ARG STORES=""
COPY --from=build /dist /dist
COPY constraints.txt /dist/
# hadolint ignore=SC2086
RUN pip install --no-cache-dir --constraint /dist/constraints.txt "$(echo /dist/*.whl)[excel,parquet]" ${STORES} \
    && useradd --create-home --home-dir /stencil --uid 10001 stencil
USER 10001
WORKDIR /stencil
CMD ["prefect", "worker", "start", "--pool", "stencil"]

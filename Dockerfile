# syntax=docker/dockerfile:1
# weakseg in a container; docs/docker.md shows how to use it.
#   docker build -t weakseg .                    commands, on the CPU
#   docker build -t weakseg-serve --target serve .   weakseg serve, with /health
#   docker build --build-arg TORCH_INDEX_URL=https://download.pytorch.org/whl/cu128 ...   with CUDA's libraries
ARG PYTHON_VERSION=3.11

FROM python:${PYTHON_VERSION}-slim-bookworm AS build
ARG TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu
ARG EXTRAS=review,onnx,heic,pretrained
ENV PIP_CONSTRAINT=/source/constraints.txt \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
WORKDIR /source
# torch in a layer of its own: it is most of the image, and changes with constraints.txt alone.
COPY constraints.txt ./
RUN python -m venv /opt/weakseg && /opt/weakseg/bin/pip install --index-url "${TORCH_INDEX_URL}" torch
COPY pyproject.toml README.md LICENSE ./
COPY tools/package_page.py tools/
COPY src/ src/
RUN /opt/weakseg/bin/pip install ".[${EXTRAS}]"

FROM python:${PYTHON_VERSION}-slim-bookworm AS base
LABEL org.opencontainers.image.title="weakseg" \
      org.opencontainers.image.description="From image-level tags to pixel masks and a trained segmentation network" \
      org.opencontainers.image.licenses="MIT"
RUN useradd --create-home --uid 1000 weakseg && mkdir /work && chown weakseg /work
COPY --from=build /opt/weakseg /opt/weakseg
ENV PATH=/opt/weakseg/bin:$PATH \
    PYTHONUNBUFFERED=1
USER 1000:1000
WORKDIR /work

FROM base AS serve
EXPOSE 8770
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8770/health', timeout=4)"]
ENTRYPOINT ["weakseg", "serve", "--host", "0.0.0.0", "--port", "8770"]
CMD ["/model"]

FROM base AS command
HEALTHCHECK --interval=5m --timeout=30s CMD ["weakseg", "--version"]
ENTRYPOINT ["weakseg"]
CMD ["--help"]

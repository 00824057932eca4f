# exuno with Ray and DALI. torch's wheels bring CUDA's libraries; the host brings the driver (docker run --gpus all).
# docs/label-smoothing.md says how to use it.
FROM python:3.11-slim

COPY --from=ghcr.io/astral-sh/uv:0.13.8 /uv /usr/local/bin/uv
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
WORKDIR /opt/exuno

# The libraries first: they are gigabytes, and change less often than exuno.
COPY pyproject.toml uv.lock README.md LICENSE ./
COPY src/exuno/version.py src/exuno/version.py
RUN uv sync --locked --no-default-groups --no-install-project --extra ray --extra dali
COPY src src
RUN uv sync --locked --no-default-groups --no-editable --extra ray --extra dali

# Whoever runs it (docker run --user) may keep weights that are downloaded and runs.
RUN useradd --create-home exuno && mkdir /work && chmod 1777 /home/exuno /work
ENV PATH=/opt/exuno/.venv/bin:$PATH HOME=/home/exuno NVIDIA_DRIVER_CAPABILITIES=compute,utility,video
USER exuno
WORKDIR /work
ENTRYPOINT ["exuno"]
CMD ["--help"]

# exuno with Ray and DALI. Needs two registries, that of images for Python and that of packages; torch's wheels bring
# CUDA's libraries, the host brings the driver (docker run --gpus all). docs/label-smoothing.md says how to use it.
FROM python:3.11-slim

ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never PIP_NO_CACHE_DIR=1
RUN pip install --root-user-action=ignore uv==0.13.9
WORKDIR /opt/exuno

# The libraries first: they are gigabytes, and change less often than exuno.
COPY pyproject.toml uv.lock README.md LICENSE ./
RUN uv sync --locked --no-default-groups --no-install-project --extra ray --extra dali
COPY src src
# Without git no version can be told: docker build --build-arg VERSION=0.1.0 says which it is.
ARG VERSION=0.1.dev0
RUN SETUPTOOLS_SCM_PRETEND_VERSION_FOR_EXUNO=$VERSION \
    uv sync --locked --no-default-groups --no-editable --extra ray --extra dali

# Whoever runs it (docker run --user) may keep weights that are downloaded and runs.
RUN useradd --create-home exuno && mkdir /work && chmod 1777 /home/exuno /work
ENV PATH=/opt/exuno/.venv/bin:$PATH HOME=/home/exuno NVIDIA_DRIVER_CAPABILITIES=compute,utility,video
USER exuno
WORKDIR /work
ENTRYPOINT ["exuno"]
CMD ["--help"]

# syntax=docker/dockerfile:1
# The FastAPI sample. From the top of the repository:
#   docker build --file docker/fastapi-user-service.Dockerfile --tag fastapi-user-service:dev .

FROM python:3.11-slim-bookworm
WORKDIR /app
COPY examples/fastapi-user-service/requirements.txt .
RUN pip install --no-cache-dir --disable-pip-version-check -r requirements.txt
COPY examples/fastapi-user-service/user_service user_service
# Any user but root will do; the service writes below /tmp only.
USER 65532:65532
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
EXPOSE 8001
HEALTHCHECK --interval=5s --timeout=4s --start-period=10s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8001/health', timeout=3)"]
ENTRYPOINT ["python", "-m", "user_service"]

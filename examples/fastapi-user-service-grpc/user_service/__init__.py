"""A user service on FastAPI that keeps its place in Nacos by a gRPC connection."""

__version__ = "1.0.0"

"""A user service on FastAPI that registers itself in Nacos and is reached through a gateway."""

__version__ = "1.0.0"

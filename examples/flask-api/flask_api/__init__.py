"""A Flask service that registers itself in Nacos and shows what Nacos knows of it."""

__version__ = "0.1.0"

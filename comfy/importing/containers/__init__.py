"""Texts that media files carry: pictures, videos and sounds keep their workflow in them."""

from comfy.importing.containers.kinds import kind_of, texts_in

__all__ = ["kind_of", "texts_in"]

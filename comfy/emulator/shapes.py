"""Small real files of what is no picture, video or sound."""

import hashlib
import json
import struct

GLB_MAGIC = b"glTF"
JSON_CHUNK = b"JSON"
BINARY_CHUNK = b"BIN\0"
FLOAT = 5126
TRIANGLES = 4


def glb(key: str, tags: dict[str, str]) -> bytes:
    """Returns a binary glTF of one tetrahedron whose corners depend on the key."""
    numbers = [byte / 255 for byte in hashlib.sha256(key.encode()).digest()[:12]]
    corners = [tuple(numbers[at : at + 3]) for at in range(0, 12, 3)]
    faces = [(0, 1, 2), (0, 1, 3), (0, 2, 3), (1, 2, 3)]
    points = [corners[corner] for face in faces for corner in face]
    body = b"".join(struct.pack("<3f", *point) for point in points)
    low, high = ([how(point[axis] for point in points) for axis in range(3)] for how in (min, max))
    asset = {"version": "2.0", "generator": "ComfyUI", **({"extras": tags} if tags else {})}
    document = {
        "asset": asset,
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "mode": TRIANGLES}]}],
        "accessors": [
            {
                "bufferView": 0,
                "componentType": FLOAT,
                "count": len(points),
                "type": "VEC3",
                "min": low,
                "max": high,
            }
        ],
        "bufferViews": [{"buffer": 0, "byteLength": len(body)}],
        "buffers": [{"byteLength": len(body)}],
    }
    chunks = _chunk(JSON_CHUNK, json.dumps(document).encode(), b" ")
    chunks += _chunk(BINARY_CHUNK, body, b"\0")
    return GLB_MAGIC + struct.pack("<II", 2, 12 + len(chunks)) + chunks


def _chunk(kind: bytes, content: bytes, filler: bytes) -> bytes:
    padded = content + filler * (-len(content) % 4)
    return struct.pack("<I", len(padded)) + kind + padded


def svg(key: str) -> bytes:
    """Returns a drawing of one circle whose place and colour depend on the key."""
    numbers = hashlib.sha256(key.encode()).digest()
    x, y, radius = 16 + numbers[0] % 32, 16 + numbers[1] % 32, 8 + numbers[2] % 24
    text = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64" viewBox="0 0 64 64">'
        f'<circle cx="{x}" cy="{y}" r="{radius}" fill="#{numbers[3:6].hex()}"/></svg>'
    )
    return text.encode()

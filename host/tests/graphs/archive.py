"""Many small files in one: a tar archive that is the same byte for byte whenever its files are."""

import io
import tarfile

import numpy as np


class Archive:
    """Collects files and writes them, sorted by name, without times and owners."""

    def __init__(self, path):
        self.path, self.files = path, {}

    def write(self):
        with tarfile.open(self.path, "w", format=tarfile.USTAR_FORMAT) as tar:
            for name, content in sorted(self.files.items()):
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))

    def add(self, name, content):
        """A file: bytes, an array (as .npy) or an ONNX model."""
        assert name not in self.files, name
        if isinstance(content, np.ndarray):
            buffer = io.BytesIO()
            np.save(buffer, content)
            content = buffer.getvalue()
        elif not isinstance(content, bytes):
            content = content.SerializeToString()
        self.files[name] = content

    def size(self):
        """Bytes of all files."""
        return sum(map(len, self.files.values()))

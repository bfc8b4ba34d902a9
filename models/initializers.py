"""Constants of ONNX files, in the two legal encodings."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper


def raw(name, array):
    """Initializer stored as raw bytes, as most exporters do."""
    return numpy_helper.from_array(np.ascontiguousarray(array), name)


def typed(name, array):
    """Initializer stored in the typed field (float_data)."""
    return helper.make_tensor(name, TensorProto.FLOAT, array.shape, array.ravel().tolist())

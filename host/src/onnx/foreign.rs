//! Files that are something else than ONNX: which program wrote them, and what makes ONNX of them.

/// What these bytes are, if they are a known file of another kind.
pub(super) fn recognise(bytes: &[u8]) -> Option<&'static str> {
    let has = |text: &[u8]| {
        bytes
            .get(..bytes.len().min(1 << 16))
            .is_some_and(|b| b.windows(text.len()).any(|w| w == text))
    };
    let is = |magic: &[u8]| bytes.starts_with(magic);
    Some(match bytes {
        _ if is(b"version https://git-lfs") => {
            "a pointer of Git LFS, not the file itself: fetch it by `git lfs pull`"
        }
        _ if bytes.get(4..8) == Some(b"TFL3") => {
            "a TensorFlow Lite file: convert it by `python -m tf2onnx.convert --tflite m.tflite \
             --output m.onnx`"
        }
        _ if is(b"\x89HDF\r\n\x1a\n") => {
            "an HDF5 file, as Keras writes .h5: load it in Keras 3 and call \
             `model.export(\"m.onnx\", format=\"onnx\")`, or use tf2onnx"
        }
        _ if is(b"PK\x03\x04") && (has(b"model.weights.h5") || has(b"metadata.json")) => {
            "a .keras file: load it in Keras 3 and call `model.export(\"m.onnx\", \
             format=\"onnx\")`, or use tf2onnx"
        }
        _ if is(b"PK\x03\x04") && (has(b"data.pkl") || has(b"/version")) => {
            "a PyTorch file (.pt, .pth): load it in PyTorch and call `torch.onnx.export(model, \
             example, \"m.onnx\")`"
        }
        _ if is(b"PK\x03\x04") || is(b"\x1f\x8b") => {
            "an archive: unpack it, and name the .onnx file"
        }
        _ if is(b"\x80\x02") || is(b"\x80\x03") || is(b"\x80\x04") || is(b"\x80\x05") => {
            "a Python pickle (PyTorch or scikit-learn): load it in Python and export by \
             `torch.onnx.export` or `skl2onnx.to_onnx`"
        }
        _ if is(b"\x93NUMPY") => "a NumPy array, not a network",
        _ if is(b"MiniONNm") || is(b"MiniONNp") => "a compiled model or plan already",
        _ if bytes.get(4..8) == Some(b"ORTM") => {
            "a file of onnxruntime (.ort): name the .onnx file that it was made of"
        }
        _ if is(b"{") || is(b"<") => "text, not an ONNX file",
        _ => return None,
    })
}

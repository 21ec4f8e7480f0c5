"""One photograph, one mask: python onnx_predict.py model.onnx photo.jpg mask.png (numpy, Pillow, onnxruntime)."""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

path, photo, target = sys.argv[1:]
session = onnxruntime.InferenceSession(path)
info = json.loads(session.get_modelmeta().custom_metadata_map["weakseg"])
image = ImageOps.exif_transpose(Image.open(photo)).convert("RGB")
factor = min(1, (info["views"]["max_side_px"] or max(image.size)) / max(image.size))
seen = image.resize([max(1, round(side * factor)) for side in image.size], Image.Resampling.BICUBIC)
values = ((np.asarray(seen) / 255 - info["mean"]) / info["std"]).astype(np.float32)
(logits,) = session.run(["logits"], {"image": values.transpose(2, 0, 1)[None]})
likely = np.exp(logits[0] - logits[0].max(axis=0))
likely /= likely.sum(axis=0)  # softmax; each label's map is brought to full size, and the likeliest is taken
full = [np.asarray(Image.fromarray(one).resize(image.size, Image.Resampling.BILINEAR)) for one in likely]
mask = Image.frombytes("P", image.size, np.argmax(full, axis=0).astype(np.uint8).tobytes())
mask.putpalette(np.asarray(info["colours"], np.uint8).tobytes())
mask.save(target)

"""What the ONNX file of the tests says of itself."""

from tests.predict.made_model import CLASSES
from weakseg.models.onnx_network import OnnxInfo
from weakseg.models.predictor import Views

ONNX_INFO = OnnxInfo(CLASSES, 8, Views((1.0, 0.5), flip=True, max_side_px=30))

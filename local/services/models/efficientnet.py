"""EfficientNet-Lite0 as an ONNX graph.

The layers are those of "EfficientNet-lite" (Tan, in TensorFlow's TPU models): EfficientNet-B0 without squeeze and
excitation, with ReLU6 in place of swish. The input is 1x3x224x224, colours from -1 to 1, the output 1x1000
probabilities in the order of ImageNet's classes.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from local.services.models.checkpoint import Array

INPUT_SIDE = 224
CLASSES = 1000

_BATCH_NORM_EPSILON = 1e-3


class _Stage(NamedTuple):
    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


_STEM_CHANNELS = 32
_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)


def build_graph(weights: Mapping[str, Array]) -> bytes:
    """The serialized graph, from weights named as in PyTorch's EfficientNet-Lite. KeyError if one is missing."""
    return _GraphBuilder(weights).build()


class _GraphBuilder:
    def __init__(self, weights: Mapping[str, Array]) -> None:
        self._weights = weights
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._low = self._constant(np.float32(0))
        self._high = self._constant(np.float32(6))

    def build(self) -> bytes:
        last = self._classifier(self._blocks(self._convolution("image", "_conv_stem", "_bn0", stride=2)))
        graph = helper.make_graph(
            self._nodes,
            "efficientnet-lite0",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, INPUT_SIDE, INPUT_SIDE])],
            [helper.make_tensor_value_info(last, TensorProto.FLOAT, [1, CLASSES])],
            self._constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString())

    def _blocks(self, value: str) -> str:
        channels, number = _STEM_CHANNELS, 0
        for stage in _STAGES:
            for repeat in range(stage.repeats):
                stride = stage.stride if repeat == 0 else 1
                result = self._inverted_bottleneck(value, f"_blocks.{number}.", stride, stage.expansion)
                value = self._add("Add", [result, value]) if stride == 1 and channels == stage.channels else result
                channels, number = stage.channels, number + 1
        return value

    def _inverted_bottleneck(self, value: str, block: str, stride: int, expansion: int) -> str:
        if expansion != 1:
            value = self._convolution(value, f"{block}_expand_conv", f"{block}_bn0")
        value = self._convolution(value, f"{block}_depthwise_conv", f"{block}_bn1", stride=stride, depthwise=True)
        return self._convolution(value, f"{block}_project_conv", f"{block}_bn2", activate=False)

    def _classifier(self, value: str) -> str:
        value = self._convolution(value, "_conv_head", "_bn1")
        pooled = self._add("Flatten", [self._add("GlobalAveragePool", [value])])
        weight, bias = self._constant(self._weights["_fc.weight"]), self._constant(self._weights["_fc.bias"])
        return self._add("Softmax", [self._add("Gemm", [pooled, weight, bias], transB=1)], axis=1)

    def _convolution(
        self, value: str, name: str, norm: str, *, stride: int = 1, depthwise: bool = False, activate: bool = True
    ) -> str:
        # Batch normalisation is a scale and a shift once training is over: both go into the convolution.
        kernel = self._weights[f"{name}.weight"]
        scale = self._weights[f"{norm}.weight"] / np.sqrt(self._weights[f"{norm}.running_var"] + _BATCH_NORM_EPSILON)
        shift = self._weights[f"{norm}.bias"] - self._weights[f"{norm}.running_mean"] * scale
        result = self._add(
            "Conv",
            [value, self._constant(kernel * scale[:, None, None, None]), self._constant(shift)],
            kernel_shape=list(kernel.shape[2:]),
            strides=[stride, stride],
            group=kernel.shape[0] if depthwise else 1,
            auto_pad="SAME_UPPER",
        )
        return self._add("Clip", [result, self._low, self._high]) if activate else result

    def _constant(self, value: Any) -> str:
        name = f"constant{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(value, dtype=np.float32, order="C"), name))
        return name

    def _add(self, operator: str, inputs: list[str], **attributes: Any) -> str:
        name = f"value{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

"""Write all-MiniLM-L6-v2 as an ONNX graph from its safetensors weights.

For: the model store, which wants `model.onnx` and gets weights from the package index.
Promises: the same weights give the same bytes, on every machine; no arithmetic is done on a weight (matrices are only
transposed), so the graph computes what the original computes; operators stand in the form that ONNX Runtime's optimiser
fuses (bias + GELU, scaled products). Attention as one fused operator needs opset 12, and was measured to be no faster.
Does not: pool, normalise or tokenise (the service does), download, or check hashes (`provision.py` does).

Graph: input_ids, attention_mask, token_type_ids (int64, [batch, sequence]) -> last_hidden_state (float,
[batch, sequence, 384]). Needs `onnx` and `numpy`.
"""

import argparse
import json
import os
import sys

import numpy
import onnx
from onnx import TensorProto, helper

OPSET = 17  # the first with LayerNormalization; ONNX Runtime 1.24 reads far newer ones
IR_VERSION = 8  # the one that belongs to opset 17
LAYERS = 6
HIDDEN = 384
HEADS = 12
HEAD_WIDTH = HIDDEN // HEADS
INTERMEDIATE = 4 * HIDDEN
POSITIONS = 512
VOCABULARY = 30522
NORM_EPSILON = 1e-12
MASKED = -10000.0  # added to a masked score: softmax makes it 0 in single precision
SAFETENSORS_HEADER_LIMIT_BYTES = 1 << 20


class ExportError(Exception):
    """What is wrong with the weights, in one line."""


class Weights:
    """A read-only view of a safetensors file: a length, a JSON header, raw little-endian numbers."""

    def __init__(self, path):
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= SAFETENSORS_HEADER_LIMIT_BYTES:
                raise ExportError(f"{path} is not a safetensors file (header of {length} bytes)")
            self._header = json.loads(file.read(length))
        self._data = numpy.memmap(path, dtype=numpy.uint8, mode="r", offset=8 + length)

    def take(self, name, *shape):
        """The tensor `name`, which must be float32 of exactly this shape."""
        entry = self._header.get(name)
        if entry is None:
            raise ExportError(f"the weights have no tensor {name}")
        if entry["dtype"] != "F32" or tuple(entry["shape"]) != shape:
            raise ExportError(f"{name} is {entry['dtype']} {entry['shape']}, expected F32 {list(shape)}")
        start, end = entry["data_offsets"]
        return self._data[start:end].view("<f4").reshape(shape)


class Graph:
    """Nodes and constants in the order in which they are added; every name is derived from its place."""

    def __init__(self):
        self.nodes = []
        self.constants = []
        self._known = set()

    def constant(self, name, array):
        if name not in self._known:
            self._known.add(name)
            kind = TensorProto.INT64 if array.dtype.kind == "i" else TensorProto.FLOAT
            little = numpy.asarray(array, dtype="<i8" if kind == TensorProto.INT64 else "<f4")
            self.constants.append(helper.make_tensor(name, kind, little.shape, little.tobytes("C"), raw=True))
        return name

    def integers(self, *values):
        return self.constant("i_" + "_".join(str(value) for value in values), numpy.array(values, dtype="<i8"))

    def scalar(self, name, value):
        return self.constant(name, numpy.array(value, dtype="<f4"))

    def add(self, operator, inputs, name, **attributes):
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def norm(self, weights, prefix, value):
        scale = self.constant(f"{prefix}.weight", weights.take(f"{prefix}.weight", HIDDEN))
        bias = self.constant(f"{prefix}.bias", weights.take(f"{prefix}.bias", HIDDEN))
        return self.add("LayerNormalization", [value, scale, bias], f"{prefix}/norm", axis=-1, epsilon=NORM_EPSILON)

    def dense(self, weights, prefix, value, width_in, width_out):
        matrix = weights.take(f"{prefix}.weight", width_out, width_in)
        weight = self.constant(f"{prefix}.weight", matrix.T)
        bias = self.constant(f"{prefix}.bias", weights.take(f"{prefix}.bias", width_out))
        product = self.add("MatMul", [value, weight], f"{prefix}/product")
        return self.add("Add", [product, bias], f"{prefix}/sum")


def embeddings(graph, weights):
    """Word, position and type vectors, summed and normalised."""
    shape = graph.add("Shape", ["input_ids"], "shape")
    length = graph.add("Gather", [shape, graph.constant("one", numpy.array(1, dtype="<i8"))], "length", axis=0)
    length = graph.add("Unsqueeze", [length, graph.integers(0)], "length_row")
    places = graph.constant("positions", numpy.arange(POSITIONS, dtype="<i8").reshape(1, POSITIONS))
    places = graph.add("Slice", [places, graph.integers(0), length, graph.integers(1), graph.integers(1)], "places")
    prefix = "embeddings"
    tables = []
    for kind, rows, ids in (
        ("word", VOCABULARY, "input_ids"),
        ("token_type", 2, "token_type_ids"),
        ("position", POSITIONS, places),
    ):
        name = f"{prefix}.{kind}_embeddings.weight"
        table = graph.constant(name, weights.take(name, rows, HIDDEN))
        tables.append(graph.add("Gather", [table, ids], f"{prefix}/{kind}", axis=0))
    words, types, positions = tables
    total = graph.add("Add", [words, types], f"{prefix}/typed")
    total = graph.add("Add", [total, positions], f"{prefix}/placed")
    return graph.norm(weights, f"{prefix}.LayerNorm", total)


def score_mask(graph):
    """0 where a token counts and a large negative number where it does not, shaped to be added to the scores."""
    mask = graph.add("Unsqueeze", ["attention_mask", graph.integers(1)], "mask_2")
    mask = graph.add("Unsqueeze", [mask, graph.integers(2)], "mask_4")
    mask = graph.add("Cast", [mask], "mask_float", to=TensorProto.FLOAT)
    mask = graph.add("Sub", [graph.scalar("unmasked", 1.0), mask], "mask_inverse")
    return graph.add("Mul", [mask, graph.scalar("masked", MASKED)], "mask_scores")


def attention(graph, weights, prefix, value, mask):
    """Scaled dot-product attention over all heads, with its output projection."""
    heads = []
    for part, order in (("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3])):
        name = f"{prefix}.self.{part}"
        projected = graph.dense(weights, name, value, HIDDEN, HIDDEN)
        split = graph.add("Reshape", [projected, graph.integers(0, 0, HEADS, HEAD_WIDTH)], f"{name}/split")
        heads.append(graph.add("Transpose", [split], f"{name}/heads", perm=order))
    queries, keys, values = heads
    name = f"{prefix}.self"
    scores = graph.add("MatMul", [queries, keys], f"{name}/scores")
    scores = graph.add("Div", [scores, graph.scalar("scale", HEAD_WIDTH**0.5)], f"{name}/scaled")
    scores = graph.add("Add", [scores, mask], f"{name}/masked")
    shares = graph.add("Softmax", [scores], f"{name}/shares", axis=-1)
    mixed = graph.add("MatMul", [shares, values], f"{name}/mixed")
    mixed = graph.add("Transpose", [mixed], f"{name}/joined", perm=[0, 2, 1, 3])
    mixed = graph.add("Reshape", [mixed, graph.integers(0, 0, HIDDEN)], f"{name}/flat")
    return graph.dense(weights, f"{prefix}.output.dense", mixed, HIDDEN, HIDDEN)


def gelu(graph, prefix, value):
    """The exact GELU: x * (1 + erf(x / sqrt 2)) / 2."""
    inner = graph.add("Div", [value, graph.scalar("sqrt_two", 2.0**0.5)], f"{prefix}/gelu_in")
    inner = graph.add("Erf", [inner], f"{prefix}/gelu_erf")
    inner = graph.add("Add", [inner, graph.scalar("unit", 1.0)], f"{prefix}/gelu_shift")
    inner = graph.add("Mul", [value, inner], f"{prefix}/gelu_gate")
    return graph.add("Mul", [inner, graph.scalar("half", 0.5)], f"{prefix}/gelu")


def layer(graph, weights, number, value, mask, output):
    """One encoder layer; `output` names the result of the last one, else it is None."""
    prefix = f"encoder.layer.{number}"
    mixed = attention(graph, weights, f"{prefix}.attention", value, mask)
    value = graph.add("Add", [mixed, value], f"{prefix}/attended")
    value = graph.norm(weights, f"{prefix}.attention.output.LayerNorm", value)
    inner = graph.dense(weights, f"{prefix}.intermediate.dense", value, HIDDEN, INTERMEDIATE)
    inner = gelu(graph, f"{prefix}.intermediate", inner)
    inner = graph.dense(weights, f"{prefix}.output.dense", inner, INTERMEDIATE, HIDDEN)
    value = graph.add("Add", [inner, value], f"{prefix}/fed")
    value = graph.norm(weights, f"{prefix}.output.LayerNorm", value)
    if output is not None:
        graph.nodes[-1].output[0] = output
    return value


def build(weights):
    """The whole model, checked by onnx's own checker."""
    graph = Graph()
    value = embeddings(graph, weights)
    mask = score_mask(graph)
    for number in range(LAYERS):
        value = layer(graph, weights, number, value, mask, "last_hidden_state" if number == LAYERS - 1 else None)
    dimensions = ["batch", "sequence"]
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "all-minilm-l6-v2",
            [
                helper.make_tensor_value_info(name, TensorProto.INT64, dimensions)
                for name in ("input_ids", "attention_mask", "token_type_ids")
            ],
            [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, [*dimensions, HIDDEN])],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="catena",
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", help="model.safetensors")
    parser.add_argument("output", help="the ONNX file to write; must be on the same file system as its final place")
    arguments = parser.parse_args()
    try:
        content = build(Weights(arguments.weights)).SerializeToString(deterministic=True)
    except (ExportError, OSError, ValueError, onnx.checker.ValidationError) as error:
        print(f"cannot export the model: {error}", file=sys.stderr)
        return 1
    with open(arguments.output, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())

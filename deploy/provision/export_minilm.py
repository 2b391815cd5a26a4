"""Write all-MiniLM-L6-v2 as an ONNX graph from its safetensors weights, in one of three precisions.

For: the model store, which wants a folder with `model.onnx` and gets weights from the package index.
Promises: the same weights give the same bytes, on every machine (a weight is only rounded, divided by its column's scale
or moved: no sums, no BLAS). The graph is in `model.onnx`; every weight is external data of it in `weights.safetensors`,
a plain safetensors file whose tensors have the initialisers' names and start at multiples of 64 bytes: ONNX Runtime
opens the folder as it is, and a program can share one copy of each tensor between its sessions. Operators stand in the
form that ONNX Runtime's optimiser fuses (bias + GELU, scaled products). Attention as one fused operator, and sums fused
with the norms after them, were measured to be no faster.
Does not: normalise or tokenise, nor pool but for fp16 (the service does), download, or check hashes (`provision.py` does).

fp32: the weights as they are (matrices transposed), so the graph computes what the original computes.
int8: the weights of dense layers in 7 bits per output channel, their inputs quantised to 8 bits for each run, the rest
in single precision but for the word vectors, which are kept in half precision. Seven bits because processors without
VNNI add pairs of products in 16 bits: 2 * 255 * 63 fits there, 2 * 255 * 127 is cut off. A result depends on all that
is in its run: one text a run. The whole numbers come out the same on every processor; what is in single precision
rounds differently on different ones, which can move one quantised number by a step and then many: between AVX2 and
AVX-512 most vectors agreed with a cosine of 0.9999 or more, the others with 0.998 or more.
fp16: weights and arithmetic in half precision, for CUDA; the result is single precision, and pooled: from a graphics
card one vector for each text comes back and not one for each token.

Graph: input_ids, attention_mask, token_type_ids (int64, [batch, sequence]) -> last_hidden_state (float,
[batch, sequence, 384]), of fp16 sentence_embedding (float, [batch, 384]). Needs `onnx` and `numpy`.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import numpy
import onnx
from onnx import TensorProto, helper

OPSET = 17  # the first with LayerNormalization; ONNX Runtime 1.24 reads far newer ones
IR_VERSION = 8  # the one that belongs to opset 17
RUNTIME_DOMAIN = "com.microsoft"  # ONNX Runtime's own operators
LAYERS = 6
HIDDEN = 384
HEADS = 12
HEAD_WIDTH = HIDDEN // HEADS
INTERMEDIATE = 4 * HIDDEN
POSITIONS = 512
VOCABULARY = 30522
NORM_EPSILON = 1e-12
MASKED = -10000.0  # added to a masked score: softmax makes it 0, and half precision holds it
QUANTISED_LIMIT = 63
SAFETENSORS_HEADER_LIMIT_BYTES = 1 << 20
SAFETENSORS_ALIGNMENT_BYTES = 64
INLINE_LIMIT_BYTES = 64  # what is longer is external data
GRAPH_FILE = "model.onnx"
WEIGHTS_FILE = "weights.safetensors"
OUTPUT = "last_hidden_state"
POOLED_OUTPUT = "sentence_embedding"
# numpy's name of a type, ONNX's, safetensors'.
TYPES = {
    "<f4": (TensorProto.FLOAT, "F32"),
    "<f2": (TensorProto.FLOAT16, "F16"),
    "|i1": (TensorProto.INT8, "I8"),
    "<i8": (TensorProto.INT64, "I64"),
}


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

    def __init__(self, precision):
        self.nodes = []
        self.constants = {}
        self.is_quantised = precision == "int8"
        self.floats = "<f2" if precision == "fp16" else "<f4"

    def constant(self, name, array):
        self.constants.setdefault(name, array)
        return name

    def integers(self, *values):
        return self.constant("i_" + "_".join(str(value) for value in values), numpy.array(values, dtype="<i8"))

    def numbers(self, name, values):
        """A constant of the precision that the graph computes in."""
        return self.constant(name, numpy.asarray(values).astype(self.floats))

    def add(self, operator, inputs, name, **attributes):
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def norm(self, weights, prefix, value):
        scale = self.numbers(f"{prefix}.weight", weights.take(f"{prefix}.weight", HIDDEN))
        bias = self.numbers(f"{prefix}.bias", weights.take(f"{prefix}.bias", HIDDEN))
        return self.add("LayerNormalization", [value, scale, bias], f"{prefix}/norm", axis=-1, epsilon=NORM_EPSILON)

    def dense(self, weights, prefix, value, width_in, width_out, rows=""):
        matrix = weights.take(f"{prefix}.weight", width_out, width_in).T
        return self.product(prefix, value, matrix, weights.take(f"{prefix}.bias", width_out), rows)

    def product(self, prefix, value, matrix, bias, rows=""):
        """`value` times `matrix` plus `bias`; `rows` tells apart what is computed with the same matrix."""
        bias = self.numbers(f"{prefix}.bias", bias)
        if self.is_quantised:
            whole, scale = quantise(matrix)
            whole = self.constant(f"{prefix}.weight", whole)
            scale = self.constant(f"{prefix}.weight_scale", scale)
            inputs = [value, whole, scale, "", bias]
            return self.add("DynamicQuantizeMatMul", inputs, f"{prefix}{rows}/sum", domain=RUNTIME_DOMAIN)
        weight = self.numbers(f"{prefix}.weight", matrix)
        product = self.add("MatMul", [value, weight], f"{prefix}{rows}/product")
        return self.add("Add", [product, bias], f"{prefix}{rows}/sum")


def quantise(matrix):
    """Whole numbers and one scale per column, whose product is the matrix or nearly so."""
    scale = numpy.abs(matrix).max(axis=0) / numpy.float32(QUANTISED_LIMIT)
    if not (scale > 0).all():
        raise ExportError("a column of a matrix is all zero")
    whole = numpy.rint(matrix / scale).clip(-QUANTISED_LIMIT, QUANTISED_LIMIT)
    return whole.astype("|i1"), scale.astype("<f4")


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
        table = weights.take(name, rows, HIDDEN)
        if graph.is_quantised and kind == "word":  # two thirds of the file's bytes even so
            halves = graph.constant(name, table.astype("<f2"))
            found = graph.add("Gather", [halves, ids], f"{prefix}/{kind}_half", axis=0)
            tables.append(graph.add("Cast", [found], f"{prefix}/{kind}", to=TensorProto.FLOAT))
        else:
            tables.append(graph.add("Gather", [graph.numbers(name, table), ids], f"{prefix}/{kind}", axis=0))
    words, types, positions = tables
    total = graph.add("Add", [words, types], f"{prefix}/typed")
    total = graph.add("Add", [total, positions], f"{prefix}/placed")
    return graph.norm(weights, f"{prefix}.LayerNorm", total)


def score_mask(graph):
    """0 where a token counts and a large negative number where it does not, shaped to be added to the scores."""
    mask = graph.add("Unsqueeze", ["attention_mask", graph.integers(1)], "mask_2")
    mask = graph.add("Unsqueeze", [mask, graph.integers(2)], "mask_4")
    mask = graph.add("Cast", [mask], "mask_float", to=TYPES[graph.floats][0])
    mask = graph.add("Sub", [graph.numbers("unmasked", 1.0), mask], "mask_inverse")
    return graph.add("Mul", [mask, graph.numbers("masked", MASKED)], "mask_scores")


def projections(graph, weights, prefix, value, parts):
    """Queries, keys and values: three products, or one where each would quantise its input anew."""
    if not graph.is_quantised:
        return [graph.dense(weights, f"{prefix}.{part}", value, HIDDEN, HIDDEN) for part, _ in parts]
    matrices = [weights.take(f"{prefix}.{part}.weight", HIDDEN, HIDDEN).T for part, _ in parts]
    biases = [weights.take(f"{prefix}.{part}.bias", HIDDEN) for part, _ in parts]
    joined = graph.product(f"{prefix}.projections", value, numpy.concatenate(matrices, 1), numpy.concatenate(biases))
    names = [f"{prefix}.{part}/sum" for part, _ in parts]
    widths = graph.integers(*[HIDDEN] * len(parts))
    graph.nodes.append(helper.make_node("Split", [joined, widths], names, name=f"{prefix}/parts", axis=-1))
    return names


def attention(graph, weights, prefix, value, mask):
    """Scaled dot-product attention over all heads, with its output projection."""
    heads = []
    parts = (("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3]))
    for (part, order), projected in zip(parts, projections(graph, weights, f"{prefix}.self", value, parts)):
        name = f"{prefix}.self.{part}"
        split = graph.add("Reshape", [projected, graph.integers(0, 0, HEADS, HEAD_WIDTH)], f"{name}/split")
        heads.append(graph.add("Transpose", [split], f"{name}/heads", perm=order))
    queries, keys, values = heads
    name = f"{prefix}.self"
    scores = graph.add("MatMul", [queries, keys], f"{name}/scores")
    scores = graph.add("Div", [scores, graph.numbers("scale", HEAD_WIDTH**0.5)], f"{name}/scaled")
    scores = graph.add("Add", [scores, mask], f"{name}/masked")
    shares = graph.add("Softmax", [scores], f"{name}/shares", axis=-1)
    mixed = graph.add("MatMul", [shares, values], f"{name}/mixed")
    mixed = graph.add("Transpose", [mixed], f"{name}/joined", perm=[0, 2, 1, 3])
    mixed = graph.add("Reshape", [mixed, graph.integers(0, 0, HIDDEN)], f"{name}/flat")
    return graph.dense(weights, f"{prefix}.output.dense", mixed, HIDDEN, HIDDEN)


def gelu(graph, prefix, value):
    """The exact GELU: x * (1 + erf(x / sqrt 2)) / 2."""
    inner = graph.add("Div", [value, graph.numbers("sqrt_two", 2.0**0.5)], f"{prefix}/gelu_in")
    inner = graph.add("Erf", [inner], f"{prefix}/gelu_erf")
    inner = graph.add("Add", [inner, graph.numbers("unit", 1.0)], f"{prefix}/gelu_shift")
    inner = graph.add("Mul", [value, inner], f"{prefix}/gelu_gate")
    return graph.add("Mul", [inner, graph.numbers("half", 0.5)], f"{prefix}/gelu")


def feed_forward(graph, weights, prefix, value, rows=""):
    """The two dense layers of every token by itself."""
    inner = graph.dense(weights, f"{prefix}.intermediate.dense", value, HIDDEN, INTERMEDIATE, rows)
    inner = gelu(graph, f"{prefix}.intermediate{rows}", inner)
    return graph.dense(weights, f"{prefix}.output.dense", inner, INTERMEDIATE, HIDDEN, rows)


def feed_forward_in_two(graph, weights, prefix, value):
    """The same with the first token apart from the rest: it has numbers about five times as large as any other token,
    and quantised together they would leave the others a fifth of the steps."""
    results = []
    for rows, start, end in (("/first", 0, 1), ("/rest", 1, POSITIONS)):
        inputs = [value, graph.integers(start), graph.integers(end), graph.integers(1)]
        part = graph.add("Slice", inputs, f"{prefix}{rows}")
        results.append(feed_forward(graph, weights, prefix, part, rows))
    return graph.add("Concat", results, f"{prefix}/whole", axis=1)


def layer(graph, weights, number, value, mask):
    """One encoder layer."""
    prefix = f"encoder.layer.{number}"
    mixed = attention(graph, weights, f"{prefix}.attention", value, mask)
    value = graph.add("Add", [mixed, value], f"{prefix}/attended")
    value = graph.norm(weights, f"{prefix}.attention.output.LayerNorm", value)
    inner = (feed_forward_in_two if graph.is_quantised else feed_forward)(graph, weights, prefix, value)
    value = graph.add("Add", [inner, value], f"{prefix}/fed")
    return graph.norm(weights, f"{prefix}.output.LayerNorm", value)


def lay_out(constants):
    """The safetensors file of these arrays: its first bytes, the names in their order, and where each array starts."""
    names = sorted(constants)
    header, end = {}, 0
    for name in names:
        array = constants[name]
        if array.nbytes % SAFETENSORS_ALIGNMENT_BYTES:  # the format knows no gaps
            raise ExportError(f"{name} has {array.nbytes} bytes: what follows it would not be aligned")
        offsets = [end, end + array.nbytes]
        header[name] = {"dtype": TYPES[array.dtype.str][1], "shape": list(array.shape), "data_offsets": offsets}
        end += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % SAFETENSORS_ALIGNMENT_BYTES)
    offsets = {name: 8 + len(text) + header[name]["data_offsets"][0] for name in names}
    return len(text).to_bytes(8, "little") + text, names, offsets


def initialiser(name, array, offset):
    """A constant of the graph: here, or at `offset` in the file of weights."""
    tensor = helper.make_tensor(name, TYPES[array.dtype.str][0], array.shape, array.tobytes("C"), raw=True)
    if offset is not None:
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", WEIGHTS_FILE), ("offset", offset), ("length", array.nbytes)):
            tensor.external_data.add(key=key, value=str(value))
    return tensor


def pool(graph, value):
    """The mean over the tokens that count, in single precision."""
    tokens = graph.add("Cast", [value], "tokens", to=TensorProto.FLOAT)
    mask = graph.add("Cast", ["attention_mask"], "counted", to=TensorProto.FLOAT)
    mask = graph.add("Unsqueeze", [mask, graph.integers(2)], "counted_3")
    total = graph.add("Mul", [tokens, mask], "counted_tokens")
    total = graph.add("ReduceSum", [total, graph.integers(1)], "total", keepdims=0)
    count = graph.add("ReduceSum", [mask, graph.integers(1)], "count", keepdims=0)
    least = graph.constant("least", numpy.array(1.0, dtype="<f4"))
    count = graph.add("Max", [count, least], "count_or_one")
    graph.add("Div", [total, count], POOLED_OUTPUT)


def build(weights, precision):
    """The graph and, by name, what it is to find in its file of weights."""
    graph = Graph(precision)
    value = embeddings(graph, weights)
    mask = score_mask(graph)
    for number in range(LAYERS):
        value = layer(graph, weights, number, value, mask)
    if graph.floats == "<f4":
        graph.nodes[-1].output[0] = OUTPUT
    else:
        pool(graph, value)
    return graph, {name: array for name, array in graph.constants.items() if array.nbytes > INLINE_LIMIT_BYTES}


def write(path, blocks):
    with open(path, "wb") as file:
        for block in blocks:
            file.write(block)
        file.flush()
        os.fsync(file.fileno())


def output(graph, dimensions):
    if graph.floats == "<f4":
        return helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [*dimensions, HIDDEN])
    return helper.make_tensor_value_info(POOLED_OUTPUT, TensorProto.FLOAT, [dimensions[0], HIDDEN])


def export(weights, precision, folder):
    """Both files, looked at by onnx's own checker."""
    graph, outside = build(weights, precision)
    head, names, offsets = lay_out(outside)
    dimensions = ["batch", "sequence"]
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "all-minilm-l6-v2",
            [
                helper.make_tensor_value_info(name, TensorProto.INT64, dimensions)
                for name in ("input_ids", "attention_mask", "token_type_ids")
            ],
            [output(graph, dimensions)],
            [initialiser(name, array, offsets.get(name)) for name, array in graph.constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", OPSET)] + [helper.make_opsetid(RUNTIME_DOMAIN, 1)] * graph.is_quantised,
        ir_version=IR_VERSION,
        producer_name="catena",
    )
    write(folder / WEIGHTS_FILE, [head, *(outside[name].tobytes("C") for name in names)])
    write(folder / GRAPH_FILE, [model.SerializeToString(deterministic=True)])
    onnx.checker.check_model(str(folder / GRAPH_FILE), full_check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", help="model.safetensors")
    parser.add_argument("folder", type=Path, help=f"an existing folder, for {GRAPH_FILE} and {WEIGHTS_FILE}")
    parser.add_argument("--precision", choices=("fp32", "int8", "fp16"), default="fp32")
    arguments = parser.parse_args()
    try:
        export(Weights(arguments.weights), arguments.precision, arguments.folder)
    except (ExportError, OSError, ValueError, onnx.checker.ValidationError) as error:
        print(f"cannot export the model: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

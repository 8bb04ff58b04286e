"""Signatures with every peculiarity that the checks of a request look at."""

from collections.abc import Mapping

import numpy as np

from toolkit.wire import protos
from toolkit.wire.signatures import ServedSignature, read_signatures

# Alias, tensor's name in the graph and dtype; names chosen so that the two sort differently.
DEFS = """
signature_def { key: "serving_default" value {
    inputs { key: "a" value { name: "z:0" dtype: DT_FLOAT tensor_shape { dim { size: -1 } } } }
    inputs { key: "b" value { name: "y:0" dtype: DT_INT32 tensor_shape { dim { size: -1 } } } }
    outputs { key: "sum" value { name: "sum:0" dtype: DT_FLOAT } }
    outputs { key: "text" value { name: "text:0" dtype: DT_STRING } }
    method_name: "tensorflow/serving/predict" } }
signature_def { key: "defaults" value {
    inputs { key: "a" value { name: "a:0" dtype: DT_FLOAT } }
    inputs { key: "b" value { name: "b:0" dtype: DT_FLOAT } }
    outputs { key: "sum" value { name: "sum:0" dtype: DT_FLOAT } }
    method_name: "tensorflow/serving/predict"
    defaults { key: "b" value { dtype: DT_FLOAT tensor_shape { dim { size: 2 } } float_val: 7 } } } }
signature_def { key: "other" value { method_name: "my/method" } }
signature_def { key: "classify" value {
    inputs { key: "inputs" value { name: "e:0" dtype: DT_STRING } }
    outputs { key: "classes" value { name: "c:0" dtype: DT_STRING } }
    outputs { key: "scores" value { name: "s:0" dtype: DT_FLOAT } }
    method_name: "tensorflow/serving/classify" } }
signature_def { key: "twins" value {
    inputs { key: "inputs" value { name: "e:0" dtype: DT_STRING } }
    outputs { key: "classes" value { name: "s:0" dtype: DT_FLOAT } }
    outputs { key: "scores" value { name: "s:0" dtype: DT_FLOAT } }
    method_name: "tensorflow/serving/classify" } }
signature_def { key: "regress" value {
    inputs { key: "inputs" value { name: "e:0" dtype: DT_STRING } }
    outputs { key: "outputs" value { name: "o:0" dtype: DT_FLOAT } }
    method_name: "tensorflow/serving/regress" } }
signature_def { key: "regress_other" value {
    inputs { key: "inputs" value { name: "e:0" dtype: DT_STRING } }
    outputs { key: "o" value { name: "o:0" dtype: DT_FLOAT } } } }
signature_def { key: "three_outputs" value {
    inputs { key: "inputs" value { name: "e:0" dtype: DT_STRING } }
    outputs { key: "a" value {} } outputs { key: "b" value {} } outputs { key: "c" value {} } } }
signature_def { key: "floats" value {
    inputs { key: "inputs" value { name: "e:0" dtype: DT_FLOAT } }
    outputs { key: "scores" value { name: "s:0" dtype: DT_FLOAT } } } }
"""
SIGNATURES: Mapping[str, ServedSignature] = read_signatures(
    protos.parse_text(protos.SignatureDefMap, DEFS).signature_def
)
FLOATS, INTS = np.zeros(2, np.float32), np.zeros(2, np.int32)

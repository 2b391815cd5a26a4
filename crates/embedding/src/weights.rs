//! One copy of a graph's weights for all sessions that run it.
//!
//! Promises: every session reads the same memory, and what ONNX Runtime rearranges for its kernels it keeps once. Does
//! not: change a weight.

use std::sync::Arc;

use half::f16;
use ort::session::builder::{PrepackedWeights, SessionBuilder};
use ort::value::{DynValue, Tensor};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

/// The weights of one graph.
pub(crate) struct Weights {
    tensors: Vec<(String, Arc<DynValue>)>,
    prepacked: PrepackedWeights,
}

impl Weights {
    /// Reads a safetensors file, whose tensors have the names of the graph's initialisers.
    pub(crate) fn read(file: &[u8]) -> Result<Self, String> {
        let read = SafeTensors::deserialize(file).map_err(|error| error.to_string())?;
        let mut tensors = Vec::with_capacity(read.len());
        for (name, view) in read.iter() {
            let value = value(&view).map_err(|error| format!("{name}: {error}"))?;
            tensors.push((name.to_owned(), Arc::new(value)));
        }
        Ok(Self { tensors, prepacked: PrepackedWeights::new() })
    }

    /// Lets a session use these weights.
    pub(crate) fn share_with(&self, mut builder: SessionBuilder) -> ort::Result<SessionBuilder> {
        for (name, value) in &self.tensors {
            builder = builder.with_external_initializer(name, Arc::clone(value))?;
        }
        Ok(builder.with_prepacked_weights(&self.prepacked)?)
    }
}

fn value(view: &TensorView<'_>) -> Result<DynValue, String> {
    let (shape, bytes) = (view.shape().to_vec(), view.data());
    let made = match view.dtype() {
        Dtype::F32 => Tensor::from_array((shape, words(bytes, f32::from_le_bytes))).map(Tensor::into_dyn),
        Dtype::F16 => Tensor::from_array((shape, words(bytes, f16::from_le_bytes))).map(Tensor::into_dyn),
        Dtype::I64 => Tensor::from_array((shape, words(bytes, i64::from_le_bytes))).map(Tensor::into_dyn),
        Dtype::I8 => Tensor::from_array((shape, words(bytes, i8::from_le_bytes))).map(Tensor::into_dyn),
        Dtype::U8 => Tensor::from_array((shape, bytes.to_vec())).map(Tensor::into_dyn),
        other => return Err(format!("numbers of the type {other:?} are not used by any model here")),
    };
    made.map_err(|error| error.to_string())
}

/// Little-endian numbers as the processor has them.
fn words<N, const BYTES: usize>(bytes: &[u8], read: fn([u8; BYTES]) -> N) -> Vec<N> {
    bytes.as_chunks::<BYTES>().0.iter().map(|word| read(*word)).collect()
}

//! One copy of a graph's weights for all sessions that run it.
//!
//! Promises: what a session computes with are the bytes that were verified, never those of a file; sessions read the same
//! memory, and what ONNX Runtime rearranges for its kernels it keeps once. Where that cannot be had, each session has a
//! copy. Does not: change a weight.

use std::sync::Arc;

use half::f16;
use ort::session::builder::{PrepackedWeights, SessionBuilder};
use ort::value::{DynValue, Tensor};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use tempfile::TempDir;

use crate::description::{Precision, WEIGHTS};

/// Tells ONNX Runtime where the files are that a graph refers to.
const FOLDER_SETTING: &str = "session.model_external_initializers_file_folder_path";

/// The weights of one graph.
pub(crate) struct Weights {
    tensors: Vec<(String, Arc<DynValue>)>,
    sharing: Option<Sharing>,
}

/// What sessions share beside the weights.
struct Sharing {
    prepacked: PrepackedWeights,
    /// ONNX Runtime insists that the file is there to which the graph refers. It finds an empty one: if it read from it
    /// after all, it would fail and not compute with other numbers.
    empty_file: TempDir,
}

impl Weights {
    /// Reads a safetensors file, whose tensors have the names of the graph's initialisers.
    pub(crate) fn read(file: &[u8], precision: Precision) -> Result<Self, String> {
        let read = SafeTensors::deserialize(file).map_err(|error| error.to_string())?;
        let mut tensors = Vec::with_capacity(read.len());
        for (name, view) in read.iter() {
            let value = value(&view).map_err(|error| format!("{name}: {error}"))?;
            tensors.push((name.to_owned(), Arc::new(value)));
        }
        // Half floats are made whole ones by a processor before it computes: of these each session has its own.
        let sharing = (precision != Precision::Fp16).then(Sharing::new).flatten();
        Ok(Self { tensors, sharing })
    }

    /// Lets a session use these weights.
    pub(crate) fn lend_to(&self, mut builder: SessionBuilder) -> ort::Result<SessionBuilder> {
        let Some(sharing) = &self.sharing else {
            for (name, value) in &self.tensors {
                builder = builder.with_external_initializer(name, Arc::clone(value))?;
            }
            return Ok(builder);
        };
        for (name, value) in &self.tensors {
            builder = builder.with_initializer(name, Arc::clone(value))?;
        }
        let folder = sharing.empty_file.path().to_string_lossy();
        Ok(builder.with_config_entry(FOLDER_SETTING, folder)?.with_prepacked_weights(&sharing.prepacked)?)
    }
}

impl Sharing {
    fn new() -> Option<Self> {
        let made = TempDir::with_prefix("catena-model-").and_then(|folder| {
            std::fs::File::create(folder.path().join(WEIGHTS))?;
            Ok(folder)
        });
        match made {
            Ok(empty_file) => Some(Self { prepacked: PrepackedWeights::new(), empty_file }),
            Err(error) => {
                tracing::warn!(%error, "without a place for temporary files, each worker has a copy of the weights");
                None
            }
        }
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

//! What computes: the processor, or a graphics card where the program was built for one.
//!
//! Promises: a card that cannot be used is never a reason not to start; the log and the metric `catena_embedding_device`
//! say what is used instead. Does not: choose between several cards.

use std::num::NonZeroUsize;

use ort::session::builder::SessionBuilder;

/// What computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// An NVIDIA graphics card, through CUDA.
    Cuda,
}

impl Device {
    /// Its name, as settings have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
        }
    }

    /// How many workers keep it busy: a card runs one thing at a time, and wants it large.
    pub(crate) fn workers(self, processors: NonZeroUsize) -> usize {
        match self {
            Self::Cpu => processors.get(),
            Self::Cuda => 1,
        }
    }

    /// This device if it works, else the processor, and why.
    pub(crate) fn usable(self, attempt: impl FnOnce() -> Result<(), String>) -> (Self, Option<String>) {
        let missed = match self {
            Self::Cpu => None,
            Self::Cuda => attempt().err(),
        };
        let used = if missed.is_some() { Self::Cpu } else { self };
        if let Some(reason) = &missed {
            tracing::warn!(reason, "the graphics card cannot be used, the processor embeds instead");
            metrics::counter!("catena_embedding_device_fallbacks_total").increment(1);
        }
        for device in [Self::Cpu, Self::Cuda] {
            let value = if device == used { 1.0 } else { 0.0 };
            metrics::gauge!("catena_embedding_device", "device" => device.as_str()).set(value);
        }
        (used, missed)
    }

    /// Makes a session compute here.
    #[cfg(feature = "cuda")]
    pub(crate) fn prepare(self, builder: SessionBuilder) -> ort::Result<SessionBuilder> {
        match self {
            Self::Cpu => Ok(builder),
            Self::Cuda => {
                let provider = ort::ep::CUDA::default().build().error_on_failure();
                Ok(builder.with_execution_providers([provider])?)
            }
        }
    }

    /// Makes a session compute here.
    #[cfg(not(feature = "cuda"))]
    pub(crate) fn prepare(self, builder: SessionBuilder) -> ort::Result<SessionBuilder> {
        match self {
            Self::Cpu => Ok(builder),
            Self::Cuda => Err(ort::Error::new("this program was built without the feature `cuda`")),
        }
    }
}

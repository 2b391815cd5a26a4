//! Libraries that load but cannot be used. A process of its own: it must not have loaded a good one.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use catena_embedding::{EmbeddingError, check_library};

/// Compiles `tests/libraries/NAME.c`; the C compiler is the one that the workspace's dependencies need anyway.
fn compile(name: &str, folder: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/libraries").join(name).with_extension("c");
    let library = folder.join(format!("lib{name}.so"));
    let status = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status()?;
    if status.success() { Ok(library) } else { Err(format!("cc: {status}").into()) }
}

#[test]
fn an_old_onnx_runtime_is_refused_with_its_version_and_the_way_out() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let library = compile("old_onnxruntime", folder.path())?;
    // Twice: a refusal must leave nothing behind that makes the next one hang or pass.
    for _ in 0..2 {
        let Err(error) = check_library(&library) else { return Err("an old library was accepted".into()) };
        assert!(matches!(error, EmbeddingError::LibraryTooOld { .. }), "{error}");
        let text = error.to_string();
        for part in ["1.16.3", "1.24", "libold_onnxruntime.so", "provision.py", "CATENA_ONNXRUNTIME"] {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
    }
    Ok(())
}

#[test]
fn a_library_that_is_not_onnx_runtime_is_refused_by_name() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let library = compile("unrelated", folder.path())?;
    let Err(error) = check_library(&library) else { return Err("an unrelated library was accepted".into()) };
    assert!(matches!(error, EmbeddingError::LibraryUnusable { .. }), "{error}");
    assert!(error.to_string().contains("not ONNX Runtime"), "{error}");
    assert!(error.to_string().contains("libunrelated.so"), "{error}");
    Ok(())
}

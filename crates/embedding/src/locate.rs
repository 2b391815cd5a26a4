//! Where the ONNX Runtime library is.
//!
//! Promises: the places are looked at in one fixed order (the setting, `ORT_DYLIB_PATH`, the project's runtime folder,
//! the system's library folders); a place that was named and does not hold a library is an error, not a reason to take
//! another one; an error names every place. Does not: load the library (see `session`), search the disk, or use the
//! network.

use std::path::{Path, PathBuf};

use catena_runtime::environment;

use crate::device::Device;
use crate::error::EmbeddingError;

/// The variable that other programs use for the same thing.
const COMMON_VARIABLE: &str = "ORT_DYLIB_PATH";
/// The variable that moves the project's folder of fetched things.
const FOLDER_VARIABLE: &str = "CATENA_PROVISION";
const LOADER_VARIABLE: &str = "LD_LIBRARY_PATH";
const PROJECT_FOLDER: &str = ".catena";
const RUNTIME_FOLDER: &str = "runtime";
/// The same, built for graphics cards.
const CUDA_FOLDER: &str = "runtime-cuda";
const SYSTEM_FOLDERS: [&str; 8] = [
    "/usr/local/lib",
    "/usr/local/lib64",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/opt/onnxruntime/lib",
    "/opt/homebrew/lib",
];
/// Folders above the executable that are looked at: enough for `target/debug/deps` inside a checkout.
const LEVELS_ABOVE: usize = 6;

/// Finds the ONNX Runtime library. `setting` is a library or a folder that holds one; nothing else is looked at then. For
/// a graphics card the build for it comes first, but any will do: the processor can always do the work.
pub fn find_library(setting: Option<&Path>, device: Device) -> Result<PathBuf, EmbeddingError> {
    let named = setting.map(Path::to_path_buf).or_else(|| environment::variable(COMMON_VARIABLE).map(PathBuf::from));
    if let Some(named) = named {
        return library_at(&named).ok_or(EmbeddingError::LibraryMissing { looked: vec![named] });
    }
    let looked = places(device);
    looked.iter().find_map(|place| library_at(place)).ok_or(EmbeddingError::LibraryMissing { looked })
}

/// The folders that may hold a library when nobody named one, most specific first.
fn places(device: Device) -> Vec<PathBuf> {
    let ours: &[&str] = match device {
        Device::Cpu => &[RUNTIME_FOLDER],
        Device::Cuda => &[CUDA_FOLDER, RUNTIME_FOLDER],
    };
    let mut folders = Vec::new();
    if let Some(folder) = environment::variable(FOLDER_VARIABLE) {
        folders.extend(ours.iter().map(|ours| Path::new(&folder).join(ours)));
    }
    let current = environment::current_dir().ok();
    let above = environment::executable().ok();
    let above = above.iter().flat_map(|program| program.ancestors().skip(1).take(LEVELS_ABOVE));
    for base in current.as_deref().into_iter().chain(above) {
        folders.extend(ours.iter().map(|ours| base.join(PROJECT_FOLDER).join(ours)));
    }
    if let Some(listed) = environment::variable(LOADER_VARIABLE) {
        folders.extend(listed.split(':').filter(|folder| !folder.is_empty()).map(PathBuf::from));
    }
    folders.extend(SYSTEM_FOLDERS.map(PathBuf::from));
    let mut seen = std::collections::HashSet::new();
    folders.retain(|folder| seen.insert(folder.clone()));
    folders
}

/// The library that `place` is, or the newest one in the folder that it is.
fn library_at(place: &Path) -> Option<PathBuf> {
    if place.is_file() {
        return Some(place.to_path_buf());
    }
    let mut found: Vec<(Vec<u64>, PathBuf)> = std::fs::read_dir(place)
        .ok()?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter_map(|path| Some((version_in(path.file_name()?.to_str()?)?, path)))
        .filter(|(_, path)| path.is_file())
        .collect();
    found.sort();
    found.pop().map(|(_, path)| path)
}

/// The version in a library's file name, as numbers: empty for a plain `libonnxruntime.so`, none for another file.
fn version_in(name: &str) -> Option<Vec<u64>> {
    let rest = name.strip_prefix("libonnxruntime.")?;
    let version = if let Some(version) = rest.strip_suffix("dylib") {
        version.trim_end_matches('.')
    } else {
        let version = rest.strip_prefix("so")?;
        if version.is_empty() { version } else { version.strip_prefix('.')? }
    };
    if version.is_empty() {
        return Some(Vec::new());
    }
    version.split('.').map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_library_itself_is_taken_and_of_several_the_newest() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        for name in ["libonnxruntime.so", "libonnxruntime.so.1.9.0", "libonnxruntime.so.1.31.1", "libonnxruntime.so.1"]
        {
            std::fs::write(folder.path().join(name), "")?;
        }
        for name in ["libonnxruntime_providers_shared.so", "libonnxruntime.so.1.32.0.partial", "LICENSE"] {
            std::fs::write(folder.path().join(name), "")?;
        }
        assert_eq!(library_at(folder.path()), Some(folder.path().join("libonnxruntime.so.1.31.1")));
        Ok(())
    }

    #[test]
    fn a_named_place_without_a_library_is_an_error_that_names_it() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        for named in [folder.path().to_path_buf(), folder.path().join("libonnxruntime.so")] {
            let text = match find_library(Some(&named), Device::Cpu) {
                Err(error) => error.to_string(),
                Ok(path) => format!("took {}", path.display()),
            };
            assert!(text.contains(&named.display().to_string()), "{text}");
            assert!(text.contains("CATENA_ONNXRUNTIME") && text.contains("provision.py"), "{text}");
        }
        Ok(())
    }

    #[test]
    fn the_projects_folder_comes_before_the_systems() {
        for (device, first) in [(Device::Cpu, ".catena/runtime"), (Device::Cuda, ".catena/runtime-cuda")] {
            let places = places(device);
            let position = |part: &str| places.iter().position(|place| place.ends_with(part));
            assert!(position(first).is_some(), "{places:?}");
            assert!(position(first) <= position(".catena/runtime"), "{places:?}");
            assert!(position(".catena/runtime") < position("usr/lib"), "{places:?}");
        }
    }
}

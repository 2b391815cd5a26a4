//! Where things lie: the program under test, the project, what was provisioned.
#![expect(clippy::disallowed_methods, reason = "the tests' environment is read here and nowhere else in them")]

use std::path::{Path, PathBuf};

/// The program under test: `catena` in the folder that cargo built this test into.
pub(crate) fn program() -> PathBuf {
    let test = std::env::current_exe().expect("a running test has a path");
    let built = test.ancestors().nth(2).expect("a test lies in `deps` below the folder of programs");
    let program = built.join("catena");
    assert!(
        program.is_file(),
        "{} is missing; run `cargo build --workspace` first, as `make test` does",
        program.display()
    );
    program
}

/// The repository's root.
pub(crate) fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie below the root")
}

/// The folder that the provisioning fills: runtime, models, Python packages.
pub(crate) fn provision() -> PathBuf {
    let folder = std::env::var_os("CATENA_PROVISION").map_or_else(|| project().join(".catena"), PathBuf::from);
    for part in ["runtime", "models", "python"] {
        let part = folder.join(part);
        assert!(
            part.is_dir(),
            "{} is missing; run `python3 deploy/provision/provision.py --with-tests`",
            part.display()
        );
    }
    folder
}

/// Variables that a server or a script must not inherit.
pub(crate) fn variables_to_drop() -> Vec<String> {
    let ours = |name: &String| name.starts_with("CATENA_") || name == "ORT_DYLIB_PATH" || name == "PYTHONPATH";
    std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).filter(ours).collect()
}

/// What whoever runs the tests says of `name`: `CATENA_SYSTEM_TESTS_SEED` for `SEED`.
pub(crate) fn wish(name: &str) -> Option<u64> {
    std::env::var(format!("CATENA_SYSTEM_TESTS_{name}")).ok().and_then(|value| value.parse().ok())
}

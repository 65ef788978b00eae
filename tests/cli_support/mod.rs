//! Runs the built program in a separate directory.
#![allow(dead_code, reason = "each test program uses a part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

pub struct Place {
    directory: tempfile::TempDir,
    /// The number of nets that are trained by default; none for the choice by the data.
    ensemble: Option<&'static str>,
}

pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Place {
    pub fn new() -> Self {
        Place { directory: tempfile::tempdir().unwrap(), ensemble: Some("1") }
    }

    /// A place in which small tables are trained with the default number of nets.
    pub fn of_defaults() -> Self {
        Place { ensemble: None, ..Place::new() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// The program without environment variables that could change its behavior. It trains one net,
    /// which suits most tests, unless the arguments say otherwise.
    pub fn command(&self, args: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wgrad"));
        command.current_dir(&self.directory).args(args.split_whitespace()).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("WGRAD_") {
                command.env_remove(name);
            }
        }
        command.envs(self.ensemble.map(|nets| ("WGRAD_ENSEMBLE", nets)));
        command
    }

    /// Runs it to its end. It must not panic.
    pub fn run(&self, args: &str) -> Ran {
        ran(self.command(args).output().unwrap())
    }

    /// As [`Place::run`], but it must succeed.
    pub fn ok(&self, args: &str) -> Ran {
        let ran = self.run(args);
        assert_eq!(ran.code, 0, "wgrad {args}\n{}{}", ran.stdout, ran.stderr);
        ran
    }

    /// The model of a run.
    pub fn model(&self, run: &str) -> wgrad::Model {
        wgrad::files::checkpoint::load_model(&self.path(run).join("model.safetensors")).unwrap()
    }

    /// The names in a directory, sorted.
    pub fn names(&self, directory: impl AsRef<Path>) -> Vec<String> {
        let entries = std::fs::read_dir(self.directory.path().join(directory)).unwrap();
        let mut names: Vec<_> =
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

pub fn ran(output: Output) -> Ran {
    let [stdout, stderr] =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(!stderr.contains("panicked"), "{stderr}");
    Ran { code: output.status.code().unwrap_or(-1), stdout, stderr }
}

impl Ran {
    /// Standard output as JSON lines.
    pub fn json(&self) -> Vec<serde_json::Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// An IDX file of bytes.
pub fn idx(shape: &[u32], bytes: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, shape.len() as u8];
    shape.iter().for_each(|n| file.extend(n.to_be_bytes()));
    file.extend(bytes);
    file
}

/// A table of 60 rows in which `y = 3 a − 2 b + 10`.
pub fn plane() -> String {
    let rows = (0..60).map(|i| {
        let (a, b) = (f64::from(i % 8), f64::from(i * 7 % 11));
        format!("{a},{b},{}\n", 3.0 * a - 2.0 * b + 10.25)
    });
    std::iter::once("a,b,y\n".to_string()).chain(rows).collect()
}

//! `subrosa demo`: the main job, on this machine, with real parts.
//!
//! It starts a chain, then its own binary as pods from files that anyone can read, and asks through
//! a gateway as any program would. [`story`] has the seven steps in their order, [`stage`] the parts.

mod files;
mod heard;
mod pods;
mod report;
mod stage;
mod story;
mod told;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::args::DemoArgs;
use crate::commands::stop_signal;
use crate::output::Output;

/// Runs the demo, then stays up unless it was asked to end.
pub(crate) async fn run(args: &DemoArgs, output: &Output) -> Result<ExitCode> {
    let folder = Folder::open(args.folder.clone())?;
    output.line(format!("The demo's files: {}", folder.path.display()));
    let told = tokio::select! {
        told = story::tell(args, &folder.path, output) => told,
        stopped = stop_signal() => stopped.and_then(|()| bail!("stopped before the end")),
    };
    let (report, stage) = told?;
    output.value(&report);
    if !args.once {
        told::invite(&stage, output);
        stop_signal().await?;
        output.line("");
    }
    stage.end().await;
    Ok(ExitCode::SUCCESS)
}

/// Where the demo's files go; a folder of its own goes away with it.
struct Folder {
    path: PathBuf,
    _temporary: Option<TempDir>,
}

impl Folder {
    fn open(named: Option<PathBuf>) -> Result<Folder> {
        if let Some(path) = named {
            std::fs::create_dir_all(&path)
                .with_context(|| format!("cannot make {}", path.display()))?;
            let path = std::path::absolute(path)?;
            return Ok(Folder { path, _temporary: None });
        }
        let temporary = tempfile::Builder::new().prefix("subrosa-demo-").tempdir()?;
        Ok(Folder { path: temporary.path().to_owned(), _temporary: Some(temporary) })
    }
}

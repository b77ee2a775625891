//! `subrosa explain`: the chain from silicon root to answer, drawn.

use std::process::ExitCode;

use anyhow::Result;

use super::verify;
use crate::args::{Common, ExplainArgs};
use crate::output::Output;
use crate::picture::{self, Picture};

pub(crate) fn run(common: &Common, args: &ExplainArgs, output: &Output) -> Result<ExitCode> {
    let checked = match verify::check(common, &args.verify) {
        Ok(checked) => checked,
        Err(reason) => return Ok(verify::unreadable(&reason, output)),
    };
    let picture = Picture::of(&checked);
    if let Some(path) = &args.svg {
        if let Err(error) = std::fs::write(path, picture::svg(&picture)) {
            // Not 1, which would say that the file was refused.
            output.note(format!("cannot write {}: {error}", path.display()));
            return Ok(ExitCode::from(verify::UNREADABLE));
        }
        output.note(format!("the picture is in {}", path.display()));
    }
    output.value(&checked);
    picture::text(&picture, output).iter().for_each(|line| output.line(line));
    Ok(verify::code(checked.verdict))
}

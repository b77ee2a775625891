//! The way to standard output and standard error: text for people or JSON for programs, colour only
//! on a terminal.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::failure;

/// How often a spinner moves.
const SPINNER_TICK: Duration = Duration::from_millis(100);

/// Where a command tells what it has to tell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
    colour: bool,
}

/// How a word stands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Bad,
    Faint,
    Good,
    Strong,
    Warning,
}

impl Output {
    pub(crate) fn new(json: bool) -> Output {
        Output { json, colour: wants_colour() && io::stdout().is_terminal() }
    }

    /// Whether a program reads.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// One line for people; a program is not told.
    pub(crate) fn line(&self, text: impl AsRef<str>) {
        if !self.json {
            write(format_args!("{}\n", text.as_ref()));
        }
    }

    /// A piece of a line for people, at once.
    pub(crate) fn piece(&self, text: &str) {
        if !self.json {
            write(format_args!("{text}"));
        }
    }

    /// A piece of a model's answer. A model may be talked into writing escape sequences, which would move a
    /// terminal's cursor or change its title: they are left out.
    pub(crate) fn answer(&self, text: &str) {
        let harmless = |letter: &char| !letter.is_control() || matches!(letter, '\n' | '\t');
        self.piece(&text.chars().filter(harmless).collect::<String>());
    }

    /// What a program is told; people are not.
    pub(crate) fn value(&self, value: &impl Serialize) {
        if self.json {
            document(value);
        }
    }

    /// A word that stands out, where there is colour.
    pub(crate) fn paint(&self, tone: Tone, text: impl AsRef<str>) -> String {
        paint(self.colour, tone, text.as_ref())
    }

    /// A note on standard error, which is in nobody's way.
    pub(crate) fn note(&self, text: impl AsRef<str>) {
        to_stderr(format_args!("{}\n", text.as_ref()));
    }

    /// Tells an error and gives the exit code for it.
    pub(crate) fn fail(&self, error: &anyhow::Error) -> ExitCode {
        let word = paint(stderr_takes_colour(), Tone::Bad, "error");
        let told = failure::told(error);
        to_stderr(format_args!("{word}: {told}\n"));
        self.value(&serde_json::json!({"error": told}));
        ExitCode::FAILURE
    }

    /// A spinner for what takes longer than a moment; seen on a terminal only.
    pub(crate) fn wait(&self, text: impl Into<String>) -> Wait {
        if self.json || !io::stderr().is_terminal() {
            return Wait(None);
        }
        let bar = ProgressBar::new_spinner().with_message(text.into());
        bar.enable_steady_tick(SPINNER_TICK);
        Wait(Some(bar))
    }

    /// A bar for so many bytes; seen on a terminal only.
    pub(crate) fn bar(&self) -> Wait {
        if self.json || !io::stderr().is_terminal() {
            return Wait(None);
        }
        let style = ProgressStyle::with_template(
            "{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
        )
        .expect("the template is well formed");
        Wait(Some(ProgressBar::new(0).with_style(style)))
    }
}

/// A spinner or bar, which disappears when it is dropped.
pub(crate) struct Wait(Option<ProgressBar>);

impl Wait {
    pub(crate) fn tell(&self, text: impl Into<String>) {
        if let Some(bar) = &self.0 {
            bar.set_message(text.into());
        }
    }

    pub(crate) fn bytes(&self, have: u64, size: u64) {
        if let Some(bar) = &self.0 {
            bar.set_length(size);
            bar.set_position(have);
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// Prints a JSON document.
pub(crate) fn document(value: &impl Serialize) {
    let text = serde_json::to_string_pretty(value).expect("what we print has text keys only");
    write(format_args!("{text}\n"));
}

/// Prints one line of JSON, for a program that reads line by line.
pub(crate) fn event(value: &impl Serialize) {
    let text = serde_json::to_string(value).expect("what we print has text keys only");
    write(format_args!("{text}\n"));
}

/// Prints text as it is.
pub(crate) fn text(text: &str) {
    write(format_args!("{text}"));
}

pub(crate) fn stderr_takes_colour() -> bool {
    wants_colour() && io::stderr().is_terminal()
}

/// <https://no-color.org>: any value but the empty one turns colour off.
fn wants_colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn paint(colour: bool, tone: Tone, text: &str) -> String {
    let code = match tone {
        Tone::Bad => "1;31",
        Tone::Faint => "2",
        Tone::Good => "32",
        Tone::Strong => "1",
        Tone::Warning => "1;33",
    };
    if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

/// A reader that went away, as `head` does, is no fault of ours.
fn write(text: std::fmt::Arguments<'_>) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_fmt(text).and_then(|()| stdout.flush());
}

fn to_stderr(text: std::fmt::Arguments<'_>) {
    let _ = io::stderr().lock().write_fmt(text);
}

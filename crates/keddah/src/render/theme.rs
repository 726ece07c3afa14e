//! Colours, named by what they mean; the only table of them.

use anstyle::{AnsiColor, Style};

/// What a piece of text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// The name of a part.
    Heading,
    /// Something that will be or was made.
    Create,
    /// Something that will be or was changed.
    Update,
    /// Something that will be taken away, or a line that will go.
    Delete,
    /// A change that sessions or data notice.
    Grave,
    /// All is well.
    Good,
    /// What is wrong.
    Error,
    /// What may be wrong.
    Warning,
    /// What to do.
    Hint,
    /// Less important than what stands beside it.
    Muted,
}

/// Whether to use colours.
#[derive(Debug, Clone, Copy)]
pub struct Theme {
    colored: bool,
}

impl Theme {
    /// A theme with or without colours.
    pub const fn new(colored: bool) -> Self {
        Self { colored }
    }

    /// Whether colours are used.
    pub const fn is_colored(self) -> bool {
        self.colored
    }

    /// The text in the colour of its meaning.
    pub fn paint(self, meaning: Meaning, text: &str) -> String {
        if !self.colored || text.is_empty() {
            return text.to_owned();
        }
        let style = match meaning {
            Meaning::Heading => Style::new().bold(),
            Meaning::Create | Meaning::Good => AnsiColor::Green.on_default(),
            Meaning::Update | Meaning::Warning => AnsiColor::Yellow.on_default(),
            Meaning::Delete => AnsiColor::Red.on_default(),
            Meaning::Grave | Meaning::Error => AnsiColor::Red.on_default().bold(),
            Meaning::Hint => AnsiColor::Cyan.on_default(),
            Meaning::Muted => Style::new().dimmed(),
        };
        format!("{style}{text}{style:#}")
    }
}

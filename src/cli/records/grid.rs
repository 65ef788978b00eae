//! A text table that fits a narrow terminal.

use crate::base::error::Result;
use crate::cli::arguments::terminal::print;
use crate::observe::{columns, wrap};
use std::io::{IsTerminal, stdout};

/// The longest cell of a table on a terminal; longer ones are cut.
const CELL: usize = 40;

/// A table: the names of its columns, and its rows, each as long as these.
pub(super) struct Grid {
    pub names: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

impl Grid {
    /// Prints it to standard output, fitted to the width of the terminal if it is one.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn print(&self) -> Result<()> {
        print(&self.text(stdout().is_terminal().then(columns).flatten()))
    }

    /// The table as lines of at most `width` characters, if given: columns side by side if they
    /// fit, else a block of lines for each row.
    fn text(&self, width: Option<usize>) -> String {
        let Some(width) = width else { return self.table(usize::MAX) };
        let table = self.table(CELL);
        match table.lines().all(|line| line.chars().count() <= width) {
            true => table,
            false => self.blocks(width),
        }
    }

    fn table(&self, longest: usize) -> String {
        let lines = || std::iter::once(&self.names).chain(&self.rows);
        let cut = |cell: &str| match cell.chars().count() > longest {
            true => cell.chars().take(longest - 1).chain(['…']).collect(),
            false => cell.to_string(),
        };
        let widths: Vec<usize> = (0..self.names.len())
            .map(|c| lines().map(|line| cut(&line[c]).chars().count()).max().unwrap_or(0))
            .collect();
        let line = |cells: &Vec<String>| {
            let cells = cells.iter().zip(&widths);
            let padded: Vec<String> = cells.map(|(cell, &w)| format!("{:w$}", cut(cell))).collect();
            padded.join("  ").trim_end().to_string() + "\n"
        };
        lines().map(line).collect()
    }

    /// The first cell of a row as a heading, the others below it with their names.
    fn blocks(&self, width: usize) -> String {
        let longest = self.names.iter().skip(1).map(|n| n.chars().count()).max().unwrap_or(0);
        let block = |row: &Vec<String>| {
            let cells = self.names.iter().zip(row).skip(1).filter(|(_, cell)| !cell.is_empty());
            let lines = cells.map(|(name, cell)| format!("  {name:longest$}  {cell}\n"));
            let text = std::iter::once(format!("{}\n", row[0])).chain(lines).collect::<String>();
            fill(&text, width)
        };
        self.rows.iter().map(block).collect::<Vec<_>>().join("\n")
    }
}

/// Lines of at most `width` characters, if words allow it.
fn fill(text: &str, width: usize) -> String {
    wrap(text, width)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        let row = |cells: [&str; 3]| cells.map(str::to_string).to_vec();
        let long = "a ".repeat(30);
        Grid {
            names: row(["run", "data", "time"]),
            rows: vec![row(["runs/a-1", "houses", "1.5 s"]), row(["runs/b", long.trim(), ""])],
        }
    }

    #[test]
    fn columns_stand_side_by_side_where_they_fit() {
        let text = grid().text(None);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("run       data "), "{text}");
        assert!(lines[1].starts_with("runs/a-1  houses "), "{text}");
        assert!(text.contains("a a a") && !text.contains('…'), "{text}");
        let cut = grid().text(Some(70));
        assert!(cut.contains('…') && cut.lines().all(|l| l.chars().count() <= 70), "{cut}");
    }

    #[test]
    fn on_a_narrow_terminal_each_row_is_a_block() {
        let text = grid().text(Some(24));
        assert!(text.starts_with("runs/a-1\n  data  houses\n  time  1.5 s\n\nruns/b\n"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 24), "{text}");
    }
}

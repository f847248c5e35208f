//! What people and pipes see: plain text on standard output, problems on standard error, colour only on a terminal.

use std::io::{self, ErrorKind, IsTerminal, Write};

/// Writes to standard output. A reader that has gone away is not an error: `vestibule … | head` ends quietly.
pub fn print(text: &str) -> io::Result<()> {
    quiet(write_all(io::stdout().lock(), text.as_bytes()))
}

/// Writes bytes as they are to standard output.
pub fn print_bytes(bytes: &[u8]) -> io::Result<()> {
    quiet(write_all(io::stdout().lock(), bytes))
}

/// Writes a line to standard error. Where that is closed there is nobody left to tell.
pub fn tell(text: &str) {
    let mut line = text.trim_end().to_owned();
    line.push('\n');
    let _ = write_all(io::stderr().lock(), line.as_bytes());
}

/// True where standard output shows colour.
pub fn has_color() -> bool {
    colored(io::stdout().is_terminal())
}

/// True where standard error shows colour.
pub fn errors_have_color() -> bool {
    colored(io::stderr().is_terminal())
}

/// True where a person watches standard error.
pub fn is_watched() -> bool {
    io::stderr().is_terminal()
}

fn colored(is_terminal: bool) -> bool {
    // https://no-color.org: any value that is not empty means none.
    is_terminal && std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty())
}

fn write_all(mut to: impl Write, bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes)?;
    to.flush()
}

fn quiet(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Columns as wide as their widest cell, two spaces between them. The last column is not padded.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            rows.iter().filter_map(|row| row.get(column)).map(|it| it.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            let gap = width.saturating_sub(cell.chars().count()) + 2;
            line.extend(std::iter::repeat_n(' ', gap));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// One line of at most `most` characters: line ends and other control characters become spaces.
pub fn one_line(text: &str, most: usize) -> String {
    let mut out: String = text.chars().take(most).map(|it| if it.is_control() { ' ' } else { it }).collect();
    if text.chars().nth(most).is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_lines_up_by_characters_not_bytes() {
        let rows = [vec!["é".into(), "1".into()], vec!["long".into(), "2".into()], vec!["x".into()]];
        assert_eq!(table(&rows), "é     1\nlong  2\nx\n");
        assert_eq!(table(&[]), "");
    }

    #[test]
    fn a_value_can_not_draw_on_the_terminal() {
        for (text, most, expected) in
            [("a\nb", 9, "a b"), ("\u{1b}[31mred", 9, " [31mred"), ("abcdef", 3, "abc…"), ("abc", 3, "abc")]
        {
            assert_eq!(one_line(text, most), expected, "input: {text:?}");
        }
    }

    #[test]
    fn a_reader_that_went_away_is_not_an_error() {
        assert!(quiet(Err(ErrorKind::BrokenPipe.into())).is_ok());
        assert!(quiet(Err(ErrorKind::StorageFull.into())).is_err());
    }
}

//! Text in columns.

/// The rows of a table as lines. Columns from `numbers` on (counted from 0) are aligned to the right; no line ends with
/// spaces.
pub(crate) fn columns<const N: usize>(rows: &[[String; N]], numbers: usize) -> Vec<String> {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| {
            if column >= numbers { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stands_left_and_numbers_right() {
        let rows = [["crate", "é", "n"], ["a", "long", "12"], ["b", "", ""]].map(|row| row.map(str::to_owned));
        assert_eq!(columns(&rows, 2), ["crate  é      n", "a      long  12", "b"]);
    }
}

//! Text with tabs as a table, as Go's `tabwriter` aligns it.
//!
//! A column is a run of lines that have a cell in it; a cell ends with a tab, so that the last text
//! of a line belongs to no column.

/// How columns are separated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Columns {
    /// Narrowest column, with its padding.
    pub min_width: usize,
    /// Spaces after the widest cell.
    pub padding: usize,
}

impl Columns {
    /// As docker separates them.
    pub const DOCKER: Self = Self { min_width: 10, padding: 3 };
    /// As podman does.
    pub const PODMAN: Self = Self { min_width: 12, padding: 2 };
}

/// Aligns the columns of a text.
pub fn align(text: &str, columns: Columns) -> String {
    let lines: Vec<Vec<&str>> = text.split('\n').map(|line| line.split('\t').collect()).collect();
    let widths = widths(&lines, columns);
    let mut out = String::with_capacity(text.len() * 2);
    for (row, line) in lines.iter().enumerate() {
        if row > 0 {
            out.push('\n');
        }
        for (column, cell) in line.iter().enumerate() {
            out.push_str(cell);
            if column + 1 < line.len() {
                let width = widths[row][column];
                out.extend(std::iter::repeat_n(' ', width.saturating_sub(shown_width(cell))));
            }
        }
    }
    out
}

/// The width of each cell that a tab ends.
fn widths(lines: &[Vec<&str>], columns: Columns) -> Vec<Vec<usize>> {
    let mut widths: Vec<Vec<usize>> = lines.iter().map(|line| vec![0; line.len() - 1]).collect();
    let deepest = widths.iter().map(Vec::len).max().unwrap_or(0);
    for column in 0..deepest {
        let mut row = 0;
        while row < lines.len() {
            let has = |row: usize| lines[row].len() > column + 1;
            let end = (row..lines.len()).find(|&row| !has(row)).unwrap_or(lines.len());
            let cells = lines[row..end].iter().map(|line| shown_width(line[column]));
            let widest = cells.max().map_or(0, |width| width + columns.padding);
            for line in &mut widths[row..end] {
                line[column] = widest.max(columns.min_width);
            }
            row = end + 1;
        }
    }
    widths
}

/// Places on a terminal that a text takes.
pub fn shown_width(text: &str) -> usize {
    if text.is_ascii() {
        return text.len();
    }
    text.chars().map(char_width).sum()
}

/// Scripts of East Asia and pictures take two places; marks that combine take none.
fn char_width(character: char) -> usize {
    const NONE: [(u32, u32); 8] = [
        (0x0300, 0x036f),
        (0x0483, 0x0489),
        (0x0591, 0x05bd),
        (0x200b, 0x200f),
        (0x20d0, 0x20ff),
        (0xfe00, 0xfe0f),
        (0xfe20, 0xfe2f),
        (0xe0100, 0xe01ef),
    ];
    const TWO: [(u32, u32); 14] = [
        (0x1100, 0x115f),
        (0x231a, 0x231b),
        (0x2e80, 0x303e),
        (0x3041, 0x33ff),
        (0x3400, 0x4dbf),
        (0x4e00, 0x9fff),
        (0xa000, 0xa4cf),
        (0xa960, 0xa97c),
        (0xac00, 0xd7a3),
        (0xf900, 0xfaff),
        (0xfe30, 0xfe6f),
        (0xff01, 0xff60),
        (0x1f300, 0x1faff),
        (0x20000, 0x3fffd),
    ];
    let code = u32::from(character);
    let within =
        |ranges: &[(u32, u32)]| ranges.iter().any(|&(from, to)| (from..=to).contains(&code));
    match code {
        _ if within(&NONE) => 0,
        _ if within(&TWO) => 2,
        _ => 1,
    }
}
